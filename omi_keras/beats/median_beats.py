"""Recording → median beat, 12 leads × 600 samples, R at sample 300."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omi_keras.beats.beat_groups import NO_REPRODUCIBLE, align, main_group, rank_in_place, without_t_waves
from omi_keras.beats.filters import HIGH_HZ, LOW_HZ, cosine_spectrum, filtered, mains_in_spectrum
from omi_keras.beats.landmarks import PR_LENGTH, landmarks, r_peak
from omi_keras.beats.median import median
from omi_keras.beats.model_inputs import BEAT_SAMPLES, CROP_START, CROP_STOP
from omi_keras.beats.natural_spline import natural_spline
from omi_keras.beats.pacing import spike_mv, without_spikes
from omi_keras.beats.quality import check_length, check_record, dropouts
from omi_keras.beats.r_peaks import detect_r_peaks
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.record import LEADS, SAMPLING_RATE, Record

R_SAMPLE = 300
MAX_SAMPLES = 10 * SAMPLING_RATE
MIN_BEATS = 3

# Noise about the median beat is measured from 0.2 s before R to 0.3 s after, clear of the neighbouring beats.
NOISE_WINDOW = slice(R_SAMPLE - 100, R_SAMPLE + 150)
# Above this it is flagged, above the second the lead has no say in where R is: µV.
NOISY_UV = 150.0
USELESS_UV = 500.0
# A complex so near an end of the recording is not seen whole, where it is one: samples.
EDGE = int(0.06 * SAMPLING_RATE)
# Slow and wide, or fast and narrow, is how a wrong sampling frequency shows. Beats per minute; QRS in ms as
# measured here: 70 to 90 in normal recordings, 24 less than cardiologists measure from first onset to last end.
SLOW = (45.0, 105.0)
FAST = (180.0, 50.0)
# A complex as broad as this may point away from lead I and from V6 at once, as those of a pacemaker do. Then the two
# leads do not tell whether the arm electrodes are exchanged: ms, as measured here.
BROAD = 110.0


@dataclass(frozen=True)
class MedianBeat:
    """The median beat of one recording, and how it came about.

    Attributes
    ----------
    beat
        (12, 600) float32, millivolts, 500 Hz, R at sample 300, zero at the PR segment.
    rr_ms
        Median time between consecutive beats, milliseconds.
    heart_rate
        Beats per minute, from the mean time between beats (in irregular rhythms not 60000 / ``rr_ms``). Complexes in
        the first and last 60 ms and times across a dropout do not count.
    beats_found, beats_kept
        Beats detected in the first 10 s, and those that the median is made of.
    noise_uv
        (12,) float64: standard deviation of the kept beats about the median (robust), microvolts.
    flags
        The record's flags, those of :func:`omi_keras.beats.quality.check_record`, and ``few_beats`` (fewer than 5
        kept), ``excluded_beats`` (over 30 % left out), ``paced`` (a spike before most beats; bridged), ``mains:50`` /
        ``mains:60`` (removed), ``noisy:<lead>``, ``dropout:<seconds>s`` (all leads stand still),
        ``implausible_rate_or_width``; no ``lead_reversal`` of broad complexes. Sorted.

    Examples
    --------
    >>> import omi_keras as omi
    >>> found = omi.median_beat(record)
    >>> found.beats_kept <= found.beats_found, 40 < found.heart_rate < 180
    (True, True)
    """

    beat: np.ndarray
    rr_ms: float
    heart_rate: float
    beats_found: int
    beats_kept: int
    noise_uv: np.ndarray
    flags: tuple[str, ...]

    def _repr_html_(self) -> str:
        from omi_keras.drawing.ecg_picture_sheet import ecg_picture

        return ecg_picture(beat=self).svg()


def median_beat(record: Record) -> MedianBeat:
    """Filter, detect beats, remove ectopic ones, take the median.

    As in the paper (section II.D, "Dataset", and Fig. 4): the first 10 s, 0.05 to 150 Hz, beats centred at
    their R peaks, ectopic beats removed, sample by sample median of the rest. The baseline is a spline
    through the isoelectric PR segments of the beats, per lead. aVR keeps its sign. The record is not changed.

    Parameters
    ----------
    record
        A recording of at least three beats.

    Returns
    -------
    MedianBeat

    Raises
    ------
    InputError
        When :func:`omi_keras.beats.quality.check_record` refuses the signal, when fewer than three beats are
        usable, or when no beat shape repeats.

    Examples
    --------
    >>> import omi_keras as omi
    >>> omi.median_beat(record).beat.shape
    (12, 600)
    """
    name = record.ecg_id
    signal = record.signal[:, :MAX_SAMPLES]
    check_length(signal, name)
    spectrum = cosine_spectrum(signal)
    quality = check_record(signal, name, spectrum)
    seen = _beats(spectrum, name)
    spikes = spike_mv(signal, seen.normal + seen.marks[0], seen.marks[1] - seen.marks[0])
    if spikes:
        # They would be taken for the onset of QRS, its end, or for R; a recorder may have drawn them like a rail.
        signal = without_spikes(signal, spikes)
        spectrum = cosine_spectrum(signal)
        quality = check_record(signal, name, spectrum)
        seen = _beats(spectrum, name)
    beat, kept, noise = _average(seen.clean, seen.normal, seen.marks, name)

    gaps = dropouts(signal)
    whole = seen.peaks[(seen.peaks >= EDGE) & (seen.peaks < signal.shape[1] - EDGE)]
    rr, rate = _rates(whole if len(whole) > 1 else seen.peaks, gaps)
    flags = {*record.flags, *quality, *(f"noisy:{LEADS[k]}" for k in np.flatnonzero(noise > NOISY_UV))}
    if seen.mains is not None:
        flags.add(f"mains:{seen.mains}")
    if spikes:
        flags.add("paced")
    if kept < 5:
        flags.add("few_beats")
    if len(gaps):
        flags.add(f"dropout:{np.diff(gaps).sum() / SAMPLING_RATE:.1f}s")
    if len(seen.normal) < 0.7 * len(seen.peaks):
        flags.add("excluded_beats")
    width_ms = (seen.marks[2] - seen.marks[1]) * 1000.0 / SAMPLING_RATE
    if spikes or width_ms >= BROAD:
        flags.discard("lead_reversal")
    if (rate < SLOW[0] and width_ms > SLOW[1]) or (rate > FAST[0] and width_ms < FAST[1]):
        flags.add("implausible_rate_or_width")
    return MedianBeat(beat, rr, rate, len(seen.peaks), kept, noise, tuple(sorted(flags)))


@dataclass(frozen=True)
class _Beats:
    """Where the beats of a recording are.

    Attributes
    ----------
    clean
        (12, samples) mV, filtered.
    peaks, normal
        (beats,) samples of all beats and of the normal ones, near the middle of QRS.
    marks
        R, QRS onset, QRS end, start of the PR stretch, in samples from there.
    mains
        Frequency of the mains that was removed.
    """

    clean: np.ndarray
    peaks: np.ndarray
    normal: np.ndarray
    marks: tuple[int, int, int, int]
    mains: int | None


def _beats(spectrum: np.ndarray, name: str) -> _Beats:
    """Detect, align, group and mark the beats."""
    n = spectrum.shape[1]
    found = detect_r_peaks(spectrum)
    if not found.weights.any():
        raise InputError(f"{name}: no signal, all leads are flat; check the electrodes", "no_signal")
    _require(len(found.peaks), name)
    coarse, fraction = align(found.leads, found.peaks)
    beats = without_t_waves(found.leads, coarse)
    coarse, fraction = coarse[beats], fraction[beats]
    group = main_group(found.leads, coarse)
    if group is None:
        raise InputError(f"{name}: {NO_REPRODUCIBLE}", "no_reproducible_beats")
    peaks = _to_samples(coarse + fraction, n / found.leads.shape[1], n)
    mains = mains_in_spectrum(spectrum)
    clean = filtered(spectrum, LOW_HZ, HIGH_HZ, mains=mains)
    return _Beats(clean, peaks, peaks[group], landmarks(clean, peaks[group], found.weights), mains)


def _rates(peaks: np.ndarray, gaps: np.ndarray) -> tuple[float, float]:
    """Median time between beats in ms, mean beats per minute; beats inside a dropout are not known to be missing."""
    before, after = peaks[:-1, None], peaks[1:, None]
    known = ~((gaps[:, 0] < after) & (gaps[:, 1] > before)).any(axis=1)
    rr = np.diff(peaks)[known if known.any() else slice(None)]
    return float(median(rr)) * 1000.0 / SAMPLING_RATE, 60.0 * SAMPLING_RATE * len(rr) / float(rr.sum())


def _to_samples(places: np.ndarray, ratio: float, n: int) -> np.ndarray:
    """From the detector's rate to whole samples at 500 Hz, (beats,)."""
    exact = (places + 0.5) * ratio - 0.5
    # All beats may move together (R is placed later), first by what their fractions have in common: otherwise
    # beats that lie half way between two samples would be rounded apart by chance.
    common = np.angle(np.exp(2j * np.pi * exact).mean()) / (2.0 * np.pi)
    return np.clip(np.rint(exact - common).astype(np.intp), 0, n - 1)


