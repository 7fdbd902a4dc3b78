"""The study file: one frozen YAML that says what is asked, of which data, by which methods.

``schema`` is the file as frozen records, ``loading`` reads it, ``keys`` names its partitions.
"""

from fly64_assets.study.keys import dose_key, dose_label, split_partition
from fly64_assets.study.loading import current_study, data_root_of, load_study
from fly64_assets.study.schema import BASELINE_VIEW, SHIPPED_STUDIES, AssetName, Study, StudyError

__all__ = [
    "BASELINE_VIEW",
    "SHIPPED_STUDIES",
    "AssetName",
    "Study",
    "StudyError",
    "current_study",
    "data_root_of",
    "dose_key",
    "dose_label",
    "load_study",
    "split_partition",
]
