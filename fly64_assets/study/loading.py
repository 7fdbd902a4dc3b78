"""Reads a study file and says what is wrong with it, each fault in one line with its place."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from upath import UPath

from fly64_assets.study.faults import faults_of
from fly64_assets.study.finding import study_path
from fly64_assets.study.input_files import missing_files
from fly64_assets.study.marks import Fault, StudyFile, UnreadableError
from fly64_assets.study.parsing import parse_study_file
from fly64_assets.study.schema import Study, StudyError

_MOST_FAULTS = 30


def load_study(name_or_path: str, overrides: Mapping[str, Any] | None = None, *, require_files: bool = False) -> Study:
    """Read and validate a study.

    Args:
        name_or_path: name of a shipped study, or path of a YAML file.
        overrides: nested fields that replace those of the file.
        require_files: refuse input files that are not there, as a command that runs the study must. Without it they
            are not looked for: the graph of a study can be seen, and its results verified, where its data is not.

    Raises:
        StudyError: not found, not YAML, or fields that do not fit; every fault in a line of its own, in the order of
            the file, as ``quick.yaml:23: views.dense.overlap: ...``.
    """
    path = study_path(name_or_path)
    try:
        file = parse_study_file(path)
    except UnreadableError as error:
        raise StudyError(error.fault.line_of(path)) from error
    merged = replace(file, content=_merged(file.content, overrides or {}))
    faults, study = list(file.faults), None
    readers: dict[int, Any] = {}
    try:
        study = Study.model_validate(merged.content, context=readers)
    except ValidationError as error:
        faults += faults_of(error, merged, overrides or {}, readers)
    if study is not None and require_files:
        faults += missing_files(study, merged)
    if faults or study is None:
        raise StudyError(_lines(file, faults))
    return study


def _lines(file: StudyFile, faults: list[Fault]) -> str:
    in_order = sorted(faults, key=lambda fault: fault.line or 0)
    lines = list(dict.fromkeys(fault.line_of(file.path) for fault in in_order))
    more = [f"{file.path}: and {len(lines) - _MOST_FAULTS} more"] if len(lines) > _MOST_FAULTS else []
    return "\n".join([*lines[:_MOST_FAULTS], *more])


def current_study() -> Study:
    """The study that ``FLY64_STUDY`` names; ``quick`` if it is not set."""
    return load_study(os.environ.get("FLY64_STUDY") or "quick")


def data_root_of(study: Study) -> Path:
    """Where a study's files live: ``FLY64_DATA_ROOT``, else ``data/<study>/`` of the project or the folder."""
    named = os.environ.get("FLY64_DATA_ROOT")
    if named:
        return _local(UPath(named))
    project = Path(__file__).parents[2]
    base = project if (project / "workspace.yaml").exists() else Path.cwd()
    return _local(UPath(base) / "data" / study.name)


def _local(path: UPath) -> Path:
    """The one place to change when a data root may be a bucket."""
    if path.protocol not in ("", "file"):
        message = f"data roots are local folders for now, got {path}: unset FLY64_DATA_ROOT or name a folder"
        raise StudyError(message)
    return Path(path.path).absolute()


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        inner = merged.get(key)
        merged[key] = _merged(inner, value) if isinstance(value, Mapping) and isinstance(inner, Mapping) else value
    return merged
