"""Figures: the data that is drawn, not the pixels; scale of the ECG paper; files whole and deterministic."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from omi_keras.drawing.figures import figure5, figure6, save_figure
from omi_keras.recordings.errors import InputError


def history(epochs, level=0.0):
    epoch = np.arange(1, epochs + 1)
    curve = level + 1 - 1 / epoch
    return pd.DataFrame(
        {
            "epoch": epoch,
            "loss": 1 - curve,
            "val_loss": 2 - curve,
            "val_auc": curve,
            "val_ap": curve / 2,
            "val_score": curve / 3,
            "learning_rate": 1e-5,
        }
    )


def ecgs(seed=0, n=300):
    rng = np.random.default_rng(seed)
    omi = (np.arange(n) < n // 10).astype(int)
    return omi, np.round(np.clip(0.3 * omi + rng.normal(0.4, 0.2, n), 0, 1), 2)


def texts(figure):
    found = [text.get_text() for text in figure.texts]
    if figure._suptitle is not None:
        found.append(figure._suptitle.get_text())
    return found + [text.get_text() for axes in figure.axes for text in axes.texts]


def labels(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_figure5_mean_and_band():
    folds = [history(5), history(5, 0.2), history(3, 0.4)]
    figure = figure5({"ecg-smart-net": folds, "mayo-alvd": folds[:2]}, simulated=False)
    assert len(figure.axes) == 4
    for axes, column in zip(figure.axes, ("val_auc", "val_ap", "val_loss", "val_score"), strict=True):
        line = axes.lines[0]
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4, 5])
        values = [[f[column][e] for f in folds if len(f) > e] for e in range(5)]
        np.testing.assert_allclose(line.get_ydata(), [np.mean(v) for v in values])
        band = axes.collections[0].get_paths()[0].vertices
        first = band[band[:, 0] == 1][:, 1]
        assert first.min() == pytest.approx(np.mean(values[0]) - np.std(values[0], ddof=1))
        assert first.max() == pytest.approx(np.mean(values[0]) + np.std(values[0], ddof=1))
        assert axes.get_xlabel() == "Epoch"
    assert labels(figure) == ["ecg-smart-net", "mayo-alvd"]


def test_figure5_single_fold_has_no_band_and_one_epoch_is_a_dot():
    figure = figure5({"long": [history(4)], "short": [history(1)]}, simulated=False)
    for axes in figure.axes:
        assert all(not path.vertices.size for band in axes.collections for path in band.get_paths())
        assert [line.get_marker() for line in axes.lines] == ["None", "o"]
    assert "SD" not in texts(figure)[-1]


def test_figure5_draws_with_undefined_validation(tmp_path):
    broken = history(3)
    broken["val_auc"] = np.nan
    save_figure(figure5({"m": [broken, history(2)], "n": [broken]}, simulated=True), tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("histories", "message"),
    [
        ({}, "at least one model"),
        ({"m": []}, "m: expected the history of at least one fold"),
        ({"m": [history(0)]}, "m: expected at least one epoch"),
        (
            {"m": [history(2), history(2).drop(columns="val_ap")]},
            "m, fold 1: expected history columns .*val_ap",
        ),
    ],
)
def test_figure5_names_what_is_missing(histories, message):
    with pytest.raises(InputError, match=message):
        figure5(histories, simulated=False)


def test_figure6_curves_and_operating_point():
    omi, probability = ecgs()
    figure = figure6({"validation": (omi, probability), "test": ecgs(1)}, 0.57, simulated=False)
    roc, recall = figure.axes
    curve = roc.lines[0]
    x, y = curve.get_xdata(), curve.get_ydata()
    auc = float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))
    steps = recall.lines[0]
    assert steps.get_drawstyle() == "steps-pre"  # the value on the right of each step: what AP sums
    ap = float(np.sum(np.diff(steps.get_xdata()) * steps.get_ydata()[1:]))
    assert auc == pytest.approx(roc_auc_score(omi, probability))
    assert ap == pytest.approx(average_precision_score(omi, probability))
    assert labels(figure)[0] == f"Validation: AUC {auc:.3f}, AP {ap:.3f}"
    assert labels(figure)[1].startswith("Test: AUC")
    assert labels(figure)[2] == "Operating point 0.57"

    alarm = probability >= 0.57
    sensitivity, fpr = alarm[omi == 1].mean(), alarm[omi == 0].mean()
    marks = [line for line in roc.lines if line.get_marker() == "o"]
    assert (marks[0].get_xdata()[0], marks[0].get_ydata()[0]) == pytest.approx((fpr, sensitivity))
    marks = [line for line in recall.lines if line.get_marker() == "o"]
    assert (marks[0].get_xdata()[0], marks[0].get_ydata()[0]) == pytest.approx((sensitivity, omi[alarm].mean()))
    assert any(line.get_linestyle() == ":" and np.allclose(line.get_ydata(), 0.1) for line in recall.lines[:2])


def test_figure6_one_class_is_undefined_and_no_alarm_is_not_marked(tmp_path):
    figure = figure6({"test": ([0, 0, 0], [0.1, 0.2, 0.3])}, 0.5, simulated=False)
    assert labels(figure)[0] == "Test: AUC and AP undefined (one class)"
    save_figure(figure, tmp_path / "one.png")
    silent = figure6({"test": ecgs()}, 5.0, simulated=False)
    assert all(len(line.get_xdata()) == 0 for line in silent.axes[0].lines if line.get_marker() == "o")


def test_figure6_bad_input_is_named():
    with pytest.raises(InputError, match="at least one split"):
        figure6({}, 0.5, simulated=False)
    with pytest.raises(InputError, match="finite threshold"):
        figure6({"test": ecgs()}, float("nan"), simulated=False)


@pytest.mark.parametrize("simulated", [True, False])
def test_every_figure_says_simulated(simulated):
    for figure in (
        figure5({"m": [history(2)]}, simulated),
        figure6({"test": ecgs()}, 0.5, simulated),
    ):
        assert any("simulated" in text for text in texts(figure)) is simulated


def test_saved_png_is_deterministic(tmp_path):
    first, second = tmp_path / "new" / "a.png", tmp_path / "b.png"
    save_figure(figure6({"test": ecgs()}, 0.5, simulated=True), first)
    save_figure(figure6({"test": ecgs()}, 0.5, simulated=True), second)
    content = first.read_bytes()
    assert content == second.read_bytes()
    assert b"Software" not in content
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == ["a.png", "b.png"]


def test_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "figure.png"
    target.write_bytes(b"old")
    figure = figure6({"test": ecgs()}, 0.5, simulated=False)

    def fail(path, **_):
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        save_figure(figure, target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_only_png():
    with pytest.raises(InputError, match=r"ends in \.png, received '\.jpg'"):
        save_figure(figure6({"test": ecgs()}, 0.5, simulated=False), "figure.jpg")


def test_pyplot_is_never_imported():
    code = "import sys, omi_keras.drawing.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
