"""Representative beats that devices compute themselves, brought to millivolts and 500 Hz."""

from __future__ import annotations

import numpy as np

from omi_keras.recordings.formats.recording import INDEPENDENT, lead_name
from omi_keras.recordings.limb_leads import limb_leads
from omi_keras.recordings.record import LEADS, SAMPLING_RATE, DeviceBeat
from omi_keras.recordings.resampling import resample

MIN_SECONDS, MAX_SECONDS = 0.4, 4.0


def device_beat(named: dict[str, np.ndarray], rate: float, r_sample: float | None = None) -> DeviceBeat | None:
    """Twelve leads of a beat from those that a file has.

    Parameters
    ----------
    named
        The file's name of a lead → samples, millivolts.
    rate
        Hz.
    r_sample
        Where R is, in the file's samples from 0; None, and 0 or less, where the file does not say.

    Returns
    -------
    DeviceBeat or None
        None where leads are missing, differ in length, or are no beat: it is an extra that refuses no recording.
    """
    known = [(lead, values) for text, values in named.items() if (lead := lead_name(text)) is not None]
    leads = dict(known)
    if len(leads) != len(known):  # which of two is meant?
        return None
    if not leads.keys() >= INDEPENDENT:
        return None
    one, two = leads["I"], leads["II"]
    if len({len(values) for values in leads.values()}) != 1 or not MIN_SECONDS <= len(one) / rate <= MAX_SECONDS:
        return None
    leads = limb_leads(one, two) | leads
    beat = resample(np.stack([leads[lead] for lead in LEADS]), rate, SAMPLING_RATE).astype(np.float32)
    if not np.isfinite(beat).all():
        return None
    if r_sample is None or not 0 < r_sample < len(one):
        return DeviceBeat(beat)
    return DeviceBeat(beat, round(r_sample * SAMPLING_RATE / rate))
