"""Trained networks as files: wts.h5.zip, written byte for byte the same, read without unpickling anything."""

import hashlib
import io
import json
import platform
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pydantic
import torch

from fly64_assets.science.arrays import ProbeModes
from fly64_assets.science.models.bundle_format import (
    CHECKPOINT,
    FORMAT_VERSION,
    LEGACY_MANIFEST,
    MANIFEST,
    MEMBERS,
    MODEL_NAMES,
    WEIGHTS,
    encode_plain,
    write_arrays,
    write_zip,
)
from fly64_assets.science.models.networks import UnrolledNetwork

MAX_BUNDLE_BYTES = 1 << 30
_MAX_MANIFEST_BYTES = 1 << 20
_PROBE = "probe"
_WEIGHT_PREFIX = "network/"


class BundleError(ValueError):
    """A file that is no intact bundle; the message says what, where, expected and found."""


class _Record(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class MemberRecord(_Record):
    """Digest and size of one member."""

    sha256: str = pydantic.Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = pydantic.Field(ge=0, le=MAX_BUNDLE_BYTES)


class NetworkRecord(_Record):
    """What is needed to build the network and to use it."""

    kind: str = pydantic.Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    stages: int = pydantic.Field(ge=1, le=64)
    width: int = pydantic.Field(ge=1, le=512)
    gridsize: Literal[1, 2]
    neighbor_count: int = pydantic.Field(ge=1, le=10_000)
    patch_size_px: int = pydantic.Field(ge=4, le=4096)
    probe_modes: int = pydantic.Field(ge=1, le=64)
    counts_scale: float = pydantic.Field(gt=0)
    dose: float = pydantic.Field(gt=0)


class Manifest(_Record):
    """manifest.json: what the bundle is, where it comes from, and the digest of every other member."""

    format: Literal["wts.h5.zip"] = "wts.h5.zip"
    version: Literal["2.0-pytorch"] = FORMAT_VERSION
    network: NetworkRecord
    seed: int
    epochs_completed: int = pydantic.Field(ge=0)
    global_step: int = pydantic.Field(ge=0)
    provenance: dict[str, Any]
    versions: dict[str, str]
    members: dict[str, MemberRecord]


@dataclass(frozen=True, eq=False)
class Bundle:
    """An intact bundle in memory.

    Attributes:
        manifest: what it is.
        weights: network parameters by name, float32.
        probe: the probe that it was trained with.
    """

    manifest: Manifest
    weights: dict[str, np.ndarray]
    probe: ProbeModes

    def network(self) -> UnrolledNetwork:
        """The network with these weights, on the CPU."""
        network = UnrolledNetwork(self.manifest.network.stages, self.manifest.network.width)
        network.load_state_dict({name: torch.tensor(value) for name, value in self.weights.items()})
        return network.eval()


def write_bundle(
    path: Path,
    *,
    weights: Mapping[str, torch.Tensor],
    probe: ProbeModes,
    network: NetworkRecord,
    seed: int,
    epochs_completed: int,
    global_step: int,
    provenance: Mapping[str, Any],
) -> None:
    """Write a bundle; equal arguments give equal bytes.

    Args:
        path: where to; the caller renames it into place.
        weights: parameters of an :class:`UnrolledNetwork`.
        probe: the probe that it was trained with.
        network: architecture and use.
        seed: of the training.
        epochs_completed: epochs trained.
        global_step: optimizer steps trained.
        provenance: plain data: dataset digest, parameter hash, dose, view.

    Raises:
        BundleError: weights that are not finite or do not fit the architecture.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    arrays = {name: value.numpy().astype(np.float32) for name, value in state.items()}
    _check_weights(arrays, network)
    model = _saved(state)
    parameters = encode_plain(_legacy_parameters(network))
    members = {
        LEGACY_MANIFEST: encode_plain({"models": list(MODEL_NAMES), "version": FORMAT_VERSION, "backend": "pytorch"})
    }
    for name in MODEL_NAMES:
        members |= {f"{name}/model.pth": model, f"{name}/params.dill": parameters}
    members[CHECKPOINT] = _saved(
        {
            "state_dict": {f"network.{name}": value for name, value in state.items()},
            "hyper_parameters": network.model_dump(),
            "epoch": epochs_completed,
            "global_step": global_step,
        }
    )
    members[WEIGHTS] = write_arrays({_PROBE: probe} | {_WEIGHT_PREFIX + name: value for name, value in arrays.items()})
    manifest = Manifest(
        network=network,
        seed=seed,
        epochs_completed=epochs_completed,
        global_step=global_step,
        provenance=dict(provenance),
        versions={"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        members={name: _record_of(content) for name, content in members.items()},
    )
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, sort_keys=True, allow_nan=False) + "\n"
    path.write_bytes(write_zip({MANIFEST: text.encode()} | members))


def inspect_bundle(path: Path) -> dict[str, Any]:
    """The manifest of an intact bundle, as plain data.

    Raises:
        BundleError: as :func:`read_bundle`.
    """
    return read_bundle(path).manifest.model_dump(mode="json")


def read_bundle(path: Path) -> Bundle:
    """Read a bundle strictly: exactly the known members, digests, keys, shapes and types, all finite.

    Only manifest.json and the plain arrays of weights.h5 are parsed; nothing is unpickled or extracted.

    Raises:
        BundleError: anything is missing, extra, altered or malformed.
        FileNotFoundError: no such file.
    """
    members = _read_members(path)
    try:
        manifest = Manifest.model_validate_json(members[MANIFEST])
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "(whole)"
        message = f"{path}: {MANIFEST}: {where}: {first['msg']}"
        raise BundleError(message) from error
    _check_digests(path, members, manifest)
    arrays = _read_arrays(path, members[WEIGHTS])
    probe = arrays.pop(_PROBE, None)
    network = manifest.network
    expected = (network.probe_modes, network.patch_size_px, network.patch_size_px)
    if probe is None or probe.shape != expected or probe.dtype != np.complex64 or not np.isfinite(probe).all():
        found = "none" if probe is None else f"{probe.dtype} {probe.shape}"
        message = f"{path}: {WEIGHTS}: probe: expected finite complex64 {expected}, found {found}"
        raise BundleError(message)
    weights = {name.removeprefix(_WEIGHT_PREFIX): array for name, array in arrays.items()}
    try:
        _check_weights(weights, network)
    except BundleError as error:
        message = f"{path}: {error}"
        raise BundleError(message) from error
    return Bundle(manifest, weights, probe)


def _read_members(path: Path) -> dict[str, bytes]:
    size = path.stat().st_size
    if size > MAX_BUNDLE_BYTES:
        message = f"{path}: {size} bytes; a bundle has at most {MAX_BUNDLE_BYTES}"
        raise BundleError(message)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_entries(path, entries, size)
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, struct.error, EOFError, NotImplementedError, RuntimeError) as error:
        message = f"{path}: no intact zip file: {error}"
        raise BundleError(message) from error


def _check_entries(path: Path, entries: list[zipfile.ZipInfo], file_size: int) -> None:
    names = [entry.filename for entry in entries]
    if entries and min(entry.header_offset for entry in entries) != 0:
        message = f"{path}: no intact zip file: it does not begin with its first member"
        raise BundleError(message)
    _check_names(path, names)
    for entry in entries:
        _check_entry(path, entry)
    if entries[0].file_size > _MAX_MANIFEST_BYTES or sum(entry.file_size for entry in entries) > file_size:
        message = f"{path}: members claim more bytes than the file of {file_size} bytes holds"
        raise BundleError(message)


def _check_names(path: Path, names: list[str]) -> None:
    for name in names:
        if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name:
            message = f"{path}: member {name!r} points outside the bundle"
            raise BundleError(message)
    duplicates = sorted({name for name in names if names.count(name) > 1})
    missing, extra = sorted(set(MEMBERS) - set(names)), sorted(set(names) - set(MEMBERS))
    for fault, found in (("duplicate", duplicates), ("missing", missing), ("unknown", extra)):
        if found:
            message = f"{path}: {fault} members {found}; a bundle holds exactly {list(MEMBERS)}"
            raise BundleError(message)
    if tuple(names) != MEMBERS:
        message = f"{path}: members stand in the order {names}, expected {list(MEMBERS)}"
        raise BundleError(message)


def _check_entry(path: Path, entry: zipfile.ZipInfo) -> None:
    kind = entry.external_attr >> 16 & 0o170000
    if kind not in (0, 0o100000):
        message = f"{path}: member {entry.filename} is no regular file (mode {kind:o}); links are refused"
        raise BundleError(message)
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        message = (
            f"{path}: member {entry.filename} is compressed ({entry.compress_size} to {entry.file_size} bytes); "
            "members are stored"
        )
        raise BundleError(message)
    if entry.flag_bits & 0x1:
        message = f"{path}: member {entry.filename} is encrypted"
        raise BundleError(message)


def _check_digests(path: Path, members: Mapping[str, bytes], manifest: Manifest) -> None:
    expected = set(MEMBERS) - {MANIFEST}
    if set(manifest.members) != expected:
        message = f"{path}: {MANIFEST} lists members {sorted(manifest.members)}, expected {sorted(expected)}"
        raise BundleError(message)
    for name in sorted(expected):
        record, found = manifest.members[name], _record_of(members[name])
        if found != record:
            message = (
                f"{path}: member {name}: {MANIFEST} says {record.size_bytes} bytes with SHA256 {record.sha256}, "
                f"found {found.size_bytes} bytes with {found.sha256}"
            )
            raise BundleError(message)


def _record_of(content: bytes) -> MemberRecord:
    return MemberRecord(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


def _read_arrays(path: Path, content: bytes) -> dict[str, np.ndarray]:
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            arrays: dict[str, np.ndarray] = {}
            for name in list(file.keys()):
                _collect(path, file, str(name), arrays, len(content))
            return arrays
    except (OSError, KeyError, RuntimeError) as error:
        message = f"{path}: {WEIGHTS} is no readable HDF5 file: {error}"
        raise BundleError(message) from error


def _collect(path: Path, group: h5py.Group, name: str, arrays: dict[str, np.ndarray], limit: int) -> None:
    where = f"{group.name}/{name}".replace("//", "/").lstrip("/")
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        message = f"{path}: {WEIGHTS}: {where} is a link to elsewhere"
        raise BundleError(message)
    item = group[name]
    if isinstance(item, h5py.Group):
        if where != _WEIGHT_PREFIX.rstrip("/"):
            message = f"{path}: {WEIGHTS}: unknown group {where}"
            raise BundleError(message)
        for inner in list(item.keys()):
            _collect(path, item, str(inner), arrays, limit)
        return
    plain = isinstance(item, h5py.Dataset) and item.dtype in (np.dtype("<f4"), np.dtype("<c8"))
    if not isinstance(item, h5py.Dataset) or not plain or item.chunks is not None or item.is_virtual or item.external:
        message = f"{path}: {WEIGHTS}: {where} is no plain float32 or complex64 array"
        raise BundleError(message)
    if item.nbytes > limit:
        message = f"{path}: {WEIGHTS}: {where} claims {item.nbytes} bytes in a member of {limit}"
        raise BundleError(message)
    arrays[where] = np.asarray(item[()])


def _check_weights(weights: Mapping[str, np.ndarray], network: NetworkRecord) -> None:
    with torch.device("meta"):
        expected = {k: tuple(v.shape) for k, v in UnrolledNetwork(network.stages, network.width).state_dict().items()}
    missing, extra = sorted(set(expected) - set(weights)), sorted(set(weights) - set(expected))
    if missing or extra:
        message = f"weights do not fit the network: missing {missing[:5]}, unknown {extra[:5]}"
        raise BundleError(message)
    for name, shape in expected.items():
        found = weights[name]
        if found.shape != shape or found.dtype != np.float32:
            message = f"weight {name}: expected float32 {shape}, found {found.dtype} {found.shape}"
            raise BundleError(message)
        if not np.isfinite(found).all():
            message = f"weight {name}: {int((~np.isfinite(found)).sum())} of {found.size} values are not finite"
            raise BundleError(message)


def _legacy_parameters(network: NetworkRecord) -> dict[str, Any]:
    return {
        "N": network.patch_size_px,
        "gridsize": network.gridsize,
        "C": network.gridsize**2,
        "model_type": "supervised" if network.kind == "supervised" else "pinn",
        "nphotons": network.dose,
        "neighbor_count": network.neighbor_count,
        "intensity_scale": network.counts_scale,
        "probe.big": True,
        "object.big": True,
        "stages": network.stages,
        "width": network.width,
    }


def _saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()
