"""omi-keras learning-curve: how good models become with more patients to learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from omi_keras.cli.display import Display
from omi_keras.cli.options import FOLDER, out_argument
from omi_keras.cli.terminal import finite, number_list, result
from omi_keras.cli.training_options import prepared, protocol_options, rows_of, stoppable, tell_unused
from omi_keras.models.catalogue import MODELS, RANDOM_FOREST


@click.command("learning-curve")
@click.argument("dataset", type=FOLDER)
@out_argument
@click.option(
    "--model", "models", type=click.Choice(MODELS), multiple=True, default=MODELS[:1], show_default=True,
    help="May be given several times.",
)  # fmt: skip
@click.option("--sizes", default="0.1,0.25,0.5,1", show_default=True, help="Shares of the training patients.")
@click.option(
    "--learning-rate", callback=finite, type=click.FloatRange(0, 10, min_open=True),
    help="Initial rate of the networks  [default: the paper's of each]",
)  # fmt: skip
@protocol_options
def learning_curve(
    dataset: Path, out: Path, models: tuple[str, ...], sizes: str, learning_rate: float | None, as_json: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Train models on growing parts of DATASET's training patients; test all on the same ECGs.

    A smaller training part lies in every larger one: whole patients, the same share of those with OMI. Validation and
    test parts are those of train with the same seed. OUT/report.html shows AUC and average precision against the OMI
    that were learned from, with 95 % intervals; OUT/learning_curve.csv has every fold, OUT/MODEL/size-… are runs.

    --resume goes on with a curve that was begun, and adds models, sizes and folds that it did not have: the tables are
    of all that is finished. Networks train for as many epochs at each size, so a smaller part also means fewer steps.

    \b
    Example:
      omi-keras learning-curve dataset/ curve/ --model mayo-alvd --model random-forest --sizes 0.1,0.5,1 --folds 0,1
    """
    from omi_keras.data.artifacts import refuse_existing
    from omi_keras.training.learning_curves import checked_sizes, train_learning_curve
    from omi_keras.training.settings import CURVE

    tell_unused(models)
    wanted = checked_sizes(number_list(sizes, "--sizes", "0.1,0.5,1"))
    if not options["resume"]:
        refuse_existing(out, CURVE, options["force"])
    models, weights = tuple(dict.fromkeys(models)), options["imagenet_weights"]
    if weights and "resnet18" not in models:
        raise click.UsageError("--imagenet-weights is for --model resnet18")
    protocols: dict[str, Any] = {}
    places: dict[str, Any] = {}
    for name in models:
        own = options | {"imagenet_weights": weights if name == "resnet18" else None}
        data, protocols[name], start, places[name] = prepared(
            dataset, out, name, learning_rate, own, told=not protocols
        )
    # A forest has no use for devices.
    where = next((places[name] for name in models if name != RANDOM_FOREST), places[models[0]])
    count = len(start["folds"] or start["split"].rounds) * len(wanted) * len(models)
    with (
        stoppable(f"omi-keras learning-curve {dataset} {out} ... --resume"),
        Display(count, epochs=max(rows_of(protocol) for protocol in protocols.values())) as display,
    ):
        steps: dict[str, Any] = {"step_done": display.step} if where.here else {}
        curve = train_learning_curve(
            data, out, protocols, wanted, **(start | {"imagenet_weights": weights and weights.absolute()}), where=where,
            resume=options["resume"], force=options["force"], epoch_done=display.epoch,
            fold_done=display.fold_done, **steps,
        )  # fmt: skip
    from omi_keras.report import write_learning_curve

    page = write_learning_curve(curve)
    mark = " (simulated)" if curve.simulated else ""
    rows = curve.summary.to_dict("records")
    text = [
        f"{row['model']}, size {row['size']:g}{mark}: {row['training_omi']:.0f} OMI of {row['training_ecgs']:.0f} ECGs "
        f"learned from; test AUC {_interval(row, 'test_auc')}, AP {_interval(row, 'test_ap')}"
        for row in rows
    ]
    content = {"out": str(out), "simulated": curve.simulated, "summary": rows, "remarks": curve.remarks}
    content["folds"] = curve.table.to_dict("records")
    result(content, as_json, "\n".join([*text, *curve.remarks, f"to read: {page}"]))


def _interval(row: dict[Any, Any], name: str) -> str:
    return f"{row[name]:.3f} [{row[f'{name}_lo']:.3f}, {row[f'{name}_hi']:.3f}]"
