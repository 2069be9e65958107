"""Model files have the same bytes whenever, and wherever in memory, they are made."""

import errno
import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from skops.io import dumps

from omi_keras.measures.features import FEATURES
from omi_keras.models import archive
from omi_keras.models.archive import errors_name, same_forest_bytes, save_network
from omi_keras.models.catalogue import build
from omi_keras.models.model_folder import load_weights
from omi_keras.models.random_forest import grow_forest, load_forest, save_forest
from omi_keras.recordings.errors import InputError

# Saves both kinds of model twice, after other models were built and memory was used.
SCRIPT = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_archive
clutter = [{str(k): [k] * 7} for k in range(int(sys.argv[3]))]
test_archive.build("mayo-alvd")
test_archive.save_both(Path(sys.argv[1]))
"""


def save_both(folder):
    save_network(folder / "model.keras", build("mayo-alvd", seed=3))
    rng = np.random.default_rng(0)
    features, omi = rng.standard_normal((100, len(FEATURES))), (np.arange(100) % 3 == 0).astype(int)
    save_forest(
        folder / "model.skops", grow_forest(features, omi, trees=30, min_samples_leaf=2, max_features=0.1, seed=1)
    )


def sums(folder):
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("model.keras", "model.skops")}


def test_another_process_gives_the_same_bytes(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    save_both(tmp_path / "here")
    arguments = [str(tmp_path / "there"), os.path.dirname(__file__), "5000"]  # noqa: PTH120
    subprocess.run([sys.executable, "-c", SCRIPT, *arguments], check=True, timeout=300, stderr=subprocess.DEVNULL)
    assert sums(tmp_path / "here") == sums(tmp_path / "there")
    # And at another time: the archive's own clock ticks every two seconds.
    for name in sums(tmp_path / "here"):
        with zipfile.ZipFile(tmp_path / "here" / name) as archive:
            assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
            assert archive.namelist() == sorted(archive.namelist())
            assert b"date_saved" not in b"".join(archive.read(part) for part in archive.namelist())
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["model.keras", "model.skops"]


def test_what_is_read_back_is_what_was_saved(tmp_path):
    model = build("mayo-alvd", seed=3)
    save_network(tmp_path / "model.keras", model)
    for found, expected in zip(load_weights("mayo-alvd", tmp_path / "model.keras").weights, model.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
    import keras

    whole = keras.models.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).standard_normal((2, 12, 400, 1)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(whole(x)), np.asarray(model(x)))


def test_objects_that_are_shared_stay_shared_and_numbers_mean_nothing(tmp_path):
    rng = np.random.default_rng(0)
    features, omi = rng.standard_normal((100, len(FEATURES))), (np.arange(100) % 3 == 0).astype(int)
    forest = grow_forest(features, omi, trees=30, min_samples_leaf=2, max_features=0.1, seed=1)
    array = np.arange(5.0)
    content = same_forest_bytes(dumps({"a": array, "b": array, "c": array.copy()}))
    assert content == same_forest_bytes(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        schema = json.loads(archive.read("schema.json"))
        files = [schema["content"][name]["file"] for name in "abc"]
        assert files[0] == files[1] != files[2]
    save_forest(tmp_path / "model.skops", forest)
    again = load_forest(tmp_path / "model.skops")
    np.testing.assert_array_equal(again.probability(features), forest.probability(features))
    np.testing.assert_array_equal(again.importances, forest.importances)


def test_a_full_disk_has_a_name(tmp_path):
    path = tmp_path / "model.keras"
    with pytest.raises(OSError, match=r"No space left on device: '.*model\.keras'"), errors_name(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="its own"), errors_name(path):
        raise OSError(errno.ENOSPC, "No space left on device", "its own")
    with (
        pytest.raises(OSError, match=r"for want of space \(52 requested and 47 written\): '.*model\.keras'"),
        errors_name(path),
    ):
        raise OSError("52 requested and 47 written")  # NumPy's


def test_a_model_that_could_not_be_written_leaves_nothing(tmp_path):
    class Broken:
        def save(self, path):
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"model\.keras"):
        save_network(tmp_path / "model.keras", Broken())
    assert list(tmp_path.iterdir()) == []


def test_what_describes_no_network_is_no_model_file(tmp_path):
    """And a description that grows when it is unpacked is not unpacked."""
    for name, config in (("list", b"[]"), ("large", b" " * (archive._MOST_CONFIG + 1))):
        path = tmp_path / f"{name}.keras"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("config.json", config)
        with pytest.raises(InputError, match="does not hold the weights of a network"):
            load_weights("mayo-alvd", path)
