"""The report of fabricated runs: numbers, files, the page, and what is left out and said."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from benchmark_evaluation import fabricate_run
from helpers import run_cli
from sklearn.metrics import average_precision_score, roc_auc_score

from omi_keras.beats.median_beats import MedianBeat
from omi_keras.data.dataset import load_dataset
from omi_keras.data.writer import DatasetWriter
from omi_keras.evaluation.comparison import holm
from omi_keras.measures.stemi import stemi_criteria
from omi_keras.report import write_run_page
from omi_keras.report.findings import Findings
from omi_keras.training.run import load_run

SIZE = {"ecgs": 600, "patients": 400, "prevalence": 0.2, "n_folds": 4}


def evaluate(*arguments):
    result = run_cli("evaluate", *arguments)
    assert result.exit_code == 0, result.output
    return result


def judge(*runs, dataset=None):
    return Findings([load_run(run) for run in runs], seed=0, dataset=dataset)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Facts about the fabricated ECGs, hostile ones among them; beats are spikes, every seventh with ST elevation."""
    folder = tmp_path_factory.mktemp("dataset") / "dataset"
    run = fabricate_run(tmp_path_factory.mktemp("shape") / "run", "mayo-alvd", **SIZE)
    folds = pd.read_csv(run / "folds.csv", dtype=str)
    omi = pd.concat(pd.read_csv(path) for path in run.glob("fold-*/predictions.csv")).groupby("ecg_id")["omi"].first()
    beat = np.zeros((12, 600), np.float32)
    beat[:, 290:310] = np.hanning(20)
    elevated = beat.copy()
    elevated[6:10, 308:400] += 0.4
    noise = 1e-3 * np.random.default_rng(0).normal(size=(len(folds), 12, 600)).astype(np.float32)
    folder.mkdir()
    with DatasetWriter(folder, carried=("rhythm", "artery")) as writer:
        for k, row in enumerate(folds.to_dict("records")):
            label = int(omi[row["ecg_id"]])
            writer.add(
                MedianBeat((elevated if k % 7 == 0 else beat) + noise[k], 857.0, 70.0, 10, 9, np.zeros(12), ()),
                {
                    "ecg_id": row["ecg_id"], "patient_id": row["patient_id"], "omi": label, "source": "fabricated",
                    "site": "<b>north</b>" if k % 2 else "south", "age": 40 + k % 50, "sex": "", "simulated": True,
                    "rhythm": "sinus", "artery": "RCA" if label else "",
                },
            )  # fmt: skip
        info = writer.finish(label_column="omi", seed=0, inputs={})
    return folder, {name: info["sha256"][name] for name in ("beats.npy", "ecgs.csv")}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, dataset):
    folder, sums = dataset
    out = tmp_path_factory.mktemp("runs")
    config = {"dataset": str(folder), "dataset_sha256": sums}
    return [
        fabricate_run(out / "good", "ecg-smart-net", separation=2.0, config=config, **SIZE),
        fabricate_run(out / "poor", "random-forest", separation=1.0, config=config, **SIZE),
    ]


