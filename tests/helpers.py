"""Calls that several tests make."""

from click.testing import CliRunner, Result


def run_cli(*arguments: object) -> Result:
    """Call ``omi-keras`` as a user does; exceptions that the command line lets through fail the test."""
    from omi_keras.cli import main

    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result
