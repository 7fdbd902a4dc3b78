"""The study's own Dagster instance, in ``dagster/`` under its data root."""

import os
from importlib import resources
from pathlib import Path

import dagster as dg

from fly64_assets.storage import write_atomically
from fly64_assets.study import StudyError

INSTANCE_FOLDER = "dagster"
OWNER_FILE = ".study"
TRAINING_POOL = "training"


def dagster_home(data_root: Path, study_name: str) -> Path:
    """DAGSTER_HOME of a data root; created with its dagster.yaml if it is new.

    Raises:
        StudyError: the data root belongs to another study.
    """
    owner = data_root / OWNER_FILE
    if not owner.exists():
        write_atomically(owner, f"{study_name}\n")
    require_owner(data_root, study_name)
    home = data_root / INSTANCE_FOLDER
    configuration = home / "dagster.yaml"
    if not configuration.exists():
        write_atomically(
            configuration,
            resources.files("fly64_assets.orchestration.catalog").joinpath("dagster.yaml").read_text("utf-8"),
        )
    return home


def require_owner(data_root: Path, study_name: str) -> None:
    """Refuse a data root, or the instance in it, that another study wrote; a new folder is free.

    Raises:
        StudyError: names both studies and what to do.
    """
    owner = data_root / OWNER_FILE
    if owner.exists() and (found := owner.read_text().strip()) != study_name:
        message = (
            f"{data_root} holds study {found!r}, not {study_name!r}: set or unset FLY64_DATA_ROOT; "
            f'in an activated shell run: eval "$(fly64 environment --study {study_name})"'
        )
        raise StudyError(message)


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
