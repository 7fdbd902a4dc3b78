import dataclasses
import json

import h5py
import numpy as np
import pytest

from fly64_assets.science.contract import read_dataset, validate_dataset
from fly64_assets.science.interop.hdf5 import ForeignFileError
from fly64_assets.science.interop.ptychodus import export_dataset, import_dataset, read_product, write_product


def assert_equal(ours, theirs):
    for field in dataclasses.fields(ours):
        assert np.array_equal(getattr(ours, field.name), getattr(theirs, field.name), equal_nan=False), field.name


def assert_same_arrays(first, second, but=("expected_photons",)):
    with np.load(first, allow_pickle=False) as a, np.load(second, allow_pickle=False) as b:
        assert set(a.files) - set(but) == set(b.files) - set(but)
        for key in set(a.files) - set(but):
            assert a[key].dtype == b[key].dtype
            assert np.array_equal(a[key], b[key]), key


def strip(path, prefix="fly64_"):
    """Remove what only we know, so that the file is as Ptychodus would have written it."""
    with h5py.File(path, "r+") as file:
        for key in [name for name in file if name.startswith(prefix)]:
            del file[key]
        for key in [name for name in file.attrs if name.startswith(prefix)]:
            del file.attrs[key]


def test_products_survive_bit_for_bit(tmp_path, reconstruction):
    write_product(tmp_path / "a.h5", reconstruction)
    again = read_product(tmp_path / "a.h5")
    assert_equal(reconstruction, again)
    write_product(tmp_path / "b.h5", again)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@pytest.mark.parametrize("beyond", [(0, 1), (2, 0), (3, 2)])
def test_what_lies_beyond_the_grid_survives_bit_for_bit_beside_the_object(tmp_path, reconstruction, beyond):
    extended = np.pad(reconstruction.object, [(0, each) for each in beyond], constant_values=2 - 1j)
    write_product(tmp_path / "a.h5", dataclasses.replace(reconstruction, extended=extended))
    found = read_product(tmp_path / "a.h5")
    assert np.array_equal(found.object, reconstruction.object)
    assert np.array_equal(found.extended, extended)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["fly64_columns_beyond"]
        file["fly64_columns_beyond"] = np.zeros((1, 1), np.complex64)
    with pytest.raises(ForeignFileError, match="do not fit the object"):
        read_product(tmp_path / "a.h5")


def test_a_predicted_error_survives_and_one_that_does_not_fit_is_refused(tmp_path, reconstruction):
    error = np.linspace(0, 1, reconstruction.object.size, dtype=np.float32).reshape(reconstruction.object.shape)
    error[0, 0] = np.inf
    write_product(tmp_path / "a.h5", dataclasses.replace(reconstruction, error=error))
    assert np.array_equal(read_product(tmp_path / "a.h5").error, error)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["fly64_object_error"]
        file["fly64_object_error"] = error[1:]
    with pytest.raises(ForeignFileError, match="fly64_object_error has shape"):
        read_product(tmp_path / "a.h5")


def test_a_network_has_no_losses(tmp_path, reconstruction):
    bare = dataclasses.replace(reconstruction, loss_epochs=(), loss_values=(), comments="")
    write_product(tmp_path / "a.h5", bare)
    assert_equal(bare, read_product(tmp_path / "a.h5"))


def test_foreign_products_are_read_by_the_standard_keys(tmp_path, reconstruction):
    write_product(tmp_path / "a.h5", reconstruction)
    strip(tmp_path / "a.h5")
    found = read_product(tmp_path / "a.h5")
    assert np.abs(found.positions_xy_px - reconstruction.positions_xy_px).max() < 1e-9
    assert np.array_equal(found.object, reconstruction.object)
    assert found.counts_scale == pytest.approx(reconstruction.counts_scale, rel=1e-12)
    assert found.loss_values == reconstruction.loss_values


def test_older_attribute_names_are_read(tmp_path, reconstruction):
    write_product(tmp_path / "a.h5", reconstruction)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file.attrs["photon_energy_eV"]
    assert read_product(tmp_path / "a.h5").photon_energy_ev == reconstruction.photon_energy_ev


