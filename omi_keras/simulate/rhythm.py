"""When the heart beats, and the heart vector of twelve seconds of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omi_keras.recordings.record import SAMPLING_RATE
from omi_keras.simulate.heart_vector import BEAT_TIMES, R_IN_BEAT, Beat, Wave, gaussian, heart_vector, stretched

# Ten seconds are recorded; a second on each side is made too, so that no beat and no filter meets an edge.
PADDING = SAMPLING_RATE
STRIP_SAMPLES = 10 * SAMPLING_RATE + 2 * PADDING

NORMAL, PVC, PAC = 0, 1, 2


@dataclass(frozen=True)
class Rhythm:
    """Beats in time.

    Attributes
    ----------
    name
        ``"sinus"``, ``"sinus tachycardia"``, ``"sinus bradycardia"`` or ``"atrial fibrillation"``.
    rate
        Beats per minute without the ectopic ones.
    r_samples
        (n_beats,) int, R peaks in the padded strip.
    kinds
        (n_beats,) int, NORMAL, PVC or PAC.
    rr_before
        (n_beats,) seconds since the beat before.
    gains
        (n_beats,) what breathing does to the amplitude.
    """

    name: str
    rate: float
    r_samples: np.ndarray
    kinds: np.ndarray
    rr_before: np.ndarray
    gains: np.ndarray

    @property
    def fibrillating(self) -> bool:
        """Whether the atria have no P wave."""
        return self.name == "atrial fibrillation"

    @property
    def r_recorded(self) -> np.ndarray:
        """(n_beats,) R peaks counted from the first recorded sample; some lie outside the recording."""
        return self.r_samples - PADDING

    @property
    def recorded(self) -> np.ndarray:
        """(n_beats,) bool: whose R peak is in the recording."""
        return (self.r_recorded >= 0) & (self.r_recorded < STRIP_SAMPLES - 2 * PADDING)

    def qt_stretch(self, qt_factor: float, rr: np.ndarray) -> np.ndarray:
        """How long repolarisation lasts after RR intervals ``rr`` (s), relative to the reference heart.

        Fridericia's cube root, mostly of the mean rate: QT needs minutes to adapt fully to a new one.
        """
        effective = 0.85 * 60.0 / self.rate + 0.15 * np.clip(rr, 0.3, 1.6)
        return np.clip(qt_factor * np.cbrt(effective), 0.6, 1.3)


def draw_rhythm(rng: np.random.Generator, age: float, rate_shift: float = 0.0) -> Rhythm:
    """Draw the rhythm of one ECG.

    Parameters
    ----------
    rng
        Source of chance.
    age
        Years: atrial fibrillation, ectopic beats and a stiff rate become more common.
    rate_shift
        Beats per minute that the patient's condition adds.
    """
    decades = (age - 60.0) / 10.0
    fibrillation = bool(rng.uniform() < min(0.25, 0.035 * 1.7**decades))
    rate = float(np.clip(rng.normal(78.0, 15.0) + rate_shift + 16.0 * fibrillation, 44.0, 160.0))
    ectopic = rng.uniform()
    share_pvc, share_pac = 0.07 * 1.2**decades, 0.05 * 1.2**decades
    kind = PVC if ectopic < share_pvc else PAC if ectopic < share_pvc + share_pac else NORMAL
    if fibrillation and kind == PAC:
        kind = NORMAL
    per_beat = rng.uniform(0.04, 0.22) if kind != NORMAL else 0.0

    mean = 60.0 / rate
    # Standard deviation of sinus RR intervals in 10 s: tens of ms, less with age and with rate.
    spread = min(0.12, rng.lognormal(np.log(0.028), 0.5) * mean * 0.93**decades)
    breathing, phase = rng.uniform(0.18, 0.38), rng.uniform(0.0, 2 * np.pi)
    chance = rng.standard_normal(64)
    uniform = rng.uniform(size=(64, 2))

    time, times, kinds, before = float(uniform[0, 0] * mean), [], [], []
    rr, last_kind = mean, NORMAL
    for i in range(64):
        if time * SAMPLING_RATE >= STRIP_SAMPLES:
            break
        times.append(time)
        kinds.append(last_kind)
        before.append(rr)
        if fibrillation:
            rr = float(np.clip(mean * (1.0 + 0.23 * chance[i]), max(0.33, 0.55 * mean), 1.9 * mean))
        else:
            rr = mean + spread * (np.sin(2 * np.pi * breathing * time + phase) + 0.6 * float(chance[i]))
        if last_kind == PVC:
            rr = 2.0 * mean - before[-1]  # the pause compensates: the sinus node was not reset
            last_kind = NORMAL
        elif last_kind == NORMAL and uniform[i, 1] < per_beat:
            rr, last_kind = max(0.34, mean * (0.58 + 0.17 * float(uniform[i, 0]))), kind
        else:
            last_kind = NORMAL
        rr = max(rr, 0.32)
        time += rr
    t = np.array(times)
    return Rhythm(
        name="atrial fibrillation" if fibrillation else sinus_name(rate),
        rate=rate,
        # On the sampling grid: the true beat is then a sample-exact truth for a median beat.
        r_samples=np.rint(t * SAMPLING_RATE).astype(int),
        kinds=np.array(kinds),
        rr_before=np.array(before),
        gains=1.0 + rng.uniform(0.0, 0.05) * np.sin(2 * np.pi * breathing * t + phase),
    )


def sinus_name(rate: float) -> str:
    """Name of a sinus rhythm by its rate in beats per minute."""
    if rate > 100.0:
        return "sinus tachycardia"
    return "sinus bradycardia" if rate < 60.0 else "sinus"


def earlier_p(beat: Beat, rate: float) -> tuple[Wave, ...]:
    """P waves at a heart rate: PR shortens by about 25 ms from 60 to 150 per minute."""
    shift = 40.0 * (1.0 - 60.0 / rate)
    return tuple(w.moved(float(np.clip(shift, -12.0, 30.0))) for w in beat.part("P"))


def ventricular_ectopic(rng: np.random.Generator) -> Beat:
    """A PVC: no P, broad QRS from anywhere, ST and T against it."""
    # Seldom straight to the right: most ectopic foci of the wall activate across the heart's long axis.
    way = rng.normal(0.0, 1.0, 3) * (1.0, 1.0, 0.8) + (0.2, -0.1, 0.2)
    way *= rng.uniform(1.0, 1.6) / max(float(np.linalg.norm(way)), 0.1)
    turn = rng.normal(0.0, 0.35, 3)
    return Beat(
        (
            gaussian("QRS", 0.5 * way + turn, -34.0, 17.0),
            gaussian("QRS", way, 0.0, 20.0),
            gaussian("QRS", 0.45 * way - turn, 42.0, 19.0),
            gaussian("STT", -0.36 * way, 292.0, 90.0, 52.0),
        ),
        onset=-70.0,
        j_point=85.0,
    )


def strip(beat: Beat, rhythm: Rhythm, qt_factor: float, rng: np.random.Generator) -> np.ndarray:
    """Heart vector of the whole strip, in the axes of ``beat``.

    Returns
    -------
    np.ndarray
        (3, STRIP_SAMPLES) float32, mV.
    """
    ventricular = heart_vector(beat.part("QRS"), BEAT_TIMES)
    atrial = heart_vector(earlier_p(beat, rhythm.rate), BEAT_TIMES)
    stretch = rhythm.qt_stretch(qt_factor, rhythm.rr_before)
    beats = heart_vector(beat.part("STT"), stretched(BEAT_TIMES, beat.j_point, stretch))
    beats += ventricular if rhythm.fibrillating else ventricular + atrial
    if (rhythm.kinds == PVC).any():
        beats[rhythm.kinds == PVC] = heart_vector(ventricular_ectopic(rng).waves, BEAT_TIMES)
    beats *= rhythm.gains[:, None, None].astype(np.float32)

    width = BEAT_TIMES.size
    whole = np.zeros((3, STRIP_SAMPLES + 2 * width), dtype=np.float32)
    for start, one in zip(rhythm.r_samples - R_IN_BEAT + width, beats, strict=True):
        whole[:, start : start + width] += one
    whole = whole[:, width : width + STRIP_SAMPLES]
    if rhythm.fibrillating:
        whole += fibrillation(rng).astype(np.float32)
    return whole


def fibrillation(rng: np.random.Generator) -> np.ndarray:
    """Fibrillatory waves, (3, STRIP_SAMPLES) mV: 4.5 to 8 Hz, largest towards V1 and the inferior leads."""
    t = np.arange(STRIP_SAMPLES) / SAMPLING_RATE
    rate, size = rng.uniform(4.5, 8.0), rng.lognormal(np.log(0.035), 0.45)
    drift = np.cumsum(rng.standard_normal(STRIP_SAMPLES)) * 0.09
    angle = 2 * np.pi * rate * t + drift
    wave = np.sin(angle) + 0.35 * np.sin(2 * angle + rng.uniform(0, 2 * np.pi))
    return size * np.stack([-0.4 * wave, 0.6 * np.sin(angle - 1.0), -0.9 * wave])
