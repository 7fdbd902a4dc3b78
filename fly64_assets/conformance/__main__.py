"""The command: one line per rule and kind, and exit status 1 if a rule is broken."""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fly64_assets.conformance.rules import SMALL, findings
from fly64_assets.conformance.scan import make_scans
from fly64_assets.science.methods.record import METHOD_KINDS
from fly64_assets.science.registry import RegistryError


def main(arguments: Sequence[str] | None = None) -> int:
    """Try kinds and say what was found.

    Returns:
        0 if every rule is kept, 1 if one is broken or the request is refused.
    """
    parser = argparse.ArgumentParser("python -m fly64_assets.conformance", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="registered kinds of method; left out: all of them")
    small = ", ".join(f"{name} {value}" for name, value in SMALL.items())
    parser.add_argument("--options", default="{}", help=f"JSON; options left out are small ({small}) or the defaults")
    given = parser.parse_args(arguments)
    try:
        return _try_all(given.kinds or METHOD_KINDS.names(), _json_object(given.options))
    except (json.JSONDecodeError, TypeError, RegistryError, ValidationError) as error:
        sys.stderr.write(f"conformance: {error}\n")
        return 1


def _json_object(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        message = "--options must be a JSON object"
        raise TypeError(message)
    return found


def _try_all(kinds: Sequence[str], options: dict[str, Any]) -> int:
    broken = 0
    with tempfile.TemporaryDirectory(prefix="fly64_conformance_") as name:
        scans = make_scans(Path(name) / "scans")
        for kind in kinds:
            for finding in findings(kind, options, scans, Path(name) / kind):
                broken += bool(finding.why)
                sys.stdout.write(f"{finding}\n")
                sys.stdout.flush()
    sys.stdout.write(f"{broken} rules are broken\n" if broken else "every rule is kept\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
