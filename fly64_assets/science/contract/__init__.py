"""DATA-001, the dataset contract: writing, reading, judging and importing its NPZ files.

A file is bounded against its own size before anything is allocated, and nothing is unpickled. Formats of other
programs stand in ``interop``; what the counts mean, in ``physics``.
"""

from fly64_assets.science.contract.dataset_file import (
    DatasetError,
    DatasetWriter,
    read_dataset,
    read_expected_photons,
    read_metadata,
)
from fly64_assets.science.contract.npz_reading import UnreadableNpzError, read_headers
from fly64_assets.science.contract.npz_stream import write_npz
from fly64_assets.science.contract.raw_import import ImportSummary, RawImportError, import_raw
from fly64_assets.science.contract.rules import REMEDIES
from fly64_assets.science.contract.structure_rules import CONTRACT_VERSION, METADATA_KEYS, REQUIRED_KEYS
from fly64_assets.science.contract.validation import validate_dataset

__all__ = [
    "CONTRACT_VERSION",
    "METADATA_KEYS",
    "REMEDIES",
    "REQUIRED_KEYS",
    "DatasetError",
    "DatasetWriter",
    "ImportSummary",
    "RawImportError",
    "UnreadableNpzError",
    "import_raw",
    "read_dataset",
    "read_expected_photons",
    "read_headers",
    "read_metadata",
    "validate_dataset",
    "write_npz",
]
