"""Training that goes on from a model: its weights, never on who knows it, and what it knew is not forgotten."""

import json
import re
import shutil

import keras
import numpy as np
import pandas as pd
import pytest
from helpers import run_cli
from tiny_network import tiny

import omi_keras as omi
from omi_keras.data.dataset import load_dataset
from omi_keras.data.in_place import refuse_existing
from omi_keras.models import model_folder
from omi_keras.models.known_ecgs import known_sums
from omi_keras.recordings.errors import InputError
from omi_keras.training import cross_validation, fit
from omi_keras.training.settings import settle

QUICK = {"epochs": 2, "batch_size": 16, "learning_rate": 1e-2, "threads": 1}
# So small a rate leaves the weights as they are.
STILL = QUICK | {"epochs": 1, "learning_rate": 1e-30}


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    for module in (fit, model_folder):
        monkeypatch.setattr(module, "build", tiny)


def hospital(data, rows, prefix=""):
    """A part of the easy ECGs as another hospital's."""
    part, ecgs = data.part(rows), data.ecgs.iloc[rows]
    return omi.Dataset.from_arrays(
        part.beats, ecgs["omi"], prefix + ecgs["patient_id"], simulated=True, ecg_id=prefix + ecgs["ecg_id"],
        site=ecgs["site"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def hospitals(easy_dataset, tmp_path_factory):
    """Two hospitals' datasets on disk, and a model of the first with its run."""
    data, folder = load_dataset(easy_dataset), tmp_path_factory.mktemp("hospitals")
    first = np.flatnonzero(data.ecgs["patient_id"].str[-3:].astype(int) % 2 == 0)
    here = hospital(data, first).save(folder / "here")
    hospital(data, np.setdiff1d(np.arange(len(data.ecgs)), first)).save(folder / "there")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "build", tiny)
        patch.setattr(model_folder, "build", tiny)
        omi.cross_validate(here, folder / "run", "mayo-alvd", split=3, folds=[0], **QUICK).select().save(
            folder / "model"
        )
    return folder


def weights(path):
    return keras.models.load_model(path).get_weights()


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def trainable(values):
    """Weights of the tiny network without its running statistics."""
    return [value for place, value in enumerate(values) if place not in (3, 4)]


def test_it_starts_from_the_model_s_weights(hospitals, tmp_path):
    there, start = load_dataset(hospitals / "there"), weights(hospitals / "model" / "model.keras")
    omi.cross_validate(there, tmp_path / "fresh", "mayo-alvd", split=3, folds=[0], **STILL)
    omi.cross_validate(there, tmp_path / "on", "mayo-alvd", split=3, folds=[0], start=hospitals / "model", **STILL)
    fresh, found = (weights(tmp_path / run / "fold-00" / "model.keras") for run in ("fresh", "on"))
    assert same(trainable(found), trainable(start))
    assert not same(trainable(fresh), trainable(start))
    config = json.loads((tmp_path / "on" / "config.json").read_text(encoding="utf-8"))
    info = json.loads((hospitals / "model" / "model.json").read_text(encoding="utf-8"))
    assert config["start_sha256"] == info["sha256"]["model.keras"]
    assert config["start"] == {"path": str(hospitals / "model"), "simulated": True, "complete": True}
    assert config["learning_rate"] == 1e-30
    assert settle("mayo-alvd", {}, start=omi.load_model(hospitals / "model")).learning_rate == 1e-4
    refuse_existing(tmp_path / "on", "config.json", force=True)  # nothing in it is strange to --force


def test_models_in_the_hand_and_in_a_folder_are_the_same_start(hospitals, tmp_path):
    there = load_dataset(hospitals / "there")
    chosen = omi.load_run(hospitals / "run").select()
    omi.cross_validate(there, tmp_path / "run", "mayo-alvd", split=3, folds=[0], start=chosen, **STILL)
    # Taken up with the folder of the same model.
    again = omi.cross_validate(
        there, tmp_path / "run", "mayo-alvd", split=3, start=hospitals / "model", resume=True, **STILL
    )
    assert len(again.results) == 3
    assert chosen.path is None
    in_memory = omi.model.Model(chosen.info, chosen.folds, network=tiny())
    with pytest.raises(InputError, match="in memory only; save it first"):
        omi.cross_validate(there, tmp_path / "other", "mayo-alvd", start=in_memory, **STILL)
    with pytest.raises(InputError, match=r"was started with start_sha256 .*, not None"):
        omi.cross_validate(there, tmp_path / "run", "mayo-alvd", split=3, resume=True, **STILL)


def content(run):
    return weights(run / "fold-00" / "model.keras"), (run / "fold-00" / "history.csv").read_bytes()


def test_stopped_resumed_and_on_a_cluster_the_same_to_the_bit(hospitals, cluster, tmp_path, monkeypatch):
    there, saved = load_dataset(hospitals / "there"), fit.save_checkpoint
    how = {"model": "mayo-alvd", "split": 3, "folds": [0], **QUICK}
    omi.cross_validate(there, tmp_path / "whole", start=hospitals / "model", **how)

    def stop(path, model, optimizer, progress, run_id):
        saved(path, model, optimizer, progress, run_id)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fit, "save_checkpoint", stop)
        with pytest.raises(KeyboardInterrupt):
            omi.cross_validate(there, tmp_path / "resumed", start=hospitals / "model", **how)
    omi.cross_validate(there, tmp_path / "resumed", start=hospitals / "model", **how, resume=True)
    monkeypatch.chdir(hospitals)  # a relative path means something else where a worker is
    omi.cross_validate(there, tmp_path / "dask", start="model", **how, scheduler=cluster)
    wanted = content(tmp_path / "whole")
    for run in ("resumed", "dask"):
        found = content(tmp_path / run)
        assert same(found[0], wanted[0])
        assert found[1] == wanted[1]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--model", "ecg-smart-net"), "model is a mayo-alvd, and a ecg-smart-net cannot go on from it"),
        (("--model", "random-forest"), "a random forest grows anew and cannot go on from a model"),
    ],
)
def test_another_network_is_refused(options, sentence, hospitals, tmp_path):
    done = run_cli("train", hospitals / "there", tmp_path / "run", *options, "--start", hospitals / "model")
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert not (tmp_path / "run").exists()


