"""The one module that imports Dagster's private names: the version is pinned, and these are tested."""

from dagster._config.config_type import ConfigScalar, ConfigScalarKind
from dagster._config.errors import PostProcessingError
from dagster._core.definitions.assets.job.asset_job import IMPLICIT_ASSET_JOB_NAME
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import PARTITION_NAME_TAG
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
