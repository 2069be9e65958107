"""Is this recording fit to be judged? What cannot be is refused, what is doubtful gets a flag."""

from __future__ import annotations

import numpy as np

from omi_keras.beats.filters import band_gain, cosine_spectrum, filtered
from omi_keras.beats.median import median
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.limb_leads import EINTHOVEN_UV, limb_lead_error_uv
from omi_keras.recordings.record import LEADS, SAMPLING_RATE

MIN_SECONDS = 5.0
# Peak to peak of the middle lead in 1 s. QRS complexes are 0.5 to 5 mV; outside of these the unit is wrong.
MAX_TYPICAL_MV = 20.0
MIN_TYPICAL_MV = 0.05
FLAT_MV = 0.005
MAX_FLAT_LEADS = 2
# Real peaks differ by noise; a converter at its end writes the same value again and again.
CLIPPED_SHARE = 0.004
CLIPPED_RUN = 3
# The end of a converter is far from where the lead usually is: share of the lead's range. Where the isoelectric line
# itself is the lowest or highest that a lead reaches, a filter of the recorder may have drawn it flat, but not for
# so long: samples.
FROM_MEDIAN = 0.25
STUCK = SAMPLING_RATE // 2
# All leads stand still so long where nothing was recorded: samples. A pause of the heart still has noise; recorders
# that smooth the isoelectric line keep it still for up to 0.14 s.
DROPOUT = SAMPLING_RATE // 2
# I and V6 look at the same wall from the same side.
REVERSED_CORRELATION = -0.6
REVERSAL_HZ = (1.0, 40.0)


def check_record(signal: np.ndarray, name: str, spectrum: np.ndarray | None = None) -> tuple[str, ...]:
    """Refuse what cannot be an ECG, flag what is doubtful.

    Parameters
    ----------
    signal
        (12, samples) millivolts, 500 Hz, leads in the order of :data:`omi_keras.recordings.record.LEADS`.
    name
        What to call the recording in messages.
    spectrum
        The signal's :func:`omi_keras.beats.filters.cosine_spectrum`, where the caller has it.

    Returns
    -------
    tuple of str
        Sorted: ``flat:<lead>``, ``clipped:<lead>``, ``einthoven:<residual>uV`` (limb leads contradict each
        other: names swapped, or leads not simultaneous), ``lead_reversal`` (arm electrodes probably exchanged).

    Raises
    ------
    InputError
        Shorter than 5 s, no signal, an implausible amplitude, or three and more flat leads.
    """
    check_length(signal, name)
    typical = _typical_range(signal)
    top = float(typical.max())
    if top == 0.0:
        raise InputError(f"{name}: no signal, all leads are flat; check the electrodes", "no_signal")
    flat = typical < min(FLAT_MV, 0.005 * top)
    middle = float(median(typical[~flat]))
    if middle > MAX_TYPICAL_MV:
        raise InputError(
            f"{name}: implausible amplitude ({middle:.0f} mV peak to peak); "
            "units are probably µV, correct the unit or gain in the file",
            "implausible_amplitude",
        )
    if middle < MIN_TYPICAL_MV:
        raise InputError(
            f"{name}: implausible amplitude ({middle:.4f} mV peak to peak); "
            "units are probably mV, correct the unit or gain in the file",
            "implausible_amplitude",
        )
    if flat.sum() > MAX_FLAT_LEADS:
        names = " ".join(lead for lead, is_flat in zip(LEADS, flat, strict=True) if is_flat)
        raise InputError(
            f"{name}: {flat.sum()} of 12 leads are flat: {names}; check the electrodes and record again",
            "flat_leads",
        )
    flags = {f"flat:{LEADS[k]}" for k in np.flatnonzero(flat)}
    flags |= {f"clipped:{LEADS[k]}" for k in np.flatnonzero(~flat & _often_at_an_end(signal)) if _is_clipped(signal[k])}
    if not flat[:6].any():
        residual = limb_lead_error_uv(signal)
        if residual > EINTHOVEN_UV:
            flags.add(f"einthoven:{residual:.0f}uV")
        if not flat[11] and _looks_reversed(
            cosine_spectrum(signal[[0, 11]]) if spectrum is None else spectrum[[0, 11]]
        ):
            flags.add("lead_reversal")
    return tuple(sorted(flags))


