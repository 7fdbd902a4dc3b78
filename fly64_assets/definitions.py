"""The Dagster code location: assets, checks, jobs, schedule and sensor of the current study.

``FLY64_STUDY`` names the study (default ``quick``), ``FLY64_DATA_ROOT`` where its files live.
"""

from fly64_assets.orchestration.code_location import build_definitions
from fly64_assets.study import current_study, data_root_of

study = current_study()
defs = build_definitions(study, data_root_of(study))
