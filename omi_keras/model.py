"""Model: what was trained. Loaded, asked, judged and shipped."""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from omi_keras.beats.contracts import CONTRACT
from omi_keras.beats.median_beats import median_beat
from omi_keras.data.artifacts import new_folder, sha256, write_bytes
from omi_keras.models.answers import probability
from omi_keras.models.catalogue import RANDOM_FOREST
from omi_keras.models.model_folder import load_any, read_model_folder, weights_name, write_model_info, write_weights
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.record import Record

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from edge.convert import Quantization
    from edge.detector import Detection
    from omi_keras.data.dataset import Dataset
    from omi_keras.models.random_forest import RandomForest
    from omi_keras.report.validation import Validation
    from omi_keras.saliency.maps import Method


class Model:
    """What was trained, asked, judged and shipped: a network or a random forest, what goes into it, and its threshold.

    Attributes
    ----------
    info
        Content of ``model.json``.
    folds
        ``ecg_id, patient_id, fold`` of the ECGs that it was made with; None when it was trained elsewhere.
    path
        Its folder; None until it is saved.

    Examples
    --------
    >>> import omi_keras as omi
    >>> model = omi.load_model(model_folder)
    >>> model.name, 0 <= model.threshold <= 1
    ('ecg-smart-net', True)
    >>> model.probability(beats).shape == (len(beats),)
    True
    """

    def __init__(
        self,
        info: dict[str, Any],
        folds: pd.DataFrame | None = None,
        *,
        network: keras.Model | RandomForest | None = None,
        weights: Path | None = None,
        path: Path | None = None,
    ) -> None:
        self.info, self.folds, self.path = info, folds, path
        # Absolute, and with its checksum: another model may have the name when the file is wanted.
        self._weights = weights and weights.absolute()
        self._sha256 = sha256(weights) if weights and weights.is_file() else None
        if network is not None:
            self.network = network

    @cached_property
    def network(self) -> Any:
        """The :class:`keras.Model`, model inputs (n, 12, 400, 1) → logits (n, 2); or the random forest.

        Of contract ``maxabs-200`` the inputs are (n, 12, 200, 1).
        """
        return load_any(self.name, self.weights, self.contract, self.members)

    @cached_property
    def as_trained(self) -> Any:
        """The network before it was recalibrated; else, and of a random forest, :attr:`network` itself."""
        from omi_keras.models.read_out import as_trained

        return as_trained(self.network, self.info.get("calibration"), str(self))

    @property
    def name(self) -> str:
        """Its name in :data:`omi_keras.models.MODELS`."""
        return str(self.info["model"])

    @property
    def threshold(self) -> float:
        """Operating point: OMI when P(OMI) ≥ threshold."""
        return float(self.info["threshold"])

    @property
    def contract(self) -> str:
        """Its input contract, one of :data:`omi_keras.beats.CONTRACTS`; a random forest reads the beat itself."""
        return str(self.info.get("input", CONTRACT))

    @property
    def bands(self) -> dict[str, float | None] | None:
        """``{"rule_out": p, "rule_in": p}``: below the one OMI is ruled out, from the other on it is ruled in.

        Either is None where no threshold reached its target; all of it where none was looked for.
        """
        return self.info.get("bands")

    @property
    def members(self) -> int:
        """Of how many folds' networks, or forests, it is the mean; 1 when it is no ensemble."""
        return int(self.info.get("members", 1))

    @property
    def simulated(self) -> bool:
        """Whether it was trained on simulated ECGs."""
        return bool(self.info["simulated"])

    @property
    def weights(self) -> Path:
        """The file that holds it, once it is saved."""
        if self._weights is None:
            raise InputError(f"{self} is in memory only; save it first", "not_saved")
        self._refuse_other_weights(self._weights)
        return self._weights

    def _refuse_other_weights(self, file: Path) -> None:
        if self._sha256 and file.is_file() and sha256(file) != self._sha256:
            raise InputError(f"{self._weights} was replaced after it was opened; open the model again", "replaced")

    def __repr__(self) -> str:
        several = f", ensemble of {self.members}" if self.members > 1 else ""
        return f"<{self.name}{several}, threshold {self.threshold:.3f}{', simulated' if self.simulated else ''}>"

    def __str__(self) -> str:
        return str(self.path or f"the {self.name}")

    def probability(self, beats: np.ndarray) -> np.ndarray:
        """P(OMI) of median beats (n, 12, 600) in mV, (n,) float64.

        Raises
        ------
        InputError
            When a beat or the model holds values with which there is no probability.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            found = probability(self.name, self.as_trained, beats, self.contract, self.info.get("calibration"))
        lost = ~((found >= 0) & (found <= 1))
        if lost.any():
            raise InputError(
                f"{self} gives no probability for {lost.sum()} of {len(lost)} ECGs: their beats hold missing or "
                "infinite values, or its weights are damaged",
                "not_finite",
            )
        return found

    def recalibrate(self, dataset: Dataset, *, sensitivity: float = 0.9, ppv: float = 0.5, **options: Any) -> Model:
        """A model for the patients of ``dataset``: its probabilities moved in their order, new threshold and bands.

        ``info["calibration"]["cannot_know"]`` says what the patients are too few to tell. ``options`` are those of
        :func:`omi_keras.models.recalibration.recalibrated`, which says what is raised.
        """
        from omi_keras.models.recalibration import recalibrated

        info, folds, network = recalibrated(self, dataset, sensitivity=sensitivity, ppv=ppv, **options)
        return Model(info, folds, network=network)

    def predict(self, ecg: str | Path | Record) -> Detection:
        """Judge an ECG file, or a recording that was read.

        Raises
        ------
        InputError
            When the file cannot be read, or gives no reliable median beat.
        """
        from edge.bands import band_of
        from edge.detector import Detection
        from omi_keras.recordings.readers import read_record

        start = time.perf_counter()
        record = ecg if isinstance(ecg, Record) else read_record(Path(ecg))
        found = median_beat(record)
        ready = time.perf_counter()
        probability = float(self.probability(found.beat[None])[0])
        timings = {"signal": 1e3 * (ready - start), "network": 1e3 * (time.perf_counter() - ready)}
        band = band_of(probability, self.bands)
        decision, seen = probability >= self.threshold, (self.bands, record, found)
        return Detection(probability, decision, self.threshold, found.flags, timings, band, *seen)

    def saliency(self, beats: np.ndarray, method: Method = "gradient", *, seed: int = 0) -> np.ndarray:
        """What the network looks at in median beats (n, 12, 600): (n, 12, 400) float32 ≥ 0, samples 150 … 549.

        Of contract ``maxabs-200`` it is (n, 12, 200): the same 0.8 s, a sample every 4 ms.

        See :func:`omi_keras.saliency.saliency_maps`; SmoothGrad's noise is drawn by the number of each beat.
        """
        from omi_keras.saliency.maps import inputs_of, saliency_maps

        if self.name == RANDOM_FOREST:
            raise InputError("a random forest has no gradient; its features have importances", "no_gradient")
        names = [str(number) for number in range(len(beats))]
        return saliency_maps(
            self.network, inputs_of(np.asarray(beats), self.contract), method, seed=seed, ecg_ids=names
        )

    def validate(
        self, dataset: Dataset, out: str | Path | None = None, *, force: bool = False, **options: Any
    ) -> Validation:
        """Judge it by ECGs that it never saw; ``out`` makes a validation folder of what is found.

        ``options``: ``comparator``, ``first_ecg_only``, ``without_known``, ``other_patients``, ``pictures``,
        ``records`` and ``seed`` of :func:`omi_keras.report.validation.validate`, which says what is raised.
        """
        from omi_keras.report.judges import judge_of_model
        from omi_keras.report.validation import validate

        found = validate([judge_of_model(self)], dataset, **options)
        if out is not None:
            found.save(out, force=force)
        return found

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the model folder; :func:`load_model` opens it.

        Raises
        ------
        InputError
            When ``path`` exists, unless ``force`` and it is a model folder; when the model's file was replaced after it
            was opened.
        """
        with new_folder(Path(path), "model.json", force=force) as folder:
            self._refuse_other_weights(write_weights(folder, self.name, self._weights or self.network))
            if self.folds is not None:
                write_bytes(folder / "folds.csv", self.folds.to_csv(index=False, lineterminator="\n").encode())
            write_model_info(folder, self.info)
        self.path, self._weights = Path(path), Path(path).absolute() / weights_name(self.name)
        self._sha256 = sha256(self._weights)

    def export(
        self, path: str | Path, dataset: Dataset, quantize: Quantization = "int8", **options: Any
    ) -> dict[str, Any]:
        """Write a bundle for a device, if it decides as this model does; return its manifest.

        ``options`` are those of :func:`edge.export.export_bundle`, which says what is raised.
        """
        from edge.export import export_bundle

        return export_bundle(self, dataset, Path(path), quantization=quantize, **options)


