"""DATA-001, the dataset contract: writing, reading, judging and importing its NPZ files."""

from fly64_assets.science.contract.dataset_file import (
    CONTRACT_VERSION,
    METADATA_KEYS,
    REQUIRED_KEYS,
    DatasetWriter,
    read_dataset,
    read_expected_photons,
    read_metadata,
)
from fly64_assets.science.contract.npz_stream import UnreadableNpzError, read_headers, write_npz
from fly64_assets.science.contract.validation import validate_dataset

__all__ = [
    "CONTRACT_VERSION",
    "METADATA_KEYS",
    "REQUIRED_KEYS",
    "DatasetWriter",
    "UnreadableNpzError",
    "read_dataset",
    "read_expected_photons",
    "read_headers",
    "read_metadata",
    "validate_dataset",
    "write_npz",
]
