"""What a user wants, what a run was started with, what the machine is made for → the protocol of a run."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from omi_keras.beats.contracts import CONTRACT
from omi_keras.data.artifacts import FieldKind, read_json, sha256
from omi_keras.model import Model
from omi_keras.models.catalogue import MODELS, RANDOM_FOREST, Precision
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.numbers import is_count
from omi_keras.training.config import read_config
from omi_keras.training.protocol import Protocol
from omi_keras.training.run import FORMAT_VERSION
from omi_keras.training.start import refuse_start

# A learning curve's folder is known by it.
CURVE = "learning-curve.json"
# Decided here, from the machine and from what was begun.
_SETTLED = ("model", "precision", "imagenet_sha256", "threads", "backend", "devices", "start_sha256")


def settle(
    model: str,
    started: dict[str, Any],
    *,
    jobs: int = 1,
    mixed_precision: bool | None = None,
    threads: int | None = None,
    imagenet_weights: Path | None = None,
    start: Model | None = None,
    devices: int | None = None,
    processes: int | None = None,
    **wanted: Any,
) -> Protocol:
    """The protocol of a run.

    Parameters
    ----------
    started
        What the run was started with (:func:`started_with`), empty for a new one: what nobody asks for stays as it was.
    jobs
        Folds that share the cores of the machine.
    mixed_precision
        Compute in 16 bits; None: on a GPU only.
    threads
        Of each fold; None: the cores divided by ``jobs``.
    imagenet_weights, start
        What a ResNet-18 starts from; or the model that training goes on from.
    devices
        That share each batch of a fold; None: as it was begun, or one.
    processes
        Folds at a time on this machine's devices; None: as many as ``jobs``, 0: they train elsewhere.
    wanted
        Fields of :class:`~omi_keras.training.protocol.Protocol`; those left out are the paper's.

    Raises
    ------
    InputError
        When the model or a setting is not known, or does not fit the model.
    """
    if model not in MODELS:
        raise InputError(f"model {model!r} is not known; there are {', '.join(MODELS)}", "unknown_model")
    known = [field.name for field in fields(Protocol) if field.name not in _SETTLED]
    if unknown := set(wanted) - set(known):
        raise InputError(f"{', '.join(sorted(unknown))}: no such setting; there are {', '.join(known)}", "setting")
    if imagenet_weights and model != "resnet18":
        raise InputError(f"ImageNet weights are for resnet18, not for {model}", "setting")
    if start is not None:
        refuse_start(start, model, wanted.get("input", CONTRACT), imagenet_weights)
    if model == RANDOM_FOREST:
        of_forests = {name: wanted[name] for name in ("seed", "input", "training_fraction") if name in wanted}
        return Protocol(model, 0, 0, 0.0, "class", backend=None, **of_forests)
    from omi_keras.models.backend import load_backend
    from omi_keras.training.data_parallel import check_devices
    from omi_keras.training.runtime import available_cores, use_threads

    backend = load_backend()
    checksum = None
    if imagenet_weights:
        from omi_keras.models.weights.imagenet import weights_file

        checksum = sha256(weights_file(imagenet_weights))
    threads = threads or started.get("threads") or max(1, available_cores() // jobs)
    use_threads(threads)  # before JAX is asked whether it has a GPU, which starts it
    devices = devices or started.get("devices") or 1
    check_devices(devices, jobs if processes is None else processes)
    return Protocol(
        model, precision=_precision(mixed_precision, started), imagenet_sha256=checksum, threads=threads,
        backend=backend, devices=devices, start_sha256=None if start is None else sha256(start.weights), **wanted,
    )  # fmt: skip


def started_with(folder: Path, model: str) -> dict[str, Any]:
    """What the run, the search or the model's part of the learning curve in the folder was started with, if it was."""
    if (folder / "config.json").exists():
        return read_config(folder)
    if (folder / "search.json").exists():
        return read_json(folder / "search.json", "a search", FORMAT_VERSION, {})
    if (folder / CURVE).exists():
        found: dict[str, Any] = read_curve(folder)["protocols"].get(model, {})
        return found
    return {}


def read_curve(out: Path) -> dict[str, Any]:
    """``learning-curve.json``.

    Raises
    ------
    InputError
        When it is missing, altered or of a newer format version.
    """
    return read_json(out / CURVE, "a learning curve", FORMAT_VERSION, _OF_CURVES)


def _are_folds(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(is_count, value))


def _are_protocols(value: object) -> bool:
    return isinstance(value, dict) and all(name in MODELS and isinstance(of, dict) for name, of in value.items())


_OF_CURVES: dict[str, FieldKind] = {
    "dataset_sha256": dict, "n_folds": is_count, "seed": is_count, "folds": _are_folds, "protocols": _are_protocols,
}  # fmt: skip


def _precision(wanted: bool | None, started: dict[str, Any]) -> Precision:
    """What was asked for, in the form that the run was started with; else in the form that the machine is made for."""
    from omi_keras.training.runtime import has_gpu, mixed_precision

    if started:
        precision: Precision = started.get("precision", "float32")
        if wanted in (None, precision != "float32"):
            return precision
    return mixed_precision() if wanted or (wanted is None and has_gpu()) else "float32"
