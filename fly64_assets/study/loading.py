"""Reads a study file: finds it, parses it, says what is wrong with it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from upath import UPath

from fly64_assets.study.schema import NAME_PATTERN, SHIPPED_STUDIES, Study, StudyError


def load_study(name_or_path: str, overrides: Mapping[str, Any] | None = None) -> Study:
    """Read and validate a study.

    Args:
        name_or_path: name of a shipped study, or path of a YAML file.
        overrides: nested fields that replace those of the file.

    Raises:
        StudyError: not found, not YAML, or fields that do not fit; every fault is listed.
    """
    path = _study_path(name_or_path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        message = f"{path} is not a YAML file: {error}"
        raise StudyError(message) from error
    if not isinstance(content, dict):
        message = f"{path}: expected a mapping of study fields, found {type(content).__name__}"
        raise StudyError(message)
    try:
        return Study.model_validate(_merged(content, overrides or {}))
    except ValidationError as error:
        faults = "\n".join(_describe_fault(fault) for fault in error.errors(include_url=False))
        message = f"{path} is not a valid study:\n{faults}"
        raise StudyError(message) from error


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


def _study_path(name_or_path: str) -> Path:
    shipped = SHIPPED_STUDIES / f"{name_or_path}.yaml"
    if NAME_PATTERN.fullmatch(name_or_path) and shipped.exists():
        return shipped
    path = Path(name_or_path)
    if path.is_file():
        return path
    names = ", ".join(sorted(item.stem for item in SHIPPED_STUDIES.glob("*.yaml")))
    message = f"no study {name_or_path!r}: give one of {names}, or the path of a YAML file (FLY64_STUDY or STUDY=)"
    raise StudyError(message)


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        inner = merged.get(key)
        merged[key] = _merged(inner, value) if isinstance(value, Mapping) and isinstance(inner, Mapping) else value
    return merged


def _describe_fault(fault: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in fault["loc"]) or "study"
    return f"  {where}: {fault['msg']} (found {fault['input']!r:.120})"
