"""Keras callbacks of anybody's, on both backends: every epoch once, whatever interrupts the training."""

import importlib.util
import json
import math
import os
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from helpers import run_cli
from tiny_network import tiny

from omi_keras.data.dataset import load_dataset
from omi_keras.data.folds import rotation
from omi_keras.data.pipeline import TrainingPipeline, training_data
from omi_keras.recordings.errors import InputError
from omi_keras.training import fit
from omi_keras.training.callbacks import check_callbacks
from omi_keras.training.checkpoint import load_checkpoint
from omi_keras.training.cross_validation import Where, train_folds
from omi_keras.training.jobs import Job
from omi_keras.training.optimizer import TorchAdam
from omi_keras.training.protocol import Protocol

PROTOCOL = Protocol("ecg-smart-net", epochs=4, batch_size=16, learning_rate=1e-3, seed=1)


class Killed(BaseException):
    """As from outside: nothing in the training catches it."""


class Heard(keras.callbacks.Callback):
    """Writes down what it is told."""

    def __init__(self):
        super().__init__()
        self.events = []

    def on_train_begin(self, logs=None):
        self.events.append("begin")

    def on_epoch_begin(self, epoch, logs=None):
        self.events.append(f"epoch {epoch}")

    def on_epoch_end(self, epoch, logs=None):
        self.events.append((epoch, dict(logs)))

    def on_train_end(self, logs=None):
        self.events.append("end")

    @property
    def epochs(self):
        return [event[0] for event in self.events if isinstance(event, tuple)]


def changed(**settings):
    return Protocol(**(vars(PROTOCOL) | settings))


def test_training_is_fed_by_tf_data_and_slowed_by_keras(easy_dataset, tmp_path, monkeypatch):
    """From the command line on: what trains is a tf.data.Dataset of the rows of the grouped training folds."""
    monkeypatch.setattr(fit, "build", tiny)
    fed, asked = [], []
    epoch_of, ended = TrainingPipeline.epoch, keras.callbacks.ReduceLROnPlateau.on_epoch_end

    def epoch(self, batches):
        data = epoch_of(self, batches)
        fed.append((batches, data))
        return data

    monkeypatch.setattr(TrainingPipeline, "epoch", epoch)
    monkeypatch.setattr(
        keras.callbacks.ReduceLROnPlateau,
        "on_epoch_end",
        lambda self, epoch, logs=None: (
            asked.append((self.factor, self.patience, self.mode)),
            ended(self, epoch, logs),
        ),
    )
    run = tmp_path / "run"
    options = ("--folds", 1, "--n-folds", 5, "--epochs", 3, "--batch-size", 32, "--seed", 3)
    assert run_cli("train", easy_dataset, run, "--model", "mayo-alvd", *options).exit_code == 0
    assert asked == [(0.8, 3, "max")] * 3
    assert len(fed) == 3
    monkeypatch.undo()
    folds = pd.read_csv(run / "folds.csv", dtype={"patient_id": str})
    patients = folds.groupby("patient_id")["fold"].nunique()
    assert (patients == 1).all()
    training = set(np.flatnonzero(folds["fold"].isin(rotation(1, 5)[0])))
    dataset = load_dataset(easy_dataset)
    omi = dataset.ecgs["omi"].to_numpy(int)
    for number, (batches, data) in enumerate(fed, start=1):
        assert isinstance(data, tf.data.Dataset)
        for rows in batches:
            assert set(rows) <= training
            assert omi[rows].mean() >= 0.5, "every OMI, and no more others than OMI"
        # The same to a user who trains a network of his own.
        theirs = training_data(dataset, 1, number, n_folds=5, seed=3, batch_size=32)
        pairs = list(zip(data.as_numpy_iterator(), theirs.as_numpy_iterator(), strict=True))
        assert len(pairs) == len(batches)
        for (x, y), (their_x, their_y) in pairs:
            np.testing.assert_array_equal(x, their_x)
            np.testing.assert_array_equal(y, their_y)


