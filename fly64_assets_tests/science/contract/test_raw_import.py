import json

import numpy as np
import pytest

from fly64_assets.science.contract import (
    DatasetError,
    RawImportError,
    UnreadableNpzError,
    import_raw,
    read_dataset,
    validate_dataset,
    write_npz,
)
from fly64_assets.science.physics.diffraction import diffraction_intensity, extract_patches
from fly64_assets_tests.science.small_scan import small_scan

N_PATTERNS = 40


@pytest.fixture(scope="module")
def counted():
    """A scan with whole counts of its own: the raw arrays as a beamline would have them."""
    scan = small_scan()
    positions = scan.positions_xy_px[:N_PATTERNS]
    intensity = diffraction_intensity(extract_patches(scan.object, positions, 32), scan.probe).astype(float)
    counts = np.random.default_rng(0).poisson(2e4 * intensity)
    common = {"xcoords": positions[:, 0], "ycoords": positions[:, 1], "probeGuess": scan.probe[0]}
    return counts, common, scan


LAYOUTS = {
    "nhw uint16": lambda c: {"diff3d": c.astype(np.uint16)},
    "nhw int32": lambda c: {"diffraction": c.astype(np.int32)},
    "nhw float intensity": lambda c: {"diff3d": c.astype(np.float64)},
    "nhw float32 amplitude": lambda c: {"diff3d": np.sqrt(c).astype(np.float32)},
    "hwn uint16": lambda c: {"diff3d": np.moveaxis(c, 0, -1).astype(np.uint16)},
    "hwn amplitude": lambda c: {"diffraction": np.moveaxis(np.sqrt(c), 0, -1)},
    "counts": lambda c: {"counts": c},
    "patterns": lambda c: {"patterns": c.astype(np.uint32)},
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_layout_gives_the_same_dataset(tmp_path, counted, name, save):
    counts, common, scan = counted
    save(tmp_path / "raw.npz", **common, **LAYOUTS[name](counts), objectGuess=scan.object)
    before = (tmp_path / "raw.npz").read_bytes()
    summary = import_raw(tmp_path / "raw.npz", tmp_path / "out.npz")
    assert (tmp_path / "raw.npz").read_bytes() == before
    assert validate_dataset(tmp_path / "out.npz", split="all", origin="measured") == []
    data = read_dataset(tmp_path / "out.npz")
    assert np.array_equal(data.measurement.counts(), counts)
    assert np.array_equal(data.measurement.positions_xy_px[:, 0], common["xcoords"])
    assert np.array_equal(data.object_patches, extract_patches(scan.object, data.measurement.positions_xy_px, 32))
    assert summary.layout == name[:3] if name[:3] in ("nhw", "hwn") else "nhw"
    assert summary.values == ("amplitude" if "amplitude" in name else "intensity")
    assert summary.photons_per_pattern == pytest.approx(counts.sum() / N_PATTERNS)
    assert summary.object_origin == "truth"


def test_scale_is_that_of_the_forward_model(tmp_path, counted):
    counts, common, scan = counted
    np.savez(tmp_path / "raw.npz", **common, diff3d=counts, objectGuess=scan.object)
    summary = import_raw(tmp_path / "raw.npz", tmp_path / "out.npz")
    # Counts were drawn at s^2 = 20,000.
    assert summary.counts_scale == pytest.approx(np.sqrt(2e4), rel=3 / np.sqrt(counts.sum()))


def test_unknown_objects_are_flat_and_said_so(tmp_path, counted):
    counts, common, _ = counted
    np.savez(tmp_path / "raw.npz", **common, diff3d=counts, object_shape=np.array([150, 160]))
    summary = import_raw(tmp_path / "raw.npz", tmp_path / "out.npz")
    data = read_dataset(tmp_path / "out.npz")
    assert summary.object_origin == data.metadata["object_origin"] == "unknown"
    assert summary.object_shape == (150, 160)
    assert (data.object == 1).all()
    assert np.sum(np.abs(data.measurement.probe) ** 2) == pytest.approx(1, abs=1e-5)
    assert any("no objectGuess" in note for note in summary.notes)


def test_the_origin_of_older_files_is_read(tmp_path, counted):
    counts, common, _ = counted
    np.savez(tmp_path / "raw.npz", **common, diff3d=counts)
    import_raw(tmp_path / "raw.npz", tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as file:
        arrays = dict(file)
    old = json.loads(str(arrays["metadata"])) | {"object_origin": "pty_chi_reference"}
    write_npz(tmp_path / "old.npz", arrays | {"metadata": np.array(json.dumps(old))})
    assert read_dataset(tmp_path / "old.npz").metadata["object_origin"] == "reference"
    assert validate_dataset(tmp_path / "old.npz") == []


def test_negative_positions_are_moved_onto_the_grid(tmp_path, counted):
    counts, common, _ = counted
    x = common["xcoords"] - 100
    np.savez(tmp_path / "raw.npz", **common | {"xcoords": x}, diff3d=counts)
    summary = import_raw(tmp_path / "raw.npz", tmp_path / "out.npz")
    moved = read_dataset(tmp_path / "out.npz").measurement.positions_xy_px[:, 0] - x
    assert np.ptp(moved) == pytest.approx(0, abs=1e-9)
    assert any("moved by" in note for note in summary.notes)


def test_corner_centred_patterns_are_shifted(tmp_path, counted):
    counts, common, scan = counted
    np.savez(tmp_path / "raw.npz", **common, diff3d=np.fft.ifftshift(counts, axes=(1, 2)), objectGuess=scan.object)
    import_raw(tmp_path / "raw.npz", tmp_path / "out.npz", dc="corner")
    assert np.array_equal(read_dataset(tmp_path / "out.npz").measurement.counts(), counts)
    with pytest.raises(DatasetError, match="dc-not-centred"):
        import_raw(tmp_path / "raw.npz", tmp_path / "other.npz")


def test_arbitrary_units_need_a_declaration(tmp_path, counted):
    counts, common, scan = counted
    np.savez(tmp_path / "raw.npz", **common, diff3d=np.sqrt(counts) * 0.0173, objectGuess=scan.object)
    with pytest.raises(RawImportError, match="declare values as intensity or amplitude"):
        import_raw(tmp_path / "raw.npz", tmp_path / "out.npz")
    with pytest.raises(RawImportError, match="Declare photons_per_pattern"):
        import_raw(tmp_path / "raw.npz", tmp_path / "out.npz", values="amplitude")
    mean = float(counts.sum() / N_PATTERNS)
    summary = import_raw(tmp_path / "raw.npz", tmp_path / "out.npz", values="amplitude", photons_per_pattern=mean)
    assert np.array_equal(read_dataset(tmp_path / "out.npz").measurement.counts(), counts)
    assert any("rounded to whole counts" in note for note in summary.notes)


def test_ambiguous_axes_need_a_declaration(tmp_path, counted):
    counts, common, _ = counted
    cube = {key: value[:32] for key, value in common.items() if key != "probeGuess"}
    np.savez(tmp_path / "raw.npz", **cube, probeGuess=common["probeGuess"], diff3d=counts[:32])
    with pytest.raises(RawImportError, match="declare the layout"):
        import_raw(tmp_path / "raw.npz", tmp_path / "out.npz")
    import_raw(tmp_path / "raw.npz", tmp_path / "out.npz", layout="nhw")
    assert np.array_equal(read_dataset(tmp_path / "out.npz").measurement.counts(), counts[:32])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"diff3d": None}, "no patterns under one of"),
        ({"probeGuess": None}, "no probeGuess"),
        ({"xcoords": None, "ycoords": None}, "no xcoords, ycoords"),
        ({"xcoords": np.zeros(7)}, "does not fit 7 positions"),
        ({"diff3d": np.zeros((40, 32))}, "2 axes"),
        ({"diff3d": np.zeros((40, 32, 30))}, "does not fit"),
        ({"diff3d": np.full((40, 32, 32), np.nan)}, "NaN, infinite or negative"),
        ({"diff3d": np.full((40, 32, 32), -1)}, "NaN, infinite or negative"),
        ({"diff3d": np.zeros((40, 32, 32), np.complex64)}, "real numbers"),
        ({"probeGuess": np.ones((16, 16), np.complex64)}, "does not fit patterns of 32 px"),
        ({"diff3d": np.zeros((40, 32, 32), int)}, "0 photons"),
    ],
)
def test_unusable_raw_files_are_explained(tmp_path, counted, change, message):
    counts, common, _ = counted
    arrays = common | {"diff3d": counts} | change
    np.savez(tmp_path / "raw.npz", **{key: value for key, value in arrays.items() if value is not None})
    with pytest.raises(ValueError, match=message):
        import_raw(tmp_path / "raw.npz", tmp_path / "out.npz")


def test_an_object_that_does_not_hold_the_patches_is_refused(tmp_path, counted):
    counts, common, scan = counted
    np.savez(tmp_path / "raw.npz", **common, diff3d=counts, objectGuess=scan.object[:, :60])
    with pytest.raises(ValueError, match="patches leave the object"):
        import_raw(tmp_path / "raw.npz", tmp_path / "out.npz")


def test_nothing_is_overwritten(tmp_path, counted):
    counts, common, _ = counted
    np.savez(tmp_path / "raw.npz", **common, diff3d=counts)
    before = (tmp_path / "raw.npz").read_bytes()
    for out in (tmp_path / "raw.npz", tmp_path / "." / "raw.npz"):
        with pytest.raises(FileExistsError, match="not overwritten"):
            import_raw(tmp_path / "raw.npz", out)
    assert (tmp_path / "raw.npz").read_bytes() == before


def test_objects_are_not_unpickled(tmp_path, counted):
    counts, common, _ = counted
    np.savez(tmp_path / "raw.npz", **common, diff3d=counts, extra=np.array({"a": 1}, dtype=object))
    with pytest.raises(UnreadableNpzError, match="only unpickling could read"):
        import_raw(tmp_path / "raw.npz", tmp_path / "out.npz")
