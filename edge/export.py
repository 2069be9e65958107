"""Trained model → bundle: calibrate, convert, pass the parity gate, and only then write.

This runs where the model was trained; it imports TensorFlow when it is called. Nothing on a device imports it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge.bundle import write_bundle
from edge.conversion import conversion
from edge.convert import BYTES_PER_PARAMETER, Converted, Quantization
from edge.graph import SAMPLES
from edge.limits import LIMITS
from edge.network import SIGNATURE, Network, fitted
from edge.parity import compare, exceeded
from edge.signature import sign
from edge.verified import MANIFEST, MOST_BYTES
from omi_keras.beats.contracts import input_details
from omi_keras.beats.median_beats import R_SAMPLE
from omi_keras.beats.model_inputs import CROP_START
from omi_keras.data.artifacts import new_folder, plain, refuse_existing, sha256, versions
from omi_keras.data.beat_sums import beat_sums, packed
from omi_keras.data.dataset import Dataset
from omi_keras.data.folds import FEWEST_FOLDS, assign_folds, most_folds
from omi_keras.model import Model
from omi_keras.models.catalogue import NETWORKS
from omi_keras.models.known_ecgs import known_sums
from omi_keras.models.model_card import model_card, told_of
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.numbers import is_count

CALIBRATION_BEATS = 256
PARITY_BEATS = 128


class ParityError(RuntimeError):
    """The converted model is not close enough to the trained one."""


def gate_rows(model: Model, dataset: Dataset, seed: int) -> dict[str, np.ndarray]:
    """Rows of ``dataset`` that calibrate (``training``) and that are judged (``validation``, ``test``).

    A model that was trained here calibrates on its training folds. What an imported one was trained on is not known,
    of the dataset by which a model was recalibrated nothing was trained on, and every fold of an ensemble has taught
    one of its members: they calibrate on one of three patient-grouped folds, and the two others are judged. The gate
    compares two forms of one model and needs no ECG that is new to it.

    Raises
    ------
    InputError
        When the dataset is neither the one that the model was trained on nor the one it was recalibrated by, or the
        model is no network.
    """
    if model.info["model"] not in NETWORKS:
        raise InputError(f"{model.path} is a {model.info['model']}, and only networks become bundles", "no_network")
    calibration = model.info.get("calibration")
    local = calibration is not None and dataset.fingerprint() == calibration["dataset_sha256"]
    if local or model.folds is None or "imported_from" in model.info["provenance"]:
        return _thirds(dataset, seed)
    trained_on = model.info["provenance"]["dataset_sha256"]
    if dataset.fingerprint() != trained_on:
        raise InputError(
            f"{dataset.path} is not the dataset that {model.path} was trained on, so its training ECGs are not "
            f"known; give that dataset{' or the one that it was recalibrated by' if calibration else ''}",
            "other_dataset",
        )
    if model.members > 1:
        return _thirds(dataset, seed)
    fold = dataset.ecgs["ecg_id"].map(model.folds.set_index("ecg_id")["fold"]).to_numpy(float)
    validation, test = (fold == model.info[f"{part}_fold"] for part in ("validation", "test"))
    training = ~np.isnan(fold) & ~validation & ~test & ~np.isin(fold, model.info.get("recalibration_folds", ()))
    parts = {"training": training, "validation": validation, "test": test}
    if empty := [name for name, part in parts.items() if not part.any()]:
        raise InputError(
            f"{model.path} has no {empty[0]} ECGs in its folds.csv; make the model folder again", "altered"
        )
    return {name: np.flatnonzero(part) for name, part in parts.items()}


def judged_part(model: Model) -> str:
    """What the gate's ECGs are called in the manifest."""
    return "validation_and_test" if model.members == 1 else "seen_by_members"


def _thirds(dataset: Dataset, seed: int) -> dict[str, np.ndarray]:
    rows = dataset.labelled()
    ecgs = dataset.ecgs.iloc[rows]
    omi, patient_id = ecgs["omi"].to_numpy(int), ecgs["patient_id"].to_numpy(str)
    fold = assign_folds(omi, patient_id, most_folds(omi, patient_id, FEWEST_FOLDS), seed)
    return {part: rows[fold == number] for number, part in enumerate(("training", "validation", "test"))}


