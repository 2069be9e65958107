"""AUC and average precision of one ranking under many sets of weights: the core of metrics and bootstrap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ranking:
    """Where each OMI ECG stands among the others: all that AUC and AP need, whatever the weights.

    Attributes
    ----------
    positives, negatives
        Row numbers of the OMI and no-OMI ECGs, highest probability first.
    true_end
        (n_positives,) per OMI ECG the number of OMI ECGs with a probability as high or higher.
    false_start, false_end
        (n_positives,) per OMI ECG the number of no-OMI ECGs with a higher probability, and with one as high
        or higher.
    """

    positives: np.ndarray
    negatives: np.ndarray
    true_end: np.ndarray
    false_start: np.ndarray
    false_end: np.ndarray

    @classmethod
    def of(cls, omi: np.ndarray, probability: np.ndarray) -> Ranking:
        """Rank (n,) bool labels by (n,) finite probabilities, in O(n log n)."""
        descending = np.argsort(-probability, kind="stable")
        positives = descending[omi[descending]]
        negatives = descending[~omi[descending]]
        # Negated, so that both are ascending as searchsorted wants them.
        own, others = -probability[positives], -probability[negatives]
        return cls(
            positives,
            negatives,
            np.searchsorted(own, own, side="right"),
            np.searchsorted(others, own, side="left"),
            np.searchsorted(others, own, side="right"),
        )

    def auc_ap(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return AUC and AP for each row of weights, NaN where a class has no weight.

        Equal to scikit-learn's ``roc_auc_score`` (a tie counts half) and ``average_precision_score`` (ties
        form one step, no interpolation) with ``sample_weight``.

        Parameters
        ----------
        weights
            (b, n) weights ≥ 0, one per ECG; row numbers as in the arrays that were ranked.

        Returns
        -------
        tuple
            AUC (b,) and AP (b,), float64.
        """
        own = weights[:, self.positives].astype(np.float64)
        true = _running_sum(own)
        false = _running_sum(weights[:, self.negatives])
        true_total, false_total = true[:, -1], false[:, -1]
        above, as_high = false[:, self.false_start], false[:, self.false_end]
        caught = true[:, self.true_end]
        selected = caught + as_high
        # An ECG without weight may stand above all others: its precision is 0/0 but counts with weight 0.
        precision = np.divide(caught, selected, out=np.zeros_like(selected), where=selected > 0)
        beaten = false_total[:, None] - (above + as_high) / 2
        auc = ratio((own * beaten).sum(axis=1), true_total * false_total)
        ap = ratio((own * precision).sum(axis=1), np.where(false_total > 0, true_total, 0.0))
        return auc, ap


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return the quotient elementwise, NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(np.shape(denominator), np.nan), where=denominator != 0)


def _running_sum(weights: np.ndarray) -> np.ndarray:
    """Cumulative sums along rows with a leading 0, so that column k is the sum of the first k."""
    total = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=total[:, 1:])
    return total
