"""Bundles: equal bytes for equal input, exact round trips, and a loader that hostile files cannot use."""

import hashlib
import io
import json
import os
import pickletools
import struct
import subprocess
import sys
import zipfile
import zlib

import h5py
import numpy as np
import pytest
import torch

from fly64_assets.science.networks import bundle_archive
from fly64_assets.science.networks.bundle import BundleError, TrainedNetwork, inspect_bundle, read_bundle, write_bundle
from fly64_assets.science.networks.bundle_format import CHECKPOINT, MANIFEST, MEMBERS, WEIGHTS, encode_plain
from fly64_assets.science.networks.unrolled import unrolled_network

SIZE = 16
NETWORK = TrainedNetwork(
    builder="unrolled_unet",
    learns_from="counts",
    stages=1,
    width=2,
    gridsize=2,
    neighbor_count=7,
    patch_size_px=SIZE,
    probe_modes=1,
    counts_scale=31.6,
    dose=1e3,
)


def write(path, seed=0, weights=None, network=NETWORK):
    torch.manual_seed(seed)
    weights = unrolled_network(1, 2).state_dict() if weights is None else weights
    probe = np.random.default_rng(0).standard_normal((1, SIZE, SIZE)).astype(np.complex64)
    provenance = {"dose": 1e3, "view": "dense", "dataset_sha256": "0" * 64, "parameter_hash": "1" * 64}
    write_bundle(
        path,
        weights=weights,
        probe=probe,
        network=network,
        seed=seed,
        epochs_completed=3,
        global_step=12,
        provenance=provenance,
    )
    return path


@pytest.fixture
def good(tmp_path):
    return write(tmp_path / "wts.h5.zip")


def members_of(path):
    with zipfile.ZipFile(path) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def pack(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members if isinstance(members, list) else members.items():
            archive.writestr(zipfile.ZipInfo(name) if isinstance(name, str) else name, content, compression)
    return path


def seal(members):
    """Make the manifest agree with altered members: an attacker would."""
    manifest = json.loads(members[MANIFEST])
    for name in manifest["members"]:
        if name in members:
            content = members[name]
            manifest["members"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    members[MANIFEST] = json.dumps(manifest).encode()
    return members


def altered(good, name, change, sealed=True):
    members = members_of(good)
    members[name] = change(members[name])
    return pack(good, seal(members) if sealed else members)


def edit_arrays(change):
    def edit(content):
        buffer = io.BytesIO(content)
        with h5py.File(buffer, "r+") as file:
            change(file)
        return buffer.getvalue()

    return edit


def edit_manifest(**changes):
    def edit(content):
        manifest = json.loads(content)
        for path, value in changes.items():
            *parents, last = path.split("__")
            place = manifest
            for parent in parents:
                place = place[parent]
            place[last] = value
        return json.dumps(manifest).encode()

    return edit


def _as_before_networks_were_named(content):
    manifest = json.loads(content)
    network = manifest["network"]
    manifest["network"] = {key: value for key, value in network.items() if key not in ("builder", "learns_from")}
    return json.dumps(manifest | {"network": {**manifest["network"], "kind": "pinn"}}).encode()


def test_a_round_trip_is_exact(good):
    torch.manual_seed(0)
    original = unrolled_network(1, 2).state_dict()
    found = read_bundle(good)
    assert set(found.weights) == set(original)
    for name, value in found.network().state_dict().items():
        assert torch.equal(value, original[name])
    assert found.manifest.network == NETWORK
    assert inspect_bundle(good)["provenance"]["view"] == "dense"


def test_members_stand_in_their_order_with_fixed_times(good):
    with zipfile.ZipFile(good) as archive:
        assert tuple(archive.namelist()) == MEMBERS
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_fresh_processes_write_equal_bytes(tmp_path, good):
    code = (
        "import sys; from pathlib import Path; from fly64_assets_tests.science.networks.test_bundle import write;"
        "write(Path(sys.argv[1]))"
    )
    again = tmp_path / "again.zip"
    subprocess.run([sys.executable, "-c", code, str(again)], check=True)
    assert again.read_bytes() == good.read_bytes()
    assert write(tmp_path / "other.zip", seed=1).read_bytes() != good.read_bytes()


def test_other_readers_find_plain_parameters_and_a_state_dict(good):
    members = members_of(good)
    for name in ("manifest.dill", "autoencoder/params.dill", "diffraction_to_obj/params.dill"):
        opcodes = {opcode.name for opcode, _, _ in pickletools.genops(members[name])}
        assert not opcodes & {"GLOBAL", "STACK_GLOBAL", "REDUCE", "INST", "OBJ", "NEWOBJ", "BUILD"}
    state = torch.load(io.BytesIO(members["diffraction_to_obj/model.pth"]), weights_only=True)
    assert torch.equal(state["stages.0.step"], torch.tensor(0.8))
    checkpoint = torch.load(io.BytesIO(members[CHECKPOINT]), weights_only=True)
    assert set(checkpoint) == {"state_dict", "hyper_parameters", "epoch", "global_step"}


@pytest.mark.parametrize(("learns_from", "model_type"), [("counts", "pinn"), ("truth", "supervised")])
def test_other_readers_are_told_what_the_network_learned_from(tmp_path, learns_from, model_type):
    network = NETWORK.model_copy(update={"learns_from": learns_from})
    members = members_of(write(tmp_path / "wts.h5.zip", network=network))
    strings = [
        value for op, value, _ in pickletools.genops(members["autoencoder/params.dill"]) if op.name == "BINUNICODE"
    ]
    assert strings[strings.index("model_type") + 1] == model_type


def test_reading_draws_no_random_numbers(good):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    read_bundle(good).network()
    assert torch.equal(torch.rand(3), expected)


def test_plain_encoding_reads_back_equal():
    value = {"a": [1, -1, 0, 255, 2**40, -(2**33)], "b": {"c": 1.5, "d": None, "e": True, "f": "ü"}, "g": []}
    code = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read()))"  # a reader of the plain kind
    found = subprocess.run([sys.executable, "-c", code], input=encode_plain(value), capture_output=True, check=True)
    assert found.stdout.decode().strip() == str(value)
    with pytest.raises(TypeError, match="only plain data"):
        encode_plain({"code": print})


