"""Where a network is converted: in a process of its own, because TensorFlow's converter leaks memory at every call.

:func:`conversion` is all that the rest of the package knows of the converter. The process is a fresh interpreter that
reads files of this package's own making and is given no Python objects, so that it starts from scripts, notebooks and
tests alike, and from whatever backend is at work here.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.convert import Converted, Quantization
from omi_keras.beats.contracts import CONTRACT
from omi_keras.beats.model_inputs import BEAT_SAMPLES
from omi_keras.chatter import kept
from omi_keras.models.archive import errors_name, save_network
from omi_keras.recordings.errors import InputError

if TYPE_CHECKING:
    import keras

# What the two processes find in their folder.
NETWORK, CALIBRATION, HEARD = "network.keras", "calibration.npy", "stderr"
# The path of this process is that of the other before anything is imported: nothing in the current folder can run.
_START = "import sys; sys.path[:] = sys.argv[5:]; from edge.conversion_process import main; main(*sys.argv[1:5])"
# The last lines of what a process said before it died.
_LAST = 5


@contextmanager
def conversion(
    model: keras.Model,
    quantization: Quantization,
    calibration: np.ndarray,
    samples: int = BEAT_SAMPLES,
    contract: str = CONTRACT,
) -> Iterator[Iterator[Converted]]:
    """Begin a conversion elsewhere; give the candidates of :func:`edge.convert.convert` as they are asked for.

    The process converts the first one at once, while this one does other work, and each other when it is wanted. When
    the block ends, however it ends, the process and its files are gone.

    Parameters
    ----------
    model, quantization, calibration, samples, contract
        As :func:`edge.convert.convert` takes them.

    Raises
    ------
    RuntimeError
        As :func:`edge.convert.convert`, or when the process failed in a way that is not the user's.
    ModuleNotFoundError
        Without TensorFlow.
    OSError
        When there is no space for the files between the two processes.
    InputError
        When the process was killed.
    """
    with tempfile.TemporaryDirectory(prefix="omi-keras-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        save_network(folder / NETWORK, model)
        with errors_name(folder / CALIBRATION):
            np.save(folder / CALIBRATION, np.ascontiguousarray(calibration, np.float32), allow_pickle=False)
        with _process(folder, quantization, samples, contract) as process:
            yield _candidates(process, folder)


@contextmanager
def _process(
    folder: Path, quantization: Quantization, samples: int, contract: str
) -> Iterator[subprocess.Popen[bytes]]:
    # Its own words go into a file: they are of interest only when it dies. A GPU would be of no use to it, and this
    # process may have taken all of its memory.
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"}
    call = [sys.executable, "-c", _START, str(folder), quantization, str(samples), contract, *map(str, sys.path)]
    with (folder / HEARD).open("wb") as heard:
        process = subprocess.Popen(
            call, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=heard, bufsize=0
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()


def _candidates(process: subprocess.Popen[bytes], folder: Path) -> Generator[Converted]:
    assert process.stdin and process.stdout
    while True:
        answer = process.stdout.readline()
        if not answer.endswith(b"\n"):
            raise _died(process.wait(), (folder / HEARD).read_bytes())
        found = json.loads(answer)
        if "error" in found:
            raise _error(found)
        if "file" not in found:
            return
        file = folder / found["file"]
        content = file.read_bytes()
        file.unlink()
        yield Converted(content, tuple(found["float_layers"]))
        try:
            process.stdin.write(b"next\n")
        except BrokenPipeError:  # it is dead, which the next reading tells
            continue


def _died(code: int, heard: bytes) -> Exception:
    if -code in (signal.SIGTERM, getattr(signal, "SIGKILL", None)):
        by = signal.Signals(-code).name
        return InputError(
            f"the process that converts the network was ended by {by}, perhaps for want of memory; try again", "died"
        )
    last = " ".join(kept(heard).decode(errors="replace").splitlines()[-_LAST:])
    return RuntimeError(f"the process that converts the network died with exit code {code}: {last}")


def _error(found: dict[str, Any]) -> Exception:
    """What the other process raised, as far as somebody here could do something about it; else a RuntimeError."""
    kind, message = found["error"], found["message"]
    if kind == "InputError":
        return InputError(message, found["reason"])
    if kind == "ModuleNotFoundError":
        return ModuleNotFoundError(message, name=found["name"])
    if kind == "MemoryError":
        return MemoryError(message)
    if kind == "OSError":
        return OSError(found["errno"] or errno.EIO, found["strerror"] or message, found["filename"])
    return RuntimeError(message if kind == "RuntimeError" else f"{kind}: {message}")