def _require(beats: int, name: str, kind: str = "") -> None:
    if beats < MIN_BEATS:
        many = f"1 {kind}beat" if beats == 1 else f"{beats} {kind}beats"
        raise InputError(
            f"{name}: only {many} found, a median needs {MIN_BEATS}; use a longer or cleaner recording",
            "too_few_beats",
        )


def _average(
    clean: np.ndarray, peaks: np.ndarray, marks: tuple[int, int, int, int], name: str
) -> tuple[np.ndarray, int, np.ndarray]:
    """Baseline, median and placing of R: (12, 600) float32, beats used, (12,) noise in µV."""
    n = clean.shape[1]
    moved, onset, end, pr = marks
    level = clean - _baseline(clean, peaks + pr)
    for _ in range(4):
        # Every beat moves by the same amount, so they stay aligned.
        peaks, onset, end, pr = peaks + moved, onset - moved, end - moved, pr - moved
        # What the networks will see must be recorded; the outer 0.3 s and 0.1 s may lie beyond the ends.
        used = peaks[(peaks >= R_SAMPLE - CROP_START) & (peaks <= n - (CROP_STOP - R_SAMPLE))]
        _require(len(used), name, "complete ")
        beat, noise = _median(level, used)
        first = R_SAMPLE + pr
        beat -= beat[:, first : first + PR_LENGTH].mean(axis=1, keepdims=True)
        steady = noise <= USELESS_UV
        voters = beat[steady] if steady.sum() >= 3 else beat
        moved = r_peak(np.linalg.norm(voters, axis=0), R_SAMPLE + onset, R_SAMPLE + end) - R_SAMPLE
        if moved == 0:
            break
    return beat, len(used), noise


