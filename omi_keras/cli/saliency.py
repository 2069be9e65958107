"""omi-keras saliency: what a network looks at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from omi_keras.cli.options import FOLDER, force_option, json_option, out_argument, seed_option
from omi_keras.cli.terminal import CHECK_FAILED, fail, progress, result


@click.command()
@click.argument("model", type=FOLDER)
@click.argument("dataset", type=FOLDER)
@out_argument
@click.option("--ecg", "ecg_ids", multiple=True, metavar="ID", help="Draw this ECG; may be repeated.")
@click.option(
    "--aggregate", is_flag=True,
    help="All OMI ECGs of the model's test fold together, of an ensemble all of its dataset, and those of them that it "
    "found  [default without --ecg]",
)  # fmt: skip
@click.option(
    "--method", type=click.Choice(["gradient", "smoothgrad", "gradcam++"]), default="gradient", show_default=True,
    help="gradient is the paper's; smoothgrad is its mean over 256 noisy copies, so many that the maps of two seeds "
    "correlate by 0.99, and takes as many times as long; gradcam++ is coarse.",
)  # fmt: skip
@click.option(
    "--sanity", is_flag=True, help="Randomise the weights layer by layer: exit code 1 if the maps survive it."
)
@seed_option
@force_option
@json_option
def saliency(
    model: Path, dataset: Path, out: Path, ecg_ids: tuple[str, ...], aggregate: bool, method: Any, sanity: bool,
    seed: int, force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Show what a network looks at: maps of |gradient of the OMI logit| in folder OUT.

    Figures on ECG paper with the trace from bright yellow to dark red and each lead's share, and saliency.npz with the
    raw maps, lead contributions and 40 ms windows. On simulated OMI, whose injury is known, also how much saliency
    falls into it against chance.

    \b
    Example:
      omi-keras saliency model/ dataset/ saliency/ --aggregate --sanity
    """
    if ecg_ids and aggregate:
        raise click.UsageError("--ecg draws single ECGs and --aggregate all together; give one of them")
    from omi_keras.data.artifacts import refuse_existing

    refuse_existing(out, "saliency.json", force)
    from omi_keras.models.backend import check_backend

    check_backend()
    from omi_keras.data.dataset import load_dataset

    data = load_dataset(dataset)
    from omi_keras.model import load_model

    folder = load_model(model)
    from omi_keras.saliency.write import write_saliency

    with progress("saliency") as tick, progress("randomised layers") as sanity_tick:
        found = write_saliency(
            folder, data, out, ecg_ids=ecg_ids, method=method, sanity=sanity, seed=seed, force=force, tick=tick,
            sanity_tick=sanity_tick,
        )  # fmt: skip
    result(found, as_json, saliency_text(found, out))
    if sanity and not found["sanity"]["destroyed"]:
        fail("the maps survive random weights: they show the ECG and not what the model learned", CHECK_FAILED)


def saliency_text(found: dict[str, Any], out: Path) -> str:
    """The summary of a saliency folder in lines."""
    mark = ", simulated" if found["simulated"] else ""
    leads = sorted(found["lead_contribution"].items(), key=lambda item: -item[1])
    lines = [
        f"{found['method']} on {found['ecgs']} ECGs ({found['cases']}{mark}), {found['true_positives']} true positives",
        "leads by share of saliency: " + ", ".join(f"{lead} {share:.1%}" for lead, share in leads),
    ]
    for row in found.get("pointing", []):
        share, peak = f"{_share(row, 'share')} of saliency", f"peak inside {_share(row, 'hits')}"
        lines.append(f"{row['region']} (simulated): {share}, {peak}; by chance {row['chance']:.1%}")
    if "sanity" in found:
        lines.append("rank correlation with the learned map, weights random down to:")
        lines += [f"  {row['layer']:<24} {row['rank_correlation']:+.3f}" for row in found["sanity"]["layers"]]
    return "\n".join([*lines, f"figures in {out / 'figures'}"])


def _share(row: dict[str, Any], name: str) -> str:
    """``53.2% [50.6%, 55.9%]``; too few patients have no interval."""
    low, high = row[f"{name}_lo"], row[f"{name}_hi"]
    return f"{row[name]:.1%}" + (f" [{low:.1%}, {high:.1%}]" if low == low and low is not None else "")