# Scores of a fold that omi-keras 0.1.0 trained (mayo-alvd, 400 simulated ECGs), and the rates of its history.csv.
SCORES = [
    0.6038, 0.562, 0.5916, 0.5646, 0.6042, 0.7072, 0.6895, 0.7023, 0.6833, 0.6891, 0.7159, 0.7068, 0.7433, 0.6877,
    0.7326, 0.7075, 0.752, 0.7131, 0.7242, 0.7946, 0.8366, 0.773, 0.7442, 0.731, 0.7449, 0.7709, 0.7636, 0.7797, 0.759,
    0.787,
]  # fmt: skip
RATES = [*[1e-3] * 4, *[8e-4] * 5, *[6.4e-4] * 7, *[5.12e-4] * 8, *[4.096e-4] * 3, *[3.2768e-4] * 3]


def judged_as(scores, monkeypatch):
    """Let the epochs of a training have these scores, one after the other."""
    left = iter(scores)
    monkeypatch.setattr(fit, "ranking_metrics", lambda omi, p: {"auc": 0.5, "ap": 0.5, "score": next(left)})


def test_the_history_of_a_run_of_before(train, monkeypatch):
    judged_as(SCORES, monkeypatch)
    _, history, _ = train(changed(epochs=len(SCORES)))
    assert [row["val_score"] for row in history] == SCORES
    assert [row["learning_rate"] for row in history] == pytest.approx(RATES, rel=1e-12)


def test_scores_that_are_no_numbers(train, monkeypatch):
    judged_as([math.nan, 0.5, *[math.nan] * 3, 0.6], monkeypatch)
    _, history, _ = train(changed(epochs=6))
    assert [row["learning_rate"] for row in history] == pytest.approx([1e-3] * 5 + [8e-4])
    judged_as([math.nan] * 2, monkeypatch)
    weights, *_ = train(changed(epochs=2), checkpoint="none.npz")
    assert weights, "where no epoch has a score, the first is kept"


@pytest.mark.parametrize("stopped_after", [2, 4, 7])
def test_a_checkpoint_of_before_is_resumed(train, tmp_path, monkeypatch, stopped_after):
    """It had the next epoch's rate beside the optimizer, which still had the last one's."""
    scores = [0.5, 0.4, 0.4, 0.4, 0.6, 0.3, 0.3, 0.3, 0.3, 0.3]
    judged_as(scores, monkeypatch)
    whole = train(changed(epochs=10), checkpoint="whole.npz")

    def kill(row):
        if row["epoch"] == stopped_after:
            raise Killed

    judged_as(scores, monkeypatch)
    with pytest.raises(Killed):
        train(changed(epochs=10), checkpoint="part.npz", epoch_done=kill)
    path = tmp_path / "part.npz"
    with np.load(path) as arrays:
        found = dict(arrays)
    state = json.loads(found["state"].tobytes())
    plateau, last = state.pop("plateau"), state["history"][-1]["learning_rate"]
    best = state.pop("best")
    del state["stopped"]
    state["schedule"] = {
        "learning_rate": plateau["rate"], "factor": 0.8, "patience": 3, "best_score": best["value"],
        "best_epoch": best["epoch"], "waited": plateau["wait"],
    }  # fmt: skip
    found["state"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    model, optimizer = tiny(), TorchAdam(1e-3)
    optimizer.build(model.trainable_variables)
    (index,) = [i for i, v in enumerate(optimizer.variables) if v.path.endswith("learning_rate")]
    found[f"optimizer/{index}"] = np.float32(last)
    np.savez(path, **found)
    judged_as(scores[stopped_after:], monkeypatch)
    resumed = train(changed(epochs=10), checkpoint="part.npz")
    assert resumed[1] == whole[1]
    for left, right in zip(resumed[0], whole[0], strict=True):
        np.testing.assert_array_equal(left, right)


def test_what_a_callback_hears(train):
    heard = Heard()
    _, history, _ = train(PROTOCOL, fold=3, callbacks=[heard])
    expected = ["begin"]
    for number, row in enumerate(history):
        expected += [f"epoch {number}", (number, {name: row[name] for name in row if name != "epoch"})]
    assert heard.events == [*expected, "end"]
    assert heard.params["epochs"] == 4
    assert heard.params["fold"] == 3
    assert isinstance(heard.model.optimizer, TorchAdam)
    assert len(heard.model.layers) == 6


@pytest.mark.parametrize("moment", ["saved", "told"])
def test_interrupted_and_resumed_none_is_told_twice(train, moment):
    whole = train(PROTOCOL, checkpoint="whole.npz")

    class KilledAt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise Killed

    heard = Heard()
    # The callback before or after the one that hears; its second call is the process's last.
    callbacks = [KilledAt(), heard] if moment == "saved" else [heard, KilledAt()]
    with pytest.raises(Killed):
        train(PROTOCOL, callbacks=callbacks)
    again = Heard()
    resumed = train(PROTOCOL, callbacks=[again])
    assert heard.epochs == ([0] if moment == "saved" else [0, 1])
    assert again.epochs == [2, 3]
    assert resumed[1] == whole[1]
    for left, right in zip(resumed[0], whole[0], strict=True):
        np.testing.assert_array_equal(left, right)
    # Finished: nothing is left to tell, not even that it begins.
    idle = Heard()
    assert train(PROTOCOL, callbacks=[idle])[1] == whole[1]
    assert idle.events == []


def test_stop_training_ends_the_fold_for_good(train):
    heard = Heard()
    stopping = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(heard.model, "stop_training", epoch == 1)
    )
    weights, history, _ = train(PROTOCOL, callbacks=[heard, stopping])
    assert [row["epoch"] for row in history] == [1, 2]
    assert heard.events[-1] == "end"
    again = train(PROTOCOL)
    assert again[1] == history
    for left, right in zip(weights, again[0], strict=True):
        np.testing.assert_array_equal(left, right)