def load_model(path: str | Path) -> Model:
    """Open a model folder, which ``omi-keras select`` or :meth:`Model.save` made.

    Raises
    ------
    InputError
        When something is missing, altered, or of a newer format version.

    Examples
    --------
    >>> import omi_keras as omi
    >>> omi.load_model(model_folder).predict(record).quality
    ()
    """
    info, folds, weights = read_model_folder(Path(path))
    model = Model(info, folds, weights=weights, path=Path(path))
    _ = model.as_trained  # a damaged file is told now, not when the first patient is there
    return model


def model_from_torch(checkpoint: Path, name: str, *, threshold: float = 0.5, contract: str = CONTRACT) -> Model:
    """A network that was trained in PyTorch, which is not needed here.

    Parameters
    ----------
    checkpoint
        As :func:`omi_keras.models.weights.read_checkpoint` reads it; nothing in it is executed.
    name
        Which network the parameters belong to.
    threshold
        Operating point: OMI when P(OMI) ≥ threshold. A state dict does not hold one.
    contract
        Input contract that the network was trained with, one of :data:`omi_keras.beats.CONTRACTS`. A state dict does
        not say it, and another one gives other probabilities without any error.

    Raises
    ------
    InputError
        When the checkpoint cannot be read or does not fit the network; every parameter that does not is listed.
    """
    from omi_keras.models.weights.imported import network_from_torch

    network = network_from_torch(checkpoint, name, contract)
    provenance = {"imported_from": "PyTorch", "checkpoint": checkpoint.name, "checkpoint_sha256": sha256(checkpoint)}
    info = {"model": name, "input": contract, "simulated": False, "threshold": threshold, "metrics": {}}
    info["provenance"] = provenance
    return Model(info, network=network)
