"""All that is used of Dagster beyond its public names, in one place: the first to look at when Dagster moves on.

An import contract forbids Dagster's private modules everywhere else. Each name says why no public one will do.
"""

# A scalar type that checks its value: bounds of options are refused before there is a run.
from dagster._config.config_type import ConfigScalar, ConfigScalarKind

# What such a type raises; its message is what the launchpad and the command line show.
from dagster._config.errors import PostProcessingError

# The job that holds every asset, which a materialization in the UI runs; schedules name it.
from dagster._core.definitions.assets.job.asset_job import IMPLICIT_ASSET_JOB_NAME

# Check results of one partition can be asked for by no public name.
from dagster._core.event_api import PartitionKeyFilter

# Whether a recorded check passed, failed or is still planned.
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

# Every status of a run that has not ended; a list of our own would miss one that is added.
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

# Tag under which a run keeps its partition key.
from dagster._core.storage.tags import PARTITION_NAME_TAG

# Silences the notices of beta features that are used on purpose.
from dagster_shared.utils.warnings import disable_dagster_warnings

__all__ = [
    "IMPLICIT_ASSET_JOB_NAME",
    "NOT_FINISHED_STATUSES",
    "PARTITION_NAME_TAG",
    "AssetCheckExecutionRecordStatus",
    "ConfigScalar",
    "ConfigScalarKind",
    "PartitionKeyFilter",
    "PostProcessingError",
    "disable_dagster_warnings",
]
