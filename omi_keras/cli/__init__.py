"""The command line. Thin: it reads options, shows progress and prints; the work is done in the other rooms."""

from __future__ import annotations

import os

import click

from omi_keras import __version__
from omi_keras.chatter import quiet_process
from omi_keras.cli import data, device, evidence, learn, train
from omi_keras.cli.terminal import Commands, unbreakable


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="omi-keras")
def main() -> None:
    """Find occlusion myocardial infarction (OMI) in 12-lead ECGs.

    Research software, not a medical device.

    \b
    From recordings to a device:
      omi-keras prepare recordings/ --labels labels.csv dataset/
      omi-keras train dataset/ run/ --model ecg-smart-net
      omi-keras evaluate run/ report/
      omi-keras select run/ model/
      omi-keras saliency model/ dataset/ saliency/
      omi-keras export-tflite model/ bundle/ --dataset dataset/
      omi-keras predict bundle/ patient.hea

    Without recordings of your own, start with: omi-keras simulate dataset/
    """
    if main.own_process:
        quiet_process(unbreakable)
    # Empty means none, and Keras would then look into a file of the user's home.
    os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or "tensorflow"


for command in (
    data.simulate,
    data.prepare,
    train.train,
    train.search_lr,
    evidence.evaluate,
    learn.select,
    evidence.saliency,
    learn.import_torch,
    device.export_tflite,
    device.check_parity,
    device.predict,
):
    main.add_command(command)
