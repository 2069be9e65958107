"""Growing training parts: whole patients, nested, stratified; the same tests for all; resumed as any run."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from helpers import run_cli
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_network import tiny

from omi_keras.data.dataset import load_dataset
from omi_keras.data.folds import nested_part
from omi_keras.recordings.errors import InputError
from omi_keras.training import fit, forest, learning_curve, load_run
from omi_keras.training.learning_curves import checked_sizes
from omi_keras.training.learning_folder import run_folder
from omi_keras.training.started import new_work

MODELS = ("--model", "mayo-alvd", "--model", "random-forest")
OPTIONS = (*MODELS, "--sizes", "1,0.3", "--folds", "0,2", "--n-folds", 4, "--epochs", 1, "--batch-size", 32)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(20, 300), st.floats(0.05, 0.6), st.lists(st.floats(0.01, 1), min_size=2, max_size=4), st.integers(0, 9)
)
def test_parts_are_nested_and_of_whole_patients_with_the_same_share_of_omi(n, prevalence, fractions, seed):
    rng = np.random.default_rng(seed)
    patient = rng.integers(0, n // 2 + 1, n)
    omi = (rng.random(n) < prevalence).astype(int)
    omi[0], omi[1], patient[1] = 1, 0, n
    names = np.array([f"p{number}" for number in patient])
    before = np.zeros(n, bool)
    for fraction in sorted(fractions):
        part = nested_part(omi, names, fraction, [seed, 1])
        assert not (before & ~part).any()
        assert not set(names[part]) & set(names[~part])
        ill = set(names[omi == 1])
        for group in (ill, set(names) - ill):
            taken = len(group & set(names[part]))
            assert taken >= 1 and abs(taken - fraction * len(group)) <= 1
        before = part
    assert nested_part(omi, names, 1.0, [seed, 1]).all()
    # The order of the ECGs and how patients are called do not matter more than the seed does.
    np.testing.assert_array_equal(nested_part(omi, names, 0.5, [seed]), nested_part(omi, names, 0.5, [seed]))


def test_another_fold_or_seed_takes_other_patients():
    omi, names = np.arange(100) % 3 == 0, np.array([f"p{number}" for number in range(100)])
    parts = [nested_part(omi.astype(int), names, 0.5, seed) for seed in ([0, 0], [0, 1], [1, 0])]
    assert (parts[0] != parts[1]).any() and (parts[0] != parts[2]).any()


@pytest.mark.parametrize("sizes", [[], [0], [0.5, 1.2], [-0.1], [float("nan")]])
def test_sizes_that_are_none(sizes):
    with pytest.raises(InputError, match="no shares of the training patients"):
        checked_sizes(sizes)


@pytest.fixture(scope="module", autouse=True)
def small_models():
    """Networks that train in milliseconds, and small forests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "build", tiny)
        patch.setattr(forest, "TREES", 40)
        patch.setattr(forest, "CANDIDATES", forest.CANDIDATES[:1])
        yield


