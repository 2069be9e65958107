"""A model and a dataset → a saliency folder.

saliency/
  saliency.npz   ecg_id, omi, probability; saliency (N, 12, 400), lead_contribution (N, 12), windows (N, 12, 20);
                 aggregate (12, 20), aggregate_true_positives (12, 20); input, the model's contract: of maxabs-200,
                 saliency is (N, 12, 200)
  figures/       aggregate.png, aggregate_true_positives.png, or one per ECG; sanity.png
  sanity.csv     rank correlations as the weights are randomised; only when asked for
  pointing.csv   how much saliency falls where the injury was simulated; only for simulated OMI
  saliency.json  model, dataset, method, cases, versions
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from omi_keras.data.artifacts import new_folder, versions, write_bytes, write_json
from omi_keras.data.dataset import Dataset
from omi_keras.drawing.ecg_picture_sheet import ecg_picture
from omi_keras.drawing.figures import save_figure
from omi_keras.model import Model
from omi_keras.models.catalogue import RANDOM_FOREST
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.record import LEADS
from omi_keras.saliency.contributions import aggregate, lead_contribution, windows
from omi_keras.saliency.figures import sanity_figure
from omi_keras.saliency.maps import SMOOTH_NOISE, SMOOTH_SAMPLES, Method, inputs_of, saliency_maps
from omi_keras.saliency.pointing import pointing_game
from omi_keras.saliency.sanity import cascading_randomisation, destroyed

FORMAT_VERSION = 1
SANITY_ECGS = 16
DPI = 150
Tick = Callable[[int, int], None]


def write_saliency(
    model: Model,
    dataset: Dataset,
    out: Path,
    *,
    ecg_ids: tuple[str, ...] = (),
    method: Method = "gradient",
    sanity: bool = False,
    seed: int = 0,
    force: bool = False,
    tick: Tick = lambda done, total: None,
    sanity_tick: Tick = lambda done, total: None,
) -> dict[str, Any]:
    """Write the maps of some ECGs, or of the OMI cases of the model's test fold; return a summary.

    Parameters
    ----------
    ecg_ids
        ECGs to draw one by one; without any, the cases are aggregated as in the paper's Figure 7.
    method, seed
        See :func:`~omi_keras.saliency.maps.saliency_maps`.
    sanity
        Also randomise the weights (:func:`~omi_keras.saliency.sanity.cascading_randomisation`).

    Raises
    ------
    InputError
        When the model is a random forest, an ECG is not in the dataset, or there is no case.
    """
    if model.info["model"] == RANDOM_FOREST:
        raise InputError(
            "a random forest has no gradient; its importances.csv, in the folds of its run, shows what it looks at",
            "no_gradient",
        )
    rows, cases = _chosen(model, dataset, ecg_ids)
    beats = np.asarray(dataset.beats[rows], np.float32)
    facts = dataset.ecgs.iloc[rows]
    x = inputs_of(beats, model.contract)
    with new_folder(out, "saliency.json", force=force) as folder:
        names = facts["ecg_id"].tolist()
        maps = saliency_maps(model.network, x, method, seed=seed, ecg_ids=names, tick=tick)
        found = _arrays(model, facts, beats, maps)
        alarmed = (found["omi"] == 1) & (found["probability"] >= model.threshold)
        found["aggregate_true_positives"] = aggregate(found["windows"][alarmed])
        with (folder / "saliency.npz").open("wb") as file:
            np.savez(file, allow_pickle=False, **found)
        simulated = dataset.simulated
        if ecg_ids:
            _draw_each(folder / "figures", found, beats, facts, model, method)
        else:
            _draw_aggregates(folder / "figures", found, beats, alarmed, simulated, method)
        summary: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "kind": "saliency",
            "simulated": simulated,
            "method": method,
            "input": model.contract,
            **({"samples": SMOOTH_SAMPLES, "noise": SMOOTH_NOISE} if method == "smoothgrad" else {}),
            "cases": cases,
            "ecgs": len(rows),
            "true_positives": int(alarmed.sum()),
            "lead_contribution": dict(zip(LEADS, found["lead_contribution"].mean(axis=0).tolist(), strict=True)),
        }
        pointing = _pointing(facts, beats, maps, simulated, seed)
        if len(pointing):
            _csv(folder / "pointing.csv", pointing)
            summary["pointing"] = pointing.to_dict("records")
        if sanity:
            few = (
                SANITY_ECGS if method != "smoothgrad" else max(1, SANITY_ECGS // 4)
            )  # each takes hundreds of gradients
            table = cascading_randomisation(
                model.network, x[:few], method, seed=seed, ecg_ids=names[:few], tick=sanity_tick
            )
            _csv(folder / "sanity.csv", table.assign(simulated=simulated))
            correlation, sd = table["rank_correlation"].to_numpy(float), table["sd"].to_numpy(float)
            figure = sanity_figure(table["layer"].tolist(), correlation, sd, simulated)
            save_figure(figure, folder / "figures" / "sanity.png")
            summary["sanity"] = {"destroyed": destroyed(table), "layers": table.to_dict("records")}
        write_json(
            folder / "saliency.json",
            summary
            | {
                "model": {"path": str(model.path), "model": model.info["model"], "sha256": model.info["sha256"]},
                "dataset": {"path": str(dataset.path), "sha256": dataset.fingerprint()},
                "seed": seed,
                "versions": versions(),
            },
        )
    return summary


def _chosen(model: Model, dataset: Dataset, ecg_ids: tuple[str, ...]) -> tuple[np.ndarray, str]:
    """Rows of the dataset, and in words what they are."""
    names = dataset.ecgs["ecg_id"]
    if ecg_ids:
        place = {name: row for row, name in enumerate(names)}
        absent = [name for name in ecg_ids if name not in place]
        if absent:
            raise InputError(f"{dataset.path} has no ECG {', '.join(absent[:3])}; see its ecgs.csv", "unknown_ecg")
        return np.array([place[name] for name in dict.fromkeys(ecg_ids)]), "chosen ECGs"
    omi = (dataset.ecgs["omi"] == 1).fillna(False).to_numpy(bool)
    cases = "OMI of a dataset that the model was not trained on"
    trained_on = model.info["provenance"].get("dataset_sha256")
    if model.folds is not None and trained_on == dataset.fingerprint():
        cases = "OMI of the dataset whose every ECG taught some member of the ensemble"
        if model.members == 1:
            test = model.folds.loc[model.folds["fold"] == model.info["test_fold"], "ecg_id"]
            omi &= names.isin(set(test)).to_numpy()
            cases = "OMI of the model's test fold"
    if not omi.any():
        raise InputError(f"{dataset.path} has no {cases}; name ECGs with --ecg", "no_cases")
    return np.flatnonzero(omi), cases


def _arrays(model: Model, facts: pd.DataFrame, beats: np.ndarray, maps: np.ndarray) -> dict[str, np.ndarray]:
    of_window = windows(maps)
    return {
        "ecg_id": facts["ecg_id"].to_numpy(str),
        # −1: not labelled.
        "omi": facts["omi"].fillna(-1).to_numpy(np.int8),
        "probability": model.probability(beats),
        "saliency": maps,
        "lead_contribution": lead_contribution(maps),
        "windows": of_window,
        "aggregate": aggregate(of_window),
        "input": np.array(model.contract),
    }


def _draw_each(
    folder: Path, found: dict[str, np.ndarray], beats: np.ndarray, facts: pd.DataFrame, model: Model, method: str
) -> None:
    """One picture per ECG."""
    for k, row in enumerate(facts.to_dict("records")):
        known = {str(name): value for name, value in row.items() if not pd.isna(value)}
        picture = ecg_picture(
            beat=beats[k],
            title=f"{known['ecg_id']}, {method}",
            rate=float(known.get("heart_rate", np.nan)),
            age=known.get("age"),
            sex=known.get("sex") or None,
            quality=str(known.get("flags", "")).split(),
            probability=float(found["probability"][k]),
            threshold=model.threshold,
            bands=model.bands,
            saliency=found["windows"][k],
            shares=found["lead_contribution"][k],
            simulated=known["simulated"] == "true",
        )
        # A name may hold anything; the number keeps two of them apart.
        safe = re.sub(r"[^A-Za-z0-9_.-]+", "_", str(known["ecg_id"])).strip("._")[:80]
        picture.save(folder / f"{k + 1:04d}-{safe or 'ecg'}.png", dpi=DPI)


def _draw_aggregates(
    folder: Path, found: dict[str, np.ndarray], beats: np.ndarray, alarmed: np.ndarray, simulated: bool, method: str
) -> None:
    """The mean over all cases, and over those that the model found."""
    chosen = {
        "aggregate": (np.ones(len(beats), bool), "ECGs with OMI"),
        "aggregate_true_positives": (alarmed, "true positives"),
    }
    for name, (at, what) in chosen.items():
        if at.any():
            picture = ecg_picture(
                beat=beats[at].mean(axis=0),
                title=f"Mean of {int(at.sum())} {what}",
                facts=["saliency within each lead", method],
                saliency=found[name],
                shares=found["lead_contribution"][at].mean(axis=0),
                simulated=simulated,
                measured=False,
            )
            picture.save(folder / f"{name}.png", dpi=DPI)


def _pointing(facts: pd.DataFrame, beats: np.ndarray, maps: np.ndarray, simulated: bool, seed: int) -> pd.DataFrame:
    if not simulated or "artery" not in facts:
        return pd.DataFrame()
    artery = np.where((facts["omi"] == 1).fillna(False), facts["artery"], "")
    return pointing_game(maps, beats, artery, facts["patient_id"].to_numpy(str), seed)


def _csv(path: Path, table: pd.DataFrame) -> None:
    write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode())
