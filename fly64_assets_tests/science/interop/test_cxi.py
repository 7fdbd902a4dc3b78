import dataclasses
import json

import h5py
import numpy as np
import pytest

from fly64_assets.science.contract import read_dataset, validate_dataset
from fly64_assets.science.interop.cxi import (
    export_dataset,
    import_dataset,
    read_reconstruction,
    write_reconstruction,
)
from fly64_assets.science.interop.hdf5 import ForeignFileError
from fly64_assets_tests.science.interop.test_ptychodus import assert_equal, assert_same_arrays


def strip(path):
    """Leave what the format itself has a place for."""
    with h5py.File(path, "r+") as file:
        for key in ("/entry_1/fly64_1", "/entry_1/ptychodus"):
            if key in file:
                del file[key]


def test_reconstructions_survive_bit_for_bit(tmp_path, reconstruction):
    write_reconstruction(tmp_path / "a.cxi", reconstruction)
    again = read_reconstruction(tmp_path / "a.cxi")
    assert_equal(reconstruction, again)
    write_reconstruction(tmp_path / "b.cxi", again)
    assert (tmp_path / "a.cxi").read_bytes() == (tmp_path / "b.cxi").read_bytes()


def test_standard_places_and_units(tmp_path, reconstruction):
    write_reconstruction(tmp_path / "a.cxi", reconstruction)
    with h5py.File(tmp_path / "a.cxi") as file:
        assert file["/entry_1/instrument_1/source_1/energy"][()] == pytest.approx(8_800.0 * 1.602176634e-19)
        assert file["/entry_1/instrument_1/detector_1/distance"][()] == 1.9
        wavelength = 1.239841984e-6 / 8_800.0
        pixel = file["/entry_1/instrument_1/detector_1/x_pixel_size"][()]
        assert wavelength * 1.9 / (32 * pixel) == pytest.approx(reconstruction.pixel_size_m)
        assert file["/entry_1/data_1/translation"].shape == (50, 3)
        step = np.diff(file["/entry_1/data_1/translation"][:, :2], axis=0) / reconstruction.pixel_size_m
        assert np.allclose(step, np.diff(reconstruction.positions_xy_px, axis=0))
        assert not file["/entry_1/instrument_1/detector_1/mask"][()].any()


def test_files_without_our_entries_are_read(tmp_path, reconstruction):
    write_reconstruction(tmp_path / "a.cxi", reconstruction)
    strip(tmp_path / "a.cxi")
    found = read_reconstruction(tmp_path / "a.cxi")
    assert np.abs(found.positions_xy_px - reconstruction.positions_xy_px).max() < 1e-6
    assert np.array_equal(found.probe, reconstruction.probe)
    assert found.pixel_size_m == pytest.approx(reconstruction.pixel_size_m)


def test_datasets_survive_the_way_there_and_back(tmp_path, dataset_file):
    export_dataset(dataset_file, tmp_path / "a.cxi")
    import_dataset(tmp_path / "a.cxi", tmp_path / "back.npz")
    assert_same_arrays(dataset_file, tmp_path / "back.npz")


@pytest.mark.parametrize(
    ("recorded", "read"), [("pty_chi_reference", "reference"), ("unknown", "unknown"), ("truth", "truth")]
)
def test_the_origin_of_older_files_is_read(tmp_path, dataset_file, recorded, read):
    export_dataset(dataset_file, tmp_path / "a.cxi")
    with h5py.File(tmp_path / "a.cxi", "r+") as file:
        old = json.loads(file["/entry_1/fly64_1/metadata"][()]) | {"object_origin": recorded}
        del file["/entry_1/fly64_1/metadata"]
        file["/entry_1/fly64_1/metadata"] = json.dumps(old)
    assert import_dataset(tmp_path / "a.cxi", tmp_path / "back.npz")["object_origin"] == read


def test_counts_without_an_object_become_a_dataset(tmp_path, dataset_file):
    export_dataset(dataset_file, tmp_path / "a.cxi")
    strip(tmp_path / "a.cxi")
    with h5py.File(tmp_path / "a.cxi", "r+") as file:
        del file["/entry_1/image_2"]
    metadata = import_dataset(tmp_path / "a.cxi", tmp_path / "back.npz")
    ours, theirs = read_dataset(dataset_file), read_dataset(tmp_path / "back.npz")
    assert metadata["object_origin"] == "unknown"
    assert np.array_equal(ours.measurement.counts(), theirs.measurement.counts())
    steps = [np.diff(data.measurement.positions_xy_px, axis=0) for data in (ours, theirs)]
    assert np.allclose(*steps, atol=1e-6)
    assert validate_dataset(tmp_path / "back.npz") == []


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("/entry_1/data_1/data", None, "no /entry_1/data_1/data"),
        ("/entry_1/image_1/data", None, "no /entry_1/image_1/data"),
        ("/entry_1/data_1/data", np.zeros((66, 16, 16), int), "do not fit a probe of 32 x 32"),
        ("/entry_1/data_1/data", np.zeros((5, 32, 32), int), "5 patterns but 66 translations"),
        ("/entry_1/data_1/data", np.full((66, 32, 32), np.nan), "whole photon counts"),
        ("/entry_1/instrument_1/detector_1/mask", np.ones((32, 32), np.uint32), "1024 bad pixels"),
    ],
)
def test_unusable_files_are_explained(tmp_path, dataset_file, key, value, message):
    export_dataset(dataset_file, tmp_path / "a.cxi")
    with h5py.File(tmp_path / "a.cxi", "r+") as file:
        del file[key]
        if value is not None:
            file[key] = value
    with pytest.raises(ForeignFileError, match=message):
        import_dataset(tmp_path / "a.cxi", tmp_path / "back.npz")


def test_ptychodus_reads_our_cxi(tmp_path, dataset_file, run_ptychodus):
    export_dataset(dataset_file, tmp_path / "a.cxi")
    code = """
from pathlib import Path
import numpy as np
from ptychodus.plugins.cxi_file import CXIProductFileIO, CXIDiffractionFileReader
p = CXIProductFileIO().read(Path(sys.argv[1]))
d = CXIDiffractionFileReader().read(Path(sys.argv[1]))
geometry = p.object_.get_geometry()
np.savez(sys.argv[2], object=p.object_.get_array(), probe=p.probes.get_array(),
         x=geometry.map_probe_positions_to_object_x_px(p.probe_positions), patterns=d[0].get_patterns(),
         energy=d.get_metadata().photon_energy_eV)
"""
    run_ptychodus(code, tmp_path / "a.cxi", tmp_path / "seen.npz")
    ours = read_dataset(dataset_file)
    with np.load(tmp_path / "seen.npz", allow_pickle=False) as seen:
        assert np.array_equal(seen["object"][0], ours.object)
        assert np.array_equal(seen["probe"][0], ours.measurement.probe)
        assert np.array_equal(seen["patterns"], ours.measurement.counts())
        assert np.abs(seen["x"] - (ours.measurement.positions_xy_px[:, 0] - 0.5)).max() < 1e-9
        assert seen["energy"] == pytest.approx(8_000.0)


def test_one_coherent_mode_in_other_shapes(tmp_path, reconstruction):
    one = dataclasses.replace(reconstruction, probe=reconstruction.probe[:1])
    write_reconstruction(tmp_path / "a.cxi", one)
    with h5py.File(tmp_path / "a.cxi", "r+") as file:
        for key, array in (("/entry_1/image_1/data", one.probe[0]), ("/entry_1/image_2/data", one.object)):
            del file[key]
            file[key] = array
    assert_equal(one, read_reconstruction(tmp_path / "a.cxi"))