def test_keras_own_early_stopping_and_rates(train, monkeypatch):
    judged_as([0.5, 0.6, 0.6, 0.6, 0.6], monkeypatch)
    stopping = keras.callbacks.EarlyStopping("val_score", patience=2, mode="max")
    falling = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 1e-3 / (epoch + 1))
    _, history, _ = train(changed(epochs=9), callbacks=[falling, stopping])
    assert [row["learning_rate"] for row in history] == pytest.approx([1e-3, 1e-3 / 2, 1e-3 / 3, 1e-3 / 4], rel=1e-6)


def test_keras_own_checkpoints_are_networks(train, tmp_path):
    saving = keras.callbacks.ModelCheckpoint(tmp_path / "kept.keras", "val_score", mode="max", save_best_only=True)
    weights, *_ = train(PROTOCOL, callbacks=[saving])
    for left, right in zip(keras.models.load_model(tmp_path / "kept.keras").get_weights(), weights, strict=True):
        np.testing.assert_array_equal(left, right)


def test_rate_and_weights_that_a_callback_leaves_are_those_of_a_resumed_training(train):
    def halve(callback):
        callback.model.optimizer.learning_rate = 0.5 * callback.model.optimizer.learning_rate
        callback.model.set_weights([0.9 * weight for weight in callback.model.get_weights()])

    class Halved(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            halve(self)

    def kill(row):
        if row["epoch"] == 2:
            raise Killed

    whole = train(PROTOCOL, checkpoint="whole.npz", callbacks=[Halved()])
    with pytest.raises(Killed):
        train(PROTOCOL, callbacks=[Halved()], epoch_done=kill)
    assert train(PROTOCOL, callbacks=[Halved()])[1] == whole[1]
    assert whole[1][-1]["learning_rate"] == pytest.approx(1e-3 / 8)


def test_steps_are_told_to_who_listens(train, monkeypatch):
    class Steps(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.events = []

        def on_train_batch_begin(self, batch, logs=None):
            self.events.append(("begin", batch))

        def on_train_batch_end(self, batch, logs=None):
            self.events.append(("end", batch))

    steps, counted = Steps(), []
    train(changed(epochs=1), callbacks=[steps], step_done=lambda step, of: counted.append(of))
    assert steps.events == [(what, batch) for batch in range(counted[0]) for what in ("begin", "end")]
    called = []
    monkeypatch.setattr(keras.callbacks.CallbackList, "on_train_batch_end", lambda *_: called.append(1))
    train(changed(epochs=1), checkpoint="deaf.npz", callbacks=[Heard()])
    assert called == []


def test_what_is_no_callback_is_refused(train, tmp_path):
    for wrong in ([Heard], ["tensorboard"], Heard(), {"a": 1}):
        with pytest.raises(InputError, match=r"keras\.callbacks\.Callback"):
            check_callbacks(wrong)
    with pytest.raises(InputError, match=r"no keras\.callbacks\.Callback"):
        train(PROTOCOL, callbacks=[print])
    with pytest.raises(InputError, match="trained in this process"):
        train_folds([Job(tmp_path, tmp_path, 0)], Where(2), epoch_done=lambda job, row: None, callbacks=[Heard()])


def test_early_end(train, monkeypatch):
    scores = [0.5, 0.6, 0.4, 0.55, 0.7, 0.6, 0.6, 0.6, 0.9]
    judged_as(scores, monkeypatch)
    _, history, _ = train(changed(epochs=9, stop_after=3), checkpoint="three.npz")
    assert len(history) == 8
    again = train(changed(epochs=9, stop_after=3), checkpoint="three.npz")
    assert len(again[1]) == 8, "resumed, it is at its end"
    judged_as(scores, monkeypatch)
    assert len(train(changed(epochs=9, stop_after=2), checkpoint="two.npz")[1]) == 4
    judged_as(scores, monkeypatch)
    assert len(train(changed(epochs=9), checkpoint="all.npz")[1]) == 9


def test_a_constant_rate(train, monkeypatch):
    judged_as([0.5] * 8, monkeypatch)
    _, history, _ = train(changed(epochs=8, schedule="constant"))
    assert {row["learning_rate"] for row in history} == {1e-3}


def test_the_loss_decides(train, tmp_path, monkeypatch, easy_dataset):
    """Epoch and rate follow the class-weighted loss, whatever the scores say."""
    losses = [0.9, 0.7, 0.8, 0.8, 0.8, 0.6, 0.65]
    judged_as([0.1 * number for number in range(1, 8)], monkeypatch)
    with monkeypatch.context() as patch:
        left = iter(losses)
        patch.setattr(fit, "class_weighted_loss", lambda logits, omi: next(left))
        _, history, _ = train(changed(epochs=7, monitor="loss"))
    assert [row["val_weighted_loss"] for row in history] == losses
    assert [row["learning_rate"] for row in history] == pytest.approx([1e-3] * 5 + [8e-4] * 2)
    model, optimizer = tiny(), TorchAdam(1e-3)
    optimizer.build(model.trainable_variables)
    assert load_checkpoint(tmp_path / "checkpoint.npz", model, optimizer).best.epoch == 6


def test_each_class_is_half_of_the_weighted_loss():
    rng = np.random.default_rng(0)
    logits, omi = rng.standard_normal((50, 2)), np.r_[np.ones(5, int), np.zeros(45, int)]
    weight = np.where(omi == 1, 50 / (2 * 5), 50 / (2 * 45))
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(50), omi]
    assert fit.class_weighted_loss(logits, omi) == pytest.approx(np.average(losses, weights=weight), rel=1e-12)


def test_weight_decay_makes_weights_smaller(train):
    sizes = {}
    for decay in (0.0, 1.0):
        weights, *_ = train(changed(weight_decay=decay, learning_rate=1e-2), checkpoint=f"{decay}.npz")
        sizes[decay] = float(np.sqrt(sum(np.square(weight).sum() for weight in weights[:1])))
    assert sizes[1.0] < 0.9 * sizes[0.0]


def test_the_settings_are_of_the_run(easy_dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "build", tiny)
    run = tmp_path / "run"
    options = ("--model", "mayo-alvd", "--folds", 0, "--n-folds", 5, "--epochs", 9, "--batch-size", 32)
    further = ("--monitor", "loss", "--stop-after", 2, "--schedule", "constant", "--weight-decay", "1e-3")
    done = run_cli("train", easy_dataset, run, *options, *further, "--learning-rate", 0.5)
    assert done.exit_code == 0, done.output
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    expected = {"monitor": "loss", "stop_after": 2, "schedule": "constant", "weight_decay": 1e-3}
    assert {name: config[name] for name in expected} == expected
    history = pd.read_csv(run / "fold-00" / "history.csv")
    metrics = json.loads((run / "fold-00" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["best_epoch"] == history["epoch"][history["val_weighted_loss"].idxmin()]
    assert metrics["epochs"] == len(history) == min(9, metrics["best_epoch"] + 2)
    refused = run_cli("train", easy_dataset, run, *options, *further[:-1], "0", "--learning-rate", 0.5, "--resume")
    assert refused.exit_code == 2
    assert "was started with weight_decay 0.001, not 0.0" in refused.stderr


def test_tensorboard_has_every_epoch_once(easy_dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "build", tiny)
    run = tmp_path / "run"
    options = ("--model", "mayo-alvd", "--folds", 0, "--n-folds", 5, "--epochs", 2, "--batch-size", 32)
    assert run_cli("train", easy_dataset, run, *options, "--tensorboard").exit_code == 0
    written = {}
    for path in sorted((run / "tensorboard" / "fold-00").iterdir()):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                written.setdefault(value.tag, []).append((event.step, float(tf.make_ndarray(value.tensor))))
    history = pd.read_csv(run / "fold-00" / "history.csv")
    assert set(written) == set(history) - {"epoch"}
    for name, values in written.items():
        assert [step for step, _ in values] == [1, 2]
        assert [value for _, value in values] == pytest.approx(list(history[name]), rel=1e-6)


# Two processes of one training on a backend, the first of them killed; both tell a callback of the test's, Keras' own
# CSVLogger and, where it is installed, MLflow's.
SCRIPT = """
import contextlib, json, os, sys
from pathlib import Path
import keras, numpy as np
from tiny_network import tiny
from omi_keras.training import fit
from omi_keras.training.protocol import Protocol

folder, kill_after, with_mlflow = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "mlflow"
fit.build = tiny
rng = np.random.default_rng(0)
beats = rng.standard_normal((90, 12, 600)).astype(np.float32)
omi, rows = np.arange(90) % 2, np.arange(90)

class Heard(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        with (folder / "heard.txt").open("a") as file:
            file.write(f"{epoch} {sorted(logs)} {float(self.model.optimizer.learning_rate):.4g}\\n")

def killed(row):
    if row["epoch"] == kill_after:
        os._exit(9)

log = keras.callbacks.CSVLogger(str(folder / "log.csv"), append=True)
callbacks, tracked = [Heard(), log], contextlib.nullcontext()
if with_mlflow:
    import mlflow
    mlflow.set_tracking_uri((folder / "mlruns").as_uri())
    tracked = mlflow.start_run()
    callbacks.append(mlflow.keras.MlflowCallback())
protocol = Protocol("mayo-alvd", 4, 16, 1e-3, seed=1, backend=keras.backend.backend())
with tracked as run:
    if with_mlflow:
        (folder / "mlflow.txt").open("a").write(run.info.run_id + "\\n")
    network, progress = fit.fit_fold(
        protocol, 0, beats, omi, rows[:60], rows[60:], folder / "checkpoint.npz", epoch_done=killed, callbacks=callbacks
    )
    if with_mlflow:
        mlflow.flush_async_logging()
        client = mlflow.MlflowClient()
        told = []
        for name in (folder / "mlflow.txt").read_text().split():
            told.append({key: [m.step for m in client.get_metric_history(name, key)] for key in ("loss", "val_score")})
        (folder / "mlflow.json").write_text(json.dumps(told))
print(json.dumps({"history": progress.history, "tensorflow": "tensorflow" in sys.modules}))
"""


def killed_and_resumed(backend, folder, tracking):
    environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu", "MLFLOW_ALLOW_FILE_STORE": "true"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    codes = []
    for kill_after in (2, 0):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(folder), str(kill_after), tracking],
            env=environment, capture_output=True, text=True, encoding="utf-8", timeout=300,
        )  # fmt: skip
        codes.append(done.returncode)
    assert codes == [9, 0], done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_both_backends_tell_every_epoch_once(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    found = killed_and_resumed(backend, tmp_path, "without")
    assert found["tensorflow"] == (backend == "tensorflow")
    lines = (tmp_path / "heard.txt").read_text(encoding="utf-8").splitlines()
    assert [int(line.split()[0]) for line in lines] == [0, 1, 2, 3]
    assert "'learning_rate', 'loss', 'val_ap', 'val_auc', 'val_loss', 'val_score'" in lines[0]
    log = pd.read_csv(tmp_path / "log.csv")
    assert list(log["epoch"]) == [0, 1, 2, 3]
    for name in ("loss", "val_score", "learning_rate"):
        assert list(log[name]) == pytest.approx([row[name] for row in found["history"]])


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_mlflow_hears_every_epoch_once(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    if importlib.util.find_spec("mlflow") is None or importlib.util.find_spec("mlflow.keras") is None:
        pytest.skip("MLflow is not installed; pip install mlflow")
    killed_and_resumed(backend, tmp_path, "mlflow")
    first, second = json.loads((tmp_path / "mlflow.json").read_text(encoding="utf-8"))
    # The process that was killed may have had its last epoch still in MLflow's queue.
    for name in ("loss", "val_score"):
        assert first[name] in ([0], [0, 1])
        assert second[name] == [2, 3]
