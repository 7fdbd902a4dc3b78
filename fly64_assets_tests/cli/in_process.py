"""The ``fly64`` command in the process of the tests: its imports take longer than what most of them ask of it."""

import contextlib
import io
import os
import sys
from subprocess import CompletedProcess
from unittest.mock import patch

import pytest

from fly64_assets.cli import main


def fly64(*arguments: str, **variables: str) -> CompletedProcess[str]:
    """Run a command; an exception that it lets through fails the test, as a traceback would."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FLY64_", "DAGSTER_"))}
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, {**kept, **variables}, clear=True),
        patch.object(sys, "argv", ["fly64", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        sys.exit(main())
    return CompletedProcess(arguments, int(ended.value.code or 0), out.getvalue(), err.getvalue())