def test_weights_that_do_not_fit_are_not_written(tmp_path):
    weights = unrolled_network(1, 2).state_dict()
    weights["stages.0.step"] = torch.tensor(float("nan"))
    with pytest.raises(BundleError, match=r"stages.0.step: 1 of 1 values are not finite"):
        write(tmp_path / "wts.h5.zip", weights=weights)
    assert not (tmp_path / "wts.h5.zip").exists()


def _bomb(good):
    members = members_of(good)
    members[CHECKPOINT] = bytes(50_000_000)
    return pack(good, seal(members), zipfile.ZIP_DEFLATED)


def _duplicate(good):
    items = list(members_of(good).items())
    with pytest.warns(UserWarning, match="Duplicate name"):
        return pack(good, [*items, items[0]])


def _symlink(good):
    members = members_of(good)
    entry = zipfile.ZipInfo(WEIGHTS)
    entry.external_attr = 0o120777 << 16
    members.pop(WEIGHTS)
    return pack(good, [*members.items(), (entry, b"/etc/passwd")])


def _renamed(good, old, new):
    return pack(good, [(new if name == old else name, content) for name, content in members_of(good).items()])


def _added(good, name, content=b"x"):
    return pack(good, [*members_of(good).items(), (name, content)])


def _without(good, name):
    members = members_of(good)
    del members[name]
    return pack(good, members)


def _lying_size(good):
    """The central directory claims a member far larger than the file."""
    raw = bytearray(good.read_bytes())
    at = raw.rfind(b"PK\x01\x02")
    raw[at + 20 : at + 28] = struct.pack("<II", 900_000_000, 900_000_000)
    good.write_bytes(raw)
    return good


def _encrypted(good):
    raw = bytearray(good.read_bytes())
    at = raw.rfind(b"PK\x01\x02")
    raw[at + 8] |= 1
    good.write_bytes(raw)
    return good


def _bad_crc(good):
    raw = bytearray(good.read_bytes())
    with zipfile.ZipFile(good) as archive:
        entry = archive.getinfo(WEIGHTS)
        crc = entry.CRC
    assert crc == zlib.crc32(members_of(good)[WEIGHTS])
    at = raw.rfind(WEIGHTS.encode(), 0, raw.rfind(b"PK\x01\x02")) + len(WEIGHTS) + 10
    raw[at] ^= 0xFF
    good.write_bytes(raw)
    return good


def _hostile_pickle():
    """A pickle that would create a file when loaded."""
    return b"\x80\x02cos\nsystem\nX\x0c\x00\x00\x00touch /tmp/xR."


def _external_link(file):
    del file["network/stages.0.step"]
    file["network/stages.0.step"] = h5py.ExternalLink("/etc/passwd", "/x")


def _soft_link(file):
    del file["network/stages.0.step"]
    file["network/stages.0.step"] = h5py.SoftLink("/probe")


