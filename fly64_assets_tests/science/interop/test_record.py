import numpy as np
import pytest

from fly64_assets.science.interop import cxi, ptychodus
from fly64_assets.science.interop.cxi import CXI
from fly64_assets.science.interop.ptychodus import PTYCHODUS
from fly64_assets.science.interop.raw_npz import RAW_NPZ
from fly64_assets.science.interop.record import FORMATS, FileFormat

SHIPPED = (CXI, PTYCHODUS, RAW_NPZ)


def test_the_shipped_formats_are_registered_like_anybody_elses():
    assert [FORMATS.get(record.name) for record in SHIPPED] == list(SHIPPED)


def test_a_look_at_a_file_tells_its_format_whatever_its_name(tmp_path, dataset_file, reconstruction):
    cxi.export_dataset(dataset_file, tmp_path / "dataset.cxi")
    cxi.write_reconstruction(tmp_path / "cxi.h5", reconstruction)
    ptychodus.export_dataset(dataset_file, tmp_path / "product.h5", tmp_path / "diffraction.h5")
    np.savez(tmp_path / "raw.npz", diff3d=np.ones((2, 4, 4)))
    np.savez(tmp_path / "other.npz", table=np.ones(2))
    (tmp_path / "text.h5").write_text("hello")
    (tmp_path / "empty.npz").write_bytes(b"")
    found = {
        path.name: [record.name for record in SHIPPED if record.recognise(path)]
        for path in (dataset_file, tmp_path / "absent", *tmp_path.iterdir())
    }
    assert found == {
        dataset_file.name: ["raw_npz"],
        "absent": [],
        "dataset.cxi": ["cxi"],
        "cxi.h5": ["cxi"],
        "product.h5": ["ptychodus"],
        "diffraction.h5": [],
        "raw.npz": ["raw_npz"],
        "other.npz": [],
        "text.h5": [],
        "empty.npz": [],
    }


@pytest.mark.parametrize("record", SHIPPED, ids=[record.name for record in SHIPPED])
def test_options_of_a_format_are_described(record):
    assert all(field.description for field in record.import_options.model_fields.values())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"endings": ("h5",)}, "lower case with a dot"),
        ({"endings": (".H5",)}, "lower case with a dot"),
        ({"endings": ()}, "lower case with a dot"),
        ({"endings": (".h5",), "read_reconstruction": None}, "neither reads nor writes"),
    ],
)
def test_a_record_that_no_file_can_be_of_is_refused(fields, message):
    whole = {
        "name": "x",
        "meaning": "x",
        "recognise": lambda path: True,
        "read_reconstruction": cxi.read_reconstruction,
    }
    with pytest.raises(ValueError, match=message):
        FileFormat(**{**whole, **fields})
