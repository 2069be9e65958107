"""Ctrl-C is heard even when the exception that it raises gets lost."""

import signal
from contextlib import suppress

import pytest

from omi_keras.cli.display import Display


@pytest.mark.parametrize("tell", [lambda display: display.step(1, 2), lambda display: display.epoch("fold 0", {})])
def test_lost_in_a_finaliser(tell):
    before = signal.getsignal(signal.SIGINT)
    with Display(1) as display:
        # As Python does around a finaliser.
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            tell(display)
    assert signal.getsignal(signal.SIGINT) is before