def _chunked(file):
    del file["network/stages.0.step"]
    file.create_dataset("network/stages.0.step", shape=(1 << 40,), dtype="f4", chunks=(1 << 20,), compression="gzip")


def _sparse_bomb(file):
    """A contiguous array that is declared, never written, and would fill the memory."""
    del file["network/stages.0.step"]
    file.create_dataset("network/stages.0.step", shape=(1 << 38,), dtype="f4")


def _object_array(file):
    del file["network/stages.0.step"]
    file.create_dataset("network/stages.0.step", data="text", dtype=h5py.string_dtype())


def _reshaped(file):
    del file["network/stages.0.step"]
    file["network/stages.0.step"] = np.zeros(3, np.float32)


def _group(file):
    file.create_group("more")["x"] = np.zeros(1, np.float32)


def _double(file):
    del file["network/stages.0.step"]
    file["network/stages.0.step"] = np.float32([1]).astype(np.complex64)[0]


def _remove(file):
    del file["network/stages.0.step"]


def _more(file):
    file["network/stages.7.step"] = np.float32(1)


def _nan(file):
    file["network/stages.0.step"][()] = np.nan


def _nan_probe(file):
    file["probe"][0, 0, 0] = np.inf


def _other_probe(file):
    del file["probe"]
    file["probe"] = np.zeros((1, 4, 4), np.complex64)