def test_an_ensemble_or_another_input_contract_is_refused(hospitals, tmp_path):
    start = omi.load_model(hospitals / "model")
    several = omi.model.Model(start.info | {"members": 3}, start.folds, weights=start.weights)
    with pytest.raises(InputError, match="is an ensemble of 3 networks, and one network is trained"):
        omi.cross_validate(load_dataset(hospitals / "there"), tmp_path / "run", "mayo-alvd", start=several, **STILL)
    other = omi.model.Model(start.info | {"input": "maxabs-200"}, start.folds, weights=start.weights)
    with pytest.raises(InputError, match="takes maxabs-200, and was not made for the input contract zscore-400"):
        omi.cross_validate(load_dataset(hospitals / "there"), tmp_path / "run", "mayo-alvd", start=other, **STILL)


def test_a_start_that_is_none_or_was_altered_is_refused(hospitals, tmp_path):
    there = load_dataset(hospitals / "there")
    with pytest.raises(InputError, match="is not a model folder"):
        omi.cross_validate(there, tmp_path / "run", "mayo-alvd", start=tmp_path, **STILL)
    shutil.copytree(hospitals / "model", tmp_path / "model")
    with (tmp_path / "model" / "model.keras").open("ab") as file:
        file.write(b"more")
    with pytest.raises(InputError, match=r"model\.keras is missing or was altered"):
        omi.cross_validate(there, tmp_path / "run", "mayo-alvd", start=tmp_path / "model", **STILL)
    assert not (tmp_path / "run").exists()
    # The copy in the run is what everybody trains from.
    run = tmp_path / "run"
    omi.cross_validate(there, run, "mayo-alvd", split=3, folds=[0], start=hospitals / "model", **STILL)
    shutil.rmtree(run / "start")
    shutil.copytree(tmp_path / "model", run / "start")
    cross_validation._load.cache_clear()
    with pytest.raises(InputError, match=r"start/model\.keras is missing or was altered"):
        omi.cross_validate(there, run, "mayo-alvd", split=3, folds=[1], start=hospitals / "model", resume=True, **STILL)


