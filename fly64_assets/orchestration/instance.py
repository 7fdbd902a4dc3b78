"""The study's own Dagster instance, in ``dagster/`` under its data root."""

import os
from importlib import resources
from pathlib import Path

import dagster as dg

from fly64_assets.storage import write_atomically

INSTANCE_FOLDER = "dagster"
TRAINING_POOL = "training"


def dagster_home(data_root: Path) -> Path:
    """DAGSTER_HOME of a data root; created with its dagster.yaml if it is new."""
    home = data_root / INSTANCE_FOLDER
    configuration = home / "dagster.yaml"
    if not configuration.exists():
        write_atomically(configuration, resources.files(__package__).joinpath("dagster.yaml").read_text("utf-8"))
    return home


def study_instance(data_root: Path) -> dg.DagsterInstance:
    """Open the instance of a data root; a context manager, as Dagster's own."""
    home = dagster_home(data_root)
    os.environ["DAGSTER_HOME"] = str(home)
    return dg.DagsterInstance.from_config(str(home))


def limit_training(instance: dg.DagsterInstance, limit: int = 1) -> None:
    """Allow so many trainings at once on this instance, unless someone has set another limit."""
    storage = instance.event_log_storage
    if not any(pool.name == TRAINING_POOL for pool in storage.get_pool_limits()):
        storage.set_concurrency_slots(TRAINING_POOL, limit)