ATTACKS = {
    "code in manifest.dill": (
        lambda good: altered(good, "manifest.dill", lambda _: _hostile_pickle(), sealed=False),
        "manifest.dill: manifest.json says .* bytes with SHA256",
    ),
    "code in params.dill": (
        lambda good: altered(good, "autoencoder/params.dill", lambda _: _hostile_pickle(), sealed=False),
        "autoencoder/params.dill: manifest.json says",
    ),
    "code in model.pth": (
        lambda good: altered(good, "diffraction_to_obj/model.pth", lambda _: _hostile_pickle(), sealed=False),
        "diffraction_to_obj/model.pth: manifest.json says",
    ),
    "code in checkpoint": (
        lambda good: altered(good, CHECKPOINT, lambda _: _hostile_pickle(), sealed=False),
        "checkpoint.ckpt: manifest.json says",
    ),
    "one weight altered": (
        lambda good: altered(good, WEIGHTS, lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), sealed=False),
        "weights.h5: manifest.json says",
    ),
    "checksum of a member": (_bad_crc, "no intact zip file: Bad CRC-32"),
    "missing member": (lambda good: _without(good, CHECKPOINT), r"missing members \['checkpoint.ckpt'\]"),
    "extra member": (lambda good: _added(good, "notes.txt"), r"unknown members \['notes.txt'\]"),
    "renamed member": (lambda good: _renamed(good, WEIGHTS, "w.h5"), r"missing members \['weights.h5'\]"),
    "duplicate member": (_duplicate, r"duplicate members \['manifest.json'\]"),
    "bytes before the zip": (
        lambda good: good.write_bytes(b"#!/bin/sh\n" + good.read_bytes()) and good,
        "does not begin with its first member",
    ),
    "reordered members": (lambda good: pack(good, list(members_of(good).items())[::-1]), "stand in the order"),
    "path traversal": (lambda good: _added(good, "../evil"), "'../evil' points outside"),
    "absolute path": (lambda good: _added(good, "/etc/evil"), "'/etc/evil' points outside"),
    "windows traversal": (lambda good: _added(good, "..\\evil"), "points outside"),
    "symlink": (_symlink, r"weights.h5 is no regular file \(mode 120000\)"),
    "zip bomb": (_bomb, r"is compressed \(\d+ to \d+ bytes\)"),
    "sizes beyond the file": (_lying_size, "claim more bytes than the file"),
    "encrypted member": (_encrypted, "is encrypted"),
    "no zip at all": (lambda good: good.write_bytes(b"PK no zip") and good, "no intact zip file"),
    "cut off": (lambda good: good.write_bytes(good.read_bytes()[:-200]) and good, "no intact zip file"),
    "manifest is no JSON": (lambda good: altered(good, MANIFEST, lambda _: b"{", sealed=False), "manifest.json:.*JSON"),
    "manifest with more fields": (
        lambda good: altered(good, MANIFEST, edit_manifest(run="rm"), sealed=False),
        "manifest.json: run: Extra inputs",
    ),
    "manifest of another version": (
        lambda good: altered(good, MANIFEST, edit_manifest(version="3"), sealed=False),
        "manifest.json: version",
    ),
    "manifest of an older version of this package": (
        lambda good: altered(good, MANIFEST, _as_before_networks_were_named, sealed=False),
        "network.builder is missing: an older version of fly64_assets made this bundle; train it again",
    ),
    "manifest with a huge network": (
        lambda good: altered(good, MANIFEST, edit_manifest(network__width=10**6), sealed=False),
        "manifest.json: network.width",
    ),
    "manifest of another network": (
        lambda good: altered(good, MANIFEST, edit_manifest(network__stages=2), sealed=False),
        r"missing \['stages.1",
    ),
    "manifest of a network that nobody installed": (
        lambda good: altered(good, MANIFEST, edit_manifest(network__builder="unrolled_unit"), sealed=False),
        r"manifest.json: network.builder: unknown network 'unrolled_unit'; did you mean 'unrolled_unet'",
    ),
    "manifest that names a module to import": (
        lambda good: altered(good, MANIFEST, edit_manifest(network__builder="os:system"), sealed=False),
        r"manifest.json: network.builder: String should match pattern",
    ),
    "manifest that omits a member": (
        lambda good: altered(good, MANIFEST, edit_manifest(members={}), sealed=False),
        r"lists members \[\], expected",
    ),
    "arrays are no HDF5": (lambda good: altered(good, WEIGHTS, lambda _: b"no HDF5"), "no readable HDF5"),
    "external link": (lambda good: altered(good, WEIGHTS, edit_arrays(_external_link)), "is a link to elsewhere"),
    "soft link": (lambda good: altered(good, WEIGHTS, edit_arrays(_soft_link)), "is a link to elsewhere"),
    "compressed array bomb": (lambda good: altered(good, WEIGHTS, edit_arrays(_chunked)), "no plain float32"),
    "declared array bomb": (lambda good: altered(good, WEIGHTS, edit_arrays(_sparse_bomb)), r"claims \d+ bytes"),
    "text as weight": (lambda good: altered(good, WEIGHTS, edit_arrays(_object_array)), "no plain float32"),
    "unknown group": (lambda good: altered(good, WEIGHTS, edit_arrays(_group)), "unknown group more"),
    "wrong shape": (
        lambda good: altered(good, WEIGHTS, edit_arrays(_reshaped)),
        r"expected float32 \(\), found .*\(3,\)",
    ),
    "wrong type": (
        lambda good: altered(good, WEIGHTS, edit_arrays(_double)),
        r"expected float32 \(\), found complex64",
    ),
    "missing weight": (lambda good: altered(good, WEIGHTS, edit_arrays(_remove)), r"missing \['stages.0.step'\]"),
    "unknown weight": (lambda good: altered(good, WEIGHTS, edit_arrays(_more)), r"unknown \['stages.7.step'\]"),
    "NaN weight": (lambda good: altered(good, WEIGHTS, edit_arrays(_nan)), "1 of 1 values are not finite"),
    "infinite probe": (lambda good: altered(good, WEIGHTS, edit_arrays(_nan_probe)), "probe: expected finite"),
    "probe of another size": (
        lambda good: altered(good, WEIGHTS, edit_arrays(_other_probe)),
        r"probe: expected finite",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_crafted_bundle_is_refused_and_runs_nothing(good, attack, monkeypatch, tmp_path):
    def forbidden(*_, **__):
        pytest.fail("code ran, or a file was unpickled or extracted")

    for module, name in (
        (os, "system"),
        (torch, "load"),
        (zipfile.ZipFile, "extract"),
        (zipfile.ZipFile, "extractall"),
    ):
        monkeypatch.setattr(module, name, forbidden)
    craft, message = ATTACKS[attack]
    crafted = craft(good)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(BundleError, match=message) as refused:
        read_bundle(crafted)
    assert str(crafted) in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_sealed_code_is_never_looked_at(good, monkeypatch):
    """Digests that agree make hostile .dill, .pth and .ckpt members harmless, not trusted: nothing reads them."""
    members = members_of(good)
    for name in MEMBERS:
        if name.endswith((".dill", ".pth", ".ckpt")):
            members[name] = _hostile_pickle()
    pack(good, seal(members))
    for module, name in ((os, "system"), (torch, "load")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("unpickled"))
    assert set(read_bundle(good).weights) == set(unrolled_network(1, 2).state_dict())


def test_a_file_beyond_the_limit_is_refused_unread(good, monkeypatch):
    monkeypatch.setattr(bundle_archive, "MAX_BUNDLE_BYTES", 100)
    with pytest.raises(BundleError, match="at most 100"):
        read_bundle(good)


def test_messages_are_distinct():
    assert len({message for _, message in ATTACKS.values()}) >= 30
