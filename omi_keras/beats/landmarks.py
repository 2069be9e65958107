"""Where R, QRS and the PR segment lie in the beats of a filtered recording, for placing beats and their baseline."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import uniform_filter1d

from omi_keras.beats.beat_groups import rank_in_place
from omi_keras.recordings.record import SAMPLING_RATE

# Half of the stretch around R in which QRS onset and end are sought: samples.
REACH = int(0.16 * SAMPLING_RATE)
# Length of the isoelectric stretch that is averaged for the baseline; how far before QRS onset it may start.
PR_LENGTH = int(0.02 * SAMPLING_RATE)
PR_REACH = int(0.06 * SAMPLING_RATE)


def landmarks(clean: np.ndarray, peaks: np.ndarray, weights: np.ndarray) -> tuple[int, int, int, int]:
    """R, QRS onset, QRS end and start of the PR stretch, in samples from the peaks.

    Measured on the spatial velocity of a rough median beat: how fast the heart vector moves, anywhere.
    """
    reach = REACH + PR_REACH
    inside = peaks[(peaks >= reach) & (peaks < clean.shape[1] - reach)]
    if len(inside) == 0:
        return 0, -REACH // 2, REACH // 2, -REACH // 2 - PR_LENGTH
    cuts = sliding_window_view(clean, 2 * reach + 1, axis=1)[:, inside - reach].transpose(1, 0, 2)
    rough = rank_in_place(np.array(cuts, order="C"))[(len(inside) - 1) // 2]
    velocity = np.linalg.norm((rough[:, 2:] - rough[:, :-2]) * weights[:, None], axis=0)
    velocity = np.pad(uniform_filter1d(velocity, 5), 1, mode="edge")
    quiet = float(np.sort(velocity)[len(velocity) // 5])
    first = reach - REACH // 2
    centre = first + int(np.argmax(velocity[first : reach + REACH // 2 + 1]))
    slow = velocity < quiet + 0.08 * (float(velocity[centre]) - quiet)
    onset = centre - _first_run(slow[centre::-1], 5, REACH)
    end = centre + _first_run(slow[centre:], 8, REACH)
    # The stillest stretch shortly before the onset is the isoelectric line; later ones win ties.
    starts = np.arange(max(0, onset - PR_REACH), max(1, onset - PR_LENGTH))
    still = np.convolve(velocity, np.ones(PR_LENGTH), "valid")[starts]
    pr = int(starts[len(still) - 1 - int(np.argmin(still[::-1]))])
    rough = rough - rough[:, pr : pr + PR_LENGTH].mean(axis=1, keepdims=True)
    r = r_peak(np.linalg.norm(rough, axis=0), onset, end)
    return r - reach, onset - reach, end - reach, pr - reach


def _first_run(true: np.ndarray, length: int, limit: int) -> int:
    """Index of the first run of so many true values, at most the limit."""
    runs = np.convolve(true[: limit + length].astype(np.int64), np.ones(length, dtype=np.int64), "valid") == length
    return int(np.argmax(runs)) if runs.any() else limit


def r_peak(magnitude: np.ndarray, onset: int, end: int) -> int:
    """Highest local maximum of the vector magnitude inside the QRS complex.

    A local one, because a steep ST elevation may climb above R at the very end of the window.
    """
    inside = np.arange(max(onset, 1), min(end, len(magnitude) - 2) + 1)
    m = magnitude[inside]
    tops = (m >= magnitude[inside - 1]) & (m > magnitude[inside + 1])
    if not tops.any():
        return int(inside[np.argmax(m)])
    return int(inside[np.argmax(np.where(tops, m, -1.0))])
