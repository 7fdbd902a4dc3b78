import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fly64_assets_tests.science.small_scan import simulate, small_scan


@pytest.fixture(scope="session")
def valid_file(tmp_path_factory) -> Path:
    """A valid train file."""
    folder = tmp_path_factory.mktemp("valid")
    simulate(small_scan(), folder, 1e4)
    return folder / "train.npz"


@pytest.fixture(scope="session")
def valid_arrays(valid_file) -> dict[str, np.ndarray]:
    """Its arrays, to be copied before they are changed."""
    with np.load(valid_file, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def metadata_of(arrays):
    return json.loads(str(arrays["metadata"]))


def with_metadata(arrays, **changes):
    """The arrays with metadata keys changed, or removed where the value is ``...``."""
    metadata = metadata_of(arrays) | changes
    metadata = {key: value for key, value in metadata.items() if value is not ...}
    return arrays | {"metadata": np.array(json.dumps(metadata))}


def npy_bytes(array, **options):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asanyarray(array), **options)
    return buffer.getvalue()


def write_members(path, members, compression=zipfile.ZIP_STORED):
    """A ZIP of raw members, which need not be arrays."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
