"""The study's own Dagster instance, in ``dagster/`` under its data root."""

import os
from importlib import resources
from pathlib import Path

import dagster as dg

from fly64_assets.storage import write_atomically
from fly64_assets.study import StudyError

INSTANCE_FOLDER = "dagster"
OWNER_FILE = ".study"
LAYOUT = 2
"""What a data root and its catalog look like; raised when what an older version wrote can no longer be read."""

TRAINING_POOL = "training"


def dagster_home(data_root: Path, study_name: str) -> Path:
    """DAGSTER_HOME of a data root; created with its dagster.yaml if it is new.

    Raises:
        StudyError: the data root belongs to another study, or another version of this package made it.
    """
    require_owner(data_root, study_name)
    owner, home = data_root / OWNER_FILE, data_root / INSTANCE_FOLDER
    has_catalog = home.exists()  # asked first: another process may be making both, the owner first
    if not owner.exists():
        if has_catalog:
            raise StudyError(_other_version(data_root, f"it has a catalog and no {OWNER_FILE}"))
        write_atomically(owner, f"{study_name}\nlayout {LAYOUT}\n")
    configuration = home / "dagster.yaml"
    if not configuration.exists():
        write_atomically(
            configuration,
            resources.files("fly64_assets.orchestration.catalog").joinpath("dagster.yaml").read_text("utf-8"),
        )
    return home


def require_owner(data_root: Path, study_name: str) -> None:
    """Refuse a data root, or the instance in it, that another study or another layout wrote; a new folder is free.

    Raises:
        StudyError: one line that names what was found, what was expected, and what to do.
    """
    owner = data_root / OWNER_FILE
    if not owner.exists():
        return
    found, *further = owner.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    if found != study_name:
        message = (
            f"{data_root} holds study {found!r}, not {study_name!r}: set or unset FLY64_DATA_ROOT; "
            f'in an activated shell run: eval "$(fly64 environment --study {study_name})"'
        )
        raise StudyError(message)
    if further != [f"layout {LAYOUT}"]:
        says = f"says {further[0]!r}" if further else "names no layout"
        raise StudyError(_other_version(data_root, f"its {OWNER_FILE} {says}, this version reads 'layout {LAYOUT}'"))


def _other_version(data_root: Path, why: str) -> str:
    return (
        f"{data_root} was made by another version of fly64_assets ({why}) and cannot be continued: "
        "name another folder in FLY64_DATA_ROOT, or remove this one; then fly64 study makes it anew"
    )


def study_instance(data_root: Path, study_name: str) -> dg.DagsterInstance:
    """Open the instance of a data root; a context manager, as Dagster's own."""
    home = dagster_home(data_root, study_name)
    os.environ["DAGSTER_HOME"] = str(home)
    return dg.DagsterInstance.from_config(str(home))


def limit_training(instance: dg.DagsterInstance, limit: int = 1) -> None:
    """Allow so many trainings at once on this instance, unless someone has set another limit."""
    storage = instance.event_log_storage
    if not any(pool.name == TRAINING_POOL for pool in storage.get_pool_limits()):
        storage.set_concurrency_slots(TRAINING_POOL, limit)
