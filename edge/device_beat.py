"""May a median beat that a monitor computed itself be judged?"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d

from omi_keras.beats.model_inputs import BEAT_SAMPLES, CROP_START, CROP_STOP
from omi_keras.beats.quality import FLAT_MV, MAX_FLAT_LEADS, MAX_TYPICAL_MV, MIN_TYPICAL_MV
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.record import LEADS

R_IN_WINDOW = 300 - CROP_START
# The QRS complex is the steepest part of a beat, and R lies inside it, within so many samples.
QRS_REACH = 60


def check_beat(beat: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Refuse what is no median beat in millivolts with R in its place; flag flat leads.

    Parameters
    ----------
    beat
        (12, 600) with R at sample 300, or (12, 400) with R at sample 150; mV, 500 Hz, floating point.

    Returns
    -------
    The beat as float32, and flags ``flat:<lead>``.

    Raises
    ------
    InputError
        Another shape or kind of number, missing values, an implausible amplitude, three and more flat leads, or no
        QRS complex where R must be.
    """
    beat = np.asarray(beat)
    if beat.shape not in ((len(LEADS), BEAT_SAMPLES), (len(LEADS), CROP_STOP - CROP_START)):
        raise InputError(
            f"expected a median beat of shape (12, 600), or (12, 400) with R at sample {R_IN_WINDOW}, "
            f"received {beat.shape}",
            "wrong_shape",
        )
    if beat.dtype.kind != "f":
        raise InputError(f"expected a median beat in millivolts as float32, received {beat.dtype}", "wrong_dtype")
    beat = beat.astype(np.float32)
    if not np.isfinite(beat).all():
        raise InputError("the median beat has missing or infinite values, expected finite millivolts", "not_finite")
    window = beat[:, CROP_START:CROP_STOP] if beat.shape[1] == BEAT_SAMPLES else beat
    swing = np.ptp(window, axis=1)
    if not swing.any():
        raise InputError("the median beat holds no signal, all leads are flat; check the electrodes", "no_signal")
    flat = swing < min(FLAT_MV, 0.005 * float(swing.max()))
    if flat.sum() > MAX_FLAT_LEADS:
        names = " ".join(lead for lead, is_flat in zip(LEADS, flat, strict=True) if is_flat)
        raise InputError(f"{flat.sum()} of 12 leads of the median beat are flat: {names}", "flat_leads")
    middle = float(np.median(swing[~flat]))
    if not MIN_TYPICAL_MV <= middle <= MAX_TYPICAL_MV:
        raise InputError(
            f"the median beat swings {middle:.4g} mV peak to peak, which no ECG does; hand it over in millivolts",
            "implausible_amplitude",
        )
    velocity = uniform_filter1d(np.linalg.norm(np.diff(window, axis=1), axis=0), 5)
    # At high rates the next beat's QRS complex is there too, and may be a little steeper.
    if velocity[R_IN_WINDOW - QRS_REACH : R_IN_WINDOW + QRS_REACH].max() < 0.5 * velocity.max():
        raise InputError(
            f"the median beat has its QRS complex {2 * abs(int(np.argmax(velocity)) - R_IN_WINDOW)} ms away from where "
            f"R must be, sample 300 of 600 or {R_IN_WINDOW} of 400 at 500 Hz",
            "misplaced_r",
        )
    return beat, tuple(f"flat:{LEADS[k]}" for k in np.flatnonzero(flat))
