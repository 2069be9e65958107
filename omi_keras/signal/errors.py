"""The one exception that means: the input is bad, and the message says what to do about it."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input from a user: a file, a value, a folder.

    The message is one sentence that names the thing, what is wrong with it and what to do. The command line
    prints it without a traceback and exits with code 2; ``prepare`` writes it to ``rejected.csv``.

    Parameters
    ----------
    message
        The sentence.
    reason
        A short stable word for tables (``missing_lead``, ``too_short``, ...).
    """

    def __init__(self, message: str, reason: str = "bad_input") -> None:
        # Names and cells of damaged files end up in messages; a terminal must get one line without control characters.
        super().__init__("".join(c if c.isprintable() else "?" for c in message))
        self.reason = reason
