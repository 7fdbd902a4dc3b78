"""The ``fly64`` command."""

from fly64_assets.cli.app import main

__all__ = ["main"]