def known_to(model):
    return model.folds[model.folds["fold"] != model.info["test_fold"]]


def test_who_trained_the_start_is_not_judged(hospitals, tmp_path):
    model, here = omi.load_model(hospitals / "model"), load_dataset(hospitals / "here")
    there = load_dataset(hospitals / "there")
    one = known_to(model).iloc[0]
    where = np.flatnonzero(here.ecgs["ecg_id"] == one["ecg_id"])
    how = {"model": "mayo-alvd", "start": model, **STILL}

    def cohort(patient_id=None, ecg_id=None, part="test", beats=1.1 * here.beats[where]):
        """The other hospital and one ECG that looks in one way like one that the start knows."""
        beats = np.concatenate([there.beats, beats])
        ids = [*there.ecgs["ecg_id"], ecg_id or "new"]
        people = [*there.ecgs["patient_id"], patient_id or "new"]
        number = there.ecgs["patient_id"].str[-3:].astype(int) // 2
        parts = [*np.array(["train", "validation", "test"])[number % 3], part]
        labels = [*there.ecgs["omi"], here.ecgs["omi"].iloc[where[0]]]
        return omi.Dataset.from_arrays(beats, labels, people, simulated=True, ecg_id=ids, part=parts)

    patient = f"\u200b{one['patient_id']}"  # looks the same
    for part in ("test", "validation"):
        for known, told in (
            (
                {"patient_id": patient},
                f"1 patient of the validation or test part ({one['patient_id']}), known by the pat",
            ),
            ({"ecg_id": one["ecg_id"]}, f"1 ECG of the validation or test part ({one['ecg_id']}), known by the ecg_id"),
            ({"beats": here.beats[where]}, "1 ECG of the validation or test part (new), known by the median beat"),
        ):
            # Beats are the same whatever ids mean.
            with pytest.raises(InputError, match=re.escape(told)):
                omi.cross_validate(
                    cohort(part=part, **known), tmp_path / "run", split="part", other_patients="beats" in known, **how
                )
    assert not (tmp_path / "run").exists()
    both = {"patient_id": one["patient_id"], "ecg_id": one["ecg_id"]}
    # In the training part it may be; and where ids are another hospital's own, they name others.
    omi.cross_validate(cohort(**both, part="train"), tmp_path / "trained", split="part", **how)
    omi.cross_validate(cohort(**both), tmp_path / "others", split="part", other_patients=True, **how)


def test_of_the_same_dataset_equal_ids_are_the_same_people(hospitals, tmp_path):
    done = run_cli(
        "train", hospitals / "here", tmp_path / "run", "--model", "mayo-alvd", "--start", hospitals / "model",
        "--n-folds", 3, "--folds", 1, "--other-patients",
    )  # fmt: skip
    assert done.exit_code == 2
    assert "trained or validated" in done.stderr
    assert "--other-patients" not in done.stderr
    # Its own test fold, as it was divided, is no secret.
    found = omi.load_run(hospitals / "run")
    judged = found.folds["fold"] == 0
    rows = np.flatnonzero(judged)
    ecgs = load_dataset(hospitals / "here").part(rows)
    assert not set(ecgs.ecgs["ecg_id"]) & set(known_to(found.select())["ecg_id"])


