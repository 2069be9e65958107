"""One fold of a tiny network."""

import numpy as np
import pytest
from tiny_network import tiny

from omi_keras.data.dataset import load_dataset
from omi_keras.models.inference import predict_logits
from omi_keras.training import fit
from omi_keras.training.fit import fit_fold
from omi_keras.training.runtime import prepare_process


@pytest.fixture
def train(easy_dataset, tmp_path, monkeypatch):
    """Train the tiny network on a part of the easy dataset; returns weights, history and validation logits."""
    monkeypatch.setattr(fit, "build", tiny)
    prepare_process()
    dataset = load_dataset(easy_dataset)
    omi = dataset.ecgs["omi"].to_numpy(int)

    def run(protocol, fold=0, checkpoint="checkpoint.npz", **callbacks):
        rows = np.arange(len(omi))
        model, progress = fit_fold(
            protocol, fold, dataset.beats, omi, rows[:100], rows[100:], tmp_path / checkpoint, **callbacks
        )
        return model.get_weights(), progress.history, predict_logits(model, dataset.beats[100:])

    return run


@pytest.fixture
def cluster():
    """Address of a Dask scheduler with a worker in this process, so that it trains what a test puts in its place."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, protocol="tcp://", dashboard_address=":0", scheduler_port=0
    ) as found:
        yield found.scheduler_address.replace("tcp://", "dask://")
