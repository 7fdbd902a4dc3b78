"""Finds the file of a study: shipped ones by name, others by path."""

from pathlib import Path

from fly64_assets.science.registry import did_you_mean, shown
from fly64_assets.study.complaints import NAME_PATTERN
from fly64_assets.study.schema import SHIPPED_STUDIES, StudyError

_ENDINGS = (".yaml", ".yml")
_MOST_NEIGHBOURS = 1_000


def study_path(name_or_path: str) -> Path:
    """The file of a study.

    Args:
        name_or_path: name of a shipped study, or path of a YAML file.

    Raises:
        StudyError: there is no such file; the message names the nearest.
    """
    shipped = SHIPPED_STUDIES / f"{name_or_path}.yaml"
    if NAME_PATTERN.fullmatch(name_or_path) and shipped.exists():
        return shipped
    try:
        path = Path(name_or_path).expanduser()
        if path.is_file():
            return path
        reason = _why_not(path)
    except (OSError, RuntimeError, ValueError) as error:  # too long a name, a folder that may not be read, ~nobody
        reason = f": {getattr(error, 'strerror', None) or error}"
    message = (
        f"no study {shown(name_or_path)}{reason} (--study, FLY64_STUDY or STUDY= takes one of "
        f"{', '.join(_shipped_names())}, or the path of a YAML file)"
    )
    raise StudyError(message)


def _shipped_names() -> list[str]:
    return sorted(item.stem for item in SHIPPED_STUDIES.glob("*.yaml"))


def _why_not(path: Path) -> str:
    if path.is_dir():
        return ": it is a folder"
    if path.exists():
        return ": it is no regular file"
    if path.parent != Path() or path.suffix in _ENDINGS:
        if not path.parent.is_dir():
            return f": there is no folder {shown(str(path.parent))}"
        neighbours = [each.name for each, _ in zip(path.parent.iterdir(), range(_MOST_NEIGHBOURS), strict=False)]
        return did_you_mean(path.name, [name for name in neighbours if name.endswith(_ENDINGS)])
    return did_you_mean(path.name, _shipped_names())
