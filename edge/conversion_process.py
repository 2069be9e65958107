"""The process that :mod:`edge.conversion` starts: reads a network, converts it, says where the results are.

It answers on what was its standard output, one JSON object a line, and is asked for the next candidate by a line on
its standard input. When that ends, so does the process: nobody waits for it any more.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omi_keras.chatter import quiet_python


def main(folder: str, quantization: Any, samples: str, contract: str) -> None:
    """Convert until all candidates are made, or nobody wants more."""
    # Ctrl-C reaches every process of a terminal: the one that started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    quiet_python()
    # What C++ code prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # All that is written, also by TensorFlow, goes when the folder goes.
    tempfile.tempdir = folder
    wanted = threading.Semaphore(1)
    threading.Thread(target=_listen, args=(wanted, folder), daemon=True).start()

    def answer(**content: Any) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    try:
        _convert(Path(folder), quantization, int(samples), contract, wanted, answer)
    except Exception as error:
        answer(**_told(error))
    sys.stdout.flush()
    # Nothing of TensorFlow's is worth waiting for, nor may it abort on its way out.
    os._exit(0)


def _convert(
    folder: Path,
    quantization: Any,
    samples: int,
    contract: str,
    wanted: threading.Semaphore,
    answer: Callable[..., None],
) -> None:
    from omi_keras.models.backend import load_backend

    load_backend()
    import keras
    import numpy as np

    from edge.conversion import CALIBRATION, NETWORK
    from edge.convert import convert

    model = keras.models.load_model(folder / NETWORK, compile=False)
    calibration = np.load(folder / CALIBRATION, allow_pickle=False)
    candidates = convert(model, quantization, calibration, samples, contract)
    number = 0
    while True:
        wanted.acquire()
        candidate = next(candidates, None)
        if candidate is None:
            answer()
            return
        file = f"candidate-{number}.tflite"
        (folder / file).write_bytes(candidate.content)
        answer(file=file, float_layers=candidate.float_layers)
        number += 1


def _listen(wanted: threading.Semaphore, folder: str) -> None:
    while os.read(0, 1) == b"n" and os.read(0, 4):
        wanted.release()
    # The other process, which would have removed the files, may be dead.
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _told(error: Exception) -> dict[str, Any]:
    import traceback

    traceback.print_exc()
    kind = "OSError" if isinstance(error, OSError) else type(error).__name__
    about = {name: getattr(error, name, None) for name in ("errno", "strerror", "filename", "name", "reason")}
    known = {name: value for name, value in about.items() if value is None or isinstance(value, str | int)}
    return {"error": kind, "message": str(error), **dict.fromkeys(about), **known}