def check_length(signal: np.ndarray, name: str) -> None:
    """Refuse less than 5 s."""
    seconds = signal.shape[1] / SAMPLING_RATE
    if seconds < MIN_SECONDS:
        raise InputError(
            f"{name}: {seconds:.1f} s is too short; record 10 s ({MIN_SECONDS:.0f} s at least)", "too_short"
        )


def _typical_range(signal: np.ndarray) -> np.ndarray:
    """Median over the lively seconds of each lead's peak to peak, (12,) mV.

    Lively: the middle lead swings at least a quarter of what it does at best: pauses make no lead flat.
    """
    whole = signal[:, : signal.shape[1] // SAMPLING_RATE * SAMPLING_RATE]
    ranges = np.ptp(whole.reshape(len(signal), -1, SAMPLING_RATE), axis=2)
    alive = ranges.any(axis=1)
    if not alive.any():
        return np.zeros(len(signal))
    level = median(ranges[alive], axis=0)
    return median(ranges[:, level >= 0.25 * level.max()])


def _at_ends(signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which samples are as high, and as low, as the highest and lowest of their lead."""
    low, high = signal.min(axis=-1, keepdims=True), signal.max(axis=-1, keepdims=True)
    slack = np.float32(1e-3) * (high - low)
    return signal >= high - slack, signal <= low + slack


def _often_at_an_end(signal: np.ndarray) -> np.ndarray:
    """Leads that may be clipped, (12,): most are not, and need no closer look."""
    most = CLIPPED_SHARE * signal.shape[1]
    high, low = (np.count_nonzero(at_end, axis=1) > most for at_end in _at_ends(signal))
    return high | low


def _is_clipped(lead: np.ndarray) -> bool:
    usual = float(median(lead))
    far = FROM_MEDIAN * float(np.ptp(lead))
    for at_end, end in zip(_at_ends(lead), (float(lead.max()), float(lead.min())), strict=True):
        runs = np.diff(_runs(at_end), axis=1)[:, 0]
        if runs[runs >= (CLIPPED_RUN if abs(end - usual) > far else STUCK)].sum() > CLIPPED_SHARE * len(lead):
            return True
    return False


def _runs(true: np.ndarray) -> np.ndarray:
    """Start and stop of each run of true values, (runs, 2)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], true.view(np.int8), [0]])))
    return edges.reshape(-1, 2)


def dropouts(signal: np.ndarray) -> np.ndarray:
    """Stretches in which every lead stands still: start and stop in samples, (dropouts, 2)."""
    # Every 32nd sample tells whether there may be one.
    coarse = (signal[:, 32::32] == signal[:, :-32:32]).all(axis=0)
    if np.convolve(coarse, np.ones(DROPOUT // 32 - 2), "valid").max(initial=0) < DROPOUT // 32 - 2:
        return np.empty((0, 2), dtype=np.intp)
    runs = _runs((signal[:, 1:] == signal[:, :-1]).all(axis=0))
    runs[:, 1] += 1
    return runs[np.diff(runs, axis=1)[:, 0] >= DROPOUT]


def _looks_reversed(spectrum: np.ndarray) -> bool:
    """Lead I is the mirror of V6 and points down: arm electrodes exchanged (or dextrocardia).

    ``spectrum`` (2, samples) is that of I and V6. The transform keeps products, so the correlation needs no signal.
    """
    lead_i, v6 = spectrum * band_gain(spectrum.shape[1], *REVERSAL_HZ)
    scale = float(np.linalg.norm(lead_i) * np.linalg.norm(v6))
    if scale == 0.0 or float(np.einsum("k,k->", lead_i, v6)) / scale >= REVERSED_CORRELATION:
        return False
    one = filtered(spectrum[:1], *REVERSAL_HZ)[0]
    return float(np.quantile(one, 0.995) + np.quantile(one, 0.005)) < 0.0
