"""Tables 4 and 5: columns of the contract, numbers by hand, text as in the paper."""

from __future__ import annotations

import statistics

import numpy as np
import pandas as pd
import pytest

from omi_keras.evaluation.bootstrap import patient_bootstrap
from omi_keras.evaluation.metrics import operating_point_metrics
from omi_keras.evaluation.tables import format_table4, format_table5, table4, table5
from omi_keras.recordings.errors import InputError

TABLE4_COLUMNS = [
    "model",
    "val_auc_mean",
    "val_auc_sd",
    "val_ap_mean",
    "val_ap_sd",
    "test_auc_mean",
    "test_auc_sd",
    "test_ap_mean",
    "test_ap_sd",
    "folds",
    "simulated",
]
METRICS = ["accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "auc", "ap"]


def fold(val_auc, val_ap, test_auc, test_ap):
    return {
        "validation": {"auc": val_auc, "ap": val_ap, "score": 0.0},
        "test": {"auc": test_auc, "ap": test_ap},
        "threshold": 0.5,
        "best_epoch": 3,
    }


FOLDS = [fold(0.90, 0.6, 0.88, 0.5), fold(0.92, 0.7, 0.86, 0.6), fold(0.87, 0.5, 0.93, 0.7)]


def splits():
    rng = np.random.default_rng(0)
    made = {}
    for name in ("validation", "test"):
        omi = np.repeat([1, 0], [30, 170])
        probability = np.clip(0.3 * omi + rng.normal(0.4, 0.2, 200), 0, 1)
        made[name] = {"omi": omi, "probability": probability, "patient_id": np.arange(200) // 2}
    return made


def test_table4_columns_and_numbers():
    table = table4({"ecg-smart-net": FOLDS, "mayo-alvd": FOLDS[:2]}, simulated=True)
    assert list(table.columns) == TABLE4_COLUMNS
    assert table["model"].tolist() == ["ecg-smart-net", "mayo-alvd"]
    assert table["folds"].tolist() == [3, 2]
    assert table["simulated"].tolist() == [True, True]
    for prefix, values in (
        ("val_auc", [0.90, 0.92, 0.87]),
        ("val_ap", [0.6, 0.7, 0.5]),
        ("test_auc", [0.88, 0.86, 0.93]),
        ("test_ap", [0.5, 0.6, 0.7]),
    ):
        assert table.at[0, f"{prefix}_mean"] == pytest.approx(statistics.mean(values))
        assert table.at[0, f"{prefix}_sd"] == pytest.approx(statistics.stdev(values))


def test_single_fold_has_no_sd(tmp_path):
    table = table4({"ecg-smart-net": FOLDS[:1]}, simulated=False)
    assert table.filter(like="_sd").isna().all(axis=None)
    table.to_csv(tmp_path / "table4.csv", index=False)
    row = (tmp_path / "table4.csv").read_text(encoding="utf-8").splitlines()[1]
    assert row == "ecg-smart-net,0.9,,0.6,,0.88,,0.5,,1,False"
    text = format_table4(table)
    assert "0.900" in text
    assert "±" not in text.splitlines()[-1]


def test_table4_text_is_the_papers():
    table = pd.DataFrame(
        [["ECG-SMART-NET", 0.9021, 0.0249, 0.605, 0.085, 0.889, 0.027, 0.587, 0.087, 10, False]],
        columns=TABLE4_COLUMNS,
    )
    last = format_table4(table).splitlines()[-1]
    assert last.split("  ") == [
        "ECG-SMART-NET", "0.902 ± 0.025", "0.605 ± 0.085", "0.889 ± 0.027", "0.587 ± 0.087", "10",
    ]  # fmt: skip


def test_undefined_fold_makes_the_mean_undefined():
    table = table4({"m": [FOLDS[0], fold(None, 0.5, float("nan"), 0.5)]}, simulated=False)
    assert np.isnan(table.at[0, "val_auc_mean"])
    assert np.isnan(table.at[0, "test_auc_sd"])
    assert table.at[0, "val_ap_mean"] == pytest.approx(0.55)
    assert "undefined" in format_table4(table)


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([], "m: expected at least one fold"),
        ([FOLDS[0], {"validation": {"auc": 1, "ap": 1}}], "m, fold 1: expected a number at test.auc"),
        ([fold("high", 1, 1, 1)], "m, fold 0: expected a number at validation.auc"),
    ],
)
def test_table4_names_what_is_missing(folds, message):
    with pytest.raises(InputError, match=message):
        table4({"m": folds}, simulated=False)


def test_table5_columns_and_numbers():
    data = splits()
    table = table5(data, 0.57, resamples=100, seed=4, simulated=True)
    intervals = [f"{name}_{end}" for name in METRICS for end in ("lo", "hi")]
    assert list(table.columns) == ["split", "threshold", *METRICS, *intervals, "simulated"]
    assert table["split"].tolist() == ["validation", "test"]
    for k, arrays in enumerate(data.values()):
        point = operating_point_metrics(arrays["omi"], arrays["probability"], 0.57)
        limits = patient_bootstrap(**arrays, threshold=0.57, resamples=100, seed=4)
        for name in METRICS:
            assert table.at[k, name] == point[name]
            assert (table.at[k, f"{name}_lo"], table.at[k, f"{name}_hi"]) == limits[name]


def test_table5_text():
    data = splits()
    table = table5(data, 0.57, 100, 0, simulated=False)
    lines = format_table5(table).splitlines()
    assert lines[1].split() == ["Validation", "Test"]
    assert [line.split()[0] for line in lines[3:]] == [
        "Threshold", "Accuracy", "Sensitivity", "Specificity", "PPV", "NPV", "F1", "AUC", "AP",
    ]  # fmt: skip
    row = table.iloc[0]
    assert f"{row['auc']:.3f} [{row['auc_lo']:.3f}, {row['auc_hi']:.3f}]" in lines[-2]
    assert max(map(len, lines)) <= 100


def test_table5_one_class_reads_undefined():
    data = splits()
    data["test"]["omi"] = np.zeros(200, int)
    table = table5(data, 0.57, 50, 0, simulated=False)
    assert np.isnan(table.at[1, "auc"])
    assert np.isnan(table.at[1, "auc_lo"])
    assert format_table5(table).splitlines()[-2].endswith("undefined")


def test_table5_names_the_split():
    data = splits()
    del data["test"]["patient_id"]
    with pytest.raises(InputError, match="test: expected omi, probability and patient_id, received no patient_id"):
        table5(data, 0.5, 10, 0, simulated=False)
    data = splits()
    data["validation"]["probability"][3] = np.nan
    with pytest.raises(InputError, match="validation: expected finite probabilities") as caught:
        table5(data, 0.5, 10, 0, simulated=False)
    assert caught.value.reason == "not_finite"


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_mark(simulated):
    four = format_table4(table4({"m": FOLDS}, simulated))
    five = format_table5(table5(splits(), 0.5, 10, 0, simulated))
    for text in (four, five):
        assert ("simulated" in text.splitlines()[0].lower()) is simulated


def test_formatting_survives_csv(tmp_path):
    """The command line may read its own tables back."""
    table = table5(splits(), 0.5, 10, 0, simulated=True)
    table.to_csv(tmp_path / "table5.csv", index=False)
    assert format_table5(
        pd.read_csv(tmp_path / "table5.csv", converters=dict.fromkeys(table.columns[1:-1], float))
    ) == format_table5(table)
