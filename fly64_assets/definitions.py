"""The Dagster code location: assets, checks, jobs, schedule and sensors of the current study.

``FLY64_STUDY`` names the study (default ``quick``), ``FLY64_DATA_ROOT`` where its files live.
"""

import os
from pathlib import Path

from fly64_assets.orchestration.catalog.instance import require_owner
from fly64_assets.orchestration.code_location import build_definitions
from fly64_assets.study import current_study, data_root_of

study = current_study()
if "DAGSTER_HOME" in os.environ:  # a catalog and files of two studies would contradict each other
    require_owner(Path(os.environ["DAGSTER_HOME"]).parent, study.name)
defs = build_definitions(study, data_root_of(study))
