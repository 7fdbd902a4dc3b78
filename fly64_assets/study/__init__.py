"""The study file: one frozen YAML that says what is asked, of which data, by which methods.

``schema`` is the file as frozen records, ``loading`` reads it and says what is wrong with it line by line, ``keys``
names its partitions, ``parameters`` says what each asset may read of it. Options of the science and of methods are
theirs; a study only composes them. Which asset reads which stands in ``orchestration.graph``.
"""

from fly64_assets.study.keys import dose_key, dose_label, split_partition
from fly64_assets.study.loading import current_study, data_root_of, load_study
from fly64_assets.study.schema import SHIPPED_STUDIES, Study, StudyError

__all__ = [
    "SHIPPED_STUDIES",
    "Study",
    "StudyError",
    "current_study",
    "data_root_of",
    "dose_key",
    "dose_label",
    "load_study",
    "split_partition",
]
