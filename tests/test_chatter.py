"""Start-up chatter of TensorFlow, LiteRT and JAX stays away from the terminal; everything else arrives."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from omi_keras import chatter
from omi_keras.chatter import kept

CHATTER = b"""\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795647077.943603   10093 port.cc:153] oneDNN custom operations are on. You may see slightly different
I0000 00:00:1795647077.944546   10093 cudart_stub.cc:31] Could not find cuda drivers on your machine
W0000 00:00:1795647077.944546   10093 tf_tfl_flatbuffer_helpers.cc:365] Ignored output_format.
I1125 22:50:01.944546   10093 service.cc:148] XLA service 0x7f initialized for platform CUDA
2026-11-25 22:50:01.123456: I tensorflow/core/platform/cpu_feature_guard.cc:210] This TensorFlow binary is optimized
2026-11-25 22:50:01.123456: W tensorflow/compiler/tf2tensorrt/utils/py_utils.cc:38] TF-TRT Warning
To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow with the appropriate flags.
E0000 00:00:1795648051.607834   20628 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error
E0000 00:00:1795648051.607834   20628 cuda_dnn.cc:8579] Unable to register cuDNN factory: Attempting to register
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
fully_quantize: 0, inference_type: 6, input_inference_type: FLOAT32, output_inference_type: FLOAT32
"""
ERRORS = b"""\
E0000 00:00:1795648051.607834   20628 service.cc:52] out of memory
F0000 00:00:1795648051.607834   20628 cpu_feature_guard.cc:37] The TensorFlow library was compiled to use AVX2
2026-11-25 22:50:01.123456: E tensorflow/core/framework/node_def_util.cc:676] something is wrong
2026-11-25 22:50:01.123456: F tensorflow/core/platform/cpu_feature_guard.cc:37] no AVX
ERROR: Didn't find op for builtin opcode 'CONV_2D' version '99'
WARNING: Attempting to use a delegate that only supports static-sized tensors
omi-keras: dataset/ not found
terminate called after throwing an instance of 'std::bad_alloc'
no newline at the end, INFO: of somebody"""

# Says what C++ code would say: past Python.
SAY = "import os; say = lambda text: os.write(2, text)\n"


def python(code, *arguments, environment=(), **options):
    clean = {name: value for name, value in os.environ.items() if name not in ("TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND")}
    return subprocess.run(
        [sys.executable, "-c", SAY + code, *(str(argument) for argument in arguments)],
        env={**clean, **dict(environment)}, capture_output=True, timeout=400, **options,
    )  # fmt: skip


def command(*arguments, **options):
    """Run ``omi-keras`` as its users do; lines on standard error."""
    done = python("from omi_keras.cli import main; main(prog_name='omi-keras')", *arguments, **options)
    assert done.returncode == 0, done.stderr.decode()
    return done.stderr.decode().splitlines()


def test_a_command_goes_on_where_no_further_process_can_be(monkeypatch):
    def none():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(chatter, "_filter_wanted", True)
    monkeypatch.setattr(chatter.os, "fork", none, raising=False)
    error, before = sys.stderr, os.fstat(2)
    chatter.filter_command()
    assert sys.stderr is error and os.path.samestat(os.fstat(2), before)
    assert not chatter._filtered and not chatter._filter_wanted


def test_only_chatter_is_dropped():
    assert kept(CHATTER) == b""
    assert kept(ERRORS) == ERRORS
    assert kept(CHATTER + ERRORS) == ERRORS


def test_what_is_held_back_arrives_afterwards():
    done = python(
        "from omi_keras.chatter import without_chatter\n"
        "with without_chatter():\n"
        f"    say({CHATTER!r}); say(b'lost? ')\n"
        "    with without_chatter(): say(b'no\\n')\n"
        "say(b'after\\n')"
    )
    assert done.stderr == b"lost? no\nafter\n"


def test_full_disk_and_closed_standard_error_only_end_the_silence():
    held = (
        "from omi_keras.chatter import *\nimport tempfile\n{}\nwith without_chatter(): say(b'INFO: x\\n')\nprint('on')"
    )
    done = python(held.format("import tempfile\ndef full(): raise OSError('full')\ntempfile.TemporaryFile = full"))
    assert (done.stdout, done.stderr) == (b"on\n", b"INFO: x\n")
    assert python(held.format("os.close(2); say = print")).stdout.endswith(b"on\n")


def test_where_the_process_died_is_told_even_then():
    done = python("from omi_keras.chatter import without_chatter\nwith without_chatter(): os.abort()")
    assert b"Fatal Python error: Aborted" in done.stderr


FILTERED = "from omi_keras.chatter import *\nimport sys, warnings, logging\nquiet_process(); filter_command()\n"


def test_a_command_hears_what_cpp_says_before_it_aborts():
    done = python(FILTERED + f"say({CHATTER!r}); say({ERRORS!r}); os.abort()")
    assert done.returncode < 0
    assert done.stderr == ERRORS


def test_python_errors_arrive_and_its_warnings_do_not():
    done = python(
        FILTERED
        + "warnings.warn('w'); logging.getLogger('jax').warning('no GPU'); logging.getLogger('x').error('err')\n"
        "print('told', file=sys.stderr)\nraise ValueError('broken')"
    )
    text = done.stderr.decode()
    assert re.match(r"err\ntold\nTraceback", text)
    assert text.endswith("ValueError: broken\n")


def test_processes_of_a_command_are_filtered_too():
    work = "import os; os.write(2, b'INFO: x\\nworker\\n')"
    done = python(FILTERED + f"import subprocess; subprocess.run([sys.executable, '-c', {work!r}])")
    assert done.stderr == b"worker\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX")
def test_ctrl_c_of_the_whole_terminal_leaves_the_filter_to_hear_the_end():
    done = python(
        FILTERED + "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); os.killpg(0, signal.SIGINT)\n"
        "say(b'the end\\n')",
        start_new_session=True,
    )
    assert done.stderr == b"the end\n"


def test_commands_work_with_standard_error_closed(tmp_path):
    """What a file opens instead of standard error would get everything that is said."""
    done = python(
        "from omi_keras.cli.terminal import mend_streams; mend_streams()\n" + FILTERED +
        "say(b'x'); file = open(sys.argv[1], 'w'); say(b'y'); file.write('mine')", tmp_path / "file",
        preexec_fn=lambda: os.close(2),
    )  # fmt: skip
    assert done.returncode == 0
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


def test_bundles_are_judged_in_silence(int8_bundle, ecg_file):
    assert command("predict", int8_bundle, ecg_file) == []
    assert command("check-parity", int8_bundle) == []
    done = subprocess.run([sys.executable, "-I", int8_bundle / "device_parity.py"], capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    detector = "import sys; from edge import Detector\nDetector(sys.argv[1]).detect_file(sys.argv[2])"
    done = python(detector, int8_bundle, ecg_file)
    assert (done.returncode, done.stderr) == (0, b"")


def test_what_litert_says_besides_arrives(int8_bundle):
    """An error that it writes while the chatter is held back."""
    done = python(
        "import sys; from pathlib import Path; from edge import network, parity\n"
        "class Interpreter(network.interpreter_class()):\n"
        "    def allocate_tensors(self):\n"
        "        say(b'ERROR: kept\\n'); super().allocate_tensors()\n"
        "network.interpreter_class = lambda: Interpreter\n"
        "parity.replay(Path(sys.argv[1]))",
        int8_bundle,
    )
    assert (done.returncode, done.stderr) == (0, b"ERROR: kept\n")


def test_a_model_folder_predicts_in_silence(model_folder, ecg_file):
    assert command("predict", model_folder, ecg_file) == []


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_training_shows_its_epochs_only(backend, jobs, easy_dataset, tmp_path):
    pytest.importorskip(backend)
    environment = {"KERAS_BACKEND": backend}
    options = ("--model", "mayo-alvd", "--folds", "0", "--n-folds", "5", "--epochs", "1", "--batch-size", "16")
    lines = command("train", easy_dataset, tmp_path / "run", *options, "--jobs", jobs, environment=environment)
    assert len(lines) == 1
    assert lines[0].startswith("fold 0 epoch 1: ")


@pytest.mark.slow
def test_export_and_saliency_are_silent(model_folder, easy_dataset, tmp_path):
    assert command("export-tflite", model_folder, tmp_path / "bundle", "--dataset", easy_dataset) == []
    assert command("saliency", model_folder, easy_dataset, tmp_path / "saliency", "--aggregate") == []
    assert command("check-parity", tmp_path / "bundle", "--model", model_folder, "--dataset", easy_dataset) == []


@pytest.fixture(scope="module")
def ecg_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ecgs") / "ecgs"
    command("simulate", folder, "--ecgs", 1, "--patients", 1, "--seed", 2, "--as", "records")
    return next(folder.glob("*.hea"))
