"""Datasets and judges that stand in for real ones where reports are tested. No network is asked."""

import numpy as np

import omi_keras as omi
from omi_keras.report.judges import Judge, Known

NEVER = Known(frozenset(), True, frozenset(), frozenset(), None)


def ecg_like(n, seed=0):
    """(n, 12, 600) beats with a QRS complex, each of its own noise; every fifth has ST elevation by the millimetre."""
    rng = np.random.default_rng(seed)
    beats = np.zeros((n, 12, 600), np.float32)
    beats[:, :, 290:310] = np.hanning(20)
    beats[::5, 6:10, 308:400] += 0.4
    return beats + rng.normal(0, 2e-3, beats.shape).astype(np.float32)


def dataset(n=60, seed=0, simulated=False, **columns):
    """Two ECGs of each patient."""
    patient = np.arange(n) // 2
    omi_ = (patient % 3 == 0).astype(int)
    given = {
        "ecg_id": [f"e{k}" for k in range(n)],
        "site": np.array(["A", "B"])[patient % 2],
        "year": [str(2020 + k % 3) for k in range(n)],
        "age": np.full(n, 60),
        "sex": ["female"] * n,
    }
    return omi.Dataset.from_arrays(
        ecg_like(n, seed), omi_, [f"p{k}" for k in patient], simulated=simulated, **given | columns
    )


def judge(name="model", known=NEVER, simulated=False, seed=0, threshold=0.5, bands=None, place="somewhere/model"):
    """One that answers with probabilities of the seed, better than chance for the labels of :func:`dataset`."""

    def answer(data, tick):
        tick(len(data), len(data))
        draw = np.random.default_rng(seed).normal(size=len(data.dataset.ecgs))[data.rows]
        return 1 / (1 + np.exp(-(draw + 1.5 * data.ecgs["omi"].to_numpy(float) - 0.7)))

    return Judge(name, place, simulated, threshold, bands, known, answer, {"threshold": f"{threshold}"})
