"""Installs the example packages as a user would, into a folder of its own and without a network."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
EXAMPLES = ("example_gradient", "example_network", "example_metric", "example_format")


def install(folder: Path, *names: str) -> Path:
    """Install example packages; returns the folder that must stand on PYTHONPATH.

    Built from copies, because a build leaves files beside the sources.
    """
    sources = [shutil.copytree(HERE / name, folder / "sources" / name) for name in names or EXAMPLES]
    site = folder / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    command += ["--no-deps", "--no-build-isolation", "--target", str(site), *map(str, sources)]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return site


def with_packages(site: Path, environment: dict[str, str]) -> dict[str, str]:
    """The environment of a process that finds the packages."""
    return {**environment, "PYTHONPATH": os.pathsep.join(filter(None, [str(site), environment.get("PYTHONPATH")]))}
