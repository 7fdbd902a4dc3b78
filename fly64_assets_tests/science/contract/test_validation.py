import json
import resource
import struct
import time
import zipfile

import numpy as np
import pytest

from fly64_assets.science.contract import REMEDIES, DatasetError, read_dataset, validate_dataset, write_npz
from fly64_assets.science.contract.npz_stream import NpzStream
from fly64_assets.science.contract.validation import _checksum_faults
from fly64_assets.science.physics.diffraction import extract_patches
from fly64_assets_tests.science.contract.conftest import metadata_of, npy_bytes, with_metadata, write_members


def counts_of(arrays):
    return np.rint((metadata_of(arrays)["counts_scale"] * arrays["diffraction"].astype(float)) ** 2)


def changed(key, change):
    """A file with one array changed."""
    return lambda arrays: arrays | {key: change(arrays[key].copy())}


def without(key):
    return lambda arrays: {name: array for name, array in arrays.items() if name != key}


def put(index, value):
    def change(array):
        array[index] = value
        return array

    return change


def metadata(**changes):
    return lambda arrays: with_metadata(arrays, **changes)


def moved(dx, dy):
    """Positions moved in the file, patches and patterns left as they were, on an object that holds both."""

    def change(arrays):
        arrays = arrays | {"objectGuess": np.pad(arrays["objectGuess"], (0, 4), constant_values=1)}
        moved_x, moved_y = arrays["xcoords"] + dx, arrays["ycoords"] + dy
        return arrays | {"xcoords": moved_x, "xcoords_start": moved_x, "ycoords": moved_y, "ycoords_start": moved_y}

    return change


def exchanged(arrays):
    x, y = arrays["xcoords"], arrays["ycoords"]
    return arrays | {"xcoords": y, "xcoords_start": y, "ycoords": x, "ycoords_start": x}


def on_a_square_grid(change):
    """Let both orders of the axes fit, so that only the contents can tell."""

    def apply(arrays):
        obj = arrays["objectGuess"]
        square = np.ones((max(obj.shape), max(obj.shape)), np.complex64)
        square[: obj.shape[0], : obj.shape[1]] = obj
        return change(arrays | {"objectGuess": square})

    return apply


def exchanged_with_patches(arrays):
    arrays = exchanged(arrays)
    positions = np.stack([arrays["xcoords"], arrays["ycoords"]], axis=1)
    return arrays | {"Y": extract_patches(arrays["objectGuess"], positions, 32)}


def intensity(arrays):
    return arrays | {"diffraction": arrays["diffraction"] ** 2}


def unscaled(arrays):
    return arrays | {"diffraction": np.sqrt(counts_of(arrays)).astype(np.float32)}


def raw(arrays):
    counts = counts_of(arrays).astype(np.uint16)
    return without("diffraction")(arrays) | {"diff3d": counts}


def doubled_counts(arrays):
    scale = metadata_of(arrays)["counts_scale"]
    diffraction = (np.sqrt(2 * counts_of(arrays)) / scale).astype(np.float32)
    return arrays | {"diffraction": diffraction}


def new_object_and_patches(arrays):
    """Another object, with its own patches: only the counts contradict it."""
    obj = arrays["objectGuess"][::-1, ::-1].copy()
    positions = np.stack([arrays["xcoords"], arrays["ycoords"]], axis=1)
    return arrays | {"objectGuess": obj, "Y": extract_patches(obj, positions, 32)}


def fftshifted(arrays):
    return arrays | {"diffraction": np.fft.ifftshift(arrays["diffraction"], axes=(1, 2))}


def transposed(arrays):
    return arrays | {"diffraction": arrays["diffraction"].transpose(0, 2, 1).copy()}


