"""An occluded coronary artery: injury current, hyperacute T wave, and later Q waves.

Injured muscle at the end of its action potential sits at another potential than its neighbours. Seen from the
chest this is a dipole from the healthy heart towards the injured wall, so leads facing the wall show ST
elevation and leads on the far side the same current as reciprocal depression.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from omi_keras.simulate.heart_vector import Beat, direction, gaussian, plateau

# Where each artery's territory lies seen from the middle of the heart (X left, Y down, Z back), from the
# leads that each occlusion is known to elevate: Wagner et al., AHA/ACCF/HRS recommendations part VI: acute
# ischemia/infarction, J Am Coll Cardiol 2009;53:1003-11.
TERRITORIES = {
    "proximal LAD": direction(0.35, -0.35, -0.87),  # V1-V4, aVL; III depressed
    "mid LAD": direction(0.52, 0.12, -0.85),  # V2-V5; inferior leads level
    "diagonal": direction(0.70, -0.60, -0.40),  # I, aVL, V2-V3; III depressed
    "RCA": direction(-0.35, 0.93, 0.12),  # III > II, aVF; aVL and I depressed
    "LCx": direction(0.70, 0.40, 0.60),  # V5-V6, I, II; V1-V3 depressed
    "posterior": direction(0.20, 0.25, 0.95),  # V1-V4 depressed (V7-V9 not recorded)
}
ARTERIES = tuple(TERRITORIES)
# Share of each culprit: about four in ten occlusions are of the LAD and its diagonals, a third of the RCA, a
# quarter of the circumflex, of which a part is seen as isolated posterior.
ARTERY_SHARES = (0.18, 0.17, 0.07, 0.33, 0.16, 0.09)

# Behind a posterior wall the T of the chest leads stays upright: its hyperacute T is seen from the back only.
_T_SHARE = {"posterior": 0.35}

# Share of ECGs that meet an open artery (spontaneous reperfusion comes and goes before angiography).
_REOPENED = 0.12

# Terminal distortion of QRS begins with injuries of this size and grows by this share of what they exceed it.
_TERMINAL_FROM_MV, _TERMINAL_SHARE = 0.15, 1.5

# Real territories vary: the injured wall of a patient lies within this angle of the artery's usual one.
_MAX_OFF_DEGREES = 15.0


@dataclass(frozen=True)
class Occlusion:
    """One occlusion at one time.

    Attributes
    ----------
    artery
        One of :data:`ARTERIES`.
    direction
        (3,) unit vector to the injured wall in heart axes.
    st_mv
        Size of the injury vector on the ST plateau, mV.
    t_mv
        Size of the additional T vector towards the wall, mV; negative when T has inverted.
    q_mv
        Size of the lost early activation, mV.
    doming
        0 concave (ST rises into T) to 1 convex (ST highest at once).
    minutes
        Since onset.
    """

    artery: str
    direction: np.ndarray
    st_mv: float
    t_mv: float
    q_mv: float
    doming: float
    minutes: float


def draw_occlusion(rng: np.random.Generator, artery: str, voltage: float = 1.0) -> Occlusion:
    """Draw a patient's occlusion, as it is on arrival.

    Sizes are lognormal: most stay below the millimetre criteria of STEMI (0.1 mV, in V2-V3 0.2 mV), a few are
    massive. They are in proportion to the ``voltage`` of the patient's QRS (Armstrong et al., Am J Cardiol
    2012;110:977-983; Smith, Am J Emerg Med 2005;23:279-287).
    """
    st = rng.lognormal(np.log(0.085), 0.75) * voltage
    minutes = rng.lognormal(np.log(100.0), 0.9)
    return Occlusion(
        artery=artery,
        direction=scattered(TERRITORIES[artery], rng, 7.0, _MAX_OFF_DEGREES),
        st_mv=float(min(st, 0.9)),
        # A T wave grows with the injury, but not in step with it.
        t_mv=float(st**0.7 * rng.lognormal(np.log(0.62), 0.45)) * _T_SHARE.get(artery, 1.0),
        q_mv=float(rng.lognormal(np.log(0.22), 0.6)),
        doming=float(rng.uniform()),
        minutes=float(minutes),
    )


def at_time(occlusion: Occlusion, minutes: float, rng: np.random.Generator) -> Occlusion:
    """The patient's occlusion as one ECG finds it, ``minutes`` after onset.

    T is largest first and inverts after many hours, Q waves come with time, and the ST segment rises and
    falls as the clot does: in some ECGs the artery has just reopened and little is left of the injury.
    """
    hyperacute = np.exp(-minutes / 120.0)
    late = 1.0 / (1.0 + np.exp(-(minutes - 900.0) / 120.0))
    dynamic = rng.lognormal(-0.03, 0.25) * (0.3 if rng.uniform() < _REOPENED else 1.0)
    return replace(
        occlusion,
        st_mv=float(occlusion.st_mv * dynamic * (1.0 - 0.45 * late)),
        t_mv=float(occlusion.t_mv * dynamic * (0.45 + 0.75 * hyperacute - 1.1 * late)),
        q_mv=float(occlusion.q_mv * (1.0 - np.exp(-minutes / 420.0))),
        doming=float(np.clip(occlusion.doming + 0.4 * late, 0.0, 1.0)),
        minutes=float(minutes),
    )


def occluded(beat: Beat, occlusion: Occlusion) -> Beat:
    """Add an occlusion to a beat, whatever else the beat already shows.

    The current flows from the J point (slightly before: the last QRS forces ride on it) through ST into T.
    """
    o, j = occlusion, beat.j_point
    toward = o.direction
    # A domed segment holds its level for long; a concave one starts lower and climbs into T.
    level = o.st_mv * (0.86 + 0.14 * o.doming)
    return beat.with_waves(
        plateau("STT", toward * level, j + 2.0, j + 70.0 + 60.0 * o.doming, 11.0, 75.0),
        gaussian("STT", toward * o.st_mv * (0.75 - 0.45 * o.doming), j + 165.0, 62.0, 62.0),
        # Broader than the normal T (60 / 40 ms), which is what makes it hyperacute rather than tall.
        gaussian("STT", toward * o.t_mv, j + 232.0, 78.0, 50.0),
        gaussian("QRS", -toward * o.q_mv, beat.onset + 18.0, 9.0, 12.0),
        # A large injury swallows the last forces of QRS: S waves over the wall vanish (Sclarovsky-Birnbaum grade 3).
        gaussian("QRS", toward * _TERMINAL_SHARE * max(0.0, o.st_mv - _TERMINAL_FROM_MV), j - 28.0, 10.0),
    )


def scattered(centre: np.ndarray, rng: np.random.Generator, spread: float, limit: float) -> np.ndarray:
    """A unit vector near the direction of ``centre``.

    Gaussian scatter of ``spread`` degrees per axis, at most ``limit`` degrees in all.
    """
    centre = centre / np.linalg.norm(centre)
    offset = rng.normal(0.0, spread, 3)
    offset -= centre * (offset @ centre)
    size = float(np.linalg.norm(offset))
    if size == 0.0:
        return centre.copy()
    angle = np.deg2rad(min(size, limit))
    return np.cos(angle) * centre + np.sin(angle) * offset / size
