"""Figures: the data that is drawn, not the pixels; scale of the ECG paper; files whole and deterministic."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from sklearn.metrics import average_precision_score, roc_auc_score

from omi_keras.drawing.figures import figure5, figure6, median_beat_figure, save_figure
from omi_keras.recordings.errors import InputError

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


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


def beats():
    t = np.arange(600) / 500 - 0.6
    beat = np.exp(-((t / 0.015) ** 2)) + 0.2 * np.exp(-(((t - 0.28) / 0.06) ** 2))
    return np.outer(np.linspace(-1.0, 1.5, 12), beat).astype(np.float32)


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


def test_median_beat_is_true_to_scale():
    signal = beats()
    figure = median_beat_figure(signal, "ECG 1", simulated=False)
    axes = figure.axes[0]
    width, height = figure.get_size_inches() * 25.4
    assert axes.get_xlim() == pytest.approx((0, width))
    assert axes.get_ylim() == pytest.approx((0, height))
    assert axes.get_position().bounds == pytest.approx((0, 0, 1, 1))  # so 1 unit of the axes is 1 mm

    pulses = [line for line in axes.lines if len(line.get_xdata()) == 6]
    traces = [line for line in axes.lines if len(line.get_xdata()) == 600]
    assert len(pulses) == 3
    assert len(traces) == 12
    for pulse in pulses:
        assert np.ptp(pulse.get_ydata()) == pytest.approx(10)  # 1 mV
        high = pulse.get_xdata()[pulse.get_ydata() > pulse.get_ydata().min() + 5]
        assert np.ptp(high) == pytest.approx(5)  # 200 ms

    names = {text.get_text(): text.get_position() for text in axes.texts if text.get_text() in LEADS}
    assert set(names) == set(LEADS)
    for k, trace in enumerate(traces):
        row, column = divmod(k, 4)
        lead = 3 * column + row
        x, y = trace.get_xdata(), trace.get_ydata()
        assert np.diff(x) == pytest.approx(0.05)  # 2 ms at 25 mm/s
        baseline = pulses[row].get_ydata()[0]
        np.testing.assert_allclose(y, baseline + 10 * signal[lead], atol=1e-5)
        assert baseline % 5 == x[0] % 5 == 0  # on a line of the large grid
        assert names[LEADS[lead]][0] == x[0]
        assert names[LEADS[lead]][1] > baseline

    steps = [
        np.unique([segment[0, 0] for segment in grid.get_segments() if segment[0, 0] == segment[1, 0]])
        for grid in axes.collections
        if isinstance(grid, LineCollection)
    ]
    assert [np.unique(np.diff(step)).tolist() for step in steps] == [[1], [5]]
    assert any("25 mm/s" in text and "10 mm/mV" in text for text in texts(figure))


def test_median_beat_page_holds_large_deflections():
    figure = median_beat_figure(beats() * 2.5, "large", simulated=False)
    traces = [line.get_ydata() for line in figure.axes[0].lines if len(line.get_xdata()) == 600]
    for row in range(2):
        lowest = min(trace.min() for trace in traces[4 * row : 4 * row + 4])
        highest_below = max(trace.max() for trace in traces[4 * row + 4 : 4 * row + 8])
        assert lowest > highest_below  # rows do not run into each other
    assert not any("clipped" in text for text in texts(figure))
    assert any("clipped at ±5 mV" in text for text in texts(median_beat_figure(beats() * 9, "x", simulated=False)))


def test_median_beat_bad_input_is_named():
    with pytest.raises(InputError, match=r"shape \(12, 600\), received \(12, 400\)"):
        median_beat_figure(np.zeros((12, 400)), "x", simulated=False)
    lost = beats()
    lost[1, 5] = np.nan
    with pytest.raises(InputError, match=r"missing or infinite samples in II$"):
        median_beat_figure(lost, "x", simulated=False)


@pytest.mark.parametrize("simulated", [True, False])
def test_every_figure_says_simulated(simulated):
    for figure in (
        figure5({"m": [history(2)]}, simulated),
        figure6({"test": ecgs()}, 0.5, simulated),
        median_beat_figure(beats(), "ECG 1", simulated),
    ):
        assert any("simulated" in text for text in texts(figure)) is simulated


def test_saved_png_is_deterministic_and_to_scale(tmp_path):
    first, second = tmp_path / "new" / "a.png", tmp_path / "b.png"
    save_figure(median_beat_figure(beats(), "price $5 or $6 <b>", simulated=True), first)
    save_figure(median_beat_figure(beats(), "price $5 or $6 <b>", simulated=True), second)
    content = first.read_bytes()
    assert content == second.read_bytes()
    assert b"Software" not in content
    # 254 dots per inch: 10 dots per mm.
    width, height = struct.unpack(">II", content[16:24])
    size = median_beat_figure(beats(), "", simulated=True).get_size_inches() * 25.4
    assert (width, height) == pytest.approx(size * 10, abs=0.5)
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == ["a.png", "b.png"]

    # Between two level lines, away from text: a darker upright line every 50 dots, each equally crisp.
    green = matplotlib.image.imread(first)[-73, 1:-1, 1]
    np.testing.assert_array_equal(np.flatnonzero(green < 0.8)[::2] + 2, np.arange(50, width, 50))
    np.testing.assert_array_equal(np.flatnonzero(green < 0.8)[1::2] + 1, np.arange(50, width, 50))


def test_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "figure.png"
    target.write_bytes(b"old")
    figure = median_beat_figure(beats(), "x", simulated=False)

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
        save_figure(median_beat_figure(beats(), "x", simulated=False), "figure.jpg")


def test_pyplot_is_never_imported():
    code = "import sys, omi_keras.drawing.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
