"""Quality flags in words."""

import re
from pathlib import Path

import pytest

import omi_keras
from omi_keras.beats.flags import _WORDS, in_words

ROOT = Path(omi_keras.__file__).parent


def test_leads_of_one_kind_are_told_together():
    flags = ("einthoven:310uV", "flat:V3", "mains:50", "noisy:V1", "noisy:V2", "paced")
    assert in_words(flags) == [
        "limb leads contradict each other by 310 µV",
        "lead V3 is flat",
        "mains of 50 Hz removed",
        "leads V1, V2 are noisy",
        "paced",
    ]


def test_what_is_not_known_is_told_as_it_is():
    assert in_words(("new", "other:7", "other:8")) == ["new", "other:7, other:8"]
    assert in_words(()) == []


@pytest.mark.parametrize("room", ["recordings", "beats"])
def test_every_flag_that_is_raised_has_words(room):
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / room).rglob("*.py"))
    raised = set(re.findall(r"flags\.add\(f?\"([a-z_]+)[:\"]", sources))
    raised |= set(re.findall(r"f\"([a-z_]+):\{LEADS", sources))
    assert len(raised) > 3 and raised <= set(_WORDS)