@pytest.fixture(scope="module")
def curve(easy_dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("curve") / "curve"
    done = run_cli("learning-curve", easy_dataset, out, *OPTIONS, "--json")
    assert done.exit_code == 0, done.output
    return out, json.loads(done.stdout)


def test_all_sizes_and_models_are_tested_on_the_same_ecgs(curve, easy_dataset):
    out, told = curve
    dataset, tests, learned = load_dataset(easy_dataset), {}, {}
    table = pd.read_csv(out / "learning_curve.csv").set_index(["model", "size", "fold"])
    assert len(table) == 8 == len(told["folds"])
    assert table["simulated"].all() and told["simulated"] is True
    for (model, size, fold), row in table.iterrows():
        run = load_run(run_folder(out, model, size))
        assert run.config["training_fraction"] == size
        result = next(result for result in run.results if result.fold == fold)
        tests.setdefault(fold, []).append(result.predictions[["ecg_id", "split", "omi"]])
        learned[model, size, fold] = (row["training_ecgs"], row["training_patients"], row["training_omi"])
        assert result.metrics["ecgs"]["training"] == row["training_ecgs"]
        assert result.metrics["omi"]["training"] == row["training_omi"]
        for split, short in (("validation", "val"), ("test", "test")):
            for name in ("auc", "ap", "score"):
                assert row[f"{short}_{name}"] == pytest.approx(result.metrics[split][name])
        if size == 1:
            others = ~run.folds["fold"].isin([fold, (fold + 1) % 4])
            assert row["training_ecgs"] == others.sum()
            assert row["training_patients"] == run.folds[others]["patient_id"].nunique()
    for same in tests.values():
        assert all(table.equals(same[0]) for table in same)
    for fold in (0, 2):
        assert learned["mayo-alvd", 0.3, fold] == learned["random-forest", 0.3, fold]
        assert 0.25 < learned["mayo-alvd", 0.3, fold][1] / learned["mayo-alvd", 1.0, fold][1] < 0.35
    assert len(dataset.ecgs) == 160


def test_the_summary_has_means_over_folds_within_their_intervals(curve):
    out, told = curve
    table, summary = (pd.read_csv(out / f"learning_curve{name}.csv") for name in ("", "_summary"))
    assert list(zip(summary["model"], summary["size"], strict=True)) == [
        ("mayo-alvd", 0.3), ("mayo-alvd", 1.0), ("random-forest", 0.3), ("random-forest", 1.0),
    ]  # fmt: skip
    for row in summary.to_dict("records"):
        folds = table[(table["model"] == row["model"]) & (table["size"] == row["size"])]
        for name in ("auc", "ap"):
            assert row[f"test_{name}"] == pytest.approx(folds[f"test_{name}"].mean())
            assert row[f"test_{name}_lo"] <= row[f"test_{name}"] <= row[f"test_{name}_hi"]
        assert row["folds"] == 2 and row["simulated"]
        assert row["training_omi"] == folds["training_omi"].mean()
    assert [row["training_omi"] for row in told["summary"]] == list(summary["training_omi"])


def test_it_draws_itself_and_says_that_it_is_simulated(curve):
    out, _ = curve
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "SIMULATED data" in page and page.count("<svg") == 2 and "mayo-alvd" in page
    assert (out / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_finished_curve_is_resumed_at_once_with_more_sizes_and_never_overwritten(curve, easy_dataset, tmp_path):
    out, told = curve
    call = ("learning-curve", easy_dataset, out, *OPTIONS, "--json")
    before = (out / "mayo-alvd" / "size-0.30" / "fold-00" / "model.keras").stat().st_mtime_ns
    again = run_cli(*call, "--resume")
    assert json.loads(again.stdout) == told
    assert (out / "mayo-alvd" / "size-0.30" / "fold-00" / "model.keras").stat().st_mtime_ns == before
    refused = run_cli(*call)
    assert refused.exit_code == 2 and "exists already" in refused.stderr
    other = run_cli(*call, "--resume", "--seed", 3)
    assert other.exit_code == 2 and "was started with seed 0, not 3" in other.stderr
    other = run_cli(*call, "--resume", "--n-folds", 5)
    assert other.exit_code == 2 and "was started with n_folds 4, not 5" in other.stderr


def test_it_replaces_its_own_folder_and_nothing_else(easy_dataset, tmp_path):
    out = tmp_path / "curve"
    call = ("learning-curve", easy_dataset, out, "--model", "random-forest", "--sizes", "0.3", "--folds", 0)
    call = (*call, "--n-folds", 4)
    assert run_cli(*call).exit_code == 0
    (out / "thesis.txt").write_text("mine", encoding="utf-8")
    kept = run_cli(*call, "--force")
    assert kept.exit_code == 2 and "thesis.txt, which is no part of a learning curve" in kept.stderr
    (out / "thesis.txt").unlink()
    assert run_cli(*call, "--force").exit_code == 0
    bad = run_cli(*call[:-4], "--sizes", "2", "--resume")
    assert bad.exit_code == 2 and "no shares of the training patients" in bad.stderr
    bad = run_cli(*call[:-4], "--sizes", "0,1", "--resume")
    assert bad.exit_code == 2 and "'0,1' is no list of positive numbers like 0.1,0.5,1" in bad.stderr


def test_what_is_started_from_is_not_replaced(easy_dataset, tmp_path):
    """The model that a run of the curve keeps is read while the curve would be replaced."""
    out = tmp_path / "curve"
    model = out / "mayo-alvd" / "size-0.30" / "start"
    model.mkdir(parents=True)
    (out / "learning-curve.json").write_text('{"format_version": 1, "kind": "learning curve"}', encoding="utf-8")
    (model / "model.keras").write_bytes(b"weights")
    start = SimpleNamespace(weights=model / "model.keras")
    with (
        pytest.raises(InputError, match=r"model\.keras lies in .*curve and would be deleted with it"),
        new_work(out, "learning-curve.json", load_dataset(easy_dataset), start, force=True),
    ):
        pass
    assert (model / "model.keras").read_bytes() == b"weights"


def test_python_gives_what_the_command_writes(curve, easy_dataset, tmp_path):
    out, _ = curve
    found = learning_curve(
        load_dataset(easy_dataset), tmp_path / "curve", ["random-forest"], sizes=[0.3, 1], split=4, folds=[0, 2]
    )
    expected = pd.read_csv(out / "learning_curve.csv")
    expected = expected[expected["model"] == "random-forest"].reset_index(drop=True)
    pd.testing.assert_frame_equal(found.table, expected, check_dtype=False)
    assert found.simulated and len(found.summary) == 2


@pytest.fixture
def begun(easy_dataset, tmp_path):
    """Call the command for a small curve in ``out``; exit code, output and both tables."""
    out = tmp_path / "curve"
    common = ("learning-curve", easy_dataset, out, "--n-folds", 4, "--epochs", 1, "--batch-size", 32)

    def call(*options):
        return run_cli(*common, *options)

    return out, call


def parts(out):
    table = pd.read_csv(out / "learning_curve.csv")
    return set(zip(table["model"], table["size"], table["fold"], strict=True))


def test_what_is_added_to_a_curve_joins_what_was_there(begun):
    out, call = begun
    assert call("--model", "random-forest", "--sizes", "1", "--folds", 0).exit_code == 0
    assert call("--model", "random-forest", "--sizes", "0.3", "--folds", 0, "--resume").exit_code == 0
    assert parts(out) == {("random-forest", 0.3, 0), ("random-forest", 1.0, 0)}
    assert call("--model", "mayo-alvd", "--sizes", "0.3", "--folds", 0, "--resume").exit_code == 0
    before = {("random-forest", 0.3, 0), ("random-forest", 1.0, 0), ("mayo-alvd", 0.3, 0)}
    assert parts(out) == before
    assert (out / "report.html").read_text(encoding="utf-8").count("mayo-alvd") >= 2
    # Another fold of some: only what has all folds can be compared, and what lacks one is named.
    more = call("--model", "random-forest", "--sizes", "1", "--folds", 2, "--resume", "--json")
    told = json.loads(more.stdout)
    assert parts(out) == {("random-forest", 1.0, 0), ("random-forest", 1.0, 2)}
    assert told["remarks"] == [
        "not in the tables, because folds of them are not finished: random-forest size 0.3 (fold 2), "
        "mayo-alvd size 0.3 (fold 2); --resume with them goes on"
    ]
    assert "Not in the tables" in (out / "report.html").read_text(encoding="utf-8")
    whole = call(*MODELS, "--sizes", "0.3", "--folds", "0,2", "--resume", "--json")
    assert json.loads(whole.stdout)["remarks"] == [] and len(parts(out)) == 6


def test_one_curve_has_one_seed_and_one_protocol_for_each_model(begun):
    out, call = begun
    assert call("--model", "mayo-alvd", "--sizes", "0.5", "--folds", 0, "--jobs", 2).exit_code == 0
    before = json.loads((out / "learning-curve.json").read_text(encoding="utf-8"))
    refused = {
        ("--seed", 7): "was started with seed 0, not 7",
        ("--augment", "strong"): "was started with augment none, not strong",
        ("--model", "random-forest", "--seed", 1): "was started with seed 0, not 1",
        ("--threads", before["protocols"]["mayo-alvd"]["threads"] + 1): "was started with threads",
    }
    for options, why in refused.items():
        done = call("--model", "mayo-alvd", "--sizes", "1", "--folds", 0, "--resume", *options)
        assert done.exit_code == 2 and why in done.stderr, done.output
        assert not (out / "mayo-alvd" / "size-1.00").exists()
    # Nobody asks for threads or jobs again: the other size is trained with as many as the first.
    assert call("--model", "mayo-alvd", "--sizes", "1", "--folds", 0, "--resume").exit_code == 0
    threads = {load_run(run).config["threads"] for run in (out / "mayo-alvd").glob("size-*")}
    assert threads == {before["protocols"]["mayo-alvd"]["threads"]}
    assert len(parts(out)) == 2


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--folds", 11), "fold 11 does not exist"),
        (("--sizes", "1e-9,1"), "leaves no patient with OMI to learn from"),
        (("--split-column", "nowhere"), "nowhere"),
        (("--scheduler", "dask://localhost:1"), "no Dask scheduler answers"),
        (("--scheduler", "elsewhere"), "expected local or dask://HOST:PORT"),
    ],
)
def test_what_cannot_be_done_leaves_nothing(easy_dataset, tmp_path, monkeypatch, options, why):
    monkeypatch.setattr("omi_keras.data.workers.CONNECT_SECONDS", 1)
    for command in (("learning-curve", "--model", "random-forest"), ("search-lr",), ("train",)):
        if command[0] != "learning-curve" and options[0] == "--sizes":
            continue
        out = tmp_path / command[0]
        done = run_cli(command[0], easy_dataset, out, *command[1:], *options)
        assert done.exit_code == 2 and why in done.stderr, done.output
        assert not out.exists()


