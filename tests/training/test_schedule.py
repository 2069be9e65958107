"""Which epoch is kept, against the paper's sentence written out slowly."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omi_keras.training.schedule import MONITORED, Best

NUMBERS = st.lists(st.one_of(st.integers(0, 6).map(lambda k: k / 6), st.just(math.nan)), min_size=1, max_size=40)


@pytest.mark.parametrize("mode", ["max", "min"])
@given(numbers=NUMBERS)
def test_the_first_of_the_best_epochs(mode, numbers):
    best, news = Best(), []
    for epoch, number in enumerate(numbers, start=1):
        if best.see(epoch, number, mode):
            news.append(epoch)
    real = [number for number in numbers if not math.isnan(number)]
    expected = numbers.index(max(real) if mode == "max" else min(real)) + 1 if real else 1
    assert best.epoch == news[-1] == expected
    assert best.value == (numbers[expected - 1] if real else None)


def test_a_score_shall_rise_and_a_loss_shall_fall():
    assert MONITORED == {"score": ("val_score", "max"), "loss": ("val_weighted_loss", "min")}
