"""A beat is known again, however it was rounded; another one of the same heart is not."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omi_keras.data.beat_sums import CELL_MV, are_among, beat_sum, beat_sums, packed, unpacked
from omi_keras.data.duplicates import SAME_MV
from omi_keras.recordings.errors import InputError


def beats(n, seed=0, step=None):
    x = np.random.default_rng(seed).normal(0, 0.3, (n, 12, 600))
    x = x if step is None else np.round(x / step) * step
    return x.astype(np.float32)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6), step=st.sampled_from([None, 0.001, 0.00125, 0.00244, 0.0025, 0.005]))
def test_what_differs_by_rounding_is_found(seed, step):
    """Also on the edges of cells, and of recorders whose values are multiples of a step."""
    x = beats(20, seed, step)
    sums = set(beat_sums(x))
    rng = np.random.default_rng(seed + 1)
    shifted = x + rng.uniform(-SAME_MV, SAME_MV, x.shape) * 0.99
    assert are_among(shifted, sums).all()
    assert are_among(x, sums).all()
    assert not are_among(x + rng.normal(0, 0.001, x.shape), sums).any(), "1 µV of noise is another recording"


def test_a_value_on_an_edge():
    x = np.zeros((1, 12, 600))
    x[0, 3, 300] = (17 - 0.37) * CELL_MV
    below, above = x - SAME_MV / 2, x + SAME_MV / 2
    assert beat_sums(below)[0] != beat_sums(above)[0]
    assert are_among(below, set(beat_sums(above))).all() and are_among(above, set(beat_sums(below))).all()


def test_sums_are_the_same_everywhere():
    """A golden value: models on disk hold these."""
    x = np.zeros((2, 12, 600), np.float32)
    x[1, :, 250:401] = np.linspace(-1, 1, 12, dtype=np.float32)[:, None]
    assert beat_sums(x).tolist() == ["619c45c73a5c", "4d7d680b5019"]


def test_packed_and_back():
    sums = beat_sums(beats(50))
    text = packed([*sums, sums[0]])
    assert unpacked(text) == set(sums)
    assert len(text) == 50 * 8
    assert packed(reversed(sums)) == text
    assert unpacked(packed([])) == frozenset()
    assert not are_among(beats(3), frozenset()).any()


@pytest.mark.parametrize("text", ["abc", "####", "AAAA", 17, None, ["AAAAAAAA"], "ÄAAAAAAA"])
def test_what_is_no_sums_is_refused(text):
    with pytest.raises(InputError, match="checksums of beats"):
        unpacked(text)


def test_cells_of_a_table():
    good = beat_sum(pd.Series(["0123456789ab", "", "0123", "0123456789AB", "x" * 12]))[1]
    assert good.tolist() == [True, True, False, False, False]


def test_different_hearts_have_different_sums():
    x = beats(3000)
    assert len(set(beat_sums(x))) == 3000
    flat = np.zeros((2, 12, 600), np.float32)
    flat[1, 0, 300] = 0.01
    assert len(set(beat_sums(flat))) == 2
