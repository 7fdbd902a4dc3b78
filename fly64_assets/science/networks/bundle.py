"""Trained networks as files: wts.h5.zip, written byte for byte the same, read without unpickling anything."""

import hashlib
import io
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic
import torch

from fly64_assets.science.arrays import ProbeModes
from fly64_assets.science.networks.bundle_archive import MAX_BUNDLE_BYTES, BundleError, read_arrays, read_members
from fly64_assets.science.networks.bundle_format import (
    CHECKPOINT,
    FORMAT_VERSION,
    LEGACY_MANIFEST,
    MANIFEST,
    MEMBERS,
    MODEL_NAMES,
    NETWORK_GROUP,
    WEIGHTS,
    encode_plain,
    write_arrays,
    write_zip,
)
from fly64_assets.science.networks.record import build_network
from fly64_assets.science.networks.staged import StagedNetwork
from fly64_assets.science.networks.training_task import LearnsFrom
from fly64_assets.science.registry import RegistryError

_PROBE = "probe"
_WEIGHT_PREFIX = NETWORK_GROUP + "/"


class _Record(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class MemberRecord(_Record):
    """Digest and size of one member."""

    sha256: str = pydantic.Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = pydantic.Field(ge=0, le=MAX_BUNDLE_BYTES)


class TrainedNetwork(_Record):
    """What is needed to build the network and to use it.

    Attributes:
        builder: registered name of the network's record.
        learns_from: what its training saw.
        stages: looks at the data.
        width: base number of channels.
        gridsize: of the groups that it was trained on; 1: it is applied to every pattern by itself.
        neighbor_count: of the view that it was trained on.
        patch_size_px: side N of the patches.
        probe_modes: incoherent modes of its probe.
        counts_scale: of the measurement that it was trained on.
        dose: requested photons per pattern.
    """

    builder: str = pydantic.Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,79}$")
    learns_from: LearnsFrom
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
    network: TrainedNetwork
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

    def network(self) -> StagedNetwork:
        """The network with these weights, on the CPU; torch's generator stays where it is."""
        with torch.random.fork_rng(devices=[]):  # initial weights are drawn, and replaced
            network = _build(self.manifest.network)
        network.load_state_dict({name: torch.tensor(value) for name, value in self.weights.items()}, assign=True)
        return network.to(memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]


def write_bundle(
    path: Path,
    *,
    weights: Mapping[str, torch.Tensor],
    probe: ProbeModes,
    network: TrainedNetwork,
    seed: int,
    epochs_completed: int,
    global_step: int,
    provenance: Mapping[str, Any],
) -> None:
    """Write a bundle; equal arguments give equal bytes.

    Args:
        path: where to; the caller renames it into place.
        weights: parameters of the network that ``network`` describes.
        probe: the probe that it was trained with.
        network: architecture and use.
        seed: of the training.
        epochs_completed: epochs trained.
        global_step: optimizer steps trained.
        provenance: plain data: dataset digest, parameter hash, dose, view.

    Raises:
        BundleError: weights that are not finite or do not fit the network, or a network that nobody registered.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    arrays = {name: value.numpy() for name, value in state.items()}
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
        BundleError: anything is missing, extra, altered or malformed, or its network's builder is not installed.
        FileNotFoundError: no such file.
    """
    members = read_members(path)
    try:
        manifest = Manifest.model_validate_json(members[MANIFEST])
    except pydantic.ValidationError as error:
        message = f"{path}: {MANIFEST}: {_fault_of(error)}"
        raise BundleError(message) from error
    _check_digests(path, members, manifest)
    arrays = read_arrays(path, members[WEIGHTS])
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


def _fault_of(error: pydantic.ValidationError) -> str:
    faults = error.errors()
    if any(fault["type"] == "missing" and fault["loc"] == ("network", "builder") for fault in faults):
        return "network.builder is missing: an older version of fly64_assets made this bundle; train it again"
    return f"{'.'.join(map(str, faults[0]['loc'])) or '(whole)'}: {faults[0]['msg']}"


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


def _check_weights(weights: Mapping[str, np.ndarray], network: TrainedNetwork) -> None:
    with torch.device("meta"):  # shapes alone: whatever a manifest claims, no memory is taken
        expected = {name: tuple(value.shape) for name, value in _build(network).state_dict().items()}
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


def _build(network: TrainedNetwork) -> StagedNetwork:
    try:
        return build_network(network.builder, stages=network.stages, width=network.width)
    except (RegistryError, ValueError) as error:
        message = f"{MANIFEST}: network.builder: {error}"
        raise BundleError(message) from error


def _legacy_parameters(network: TrainedNetwork) -> dict[str, Any]:
    return {
        "N": network.patch_size_px,
        "gridsize": network.gridsize,
        "C": network.gridsize**2,
        "model_type": "supervised" if network.learns_from == "truth" else "pinn",
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
