"""The ``fly64`` command: arguments, messages, exit status; a known error is one line.

What a command does stands where it belongs: running a study in ``orchestration.study_run``, judging and converting
files in ``science``. Conversions between formats and the lists of what is installed are here, because nobody else
needs them.
"""

from fly64_assets.cli.app import main

__all__ = ["main"]
