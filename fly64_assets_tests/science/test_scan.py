import dataclasses
import json
from typing import get_args

import numpy as np
import pytest

from fly64_assets.science.contract import import_raw, write_npz
from fly64_assets.science.options import PICTURE_CROPS, FileObject, FileProbe, ReplicateOptions, ScanOptions, SpiralPath
from fly64_assets.science.records import Reconstruction
from fly64_assets.science.scan import (
    ScanInputError,
    make_scan,
    read_measured_scan,
    read_scan,
    resolve_input_file,
    with_reference,
    write_scan,
)
from fly64_assets_tests.science.small_scan import SMALL, small_scan


def raw_scan(path, *, n_px=48, modes=1, **changes):
    """A raw measured file: counts of a known forward model are not needed, only their layout."""
    generator = np.random.default_rng(0)
    arrays = {
        "diff3d": generator.poisson(3.0, (20, n_px, n_px)).astype(np.uint16),
        "xcoords": np.linspace(n_px / 2, n_px / 2 + 30, 20),
        "ycoords": np.linspace(n_px / 2, n_px / 2 + 50, 20),
        "probeGuess": (generator.standard_normal((modes, n_px, n_px)) + 0j).astype(np.complex64)[
            0 if modes == 1 else slice(None)
        ],
        "scan_index": np.arange(20),
        "object_shape": np.array([n_px + 60, n_px + 31]),
    }
    arrays |= changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return ScanOptions(source="measured", file=str(path), patch_size_px=n_px)


def test_synthetic_scan_is_seeded_by_name():
    first, again = small_scan(), small_scan()
    for field in ("object", "probe", "positions_xy_px", "scan_index"):
        assert np.array_equal(getattr(first, field), getattr(again, field))
    other = small_scan(seed=1)
    assert not np.array_equal(first.object, other.object)
    assert not np.array_equal(first.positions_xy_px, other.positions_xy_px)
    # Each part has its own stream: changing the path leaves the object as it was.
    spiral = small_scan(positions=SpiralPath())
    assert np.array_equal(first.object, spiral.object)


@pytest.mark.parametrize("counts", [None, np.arange(2 * 32 * 32, dtype=np.uint16).reshape(2, 32, 32)])
def test_scan_survives_its_file(tmp_path, counts):
    scan = small_scan()
    if counts is not None:
        scan = dataclasses.replace(
            scan, measured_counts=counts, positions_xy_px=scan.positions_xy_px[:2], scan_index=scan.scan_index[:2],
            object_origin="reference", pixel_size_m=3e-9,
        )  # fmt: skip
    write_scan(tmp_path / "scan.npz", scan)
    back = read_scan(tmp_path / "scan.npz")
    for field in dataclasses.fields(scan):
        ours, theirs = getattr(scan, field.name), getattr(back, field.name)
        assert np.array_equal(ours, theirs)
        assert type(ours) is type(theirs)
    write_scan(tmp_path / "again.npz", back)
    assert (tmp_path / "scan.npz").read_bytes() == (tmp_path / "again.npz").read_bytes()


def test_the_origin_of_older_scan_files_is_read(tmp_path):
    write_scan(tmp_path / "scan.npz", small_scan())
    assert read_scan(tmp_path / "scan.npz").object_origin == "truth"
    with np.load(tmp_path / "scan.npz") as file:
        arrays = dict(file)
    old = json.loads(str(arrays["metadata"])) | {"object_origin": "pty_chi_reference"}
    write_npz(tmp_path / "old.npz", arrays | {"metadata": np.array(json.dumps(old))})
    assert read_scan(tmp_path / "old.npz").object_origin == "reference"


def test_damaged_scan_file_is_named(tmp_path):
    write_npz(tmp_path / "scan.npz", {"xcoords": np.zeros(3)})
    with pytest.raises(ScanInputError, match="missing objectGuess, probeGuess, ycoords"):
        read_scan(tmp_path / "scan.npz")


