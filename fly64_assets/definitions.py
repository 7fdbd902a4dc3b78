"""The Dagster code location: assets, checks, jobs, schedule and sensors of the current study.

``FLY64_STUDY`` names the study (default ``quick``), ``FLY64_DATA_ROOT`` where its files live.
"""

import os
from pathlib import Path

import click

from fly64_assets.orchestration.catalog.instance import require_owner
from fly64_assets.orchestration.code_location import build_definitions
from fly64_assets.study import Study, StudyError, current_study, data_root_of


def _study_and_root() -> tuple[Study, Path]:
    """The study, and its data root if the study owns it."""
    study = current_study()
    root = data_root_of(study)
    require_owner(root, study.name)
    if "DAGSTER_HOME" in os.environ:  # a catalog and files of two studies would contradict each other
        require_owner(Path(os.environ["DAGSTER_HOME"]).parent, study.name)
    return study, root


try:
    study, data_root = _study_and_root()
except StudyError as error:
    # Dagster's commands print this kind of error as one line, and any other one under a screen of their own frames.
    raise click.ClickException(str(error)) from None
defs = build_definitions(study, data_root)
