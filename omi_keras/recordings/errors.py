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
    to_type
        Lines for the user to type, each on a line of its own after the sentence.

    Examples
    --------
    >>> import omi_keras as omi
    >>> try:
    ...     omi.read_record("nowhere.hea")
    ... except omi.InputError as error:
    ...     print(error.reason)
    missing_file
    """

    def __init__(self, message: str, reason: str = "bad_input", to_type: tuple[str, ...] = ()) -> None:
        super().__init__("\n  ".join(_printable(line) for line in (message, *to_type)))
        self.reason = reason


def _printable(text: str) -> str:
    """Names and cells of damaged files end up in messages; a terminal must get no control characters."""
    return "".join(c if c.isprintable() else "?" for c in text)