def test_base_npz_gives_object_probe_and_positions(tmp_path):
    scan = small_scan()
    x, y = scan.positions_xy_px.T
    np.savez(tmp_path / "base.npz", objectGuess=scan.object, probeGuess=scan.probe[0], xcoords=x, ycoords=y)
    options = SMALL.model_copy(update={"source": "base_npz", "file": str(tmp_path / "base.npz")})
    base = make_scan(options)
    for field in ("object", "probe", "positions_xy_px", "scan_index"):
        assert np.array_equal(getattr(scan, field), getattr(base, field))
    with pytest.raises(ScanInputError, match=r"32 px wide; scan.patch_size_px says 64"):
        make_scan(options.model_copy(update={"patch_size_px": 64}))
    np.savez(tmp_path / "base.npz", objectGuess=scan.object[:60], probeGuess=scan.probe[0], xcoords=x, ycoords=y)
    with pytest.raises(ScanInputError, match="patches leave the object of 60 x 84 px"):
        make_scan(options)


def test_input_files_are_found_or_explained(tmp_path, monkeypatch):
    with pytest.raises(ScanInputError, match=r"FLY64_ABSENT is not set.*fly64 import"):
        resolve_input_file("$FLY64_ABSENT")
    with pytest.raises(ScanInputError, match="there is no file"):
        resolve_input_file(str(tmp_path / "none.npz"))
    (tmp_path / "some.npz").write_bytes(b"")
    monkeypatch.setenv("FLY64_SOME", str(tmp_path / "some.npz"))
    assert resolve_input_file("$FLY64_SOME") == resolve_input_file("${FLY64_SOME}") == tmp_path / "some.npz"


def test_measured_scan_keeps_counts_and_knows_no_object(tmp_path):
    scan = read_measured_scan(raw_scan(tmp_path / "raw.npz"))
    assert np.array_equal(scan.measured_counts, np.load(tmp_path / "raw.npz")["diff3d"])
    assert scan.object.shape == (108, 79)
    assert (scan.object == 1).all()
    assert np.sum(np.abs(scan.probe) ** 2) == pytest.approx(1, abs=1e-5)
    assert scan.object_origin == "reference"


def test_cropping_the_detector_scales_positions_pixels_and_probe(tmp_path):
    # A smooth probe: cropping its far field must give the same field, sampled more coarsely.
    axis = np.arange(64) - 32
    probe = np.exp(-(axis[:, None] ** 2 + (axis[None, :] - 6) ** 2) / 200 + 0.02j * axis[:, None] ** 2).astype(
        np.complex64
    )
    options = raw_scan(tmp_path / "raw.npz", n_px=64, probeGuess=probe)
    full, half = read_measured_scan(options), read_measured_scan(options.model_copy(update={"patch_size_px": 32}))
    assert np.allclose(half.positions_xy_px, full.positions_xy_px / 2)
    assert np.array_equal(half.measured_counts, full.measured_counts[:, 16:48, 16:48])
    assert half.pixel_size_m == pytest.approx(2 * full.pixel_size_m)
    assert half.object.shape == (62, 48)
    coarse = full.probe[:, ::2, ::2]
    assert np.allclose(half.probe, coarse / np.sqrt(np.sum(np.abs(coarse) ** 2)), atol=2e-3)
    with pytest.raises(ScanInputError, match="at most the detector's 64"):
        read_measured_scan(options.model_copy(update={"patch_size_px": 128}))


def test_dataset_file_serves_as_measured_scan(tmp_path):
    options = raw_scan(tmp_path / "raw.npz")
    import_raw(tmp_path / "raw.npz", tmp_path / "imported.npz")
    direct = read_measured_scan(options)
    imported = read_measured_scan(options.model_copy(update={"file": str(tmp_path / "imported.npz")}))
    assert np.array_equal(direct.measured_counts, imported.measured_counts)
    assert np.allclose(direct.positions_xy_px, imported.positions_xy_px)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"diff3d": None}, "no measured counts"),
        ({"diff3d": np.zeros((20, 48, 40), np.uint16)}, r"expected \(n, H, H\)"),
        ({"diff3d": np.full((20, 48, 48), 0.5)}, "integer photon counts"),
        ({"diff3d": np.full((20, 48, 48), -1)}, "negative counts"),
        ({"diff3d": np.zeros((19, 48, 48), np.uint16)}, "19 patterns but 20 positions"),
        ({"xcoords": np.zeros(3)}, "equal length"),
        ({"xcoords": np.full(20, np.nan)}, "finite"),
        ({"xcoords": np.linspace(0, 40, 20)}, "patches leave the object"),
        ({"probeGuess": np.zeros((48, 40), np.complex64)}, "probeGuess has shape"),
    ],
)
def test_unusable_measured_files_are_explained(tmp_path, changes, message):
    with pytest.raises(ScanInputError, match=message):
        read_measured_scan(raw_scan(tmp_path / "raw.npz", **changes))


