"""Every name of the front door has an example, and every example runs."""

import doctest
import inspect
from pathlib import Path

import numpy as np
import pytest

import omi_keras as omi

NAMES = [name for name in omi.__all__ if name != "__version__"]


@pytest.fixture(scope="module")
def at_hand(easy_dataset, model_folder, small_bundle, trained_run, tmp_path_factory):
    """What examples take for granted."""
    from omi_keras.simulate import simulate_cohort, write_records

    folder = tmp_path_factory.mktemp("examples")
    write_records(simulate_cohort(1, 1, 0.0, seed=4), folder / "ecgs")
    ecg_file = next((folder / "ecgs").rglob("*.hea"))
    dataset = omi.load_dataset(easy_dataset)
    return {
        "dataset": dataset,
        "dataset_folder": easy_dataset,
        "beats": np.asarray(dataset.beats[:4]),
        "ecg_file": ecg_file,
        "record": omi.read_record(ecg_file),
        "run_folder": trained_run,
        "model_folder": model_folder,
        "bundle": small_bundle,
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_example_runs(name, at_hand, tmp_path: Path):
    thing = getattr(omi, name)
    examples = doctest.DocTestFinder(recurse=False).find(thing, name, globs={**at_hand, "folder": tmp_path})
    assert examples and examples[0].examples, f"omi_keras.{name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    told: list[str] = []
    runner.run(examples[0], out=told.append)
    assert not runner.failures, "".join(told)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_public_is_described(name):
    thing = getattr(omi, name)
    members = [thing] if not inspect.isclass(thing) else [thing, *vars(thing).values()]
    for member in members:
        function = member.func if hasattr(member, "func") else getattr(member, "fget", member)
        if (inspect.isfunction(function) or inspect.isclass(function)) and not function.__name__.startswith("_"):
            assert inspect.getdoc(function), f"{name}: {function.__name__} has no docstring"
