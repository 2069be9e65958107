"""omi-keras simulate: a simulated cohort."""

from __future__ import annotations

from pathlib import Path

import click

from omi_keras.cli.options import force_option, json_option, out_argument, seed_option
from omi_keras.cli.terminal import finite, progress, result, watched


@click.command()
@out_argument
@click.option("--ecgs", type=int, default=10893, show_default=True, help="Number of ECGs.")
@click.option("--patients", type=int, default=7297, show_default=True, help="Number of patients.")
@click.option("--prevalence", type=float, default=0.066, show_default=True, help="Fraction of patients with OMI.")
@click.option(
    "--as", "kind", type=click.Choice(["dataset", "records"]), default="dataset", show_default=True,
    help="A dataset to train on, or WFDB recordings with labels.csv to prepare.",
)  # fmt: skip
@click.option(
    "--site-shift", type=click.FloatRange(0, 2), default=0.0, show_default=True, callback=finite,
    help="How different site B is: older patients, more noise, V1 and V2 too high, a monitor's filters. 1 is another "
    "hospital, on which a model of site A is worse.",
)  # fmt: skip
@click.option("--true-beats", is_flag=True, help="Also write true_beats.npy: the beats without noise.")
@seed_option
@force_option
@json_option
def simulate(
    out: Path, ecgs: int, patients: int, prevalence: float, kind: str, site_shift: float, true_beats: bool, seed: int,
    force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Simulate a cohort of chest-pain patients into folder OUT.

    The default has the size and shape of the paper's Table 3. The truth about each ECG (occluded artery, ST level of
    each lead, rhythm, mimic, fault, noise level) stands in the columns beside its label; no model sees them.

    \b
    Example:
      omi-keras simulate cohort/ --ecgs 2000 --patients 1400 --prevalence 0.2
    """
    from omi_keras.data.artifacts import new_folder, versions, write_json
    from omi_keras.data.prepare import prepare_cohort
    from omi_keras.simulate.cohort import simulate_cohort
    from omi_keras.simulate.records import write_records

    cohort = simulate_cohort(ecgs, patients, prevalence, seed, site_shift)
    config = {"ecgs": ecgs, "patients": patients, "prevalence": prevalence, "seed": seed}
    config |= {"site_shift": site_shift} if site_shift else {}
    with progress("simulating") as tick:
        if kind == "records":
            info = {"format_version": 1, "kind": "records", "simulated": True, "rejected": 0, "simulation": config}
            with new_folder(out, "simulation.json", force=force) as folder:
                info["ecgs"] = write_records(watched(cohort, tick, ecgs), folder, true_beats=true_beats)
                write_json(folder / "simulation.json", info | {"versions": versions()})
        else:
            info = prepare_cohort(cohort, out, config=config, true_beats=true_beats, force=force, tick=tick)
    result(info, as_json, f"{info['ecgs']} simulated ECGs in {out}, {info['rejected']} rejected")