@pytest.mark.parametrize(
    "changed",
    [{"protocols": {"../..": {}}}, {"protocols": {"mayo-alvd": 3}}, {"folds": ["0"]}, {"folds": []}, {"seed": "a"}],
)
def test_an_altered_curve_is_not_gone_on_with(begun, changed):
    out, call = begun
    out.mkdir()
    good = {"format_version": 1, "kind": "learning curve", "dataset_sha256": {}, "n_folds": 4, "seed": 0, "folds": [0]}
    content = good | {"protocols": {}} | changed
    (out / "learning-curve.json").write_text(json.dumps(content), encoding="utf-8")
    done = call("--model", "mayo-alvd", "--sizes", "1", "--folds", 0, "--resume")
    assert done.exit_code == 2 and next(iter(changed)) in done.stderr and "learning-curve.json" in done.stderr


def test_sizes_that_are_almost_the_same_are_two():
    names = [run_folder(Path("curve"), "mayo-alvd", size).name for size in (0.1, 0.0625, 0.1234567, 0.1234568)]
    assert names == ["size-0.10", "size-0.0625", "size-0.1234567", "size-0.1234568"]


def test_a_forest_has_no_use_for_what_networks_are_told(begun):
    _, call = begun
    done = call("--model", "random-forest", "--sizes", "1", "--folds", 0, "--augment", "strong")
    assert done.exit_code == 0
    assert "random-forest has no use for --epochs, --batch-size, --augment" in done.stderr


