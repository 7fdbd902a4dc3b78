"""On ``dagster asset materialize``, says why once more after the stack traces that Dagster prints."""

import atexit
import sys

import click

_said: set[str] = set()


def repeat_at_the_end(message: str) -> None:
    """Make a refusal the last line of the command; elsewhere do nothing."""
    if "materialize" in sys.argv[1:3] and message not in _said:
        _said.add(message)
        atexit.register(click.echo, f"fly64: {message}", err=True)