def test_an_object_centre_moves_positions(tmp_path, reconstruction):
    write_product(tmp_path / "a.h5", reconstruction)
    strip(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["object"].attrs["center_x_m"] = 2 * reconstruction.pixel_size_m
        file["object"].attrs["center_y_m"] = -3 * reconstruction.pixel_size_m
    moved = read_product(tmp_path / "a.h5").positions_xy_px - reconstruction.positions_xy_px
    assert np.allclose(moved, (-2, 3), atol=1e-9)


@pytest.mark.parametrize("key", ["object", "probe", "probe_position_x_m"])
def test_missing_keys_are_named(tmp_path, reconstruction, key):
    write_product(tmp_path / "a.h5", reconstruction)
    strip(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file[key]
    with pytest.raises(ForeignFileError, match=f"no {key}; it holds"):
        read_product(tmp_path / "a.h5")


def test_what_cannot_be_read_is_explained(tmp_path, reconstruction):
    with pytest.raises(FileNotFoundError):
        read_product(tmp_path / "absent.h5")
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(ForeignFileError, match="not a readable HDF5 file"):
        read_product(tmp_path / "text.h5")
    write_product(tmp_path / "a.h5", reconstruction)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["object"]
        file["object"] = np.ones((2, 50, 50), np.complex64)
    with pytest.raises(ForeignFileError, match="one layer"):
        read_product(tmp_path / "a.h5")


def test_links_out_of_the_file_are_not_followed(tmp_path, reconstruction):
    write_product(tmp_path / "a.h5", reconstruction)
    write_product(tmp_path / "b.h5", reconstruction)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["probe"]
        file["probe"] = h5py.ExternalLink(str(tmp_path / "b.h5"), "probe")
    with pytest.raises(ForeignFileError, match="points into another file"):
        read_product(tmp_path / "a.h5")


def test_datasets_survive_the_way_there_and_back(tmp_path, dataset_file):
    export_dataset(dataset_file, tmp_path / "p.h5", tmp_path / "d.h5")
    import_dataset(tmp_path / "p.h5", tmp_path / "d.h5", tmp_path / "back.npz")
    assert_same_arrays(dataset_file, tmp_path / "back.npz")


def test_the_origin_of_older_files_is_read(tmp_path, dataset_file):
    export_dataset(dataset_file, tmp_path / "p.h5", tmp_path / "d.h5")
    with h5py.File(tmp_path / "d.h5", "r+") as file:
        old = json.loads(file.attrs["fly64_metadata"]) | {"object_origin": "pty_chi_reference"}
        file.attrs["fly64_metadata"] = json.dumps(old)
    written = import_dataset(tmp_path / "p.h5", tmp_path / "d.h5", tmp_path / "back.npz")
    assert written["object_origin"] == read_dataset(tmp_path / "back.npz").metadata["object_origin"] == "reference"


def test_foreign_datasets_keep_their_counts(tmp_path, dataset_file):
    export_dataset(dataset_file, tmp_path / "p.h5", tmp_path / "d.h5")
    strip(tmp_path / "p.h5")
    strip(tmp_path / "d.h5")
    metadata = import_dataset(tmp_path / "p.h5", tmp_path / "d.h5", tmp_path / "back.npz")
    ours, theirs = read_dataset(dataset_file), read_dataset(tmp_path / "back.npz")
    assert np.array_equal(ours.measurement.counts(), theirs.measurement.counts())
    assert np.abs(ours.measurement.positions_xy_px - theirs.measurement.positions_xy_px).max() < 1e-9
    assert np.array_equal(ours.object, theirs.object)
    assert theirs.measurement.counts_scale == pytest.approx(ours.measurement.counts_scale, rel=1e-6)
    assert metadata["origin"] == "measured"
    assert metadata["object_origin"] == "reference"  # somebody's reconstruction, not the truth
    assert validate_dataset(tmp_path / "back.npz") == []


def test_patterns_and_positions_pair_by_index(tmp_path, dataset_file):
    export_dataset(dataset_file, tmp_path / "p.h5", tmp_path / "d.h5")
    strip(tmp_path / "d.h5")
    with h5py.File(tmp_path / "d.h5", "r+") as file:  # patterns 10 to the end, last one first
        patterns = file["patterns"][10:][::-1]
        indexes = file["indexes"][10:][::-1]
        del file["patterns"], file["indexes"]
        file["patterns"], file["indexes"] = patterns, indexes
    import_dataset(tmp_path / "p.h5", tmp_path / "d.h5", tmp_path / "back.npz")
    ours, theirs = read_dataset(dataset_file).measurement, read_dataset(tmp_path / "back.npz").measurement
    assert np.array_equal(theirs.counts(), ours.counts()[10:][::-1])
    assert np.array_equal(theirs.positions_xy_px, ours.positions_xy_px[10:][::-1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bad_pixels": np.eye(32, dtype=bool)}, "32 bad pixels"),
        ({"indexes": np.arange(10_000, 10_066)}, "none of its indexes"),
        ({"patterns": np.full((66, 32, 32), 0.5)}, "whole photon counts"),
        ({"patterns": np.full((66, 32, 32), -1)}, "whole photon counts"),
    ],
)
def test_unusable_diffraction_files_are_explained(tmp_path, dataset_file, change, message):
    export_dataset(dataset_file, tmp_path / "p.h5", tmp_path / "d.h5")
    with h5py.File(tmp_path / "d.h5", "r+") as file:
        for key, value in change.items():
            del file[key]
            file[key] = value
    with pytest.raises(ForeignFileError, match=message):
        import_dataset(tmp_path / "p.h5", tmp_path / "d.h5", tmp_path / "back.npz")


LOAD = """
from pathlib import Path
import numpy as np
from ptychodus.api.io import load_product, load_diffraction_data
product, diffraction, out = map(Path, sys.argv[1:])
p = load_product(product)
geometry = p.object_.get_geometry()
d = load_diffraction_data(diffraction) if diffraction.is_file() else None
np.savez(
    out,
    object=p.object_.get_array(), probe=p.probes.get_array(), indexes=p.probe_positions.get_indexes(),
    x=geometry.map_probe_positions_to_object_x_px(p.probe_positions),
    y=geometry.map_probe_positions_to_object_y_px(p.probe_positions),
    epochs=[loss.epoch for loss in p.losses], values=[loss.value for loss in p.losses],
    numbers=[p.metadata.photon_energy_eV, p.metadata.detector_distance_m, p.metadata.probe_photon_count],
    name=p.metadata.name,
    **({} if d is None else {"patterns": d._patterns, "pattern_indexes": d._indexes, "bad": d._bad_pixels,
                             "pixel": d.get_pixel_geometry().width_m}),
)
"""


def test_ptychodus_reads_our_product(tmp_path, reconstruction, run_ptychodus):
    write_product(tmp_path / "p.h5", reconstruction)
    run_ptychodus(LOAD, tmp_path / "p.h5", tmp_path / "none", tmp_path / "seen.npz")
    with np.load(tmp_path / "seen.npz", allow_pickle=False) as seen:
        assert np.array_equal(seen["object"][0], reconstruction.object)
        assert np.array_equal(seen["probe"][0], reconstruction.probe)
        # Its pixel position is half a pixel below the patch centre used here.
        assert np.abs(seen["x"] - (reconstruction.positions_xy_px[:, 0] - 0.5)).max() < 1e-9
        assert np.abs(seen["y"] - (reconstruction.positions_xy_px[:, 1] - 0.5)).max() < 1e-9
        assert tuple(seen["epochs"]) == reconstruction.loss_epochs
        assert tuple(seen["values"]) == reconstruction.loss_values
        photons = reconstruction.counts_scale**2 * np.sum(np.abs(reconstruction.probe.astype(complex)) ** 2)
        assert seen["numbers"] == pytest.approx([8_800.0, 1.9, photons])
        assert str(seen["name"]) == "pinn"


def test_ptychodus_reads_our_dataset(tmp_path, dataset_file, run_ptychodus):
    export_dataset(dataset_file, tmp_path / "p.h5", tmp_path / "d.h5")
    run_ptychodus(LOAD, tmp_path / "p.h5", tmp_path / "d.h5", tmp_path / "seen.npz")
    ours = read_dataset(dataset_file)
    with np.load(tmp_path / "seen.npz", allow_pickle=False) as seen:
        assert np.array_equal(seen["patterns"], ours.measurement.counts())
        assert np.array_equal(seen["pattern_indexes"], seen["indexes"])
        assert not seen["bad"].any()
        assert np.abs(seen["x"] - (ours.measurement.positions_xy_px[:, 0] - 0.5)).max() < 1e-9
        assert np.array_equal(seen["probe"][0], ours.measurement.probe)
        wavelength = 1.239841984e-6 / 8_000.0
        assert seen["pixel"] == pytest.approx(wavelength * 1.0 / (32 * 1e-8))


def test_we_read_what_ptychodus_writes(tmp_path, reconstruction, run_ptychodus):
    write_product(tmp_path / "p.h5", reconstruction)
    code = """
from pathlib import Path
from ptychodus.api.io import load_product, save_product
save_product(Path(sys.argv[2]), load_product(Path(sys.argv[1])))
"""
    run_ptychodus(code, tmp_path / "p.h5", tmp_path / "q.h5")
    found = read_product(tmp_path / "q.h5")
    assert np.array_equal(found.object, reconstruction.object)
    assert np.array_equal(found.probe, reconstruction.probe)
    assert np.abs(found.positions_xy_px - reconstruction.positions_xy_px).max() < 1e-9
    assert found.counts_scale == pytest.approx(reconstruction.counts_scale, rel=1e-9)
    assert found.loss_values == reconstruction.loss_values