def test_a_successor_remembers_whom_its_start_knew(hospitals, tmp_path):
    there = load_dataset(hospitals / "there")
    how = {"model": "mayo-alvd", "split": 3, "folds": [0], **STILL}
    run = omi.cross_validate(there, tmp_path / "run", start=hospitals / "model", **how)
    run.select().save(tmp_path / "successor")
    successor, start = omi.load_model(tmp_path / "successor"), omi.load_model(hospitals / "model")
    own = set(known_to(run_model(run))["ecg_id"])
    assert set(known_to(successor)["ecg_id"]) == own | set(known_to(start)["ecg_id"])
    assert not successor.folds["ecg_id"].duplicated().any()
    sums, complete = known_sums(successor.info, successor.folds)
    assert complete
    assert known_sums(start.info, start.folds)[0] < sums
    with pytest.raises(InputError, match="trained or validated"):
        omi.cross_validate(load_dataset(hospitals / "here"), tmp_path / "back", start=successor, **how)
    from edge.export import gate_rows

    rows = gate_rows(successor, there, 0)
    assert sum(map(len, rows.values())) == len(there.ecgs)


def test_ids_of_other_people_do_not_make_it_forget(hospitals, tmp_path):
    here, there = (load_dataset(hospitals / name) for name in ("here", "there"))
    # The other hospital numbers its ECGs and patients as the first one does.
    name = dict(zip(there.ecgs["patient_id"].unique(), here.ecgs["patient_id"].unique(), strict=False))
    count = min(len(here.ecgs), len(there.ecgs))
    other = omi.Dataset.from_arrays(
        there.beats[:count], there.ecgs["omi"][:count], [name[of] for of in there.ecgs["patient_id"][:count]],
        simulated=True, ecg_id=here.ecgs["ecg_id"][:count],
    )  # fmt: skip
    how = {"model": "mayo-alvd", "split": 3, "folds": [0], "other_patients": True, **STILL}
    run = omi.cross_validate(other, tmp_path / "run", start=hospitals / "model", **how)
    start = omi.load_model(hospitals / "model")
    successor = run.select()
    sums, complete = known_sums(successor.info, successor.folds)
    assert complete
    assert known_sums(start.info, start.folds)[0] < sums
    assert not successor.folds["ecg_id"].duplicated().any()
    with pytest.raises(InputError, match="by their median beat"):
        successor.validate(here, other_patients=True)


def run_model(run):
    """What a model of the run knows without its start."""
    table, _, test = run.split.of_model(run.folds, 0)
    return omi.model.Model({"model": "mayo-alvd", "test_fold": test}, table)


def test_what_an_imported_model_knows_nobody_can_say(hospitals, tmp_path):
    start = omi.load_model(hospitals / "model")
    omi.model.Model(start.info | {"provenance": {"imported_from": "PyTorch"}}, network=start.network).save(
        tmp_path / "imported"
    )
    done = run_cli(
        "train", hospitals / "here", tmp_path / "run", "--model", "mayo-alvd", "--start", tmp_path / "imported",
        "--n-folds", 3, "--folds", 0, "--epochs", 1, "--threads", 1,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "was trained on is not known" in done.stderr
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Training of mayo-alvd went on from the model" in page
    model = omi.load_run(tmp_path / "run").select()
    assert len(model.folds) == len(pd.read_csv(tmp_path / "run" / "folds.csv"))
    assert known_sums(model.info, model.folds)[1] is False


def test_a_run_is_not_replaced_by_one_that_starts_from_it(hospitals, tmp_path):
    shutil.copytree(hospitals / "run", tmp_path / "run")
    start = omi.load_run(tmp_path / "run").select()
    with pytest.raises(InputError, match="would be deleted with it"):
        omi.cross_validate(
            load_dataset(hospitals / "there"), tmp_path / "run", "mayo-alvd", split=3, start=start, force=True, **STILL
        )
    assert (tmp_path / "run" / "fold-00" / "model.keras").exists()


def test_rates_are_searched_for_fine_tuning(hospitals, tmp_path):
    done = run_cli(
        "search-lr", hospitals / "there", tmp_path / "search", "--model", "mayo-alvd", "--start", hospitals / "model",
        "--n-folds", 3, "--folds", 0, "--rates", "1e-30", "--epochs", 1, "--batch-size", 16, "--threads", 1,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    start = weights(hospitals / "model" / "model.keras")
    assert same(trainable(weights(tmp_path / "search" / "rate-1e-30" / "fold-00" / "model.keras")), trainable(start))
    refuse_existing(tmp_path / "search", "search.json", force=True)