def _baseline(clean: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Cubic spline through the mean of each PR stretch, level beyond the outer ones, (12, samples)."""
    n = clean.shape[1]
    starts = starts[(starts >= 0) & (starts <= n - PR_LENGTH)]
    if len(starts) == 0:
        return np.zeros((len(clean), 1), dtype=clean.dtype)
    knots = clean[:, starts[:, None] + np.arange(PR_LENGTH)].mean(axis=2)
    if len(starts) == 1:
        return knots
    t = starts + (PR_LENGTH - 1) / 2
    # Wander is slow: a spline value each 20 ms with straight lines between is exact to a microvolt.
    step = 10
    grid = step * np.arange(-(-n // step) + 1)
    coarse = natural_spline(t, knots, np.clip(grid, t[0], t[-1])).astype(np.float32)
    share = np.arange(step, dtype=np.float32) / np.float32(step)
    neighbours = np.stack([coarse[:, :-1], coarse[:, 1:]], axis=2)
    return (neighbours @ np.stack([1 - share, share])).reshape(len(clean), -1)[:, :n]


def _median(level: np.ndarray, peaks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sample-wise median of the beats, over those that have the sample, and the noise about it in µV."""
    n = level.shape[1]
    # Infinity marks what lies beyond the recording and is ranked last: the first `count` are real samples.
    beats = np.full((len(peaks), len(level), BEAT_SAMPLES), np.inf, dtype=np.float32)
    count = np.zeros(BEAT_SAMPLES, dtype=np.intp)
    for one, peak in zip(beats, peaks, strict=True):
        start = int(peak) - R_SAMPLE
        inside = slice(max(0, -start), min(BEAT_SAMPLES, n - start))
        one[:, inside] = level[:, start + inside.start : start + inside.stop]
        count[inside] += 1
    ranks = rank_in_place(beats)
    beat = np.empty(beats.shape[1:], dtype=np.float32)
    for c in np.unique(count[count > 0]):
        where = count == c
        beat[:, where] = (ranks[(c - 1) // 2][:, where] + ranks[c // 2][:, where]) * np.float32(0.5)
    covered = np.flatnonzero(count)
    beat[:, : covered[0]] = beat[:, covered[0], None]
    beat[:, covered[-1] + 1 :] = beat[:, covered[-1], None]
    # In rank order the beats deviate from the median as much as in time order: what lies above it less what lies
    # below. The mean absolute deviation of a Gaussian is 0.798 standard deviations.
    half = len(ranks) // 2
    spread = sum(
        high[:, NOISE_WINDOW] - low[:, NOISE_WINDOW] for low, high in zip(ranks[:half], ranks[::-1], strict=False)
    )
    return beat, np.asarray(np.mean(spread, axis=1, dtype=np.float64)) * (1000.0 / 0.7979 / len(ranks))