def export_bundle(
    model: Model,
    dataset: Dataset,
    out: Path,
    *,
    quantization: Quantization = "int8",
    samples: int = SAMPLES[0],
    limits: dict[str, float] | None = None,
    private_key: Any = None,
    seed: int = 0,
    force: bool = False,
    refused: Callable[[Converted, list[str]], None] = lambda candidate, failures: None,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Write a bundle that passed the gate; return its manifest.

    The gate compares the converted model with the trained one on the validation and test folds (of an ensemble, or of a
    model that was recalibrated and is exported with its local dataset, on two thirds of the dataset, see
    :func:`gate_rows`). int8 takes its
    ranges, int8 and dynamic take the mean error of their logits, from class-balanced beats of the training folds,
    never from those.

    Parameters
    ----------
    samples
        Length of the beats that the exported model takes: 600, or the 400 that are left of them after the crop.
    limits
        The gate's, :data:`edge.limits.LIMITS` when None.
    private_key
        Signs the bundle, see :mod:`edge.signature`.

    ``refused`` hears of each candidate that failed before one with more layers in float is tried; ``tick`` of
    the ECGs that the gate has judged and will judge.

    Raises
    ------
    InputError
        When ``out`` exists, or holds what no bundle does, the dataset does not belong to the model, or the ensemble is
        too large for a bundle.
    ParityError
        When a limit is exceeded; nothing is written, and the worst ECGs are named.
    """
    refuse_existing(out, MANIFEST, force)
    limits = LIMITS[quantization] if limits is None else limits
    rows = gate_rows(model, dataset, seed)
    _refuse_too_large(model, quantization)
    omi = dataset.ecgs["omi"].fillna(-1).to_numpy(int)
    rng = np.random.default_rng(seed)
    calibration = _balanced(rows["training"], omi, CALIBRATION_BEATS, rng)
    judged = np.sort(np.concatenate([rows["validation"], rows["test"]]))
    beats = dataset.beats[calibration]
    with conversion(model.network, quantization, beats, samples, model.contract) as candidates:
        expected = model.probability(dataset.beats[judged])
        for candidate in candidates:
            exported = _run(candidate.content, dataset.beats[judged], tick)
            result = compare(expected, exported, omi[judged], model.threshold)
            failures = exceeded(result, limits)
            if not failures:
                break
            refused(candidate, failures)
        else:
            worst = np.argsort(-np.abs(exported - expected), kind="stable")[:3]
            names = ", ".join(
                f"{dataset.ecgs['ecg_id'].iat[judged[i]]} ({expected[i]:.3f} → {exported[i]:.3f})" for i in worst
            )
            raise ParityError(f"{quantization} export failed the parity gate: {'; '.join(failures)}; worst: {names}")

    sample = _balanced(np.arange(len(judged)), omi[judged], PARITY_BEATS, rng)
    parity_set = {
        "beats": np.concatenate([fitted(beat, samples) for beat in dataset.beats[judged[sample]]]),
        "omi": omi[judged[sample]].astype(np.int8),
        "expected": expected[sample],
        "exported": exported[sample],
    }
    bundled = compare(expected[sample], exported[sample], omi[judged[sample]], model.threshold)
    ecg_ids = dataset.ecgs["ecg_id"].to_numpy()
    used = calibration if quantization in ("dynamic", "int8") else calibration[:0]
    manifest = {
        "model": model.info["model"],
        "members": model.members,
        "quantization": quantization,
        "simulated": bool(model.info["simulated"] or dataset.simulated),
        "threshold": model.threshold,
        "bands": model.bands,
        "signature": SIGNATURE,
        "input": _input_contract(samples, model.contract),
        "output": {"probability": "(1,) P(OMI)", "logits": "(1, 2) no OMI, OMI", "not_finite": "NaN in both"},
        "limits": limits,
        "parity": {judged_part(model): result, "bundled": bundled},
        "float_layers": list(candidate.float_layers),
        "calibration": ecg_ids[used].tolist(),
        "seen_beats": _seen(model, dataset, used),
        "metrics": model.info["metrics"],
        "trained": plain(told_of(model.info)),
        "provenance": {
            "model_sha256": sha256(model.weights),
            "dataset_sha256": dataset.fingerprint(),
            "seed": seed,
            "versions": versions(),
        },
    }
    with new_folder(out, MANIFEST, force=force) as folder:
        card = model_card(manifest["trained"] | {"simulated": manifest["simulated"]}, manifest)
        manifest = write_bundle(folder, candidate.content, parity_set, manifest, card)
        if private_key is not None:
            sign(folder, private_key)
    return manifest


def _seen(model: Model, dataset: Dataset, calibration: np.ndarray) -> dict[str, Any]:
    """Checksums of what must not judge the bundle: what trained or validated the model, and what chose its ranges.

    ``complete`` tells whether they are of all that the model was made with.
    """
    known, complete = known_sums(model.info, model.folds)
    calibrated = beat_sums(dataset.beats[row] for row in calibration)
    return {"model": packed(known), "complete": complete, "calibration": packed(calibrated)}


def _refuse_too_large(model: Model, quantization: Quantization) -> None:
    most = MOST_BYTES["model.tflite"]
    size = BYTES_PER_PARAMETER[quantization] * model.network.count_params()
    # Minimal filtering writes four numbers for each kernel of three.
    size *= 4 / 3 if quantization == "float32" else 1
    if size > most:
        raise InputError(
            f"the {model.members} members of {model.path} take about {size / 1e6:.0f} MB as {quantization}, and a "
            f"bundle has room for {most / 1e6:.0f}; take another format, or fewer folds",
            "too_large",
        )


def _input_contract(samples: int, contract: str) -> dict[str, Any]:
    whole, details = samples == SAMPLES[0], input_details(contract)
    return {
        "name": "beat",
        # What the network inside was trained on; what a device hands over is the same for all.
        "contract": contract,
        "shape": [1, 12, samples],
        "dtype": "float32",
        "unit": "mV",
        "leads": details["leads"],
        "sampling_rate": 500,
        "r_sample": R_SAMPLE if whole else R_SAMPLE - CROP_START,
        "inside_the_model": ("crop to samples 150 to 549, " if whole else "") + details["normalisation"],
    }


def check_bundle(
    bundle: Path, manifest: dict[str, Any], contents: dict[str, bytes], model: Model, dataset: Dataset
) -> dict[str, Any]:
    """The gate again, anywhere: a bundle against its trained model on the model's validation and test folds.

    Parameters
    ----------
    bundle
        The folder, for messages.
    manifest, contents
        As :func:`edge.verified.load` gave them.

    Returns
    -------
    :func:`edge.parity.compare`'s values, ``failures`` (sentences) and ``passed``.

    Raises
    ------
    InputError
        When the bundle is not of this model, or the dataset does not belong to the model.
    """
    provenance = manifest.get("provenance")
    said = provenance if isinstance(provenance, dict) else {}
    if said.get("model_sha256") != sha256(model.weights):
        raise InputError(f"{bundle} was not exported from {model.path}; give its own model", "other_model")
    seed: Any = said.get("seed")
    if not is_count(seed):
        raise InputError(f"{bundle / MANIFEST} has no good seed in provenance; export the bundle again", "altered")
    rows = gate_rows(model, dataset, seed)
    judged = np.sort(np.concatenate([rows["validation"], rows["test"]]))
    omi = dataset.ecgs["omi"].fillna(-1).to_numpy(int)[judged]
    expected = model.probability(dataset.beats[judged])
    found = _run(contents["model.tflite"], dataset.beats[judged])
    result = compare(expected, found, omi, float(manifest["threshold"]))
    failures = exceeded(result, manifest["limits"])
    return {**result, "failures": failures, "passed": not failures}


def _balanced(rows: np.ndarray, omi: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """At most ``count`` of ``rows``, half of them OMI while there are enough, ascending."""
    positive, negative = rows[omi[rows] == 1], rows[omi[rows] == 0]
    positive = rng.permutation(positive)[: max(count // 2, count - len(negative))]
    negative = rng.permutation(negative)[: count - len(positive)]
    return np.sort(np.concatenate([positive, negative]))


def _run(content: bytes, beats: np.ndarray, tick: Callable[[int, int], None] = lambda done, total: None) -> np.ndarray:
    network = Network(content, threads=2)
    probability = np.empty(len(beats))
    for i, beat in enumerate(beats):
        probability[i] = network.probability(beat)
        tick(i + 1, len(beats))
    return probability