FAULTS = {
    # keys
    "diffraction missing": (without("diffraction"), "missing-key"),
    "Y missing": (without("Y"), "missing-key"),
    "object missing": (without("objectGuess"), "missing-key"),
    "probe missing": (without("probeGuess"), "missing-key"),
    "x missing": (without("xcoords"), "missing-key"),
    "y start missing": (without("ycoords_start"), "missing-key"),
    "metadata missing": (without("metadata"), "missing-key"),
    "raw layout": (raw, "raw-layout"),
    # dtypes
    "double amplitudes": (changed("diffraction", lambda a: a.astype(np.float64)), "dtype"),
    "integer amplitudes": (changed("diffraction", lambda a: a.astype(np.uint16)), "integer-diffraction"),
    "double patches": (changed("Y", lambda a: a.astype(np.complex128)), "dtype"),
    "real object": (changed("objectGuess", lambda a: a.real.copy()), "dtype"),
    "float32 positions": (changed("xcoords", lambda a: a.astype(np.float32)), "dtype"),
    "integer positions": (changed("ycoords", lambda a: a.astype(np.int64)), "dtype"),
    "int32 index": (changed("scan_index", lambda a: a.astype(np.int32)), "dtype"),
    "big-endian": (changed("diffraction", lambda a: a.astype(">f4")), "byte-order"),
    # shapes
    "two axes": (changed("diffraction", lambda a: a[0]), "diffraction-rank"),
    "hwn layout": (changed("diffraction", lambda a: np.moveaxis(a, 0, -1).copy()), "diffraction-axes"),
    "not square": (changed("diffraction", lambda a: a[:, :, :-2].copy()), "diffraction-not-square"),
    "odd size": (changed("diffraction", lambda a: a[:, 1:, 1:].copy()), "diffraction-odd"),
    "no patterns": (changed("diffraction", lambda a: a[:0]), "empty"),
    "object with layers": (changed("objectGuess", lambda a: a[None]), "object-rank"),
    "object of one patch": (changed("objectGuess", lambda a: a[:20, :20].copy()), "object-small"),
    "probe with one axis": (changed("probeGuess", lambda a: a[0].copy()), "probe-rank"),
    "probe of wrong size": (changed("probeGuess", lambda a: a[1:, 1:].copy()), "probe-size"),
    "Y with channels": (changed("Y", lambda a: a[..., None]), "Y-four-axes"),
    "one random Y": (changed("Y", lambda a: a[:1, ..., None]), "Y-four-axes"),
    "Y of wrong size": (changed("Y", lambda a: a[:, 1:, 1:].copy()), "Y-shape"),
    "Y too short": (changed("Y", lambda a: a[:-1]), "length"),
    "positions in a column": (changed("xcoords", lambda a: a[:, None]), "rank"),
    "positions too short": (changed("ycoords", lambda a: a[:-1]), "length"),
    "index too long": (changed("scan_index", lambda a: np.arange(len(a) + 1)), "length"),
    # values
    "NaN amplitude": (changed("diffraction", put((3, 4, 5), np.nan)), "not-finite"),
    "infinite amplitude": (changed("diffraction", put((3, 4, 5), np.inf)), "not-finite"),
    "negative amplitude": (changed("diffraction", put((3, 4, 5), -1.0)), "negative"),
    "dark": (changed("diffraction", np.zeros_like), "no-photons"),
    "NaN position": (changed("xcoords", put(2, np.nan)), "not-finite"),
    "NaN object": (changed("objectGuess", put((0, 0), np.nan)), "not-finite"),
    "infinite probe": (changed("probeGuess", put((1, 1), np.inf)), "not-finite"),
    "zero probe": (changed("probeGuess", np.zeros_like), "all-zero"),
    "NaN patch": (changed("Y", put((7, 0, 0), np.nan)), "not-finite"),
    "negative expectation": (changed("expected_photons", put(0, -1.0)), "negative"),
    "wrong expectation": (changed("expected_photons", lambda a: 1.1 * a), "expected-photons"),
    "repeated index": (changed("scan_index", put(1, 0)), "scan-index-duplicate"),
    "negative index": (changed("scan_index", put(1, -4)), "scan-index-negative"),
    "start differs": (changed("xcoords_start", lambda a: a + 0.1), "start-differs"),
    # positions, patches, forward model
    "patch outside": (moved(40.0, 0.0), "patch-outside"),
    "x and y exchanged": (exchanged, "xy-exchanged"),
    "x and y exchanged, both fit": (on_a_square_grid(exchanged), "xy-exchanged"),
    "x and y exchanged, patches too": (on_a_square_grid(exchanged_with_patches), "xy-exchanged"),
    "off by half a pixel": (moved(0.5, 0.0), "position-offset"),
    "off by one pixel": (moved(1.0, 1.0), "position-offset"),
    "Y reversed": (changed("Y", lambda a: a[::-1].copy()), "Y-order"),
    "Y transposed": (changed("Y", lambda a: a.transpose(0, 2, 1).copy()), "Y-transposed"),
    "one Y replaced": (changed("Y", put(9, 1.0 + 0.0j)), "Y-not-from-object"),
    "DC in the corner": (fftshifted, "dc-not-centred"),
    "patterns transposed": (transposed, "diffraction-transposed"),
    "another object": (new_object_and_patches, "diffraction-not-from-object"),
    "patterns reversed": (changed("diffraction", lambda a: a[::-1].copy()), "diffraction-not-from-object"),
    # counts and metadata
    "intensity for amplitude": (intensity, "intensity"),
    "amplitude without scale": (unscaled, "amplitude-unscaled"),
    "fractional counts": (changed("diffraction", lambda a: a * np.float32(1.01)), "counts-fractional"),
    "double dose": (doubled_counts, "dose-counts"),
    "wrong measured dose": (metadata(split_measured_photons_per_pattern=5.0), "dose-counts"),
    "wrong measured dose of the scan": (metadata(measured_photons_per_pattern=11e3), "dose-requested"),
    "wrong requested dose": (metadata(requested_photons_per_pattern=11e3), "dose-requested"),
    "wrong doses, consistent": (
        metadata(requested_photons_per_pattern=11e3, measured_photons_per_pattern=11e3),
        "dose-scale",
    ),
    "wrong scale": (metadata(counts_scale=7.0), "dose-scale"),
    "no seed": (metadata(seed=...), "metadata-key"),
    "other contract": (metadata(contract="DATA-002"), "metadata-contract"),
    "other version": (metadata(contract_version=99), "metadata-contract"),
    "unknown split": (metadata(split="validation"), "metadata-split"),
    "unknown origin": (metadata(origin="invented"), "metadata-origin"),
    "text for a number": (metadata(counts_scale="100"), "metadata-number"),
    "negative scale": (metadata(counts_scale=-2.0), "metadata-number"),
    "true for a number": (metadata(measured_photons_per_pattern=True), "metadata-number"),
    "wrong count": (metadata(n_patterns=3), "metadata-n-patterns"),
    "metadata no JSON": (changed("metadata", lambda a: np.array("dose: 1000")), "metadata-json"),
    "metadata a list": (changed("metadata", lambda a: np.array("[1]")), "metadata-json"),
    "metadata in an array": (changed("metadata", lambda a: a[None]), "metadata-type"),
    "metadata as bytes": (changed("metadata", lambda a: np.array(b"{}")), "metadata-type"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_has_its_own_message(tmp_path, valid_arrays, name):
    change, rule = FAULTS[name]
    np.savez(tmp_path / "faulty.npz", **change(valid_arrays))
    faults = validate_dataset(tmp_path / "faulty.npz")
    assert rule in [fault.rule for fault in faults], [str(fault) for fault in faults]
    for fault in faults:
        assert fault.where
        assert fault.expected
        assert fault.actual
        assert fault.remedy
        assert len(str(fault)) < 600


def test_messages_of_different_faults_differ(tmp_path, valid_arrays):
    messages = {}
    for name, (change, rule) in FAULTS.items():
        np.savez(tmp_path / "faulty.npz", **change(valid_arrays))
        messages[name] = next(str(fault) for fault in validate_dataset(tmp_path / "faulty.npz") if fault.rule == rule)
    messages.pop("x and y exchanged, both fit")  # the same fault, harder to see
    assert len(set(messages.values())) == len(messages)


def test_every_rule_is_exercised_somewhere():
    in_tables = {rule for _, rule in FAULTS.values()} | set(BROKEN_FILES.values())
    elsewhere = {
        "no-file",
        "patch-size",
        "unexpected-metadata",
        "member-crc",
        "zip-bomb",
        "member-encrypted",
        "too-large",
    }
    assert in_tables | elsewhere == set(REMEDIES)


# Files that are broken as files


def object_array(path, arrays):
    np.savez(path, **arrays | {"metadata": np.array({"dose": 1}, dtype=object)})


def compressed(path, arrays):
    np.savez_compressed(path, **arrays)


def truncated(path, arrays):
    np.savez(path, **arrays)
    path.write_bytes(path.read_bytes()[:-3000])


def promised(path, arrays):
    """A directory that is whole, but promises more bytes than the file has."""
    write_npz(path, arrays)
    content = path.read_bytes()
    member = len(content) * 10
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("diffraction.npy").file_size
    path.write_bytes(content.replace(struct.pack("<QQ", size, size), struct.pack("<QQ", member, member)))


def wrong_size(path, arrays):
    """An array header whose shape does not fit the bytes behind it."""
    content = npy_bytes(arrays["Y"])
    write_members(path, [("Y.npy", content[:-8])])


def not_npy(path, arrays):
    write_members(path, [("Y.npy", b"hello")])


def text_file(path, arrays):
    path.write_text("diffraction")


def empty_file(path, arrays):
    path.write_bytes(b"")


def path_like(path, arrays):
    write_members(path, [("../../etc/Y.npy", npy_bytes(arrays["Y"]))])


def foreign_member(path, arrays):
    write_members(path, [("readme.txt", b"hello")])


def twice(path, arrays):
    with pytest.warns(UserWarning, match="Duplicate"):
        write_members(path, [("Y.npy", npy_bytes(arrays["Y"])), ("Y.npy", npy_bytes(arrays["Y"][::-1]))])


def crowded(path, arrays):
    write_members(path, [(f"a{k}.npy", npy_bytes(np.zeros(1))) for k in range(100)])


def bzip2(path, arrays):
    write_members(path, [("Y.npy", npy_bytes(arrays["Y"]))], zipfile.ZIP_BZIP2)


def other_local_name(path, arrays):
    """Local header and directory name different members."""
    write_members(path, [("Y.npy", npy_bytes(arrays["Y"]))])
    path.write_bytes(path.read_bytes().replace(b"Y.npy", b"Z.npy", 1))


BROKEN_FILES = {
    object_array: "object-array",
    compressed: "member-compressed",
    truncated: "not-a-zip",
    promised: "truncated",
    wrong_size: "member-size",
    not_npy: "member-not-npy",
    text_file: "not-a-zip",
    empty_file: "not-a-zip",
    path_like: "member-name",
    foreign_member: "member-name",
    twice: "member-duplicate",
    crowded: "too-many-members",
    bzip2: "member-compression",
    other_local_name: "member-header",
}


@pytest.mark.parametrize("break_file", BROKEN_FILES, ids=lambda function: function.__name__)
def test_broken_files_are_refused_by_name(tmp_path, valid_arrays, break_file):
    break_file(tmp_path / "broken.npz", valid_arrays)
    assert BROKEN_FILES[break_file] in [fault.rule for fault in validate_dataset(tmp_path / "broken.npz")]


def test_absent_files_and_folders(tmp_path):
    assert [fault.rule for fault in validate_dataset(tmp_path / "absent.npz")] == ["no-file"]
    assert "directory" in validate_dataset(tmp_path)[0].actual


def test_encrypted_members(tmp_path, valid_arrays):
    write_members(tmp_path / "a.npz", [("Y.npy", npy_bytes(valid_arrays["Y"]))])
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.npz").write_bytes(content)
    assert [fault.rule for fault in validate_dataset(tmp_path / "a.npz")] == ["member-encrypted"]


def test_one_flipped_bit_is_found(tmp_path, valid_file):
    content = bytearray(valid_file.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    assert [fault.rule for fault in validate_dataset(tmp_path / "a.npz")] == ["member-crc"]
    assert list(_checksum_faults(valid_file)) == []


def promise_32_gib(path, how):
    shape = (2**33 // 64, 64) if how != "metadata" else ()
    name = {"metadata": "metadata", "object": "objectGuess"}.get(how, "diffraction")
    dtype = "<U2147483647" if how == "metadata" else "<f4"
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text
    compression = zipfile.ZIP_DEFLATED if how == "deflated" else zipfile.ZIP_STORED
    write_members(path, [(f"{name}.npy", head + b"\0" * 1000)], compression)
    if how == "forged directory":
        with NpzStream(path, {"diffraction": (np.dtype("<f4"), (2**33,))}) as stream:
            stream._members["diffraction"].position = stream._members["diffraction"].end
        with path.open("r+b") as file:  # drop the hole: keep the first kilobyte and the directory
            file.seek(-400, 2)
            tail = file.read()
        path.write_bytes(head + tail)


@pytest.mark.parametrize("how", ["stored", "deflated", "metadata", "object", "forged directory"])
def test_a_promise_of_32_gib_costs_nothing(tmp_path, how):
    promise_32_gib(tmp_path / "a.npz", how)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    faults = validate_dataset(tmp_path / "a.npz")
    assert time.monotonic() - start < 1.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024
    assert faults
    with pytest.raises(ValueError):
        read_dataset(tmp_path / "a.npz")


def test_a_deflate_bomb_is_not_inflated(tmp_path, valid_arrays):
    """Zeros that really are there, a thousand times smaller: refused before they are inflated."""
    bomb = np.zeros((2**26,), np.float32)
    np.savez_compressed(tmp_path / "a.npz", **valid_arrays | {"objectGuess": bomb})
    start = time.process_time()
    assert "member-compressed" in {fault.rule for fault in validate_dataset(tmp_path / "a.npz")}
    assert time.process_time() - start < 0.5
    forged = bytearray((tmp_path / "a.npz").read_bytes())
    entry = forged.index(b"PK\x01\x02")
    forged[entry + 24 : entry + 28] = struct.pack("<I", 2**31)
    (tmp_path / "a.npz").write_bytes(forged)
    assert [fault.rule for fault in validate_dataset(tmp_path / "a.npz")] == ["zip-bomb"]


def test_an_enormous_object_is_not_loaded(tmp_path, valid_arrays):
    arrays = {key: (array.dtype, array.shape) for key, array in valid_arrays.items()}
    arrays["objectGuess"] = (np.dtype("<c8"), (30_000, 30_000))
    with NpzStream(tmp_path / "a.npz", arrays) as stream:
        for key, array in valid_arrays.items():
            if key == "objectGuess":
                stream._members[key].position = stream._members[key].end
            else:
                stream.append(key, array)
    with pytest.raises(ValueError, match="at most"):
        read_dataset(tmp_path / "a.npz")


# Valid files


def reordered(path, arrays):
    np.savez(path, **dict(reversed(arrays.items())))


def fortran(path, arrays):
    np.savez(path, **arrays | {"diffraction": np.asfortranarray(arrays["diffraction"])})


VALID = {
    "saved by numpy": lambda path, arrays: np.savez(path, **arrays),
    "saved by the stream": write_npz,
    "members in another order": reordered,
    "Fortran order": fortran,
    "without scan_index": lambda path, arrays: np.savez(path, **without("scan_index")(arrays)),
    "without expected_photons": lambda path, arrays: np.savez(path, **without("expected_photons")(arrays)),
    "with an extra array": lambda path, arrays: np.savez(path, **arrays, temperature_k=np.array(293.0)),
    "probe as one mode": lambda path, arrays: np.savez(path, **changed("probeGuess", lambda a: a[None])(arrays)),
    "further metadata": lambda path, arrays: np.savez(path, **with_metadata(arrays, beamline="2-ID-D")),
    "perturbed positions": lambda path, arrays: np.savez(
        path, **with_metadata(changed("xcoords_start", lambda a: a + 0.3)(arrays), positions_perturbed=True)
    ),
    "object with a wider border": lambda path, arrays: np.savez(
        path, **changed("objectGuess", lambda a: np.pad(a, ((0, 9), (0, 4)), constant_values=1))(arrays)
    ),
    "one pattern": lambda path, arrays: np.savez(path, **first(arrays, 1)),
    "five patterns": lambda path, arrays: np.savez(path, **first(arrays, 5)),
}


def first(arrays, n):
    """The first patterns alone, as a view of them would be."""
    per_pattern = (
        "diffraction",
        "Y",
        "xcoords",
        "ycoords",
        "xcoords_start",
        "ycoords_start",
        "scan_index",
        "expected_photons",
    )
    few = arrays | {key: arrays[key][:n] for key in per_pattern}
    mean = float(counts_of(few).sum(axis=(1, 2)).mean())
    return with_metadata(few, n_patterns=n, split_measured_photons_per_pattern=mean)


@pytest.mark.parametrize("name", VALID)
def test_valid_variants_are_accepted(tmp_path, valid_arrays, name):
    VALID[name](tmp_path / "valid.npz", valid_arrays)
    assert [str(fault) for fault in validate_dataset(tmp_path / "valid.npz")] == []


def test_expectations(valid_file):
    assert (
        validate_dataset(valid_file, split="train", patch_size_px=32, requested_photons_per_pattern=1e4, seed=None)
        == []
    )
    rules = [fault.rule for fault in validate_dataset(valid_file, split="test", patch_size_px=64)]
    assert rules == ["unexpected-metadata", "patch-size"]


def test_reading_refuses_what_breaks_the_structure(tmp_path, valid_arrays):
    np.savez(tmp_path / "a.npz", **changed("Y", lambda a: a[:1, ..., None])(valid_arrays))
    with pytest.raises(DatasetError, match=r"\[Y-four-axes\] Y: expected three axes"):
        read_dataset(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", **metadata(counts_scale=None)(valid_arrays))
    with pytest.raises(DatasetError, match="metadata-number"):
        read_dataset(tmp_path / "b.npz")


def test_compressed_files_are_readable_though_not_valid(tmp_path, valid_arrays):
    np.savez_compressed(tmp_path / "a.npz", **valid_arrays)
    data = read_dataset(tmp_path / "a.npz")
    assert np.array_equal(data.measurement.amplitude, valid_arrays["diffraction"])
    assert data.metadata == json.loads(str(valid_arrays["metadata"]))
