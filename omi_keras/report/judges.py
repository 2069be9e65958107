"""Model folders and bundles, alike: what gives a probability for a median beat, and what it must not be asked about.

A bundle is run by LiteRT as on a device, so that what the device computes is judged and not what it was made from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from omi_keras.data.artifacts import sha256
from omi_keras.data.beat_sums import unpacked
from omi_keras.evaluation.finished import Answers
from omi_keras.model import Model, load_model
from omi_keras.models.known_ecgs import known_ecgs, known_sums
from omi_keras.recordings.errors import InputError
from omi_keras.report.looks import Explain
from omi_keras.report.part import Part

Tick = Callable[[int, int], None]
# Beats between two movements of a bar; a multiple of what a network takes at a time.
CHUNK = 512


@dataclass(frozen=True)
class Known:
    """What a model was trained, validated or calibrated on.

    Attributes
    ----------
    beats
        Checksums of the median beats.
    complete
        Whether these are all.
    ecg_ids, patient_ids
        None where there are none, as in a bundle.
    dataset_sha256
        Fingerprint of the dataset; None where it is not known.
    """

    beats: frozenset[str]
    complete: bool
    ecg_ids: frozenset[str] | None
    patient_ids: frozenset[str] | None
    dataset_sha256: dict[str, str] | None


@dataclass(frozen=True)
class Judge:
    """A finished model.

    Attributes
    ----------
    name
        What tables call it.
    place
        Where it lies; ``in memory`` for a model that was not saved.
    judge
        n ECGs → (n,) P(OMI); calls (done, total).
    source
        Name → value, text: where it comes from.
    model
        None of a bundle.
    """

    name: str
    place: str
    simulated: bool
    threshold: float
    bands: dict[str, float | None] | None
    known: Known
    judge: Callable[[Part, Tick], np.ndarray]
    source: dict[str, str]
    model: Model | None = None

    def explain(self) -> Explain | None:
        """A function that tells what it looks at in a median beat; None of bundles, and of what has no gradient."""
        if self.model is None:
            return None
        from omi_keras.saliency.explain import explainer

        try:
            return explainer(self.model)
        except InputError:
            return None

    def answers(self, data: Part, tick: Tick = lambda done, total: None) -> Answers:
        """What it says of each ECG."""
        return Answers(self.judge(data, tick), self.threshold, self.bands)


def open_judges(paths: Sequence[Path]) -> list[Judge]:
    """Open model folders and bundles, each under a name of its own.

    Raises
    ------
    InputError
        When one is neither, is damaged, or is given twice.
    """
    if len({path.resolve() for path in paths}) < len(paths):
        raise InputError("a model is given twice; give each once", "twice")
    return with_own_names([_open(path) for path in paths])


def with_own_names(judges: Iterable[Judge]) -> list[Judge]:
    """Of judges with equal names, add the folder's to each, or where that is equal, too, its whole path."""
    found = list(judges)
    for told in (lambda judge: Path(judge.place).name, lambda judge: judge.place):
        names = [judge.name for judge in found]
        found = [
            replace(judge, name=f"{judge.name.partition(' (')[0]} ({told(judge)})")
            if names.count(judge.name) > 1
            else judge
            for judge in found
        ]
    return found


def judge_of_model(model: Model) -> Judge:
    """A model folder, or a model in memory."""

    def judge(data: Part, tick: Tick) -> np.ndarray:
        parts = []
        for start in range(0, len(data), CHUNK):
            parts.append(model.probability(data[start : start + CHUNK]))
            tick(min(start + CHUNK, len(data)), len(data))
        return np.concatenate(parts)

    folds, trained_on = model.folds, _dict(model.info.get("provenance")).get("dataset_sha256")
    ids: dict[str, frozenset[str] | None] = {"ecg_id": None, "patient_id": None}
    if folds is not None:
        rows = known_ecgs(model.info, folds)
        ids = {name: frozenset(rows[name].astype(str)) for name in ids}
    known = Known(*known_sums(model.info, folds), ids["ecg_id"], ids["patient_id"], trained_on)
    source = {"threshold": f"{model.threshold:.6g}", "bands": _bands_text(model.bands)}
    if (said := _dict(trained_on).get("ecgs.csv")) is not None:
        source["trained on SHA-256"] = str(said)
    if model.path is not None:
        source["SHA-256"] = sha256(model.weights)
    place = str(model.path or "in memory")
    return Judge(model.name, place, model.simulated, model.threshold, model.bands, known, judge, source, model)


def _open(path: Path) -> Judge:
    if (path / "manifest.json").is_file():
        return _judge_of_bundle(path)
    if (path / "model.json").is_file():
        return judge_of_model(load_model(path))
    raise InputError(f"{path} is neither a model folder (model.json) nor a bundle (manifest.json)", "not_found")


def _judge_of_bundle(path: Path) -> Judge:
    from edge.network import Network
    from edge.verified import BundleError, load

    try:
        manifest, contents = load(path)
        network = Network(contents["model.tflite"], threads=2)
    except BundleError as error:
        raise InputError(str(error), "bad_bundle") from None

    def judge(data: Part, tick: Tick) -> np.ndarray:
        found = np.empty(len(data))
        for row, beat in enumerate(data):
            try:
                found[row] = network.probability(beat)
            except ValueError as error:
                raise InputError(f"{path}, ECG {data.ecgs['ecg_id'][row]}: {error}", "not_finite") from None
            tick(row + 1, len(data))
        return found

    seen = _dict(manifest.get("seen_beats"))
    beats = frozenset().union(*(unpacked(seen[name]) for name in ("model", "calibration") if name in seen))
    fingerprint = _dict(manifest.get("provenance")).get("dataset_sha256")
    known = Known(beats, seen.get("complete") is True, None, None, fingerprint)
    name = f"{manifest.get('model', 'bundle')} {manifest['quantization']}"
    bands, threshold = manifest.get("bands"), float(manifest["threshold"])
    source = {"threshold": f"{threshold:.6g}", "bands": _bands_text(bands), "run by": "LiteRT"}
    source |= {"SHA-256": manifest["manifest_sha256"]}
    return Judge(name, str(path), bool(manifest["simulated"]), threshold, bands, known, judge, source)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _bands_text(bands: dict[str, float | None] | None) -> str:
    if bands is None:
        return "none"
    told = {"rule_out": "ruled out below", "rule_in": "ruled in from"}
    return ", ".join(f"{told[name]} {limit:.6g}" for name, limit in bands.items() if limit is not None) or "none"
