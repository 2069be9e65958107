"""Where the numbers come from, in words: every setting of a run is told."""

import json
from dataclasses import asdict, fields

import pytest
from benchmark_evaluation import fabricate_run

from omi_keras.report.provenance import ELSEWHERE, provenance
from omi_keras.training.protocol import Protocol
from omi_keras.training.run import load_run

SIZE = {"ecgs": 200, "patients": 150, "prevalence": 0.2, "n_folds": 3}
PROTOCOL = Protocol(
    model="resnet18", epochs=37, batch_size=93, learning_rate=2.5e-5, balance="class", seed=41,
    precision="mixed_bfloat16", imagenet_sha256="abc123", threads=7, backend="jax",
    devices=5, weight_decay=0.01, schedule="constant", stop_after=9, monitor="loss", start_sha256="def456",
    input="maxabs-200", augment="light", loss="focal", label_smoothing=0.1, dropout=0.2, training_fraction=0.5,
)  # fmt: skip


def told(folder, model, config):
    run = load_run(fabricate_run(folder / "run", model, config=config, **SIZE))
    return provenance([run], 100, 0)[f"{model}: settings"]


@pytest.mark.parametrize("field", [field.name for field in fields(Protocol)])
def test_every_setting_of_a_network_is_told(field, tmp_path):
    """A setting that is added later is told as well, or named among those that stand elsewhere."""
    settings = told(tmp_path, "resnet18", asdict(PROTOCOL))
    told_so = f"{field.replace('_', ' ')} {getattr(PROTOCOL, field)}" in settings.split(", ")
    assert told_so != (field in ELSEWHERE)


def test_a_run_in_16_bits_says_so(tmp_path):
    assert "precision mixed_float16" in told(tmp_path, "mayo-alvd", {"precision": "mixed_float16"})


def test_a_forest_tells_what_forests_have(tmp_path):
    assert told(tmp_path, "random-forest", asdict(PROTOCOL) | {"model": "random-forest"}) == (
        "seed 41, training fraction 0.5, n folds 3"
    )


def test_the_dataset_is_named_where_it_is(tmp_path):
    run = fabricate_run(tmp_path / "a" / "run", "mayo-alvd", config={"dataset_from_run": "../data"}, **SIZE)
    data = tmp_path / "a" / "data"
    data.mkdir()
    sums = json.loads((run / "config.json").read_text(encoding="utf-8"))["dataset_sha256"]
    (data / "dataset.json").write_text(json.dumps({"sha256": sums}), encoding="utf-8")
    assert provenance([load_run(run)], 100, 0)["dataset"] == f"{data} (simulated)"
