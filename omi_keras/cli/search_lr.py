"""omi-keras search-lr: initial learning rates compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from omi_keras.cli.display import Display
from omi_keras.cli.options import FOLDER, out_argument
from omi_keras.cli.terminal import number_list, result
from omi_keras.cli.training_options import prepared, protocol_options, stoppable
from omi_keras.models.catalogue import NETWORKS


@click.command("search-lr")
@click.argument("dataset", type=FOLDER)
@out_argument
@click.option("--model", type=click.Choice(NETWORKS), default=NETWORKS[0], show_default=True)
@click.option("--rates", default="1e-6,3e-6,1e-5,3e-5,1e-4,3e-4", show_default=True, help="Initial rates to compare.")
@protocol_options
def search_lr(dataset: Path, out: Path, model: str, rates: str, as_json: bool, **options: Any) -> None:
    """Compare initial learning rates on DATASET by their average validation score, as the paper chose its own.

    Every fold is trained with every rate; test folds are never looked at. OUT/rates.csv has the rates, best first.

    \b
    Example:
      omi-keras search-lr dataset/ search/ --model mayo-alvd --rates 3e-5,1e-4,3e-4 --folds 0,1 --epochs 20
    """
    wanted = number_list(rates, "--rates", "1e-5,1e-4")
    from omi_keras.data.artifacts import refuse_existing

    if not options["resume"]:
        refuse_existing(out, "search.json", options["force"])
    data, protocol, start, where = prepared(dataset, out, model, wanted[0], options)
    from omi_keras.training.search import search_learning_rate

    count = len(start["folds"] or start["split"].rounds) * len(wanted)
    with (
        stoppable(f"omi-keras search-lr {dataset} {out} ... --resume"),
        Display(count, epochs=protocol.epochs) as display,
    ):
        steps: dict[str, Any] = {"step_done": display.step} if where.here else {}
        found = search_learning_rate(
            data, out, protocol, wanted, **start, where=where, resume=options["resume"], force=options["force"],
            rate_epoch_done=lambda rate, fold, row: display.epoch(f"rate {rate:g} fold {fold}", row),
            fold_done=lambda rate, fold: display.fold_done(f"rate {rate:g} fold {fold}"), **steps,
        )  # fmt: skip
    mark = " (simulated)" if data.simulated else ""
    text = [
        f"{row['learning_rate']:g}{mark}: validation score {row['val_score_mean']:.4f} over {row['folds']} folds, "
        f"AUC {row['val_auc_mean']:.4f}, AP {row['val_ap_mean']:.4f}"
        for row in found["rates"]
    ]
    result(found, as_json, "\n".join([*text, f"best: --learning-rate {found['learning_rate']:g}"]))