def test_what_is_undefined_is_explained(easy_dataset, tmp_path):
    data = load_dataset(easy_dataset)
    first = ~data.ecgs["patient_id"].duplicated()
    ill, well = (np.flatnonzero(first & (data.ecgs["omi"] == label)) for label in (1, 0))
    few = data.part(np.isin(np.arange(len(data.ecgs)), [*ill[:4], *well[:8]]))
    curve = learning_curve(few, tmp_path / "curve", "random-forest", sizes=[1], split=4, folds=[0])
    assert np.isnan(curve.summary["test_auc"]).all()
    assert curve.remarks == [
        "AUC and average precision are undefined where a test fold has fewer than 2 patients of a class; take fewer "
        "folds, or more ECGs"
    ]


@pytest.mark.parametrize(
    ("models", "options", "why"),
    [
        ([], {}, "no model is named"),
        (["mayo-alvd"], {"sizes": 0.5}, "no list of numbers"),
        (["mayo-alvd"], {"sizes": ["a"]}, "no list of numbers"),
        (["mayo-alvd"], {"sizes": [], "resume": True}, "no shares"),
        (["mayo-alvd"], {"training_fraction": 0.5}, "is what sizes say"),
    ],
)
def test_python_is_refused_as_the_command_is(easy_dataset, tmp_path, models, options, why):
    with pytest.raises(InputError, match=why):
        learning_curve(load_dataset(easy_dataset), tmp_path / "curve", models, split=4, **options)
    assert not (tmp_path / "curve").exists()
