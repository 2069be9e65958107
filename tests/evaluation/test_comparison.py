"""Intervals and paired tests over folds against resamples written out; Holm's correction against hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from omi_keras.evaluation import bootstrap
from omi_keras.evaluation.comparison import (
    COMPARISON_COLUMNS,
    INTERVALS_COLUMNS,
    FoldTest,
    Resamples,
    comparisons,
    holm,
    intervals,
)
from omi_keras.evaluation.delong import PairedFold, paired_delong
from omi_keras.recordings.errors import InputError


def fold(number, strength, seed=0, ecgs=80):
    """Test ECGs of a fold; those of one number are the same ECGs whatever the strength of the model."""
    rng = np.random.default_rng(number)
    patient = rng.integers(40, size=ecgs)
    omi = (rng.random(40) < 0.3)[patient].astype(int)
    noise = np.random.default_rng([number, seed]).normal(0.4, 0.2, ecgs)
    probability = np.round(np.clip(strength * omi + noise, 0, 1), 2)
    names = np.array([f"{number}-{k:03d}" for k in range(ecgs)])
    return FoldTest(names, omi, probability, np.array([f"{number}-p{k}" for k in patient]), 0.5)


def models():
    return {
        "good": {k: fold(k, 0.3, seed=1) for k in range(3)},
        "poor": {k: fold(k, 0.1, seed=2) for k in range(3)},
    }


def test_intervals_equal_resamples_written_out(monkeypatch):
    draws = []
    original = bootstrap._draws
    monkeypatch.setattr(bootstrap, "_draws", lambda *a: draws.append(original(*a)) or draws[-1])
    folds = models()["good"]
    table = intervals(Resamples({"good": folds}, 50, seed=4), simulated=True)
    assert tuple(table.columns) == INTERVALS_COLUMNS
    row = table.iloc[0]
    assert (row["folds"], row["ecgs"]) == (3, 240)
    assert row["patients"] == sum(np.unique(test.patient_id).size for test in folds.values())
    assert row["omi"] == sum(test.omi.sum() for test in folds.values())
    slow = {"auc": roc_auc_score, "ap": average_precision_score, "brier": brier_score_loss}
    values = {name: np.zeros((3, 50)) for name in slow}
    for k, test in enumerate(folds.values()):
        names = np.unique(test.patient_id)
        for b, counts in enumerate(draws[k].astype(int)):
            rows = np.concatenate(
                [np.tile(np.flatnonzero(test.patient_id == who), n) for who, n in zip(names, counts, strict=True)]
            )
            for name, metric in slow.items():
                values[name][k, b] = metric(test.omi[rows], test.probability[rows])
    for name, metric in slow.items():
        point = np.mean([metric(test.omi, test.probability) for test in folds.values()])
        assert row[name] == pytest.approx(point)
        low, high = np.percentile(values[name].mean(axis=0), [2.5, 97.5])
        assert (row[f"{name}_lo"], row[f"{name}_hi"]) == pytest.approx((low, high))


def test_comparison_is_paired_and_corrected():
    found = models()
    resampled = Resamples(found, 400, seed=0)
    table = comparisons(resampled, simulated=False)
    assert tuple(table.columns) == COMPARISON_COLUMNS
    assert table["metric"].tolist() == ["auc", "ap"]
    auc, ap = table.to_dict("records")
    pairs = [
        PairedFold(a.omi, a.probability, b.probability, a.patient_id)
        for a, b in zip(found["good"].values(), found["poor"].values(), strict=True)
    ]
    expected = paired_delong(pairs)
    assert {name: auc[name] for name in ("difference", "lo", "hi", "p")} == pytest.approx(
        {name: expected[name] for name in ("difference", "lo", "hi", "p")}
    )
    difference = resampled.mean("good", "ap", [0, 1, 2]) - resampled.mean("poor", "ap", [0, 1, 2])
    assert (ap["lo"], ap["hi"]) == pytest.approx(tuple(np.percentile(difference, [2.5, 97.5])))
    below = min((difference <= 0).sum(), (difference >= 0).sum())
    assert ap["p"] == pytest.approx(min(1, 2 * (1 + below) / 401))
    means = [
        np.mean([average_precision_score(t.omi, t.probability) for t in folds.values()]) for folds in found.values()
    ]
    assert ap["difference"] == pytest.approx(means[0] - means[1])
    assert table["p_holm"].tolist() == pytest.approx(holm(table["p"].to_numpy()).tolist())
    assert ap["difference"] > 0 > ap["lo"] - 1


def test_pairing_narrows_the_interval():
    """Two nearly equal models differ by little, whichever patients are drawn."""
    twins = {k: fold(k, 0.3, seed=1) for k in range(3)}
    little = 0.005 * np.random.default_rng(0).normal(size=80)
    nearly = {
        k: FoldTest(t.ecg_id, t.omi, np.clip(t.probability + little, 0, 1), t.patient_id, t.threshold)
        for k, t in twins.items()
    }
    resampled = Resamples({"a": twins, "b": nearly}, 200, seed=0)
    table = comparisons(resampled, simulated=True).set_index("metric")
    width = table.loc["ap", "hi"] - table.loc["ap", "lo"]
    alone = intervals(resampled, True).set_index("model")
    assert 0 < width < 0.2 * (alone.loc["a", "ap_hi"] - alone.loc["a", "ap_lo"])


def test_identical_models_do_not_differ():
    folds = models()["good"]
    table = comparisons(Resamples({"a": folds, "b": folds}, 50, seed=0), simulated=False)
    assert table["difference"].tolist() == [0, 0]
    assert table["p"].tolist() == [1, 1]
    assert table["p_holm"].tolist() == [1, 1]
    assert table[["lo", "hi"]].isna().all(axis=None), "no width is no certainty"


def test_only_shared_folds_of_the_same_ecgs_are_compared():
    good, poor = models().values()
    partial = comparisons(Resamples({"a": good, "b": {1: poor[1]}}, 20, 0), simulated=False)
    assert partial["folds"].tolist() == [1, 1]
    assert len(comparisons(Resamples({"a": {0: good[0]}, "b": {1: poor[1]}}, 20, 0), simulated=False)) == 0
    elsewhere = {0: fold(9, 0.3)}
    assert len(comparisons(Resamples({"a": good, "b": elsewhere}, 20, 0), simulated=False)) == 0


def test_a_fold_of_one_class_is_undefined_not_zero():
    folds = models()["good"]
    first = folds[0]
    folds[0] = FoldTest(first.ecg_id, np.zeros(80, int), first.probability, first.patient_id, 0.5)
    resampled = Resamples({"a": folds, "b": dict(folds)}, 20, 0)
    row = intervals(resampled, simulated=False).iloc[0]
    assert np.isnan([row[name] for name in ("auc", "auc_lo", "auc_hi", "ap", "ap_lo", "ap_hi")]).all()
    assert row["brier"] > 0
    table = comparisons(resampled, simulated=False)
    assert table[["difference", "lo", "hi", "p", "p_holm"]].isna().all(axis=None)


def test_holm_by_hand():
    # Holm 1979: the smallest p times 4, the next times 3, ...; never less than the one before, never above 1.
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.6, 0.9])), [1, 1])
    np.testing.assert_allclose(holm(np.array([0.02, np.nan, 0.02])), [0.04, np.nan, 0.04])
    assert holm(np.array([])).size == 0
    assert np.isnan(holm(np.array([np.nan, np.nan]))).all()
    np.testing.assert_allclose(holm(np.array([0.0, 1.0, np.nan])), [0, 1, np.nan])
    with pytest.raises(InputError, match="from 0 to 1"):
        holm(np.array([1.2]))
