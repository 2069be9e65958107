"""Where the numbers of a report come from, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omi_keras.data.artifacts import versions
from omi_keras.training.config import deciding
from omi_keras.training.run import Run, dataset_path

if TYPE_CHECKING:
    from omi_keras.report.validation import Validation

# Of what decides a run, what stands elsewhere: in the row's name, and in rows of its own.
ELSEWHERE = ("model", "dataset_sha256")
# What most runs do not do is told of those that do.
_UNUSUAL = {"training_fraction": 1.0, "first_ecg_only": False}


def provenance(runs: list[Run], resamples: int, seed: int) -> dict[str, str]:
    """Name → value: how the runs were trained, on what, with which versions, and what the report itself used."""
    found = {}
    for run in runs:
        config = run.config
        found[f"{run.model}: run"] = str(run.path)
        found[f"{run.model}: settings"] = ", ".join(
            f"{name.replace('_', ' ')} {value}"
            for name, value in deciding(config).items()
            if name not in ELSEWHERE and value is not None and _UNUSUAL.get(name) != value
        )
        folds = ", ".join(str(fold.fold) for fold in run.results)
        found[f"{run.model}: folds tested"] = f"{folds} of {len(run.split.rounds)}"
        found[f"{run.model}: trained with"] = _listed(config.get("versions"))
    config = runs[0].config
    kind = "simulated" if any(run.simulated for run in runs) else "recorded"
    found["dataset"] = f"{dataset_path(runs[0].path, config)} ({kind})"
    found |= {f"SHA-256 of {name}": str(value) for name, value in config["dataset_sha256"].items()}
    return found | {
        "bootstrap": f"{resamples} resamples of patients, seed {seed}",
        "report made with": _listed(versions()),
    }


def validation_provenance(of: Validation) -> dict[str, str]:
    """Name → value: which models judged which ECGs, and what the validation itself used."""
    found = {}
    for judge in of.judges:
        found[f"{judge.name}: {'model' if 'run by' not in judge.source else 'bundle'}"] = judge.place
        found |= {f"{judge.name}: {name}": value for name, value in judge.source.items()}
    dataset = of.data.dataset
    found["dataset"] = f"{dataset.path or 'in memory'} ({'simulated' if of.simulated else 'recorded'})"
    found |= {f"SHA-256 of {name}": value for name, value in dataset.fingerprint().items()}
    return found | {
        "bootstrap": f"{of.found.resamples} resamples of patients, seed {of.found.seed}",
        "report made with": _listed(versions()),
    }


def _listed(found: object) -> str:
    return ", ".join(f"{name} {value}" for name, value in found.items()) if isinstance(found, dict) else ""