def test_without_a_probe_the_model_guesses(tmp_path):
    scan = read_measured_scan(raw_scan(tmp_path / "raw.npz", probeGuess=None))
    assert scan.probe.shape == (1, 48, 48)


def test_measured_scan_needs_its_own_reader():
    with pytest.raises(ScanInputError, match="read_measured_scan"):
        make_scan(ScanOptions(source="measured", file="x.npz"))


def test_reference_becomes_object_and_unit_probe(tmp_path):
    scan = read_measured_scan(raw_scan(tmp_path / "raw.npz"))
    obj = np.full(scan.object.shape, 0.5 + 0.5j, np.complex64)
    found = Reconstruction(obj, 3 * scan.probe, scan.positions_xy_px, "reference", 10.0)
    scan = with_reference(scan, found)
    assert np.array_equal(scan.object, obj)
    assert np.sum(np.abs(scan.probe) ** 2) == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="object grid"):
        with_reference(scan, dataclasses.replace(found, object=obj[1:]))


def test_probe_and_object_files_may_hide_behind_variables(tmp_path, monkeypatch):
    scan = small_scan()
    np.savez(tmp_path / "parts.npz", objectGuess=scan.object, probeGuess=scan.probe)
    monkeypatch.setenv("FLY64_PARTS", str(tmp_path / "parts.npz"))
    again = small_scan(probe=FileProbe(file="$FLY64_PARTS"), object=FileObject(file="$FLY64_PARTS"))
    assert np.array_equal(again.object, scan.object)
    assert np.array_equal(again.probe, scan.probe)


SEVERAL = {
    "objects": [
        {"kind": "mixed", "number": 2, "shape_px": (160, 150)},
        {"kind": "natural_image", "number": PICTURE_CROPS, "shape_px": (160, 150)},
        {"kind": "cells", "number": 2, "shape_px": (160, 150)},
    ]
}


def test_the_first_of_several_objects_is_the_one_that_stands_alone():
    several, one = (make_scan(ScanOptions.model_validate(given)) for given in (SEVERAL, {"object": SHAPED}))
    assert np.array_equal(several.object, one.object)
    assert np.array_equal(several.positions_xy_px, one.positions_xy_px)
    assert list(several.replicates)[:3] == ["mixed_2", "natural_image_1", "natural_image_2"]
    assert np.array_equal(several.of_object("cells_2").object, several.replicates["cells_2"])
    assert several.of_object("mixed_1").object is several.object


SHAPED = {"kind": "mixed", "shape_px": (160, 150)}


def test_an_object_depends_on_its_kind_and_number_and_not_on_its_company():
    alone = ScanOptions.model_validate({"objects": [SHAPED, {**SHAPED, "kind": "cells"}]})
    cells = make_scan(alone).replicates["cells_1"]
    assert np.array_equal(cells, make_scan(ScanOptions.model_validate(SEVERAL)).replicates["cells_1"])


def test_no_two_objects_are_alike():
    scan = make_scan(ScanOptions.model_validate(SEVERAL))
    objects = [scan.object, *scan.replicates.values()]
    assert len(objects) == PICTURE_CROPS + 4
    for part in (np.angle, np.abs):
        flat = np.array([part(found).ravel() for found in objects])
        correlation = np.abs(np.corrcoef(flat)) - np.eye(len(flat))
        assert correlation.max() < 0.9
        assert flat.std(axis=1).min() > 0.01


def test_a_scan_keeps_its_replicates_in_its_file(tmp_path):
    scan = make_scan(ScanOptions.model_validate({"objects": [SHAPED, {**SHAPED, "kind": "cells"}]}))
    write_scan(tmp_path / "several.npz", scan)
    found = read_scan(tmp_path / "several.npz")
    assert list(found.replicates) == ["cells_1"]
    assert np.array_equal(found.replicates["cells_1"], scan.replicates["cells_1"])
    write_scan(tmp_path / "one.npz", scan.of_object("mixed_1"))
    with np.load(tmp_path / "one.npz") as file:
        assert not any("cells" in key for key in file.files)


def test_a_kind_of_replicates_makes_what_its_kind_makes():
    for group in get_args(get_args(get_args(ReplicateOptions)[0])[0]):
        assert set(group.model_fields) == {*group.__base__.model_fields, "number"}