@pytest.fixture(scope="module")
def report(runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "report"
    evaluate(*runs, out)
    return out


def test_files(report):
    assert {path.name for path in report.iterdir()} == {
        "report.html", "report.json", "figures", "table4.csv", "table5.csv", "intervals.csv", "comparison.csv",
        "decisions.csv", "calibration.csv", "decision_curve.csv", "subgroups.csv",
    }  # fmt: skip
    assert {path.name for path in (report / "figures").iterdir()} == {
        "figure5.png", "figure6.png", "calibration.png", "decision_curve.png",
    }  # fmt: skip
    for path in report.glob("*.csv"):
        assert pd.read_csv(path)["simulated"].all(), path.name


def test_every_number_of_table_4_from_the_predictions(report, runs):
    table = pd.read_csv(report / "table4.csv").set_index("model")
    for run, model in zip(runs, ("ecg-smart-net", "random-forest"), strict=True):
        for part, prefix in (("validation", "val"), ("test", "test")):
            for name, metric in (("auc", roc_auc_score), ("ap", average_precision_score)):
                values = []
                for fold in range(4):
                    rows = pd.read_csv(run / f"fold-{fold:02d}" / "predictions.csv").query(f"split == '{part}'")
                    values.append(metric(rows["omi"], rows["probability"]))
                assert table.loc[model, f"{prefix}_{name}_mean"] == pytest.approx(np.mean(values))
                assert table.loc[model, f"{prefix}_{name}_sd"] == pytest.approx(np.std(values, ddof=1))


def test_selected_model_is_the_best_by_validation(report, runs):
    content = json.loads((report / "report.json").read_text(encoding="utf-8"))
    scores = [
        json.loads((runs[0] / f"fold-{k:02d}" / "metrics.json").read_text(encoding="utf-8"))["validation"]["score"]
        for k in range(4)
    ]
    assert content["selected"]["model"] == "ecg-smart-net"
    assert content["selected"]["fold"] == int(np.argmax(scores))
    assert content["notes"] == []


def test_every_number_of_table_5_from_the_predictions(report, runs):
    content = json.loads((report / "report.json").read_text(encoding="utf-8"))
    table = pd.read_csv(report / "table5.csv").set_index("split")
    predictions = pd.read_csv(runs[0] / f"fold-{content['selected']['fold']:02d}" / "predictions.csv")
    for split in ("validation", "test"):
        rows = predictions[predictions["split"] == split]
        alarm, omi = rows["probability"] >= content["selected"]["threshold"], rows["omi"] == 1
        tp, fp, fn, tn = ((omi & alarm).sum(), (~omi & alarm).sum(), (omi & ~alarm).sum(), (~omi & ~alarm).sum())
        expected = {
            "accuracy": (tp + tn) / len(rows), "sensitivity": tp / (tp + fn), "specificity": tn / (tn + fp),
            "ppv": tp / (tp + fp), "npv": tn / (tn + fn), "f1": 2 * tp / (2 * tp + fp + fn),
            "auc": roc_auc_score(omi, rows["probability"]), "ap": average_precision_score(omi, rows["probability"]),
        }  # fmt: skip
        for name, value in expected.items():
            assert table.loc[split, name] == pytest.approx(value), name
            assert table.loc[split, f"{name}_lo"] <= value <= table.loc[split, f"{name}_hi"]


def test_comparison_finds_the_better_model(report):
    table = pd.read_csv(report / "comparison.csv")
    assert table["metric"].tolist() == ["auc", "ap"]
    assert (table["difference"] > 0).all()
    assert (table["p_holm"] < 0.01).all()
    assert table["p_holm"].tolist() == pytest.approx(holm(table["p"].to_numpy()).tolist())


def test_stemi_criteria_beside_the_model(report, dataset, runs):
    data = load_dataset(dataset[0])
    criteria = stemi_criteria(data.beats, data.ecgs["age"], data.ecgs["sex"])
    assert criteria.any()
    assert not criteria.all()
    met = pd.Series(criteria, index=data.ecgs["ecg_id"])
    fold = json.loads((report / "report.json").read_text(encoding="utf-8"))["selected"]["fold"]
    predictions = pd.read_csv(runs[0] / f"fold-{fold:02d}" / "predictions.csv")
    table = pd.read_csv(report / "decisions.csv").set_index(["rule", "split"])
    for split in ("validation", "test"):
        rows = predictions[predictions["split"] == split]
        alarm, omi = met[rows["ecg_id"]].to_numpy(), rows["omi"].to_numpy() == 1
        row = table.loc[("STEMI criteria", split)]
        assert row["true_positive"] == (alarm & omi).sum()
        assert row["specificity"] == pytest.approx((~alarm[~omi]).mean())
    curve = pd.read_csv(report / "decision_curve.csv").set_index("rule")
    assert len(curve.loc["STEMI criteria"]) == len(curve.loc["treat all"])


def test_subgroups_of_the_dataset(report):
    table = pd.read_csv(report / "subgroups.csv", keep_default_na=False, na_values=[""]).set_index(["group", "value"])
    assert table.loc[("all", np.nan), "ecgs"].item() == 600
    assert table.xs("site")["ecgs"].sum() == 600
    assert np.isnan(table.loc[("artery", "RCA"), "specificity"])
    assert table.loc[("artery", "RCA"), "sensitivity"] > 0
    assert "sex" not in table.index.get_level_values("group"), "empty everywhere"


def test_page_makes_no_request_and_escapes_what_files_hold(runs, dataset, tmp_path):
    """An ECG whose name is a script, which the model misses and which the page therefore lists."""
    hostile = '<script>fetch("https://example.org")</script>'
    run = tmp_path / "run"
    shutil.copytree(runs[0], run)
    chosen = judge(run).selected["fold"]
    path = run / f"fold-{chosen:02d}" / "predictions.csv"
    predictions = pd.read_csv(path)
    missed = predictions.query("split == 'test' and omi == 1")["probability"].idxmin()
    name = predictions.loc[missed, "ecg_id"]
    for path in run.glob("fold-*/predictions.csv"):  # another fold validates on it
        predictions = pd.read_csv(path)
        predictions.loc[predictions["ecg_id"] == name, "ecg_id"] = hostile
        predictions.to_csv(path, index=False)
    folds = pd.read_csv(run / "folds.csv")
    folds.loc[folds["ecg_id"] == name, "ecg_id"] = hostile
    folds.to_csv(run / "folds.csv", index=False)
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    (run / "config.json").write_text(
        json.dumps(config | {"dataset": "<i>gone</i>", "balance": "<u>x</u>"}), encoding="utf-8"
    )
    page = write_run_page(run).read_text(encoding="utf-8")
    assert "&lt;script&gt;fetch(&#34;https://example.org&#34;)&lt;/script&gt;" in page
    assert "&lt;i&gt;gone" in page
    assert "&lt;u&gt;x" in page
    for raw in ("<script>fetch", "<i>", "<u>", "<b>"):
        assert raw not in page
    assert_quiet(page)


def test_page_of_the_dataset_is_quiet_too(report):
    page = (report / "report.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;north&lt;/b&gt;" in page
    assert_quiet(page)
    assert "SIMULATED" in page
    assert len(page.partition("To look at first")[0]) < 500_000
    assert len(page) < 500_000 + 50_000 * page.count('class="ecg"'), "as small as the picture of a median beat is"


def test_the_page_draws_what_to_look_at_first_and_the_report_says_what(report):
    """Of the selected fold's test ECGs; the page of a run, which training writes, has their table only."""
    content = json.loads((report / "report.json").read_text(encoding="utf-8"))
    page = (report / "report.html").read_text(encoding="utf-8")
    shown = content["to_look_at_first"]["ecgs"]
    assert content["to_look_at_first"]["pictures"] == 10 and len(shown) == page.count('<div class="ecg"') >= 10
    run = next(load_run(run["path"]) for run in content["runs"] if run["model"] == content["selected"]["model"])
    tested = next(fold for fold in run.results if fold.fold == content["selected"]["fold"]).split("test")
    probability = tested.set_index("ecg_id")["probability"]
    assert all(ecg["probability"] == probability[ecg["ecg_id"]] for ecg in shown)
    missed = tested[(tested["omi"] == 1) & (tested["probability"] < content["selected"]["threshold"])]
    worst = missed.nsmallest(10, "probability")["ecg_id"].tolist()
    assert worst and [ecg["ecg_id"] for ecg in shown[: len(worst)]] == worst
    assert '<div class="ecg"' not in write_run_page(run.path).read_text(encoding="utf-8")


def assert_quiet(page):
    """Nothing outside the page is named where a browser would fetch it."""
    for value in re.findall(r'\b(?:src|href|action|data|poster|srcset)\s*=\s*"([^"]*)"', page):
        assert value.startswith("#"), value
    assert all(value.startswith("#") for value in re.findall(r"url\(['\"]?([^)]*)\)", page))
    assert not re.search(r"<(?:link|img|iframe|object|embed|base|form|image|a)\b", page)
    assert not re.search(r"<[^>]*\son\w+\s*=", page)
    assert page.count("<script") == 1
    assert "default-src 'none'" in page


def test_same_seed_same_report(runs, report, tmp_path):
    evaluate(*runs, tmp_path / "again")
    for path in report.rglob("*"):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(report)).read_bytes() == path.read_bytes(), path.name
    other = Findings([load_run(run) for run in runs], seed=1).tables["table5"]
    assert other.to_csv(index=False) != (report / "table5.csv").read_text(encoding="utf-8")


def test_runs_of_other_folds_are_said_to_differ(runs, dataset, tmp_path):
    folder, sums = dataset
    config = {"dataset": str(folder), "dataset_sha256": sums}
    partial = fabricate_run(tmp_path / "partial", "mayo-alvd", folds=[2], config=config, **SIZE)
    judged = judge(runs[0], partial)
    assert "not all tested on the same ECGs" in judged.notes[0]
    assert judged.tables["comparison"]["folds"].tolist() == [1, 1]


def test_dataset_that_is_gone_or_another(runs, dataset, easy_dataset, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs[0], run)
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    for place, reason in (("gone", "not a dataset"), (str(easy_dataset), "another dataset")):
        (run / "config.json").write_text(json.dumps(config | {"dataset": place}), encoding="utf-8")
        judged = judge(run)
        assert reason in judged.notes[0]
        assert "--dataset" in judged.notes[0]
        assert "subgroups" not in judged.tables
    assert "subgroups" in judge(run, dataset=dataset[0]).tables
    for other, sentence in ((easy_dataset, "is not the dataset that"), (tmp_path / "none", "not a dataset")):
        result = run_cli("evaluate", run, tmp_path / "refused", "--dataset", other)
        assert result.exit_code == 2
        assert sentence in result.stderr
        assert not (tmp_path / "refused").exists()


def test_unknown_model_and_ecgs_without_a_patient_are_refused(runs, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs[0], run)
    folds = pd.read_csv(run / "folds.csv")
    folds.iloc[50:].to_csv(run / "folds.csv", index=False)
    result = run_cli("evaluate", run, tmp_path / "report")
    assert result.exit_code == 2
    assert "folds.csv lacks" in result.stderr
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    (run / "config.json").write_text(json.dumps(config | {"model": "<script>"}), encoding="utf-8")
    result = run_cli("evaluate", run, tmp_path / "report")
    assert result.exit_code == 2
    assert "unknown model" in result.stderr


def test_train_writes_the_report_of_its_run(trained_run):
    page = (trained_run / "report.html").read_text(encoding="utf-8")
    assert "Training of ecg-smart-net" in page
    assert "SIMULATED" in page
    assert "Subgroups" in page
    assert_quiet(page)


def with_config(run, to, **changes):
    shutil.copytree(run, to)
    config = json.loads((to / "config.json").read_text(encoding="utf-8"))
    (to / "config.json").write_text(json.dumps(config | changes), encoding="utf-8")
    return to


def test_a_run_in_16_bits_says_so(runs, tmp_path):
    run = with_config(runs[0], tmp_path / "run", precision="mixed_float16")
    assert any("ecg-smart-net was trained in 16 bits (mixed_float16)" in note for note in judge(run).notes)
    assert "was trained in 16 bits (mixed_float16)" in write_run_page(run).read_text(encoding="utf-8")
    for other, model in ((runs[0], "float32"), (runs[1], "mixed_float16")):  # a forest has no 16 bits
        run = with_config(other, tmp_path / f"{other.name}-{model}", precision=model)
        assert judge(run).notes == []


def lone_patient_run(runs, to):
    """A run whose fold 2 is tested on one patient with OMI, found with the highest probability."""
    shutil.copytree(runs[0], to)
    path = to / "fold-02" / "predictions.csv"
    predictions = pd.read_csv(path)
    test = predictions["split"] == "test"
    first = predictions[test & (predictions["omi"] == 1)].index[0]
    predictions.loc[test, "omi"] = 0
    predictions.loc[first, ["omi", "probability"]] = [1, 0.999]
    predictions["omi"] = predictions["omi"].astype(int)
    predictions.to_csv(path, index=False)
    metrics = json.loads((path.parent / "metrics.json").read_text(encoding="utf-8"))
    metrics["test"] |= {"auc": 1.0, "ap": 1.0, "score": 1.0}
    metrics["validation"]["score"] = 2.0  # selected
    (path.parent / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return to


def test_one_omi_patient_is_undefined_in_every_table_and_in_the_page(runs, tmp_path):
    run = lone_patient_run(runs, tmp_path / "run")
    evaluate(run, runs[1], tmp_path / "report")
    read = {path.stem: pd.read_csv(path) for path in (tmp_path / "report").glob("*.csv")}
    four = read["table4"].set_index("model")
    assert four.loc["ecg-smart-net", ["test_auc_mean", "test_auc_sd", "test_ap_mean", "test_ap_sd"]].isna().all()
    assert four.loc["ecg-smart-net", ["val_auc_mean", "val_ap_mean"]].notna().all()
    five = read["table5"].set_index("split")
    ranked = [f"{name}{end}" for name in ("auc", "ap") for end in ("", "_lo", "_hi")]
    assert five.loc["test", ranked].isna().all()
    assert five.loc["validation", ranked].notna().all()
    # One of one found: the rate is there, and so is how little it says.
    assert five.loc["test", "sensitivity"] == 1
    assert five.loc["test", "sensitivity_lo"] < 0.1
    assert read["intervals"].set_index("model").loc["ecg-smart-net", ranked].isna().all()
    assert read["comparison"][["difference", "lo", "hi", "p", "p_holm"]].isna().all(axis=None)
    content = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert any("fewer than 2 patients, and so are means" in note and "fold 2 (test)" in note
               for note in content["notes"])  # fmt: skip
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "undefined (fewer than 2 patients of a class)" in page, "the legends of the curves"
    assert "fold 2 (test)" in page
    assert "1.000 to 1.000" not in page
    assert "0.000 to 0.000" not in page


def test_no_interval_of_the_report_has_no_width(report):
    for path in report.glob("*.csv"):
        table = pd.read_csv(path)
        for low in [name for name in table.columns if name.endswith("_lo") or name == "lo"]:
            high = low.removesuffix("lo") + "hi"
            assert not (table[low] >= table[high]).any(), (path.name, low)


def test_a_beat_of_two_patients_is_told(runs, dataset, tmp_path):
    """Only the dataset is another: its note stands in the report and its page."""
    source = load_dataset(dataset[0])
    folder = tmp_path / "dataset"
    folder.mkdir()
    other = int(np.flatnonzero(source.ecgs["patient_id"].to_numpy() != source.ecgs["patient_id"][0])[0])
    with DatasetWriter(folder, carried=("rhythm", "artery")) as writer:
        for k, row in enumerate(source.ecgs.to_dict("records")):
            beat = source.beats[0 if k == other else k]
            facts = {name: row[name] for name in (*source.ecgs.columns[:8], "rhythm", "artery")}
            facts |= {"omi": int(row["omi"]), "simulated": True}
            writer.add(MedianBeat(beat, 857.0, 70.0, 10, 9, np.zeros(12), ()), facts)
        info = writer.finish(label_column="omi", seed=0, inputs={})
    sums = {name: info["sha256"][name] for name in ("beats.npy", "ecgs.csv")}
    run = with_config(runs[0], tmp_path / "run", dataset=str(folder), dataset_sha256=sums)
    told = " = ".join(f"{source.ecgs['ecg_id'][k]} of {source.ecgs['patient_id'][k]}" for k in (0, other))
    assert any(told in note for note in judge(run).notes)
    assert told in write_run_page(run).read_text(encoding="utf-8")
