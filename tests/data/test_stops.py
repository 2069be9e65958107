"""Ctrl-C, and what schedulers send: heard at once in our own code, and not before a backend or an import returns."""

import signal
import subprocess
import sys
import textwrap
import time

import pytest

from omi_keras.data.stops import CtrlC, Stopped, python_ctrl_c, undisturbed

posix = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no timer")


def module_of(name, call):
    """A function of a module of this name that makes the call, and the list in which it says when it has returned."""
    code = "def work(*iterator):\n    call()\n    done.append('returned')\n"
    variables = {"__name__": name, "call": call, "done": []}
    exec(code, variables)
    return variables["work"], variables["done"]


def press_and_wait(seconds=0.1):
    signal.raise_signal(signal.SIGTERM)
    time.sleep(seconds)


def test_sigterm_is_heard_where_python_loses_it():
    before = signal.getsignal(signal.SIGTERM)
    with CtrlC() as ctrl_c:
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt) as stopped:
            ctrl_c.check()
        assert stopped.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with CtrlC() as ctrl_c:
            signal.raise_signal(signal.SIGINT)
            ctrl_c.check()
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_waits_for_the_steps_that_belong_together():
    steps = []
    with pytest.raises(KeyboardInterrupt):
        with undisturbed():
            signal.raise_signal(signal.SIGINT)
            steps.append("whole")
        steps.append("after")
    assert steps == ["whole"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("name", ["tensorflow.python.framework.ops", "keras.src.models", "importlib._bootstrap", "jax"])
def test_a_backend_is_not_stopped_in_the_middle(name):
    work, done = module_of(name, press_and_wait)
    before = sys.gettrace()
    with pytest.raises(Stopped) as stopped, CtrlC():
        work()
        done.append("went on")
    assert done == ["returned"] and stopped.value.code == 143
    assert sys.gettrace() is before


@pytest.mark.parametrize("fails", [False, True])
def test_what_calls_a_backend_last_is_stopped_when_that_ends(fails):
    def press():
        signal.raise_signal(signal.SIGTERM)
        if fails:
            raise ValueError("of the backend")

    def ours():
        return work()

    work, _ = module_of("keras", press)
    with pytest.raises(Stopped), CtrlC():
        ours()
        pytest.fail("went on")


def test_the_end_of_a_backends_iterator():
    def press_at_the_end():
        if len(done) == 3:
            signal.raise_signal(signal.SIGTERM)
            raise StopIteration

    work, done = module_of("tensorflow", press_at_the_end)
    batches = type("Batches", (), {"__iter__": lambda self: self, "__next__": work})
    with pytest.raises(Stopped), CtrlC():
        for _ in batches():
            pass
        pytest.fail("went on")
    assert len(done) == 3


def test_our_own_code_is_stopped_at_once():
    work, done = module_of("omi_keras.training.fit", press_and_wait)
    with pytest.raises(Stopped), CtrlC():
        work()
    assert done == []


def test_who_asks_again_later_does_not_wait(monkeypatch):
    monkeypatch.setattr("omi_keras.data.stops._AGAIN_SECONDS", 0.05)

    def press_three_times():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)  # timeout(1) sends it to the process, and to its group
        pressed.append("twice")
        time.sleep(0.1)
        signal.raise_signal(signal.SIGTERM)
        pressed.append("again")

    pressed = []
    work, done = module_of("tensorflow", press_three_times)
    with pytest.raises(Stopped), CtrlC():
        work()
    assert pressed == ["twice"] and done == []


def test_a_command_that_an_import_runs_is_stopped():
    """Only what the block itself calls counts."""

    def command():
        with CtrlC():
            press_and_wait()

    work, done = module_of("importlib._bootstrap", command)
    with pytest.raises(Stopped):
        work()
    assert done == []


def test_a_backend_at_work_within_steps_that_belong_together():
    steps = []
    work, _ = module_of("tensorflow", lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Stopped), CtrlC():
        with undisturbed():
            work()
            steps.append("whole")
        steps.append("after")
    assert steps == ["whole"]


def test_what_is_still_waiting_at_the_end_is_heard_outside():
    work, done = module_of("tensorflow", lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Stopped), CtrlC():
        with CtrlC():
            work()
        done.append("after")
    assert done == ["returned"]


def test_another_exception_that_c_code_makes_of_it_is_no_failure():
    with pytest.raises(Stopped) as stopped, CtrlC():
        try:
            signal.raise_signal(signal.SIGTERM)
        except Stopped as error:
            raise SystemError("returned a result with an exception set") from error
    assert stopped.value.code == 143


def test_an_exception_of_its_own_stays():
    with pytest.raises(ValueError, match="mine"), CtrlC():
        raise ValueError("mine")


def test_in_a_notebook_only_ctrl_c_is_heard(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), python_ctrl_c():
        assert signal.getsignal(signal.SIGTERM) is before
        signal.raise_signal(signal.SIGINT)
    handler = signal.signal(signal.SIGINT, lambda *where: None)
    try:
        with python_ctrl_c():
            signal.raise_signal(signal.SIGINT)  # somebody else's to hear
    finally:
        signal.signal(signal.SIGINT, handler)


@posix
def test_tensorflow_survives_ctrl_c_at_any_moment():
    """Stopped while it built a pipeline, it aborted after some hundred times: 'malloc_consolidate(): invalid chunk'."""
    code = """
        import random, signal
        import numpy as np
        from omi_keras.data.pipeline import TrainingPipeline
        from omi_keras.data.stops import CtrlC, Stopped

        beats = np.random.default_rng(0).normal(size=(16, 12, 600)).astype(np.float32)
        pipeline = TrainingPipeline(beats, np.arange(16) % 2, np.arange(16))
        chance, heard = random.Random(0), 0
        for _ in range(120):
            try:
                with CtrlC():
                    signal.signal(signal.SIGVTALRM, lambda number, frame: signal.raise_signal(signal.SIGTERM))
                    signal.setitimer(signal.ITIMER_VIRTUAL, chance.uniform(0.001, 0.05))
                    while True:
                        pipeline.epoch([np.arange(8)])
            except Stopped:
                heard += 1
        print(heard)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, encoding="utf-8", timeout=300
    )
    assert (done.returncode, done.stdout) == (0, "120\n"), done.stderr
