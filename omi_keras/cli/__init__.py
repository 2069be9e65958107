"""The command line. Thin: it reads options, shows progress and prints; the work is done in the other rooms."""

from __future__ import annotations

import os

import click

from omi_keras import __version__
from omi_keras.chatter import quiet_process
from omi_keras.cli.check_parity import check_parity
from omi_keras.cli.evaluate import evaluate
from omi_keras.cli.export_tflite import export_tflite
from omi_keras.cli.import_torch import import_torch
from omi_keras.cli.learning_curve import learning_curve
from omi_keras.cli.plot import plot
from omi_keras.cli.predict import predict
from omi_keras.cli.prepare import prepare
from omi_keras.cli.recalibrate import recalibrate
from omi_keras.cli.saliency import saliency
from omi_keras.cli.search_lr import search_lr
from omi_keras.cli.select import select
from omi_keras.cli.simulate import simulate
from omi_keras.cli.terminal import Commands, unbreakable
from omi_keras.cli.train import train
from omi_keras.cli.validate import validate


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="omi-keras")
def main() -> None:
    """Find occlusion myocardial infarction (OMI) in 12-lead ECGs.

    Research software, not a medical device.

    \b
    From recordings to a device:
      omi-keras plot patient.hea patient.svg
      omi-keras prepare recordings/ --labels labels.csv dataset/
      omi-keras train dataset/ run/ --model ecg-smart-net
      omi-keras evaluate run/ report/
      omi-keras select run/ model/
      omi-keras validate model/ validation/ --dataset elsewhere/
      omi-keras recalibrate model/ local/ local-model/
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
    simulate, plot, prepare, train, search_lr, learning_curve, evaluate, select, validate, recalibrate, saliency,
    import_torch, export_tflite, check_parity, predict,
):  # fmt: skip
    main.add_command(command)
