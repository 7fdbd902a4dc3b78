"""The one place where torch is checked and prepared before packages that build on it are imported.

Beside a CPU build of torch, torchvision cannot register its compiled operators, and its import then
fails with ``operator torchvision::nms does not exist``, which takes lightning, torchmetrics and ptychi
with it. None of them needs these operators here; declaring their schemas is enough for the import.
"""

import contextlib
import ctypes
import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

Item = TypeVar("Item")

MINIMUM_TORCH = (2, 2)
_INSTALL = "pip install 'torch>=2.2' (CPU: add --index-url https://download.pytorch.org/whl/cpu)"
_TORCHVISION_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_MALLOC_TRIM_THRESHOLD, _MALLOC_MMAP_THRESHOLD = -1, -3  # names in malloc.h: M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
_KEPT_BYTES = 256 * 2**20

_declared: list[Any] = []
"""Keeps the declared library alive: its schemas vanish with the object."""


def require_torch() -> ModuleType:
    """Torch, checked and prepared; call it before importing lightning, torchmetrics or ptychi.

    Returns:
        The torch module.

    Raises:
        ImportError: torch is missing or older than 2.2; the message holds the command that installs it.
    """
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        message = f"POLICY-001: torch >= 2.2 is mandatory and cannot be imported ({error}). Install it: {_INSTALL}"
        raise ImportError(message) from error
    if _version(torch.__version__) < MINIMUM_TORCH:
        message = f"POLICY-001: torch >= 2.2 is mandatory, found {torch.__version__}. Install it: {_INSTALL}"
        raise ImportError(message)
    _declare_torchvision_operators(torch)
    return torch


def limit_threads(threads: int) -> None:
    """Let torch compute with this many threads; results are bit-identical only for equal counts.

    Raises:
        ValueError: fewer than one thread.
    """
    if threads < 1:
        message = f"threads must be at least 1, got {threads}"
        raise ValueError(message)
    require_torch().set_num_threads(threads)
    _keep_freed_memory()


def without_gradients(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, each computed without gradients; between two of them torch is as the caller left it.

    Torch's own decorator takes a generator for a function once anything else has wrapped it.
    """
    torch = require_torch()
    while True:
        with torch.inference_mode():
            try:
                item = next(items)
            except StopIteration:
                return
        yield item


def _keep_freed_memory() -> None:
    """Let the C library reuse freed blocks of a few MiB instead of handing each back to the kernel.

    A training step frees and allocates hundreds of them, and the kernel clears every page of every one: measured,
    a tenth of a step's CPU time. Only the speed changes; where the C library has no such switch, nothing does.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_MALLOC_MMAP_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_MALLOC_TRIM_THRESHOLD, _KEPT_BYTES)


def _version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


def _declare_torchvision_operators(torch: ModuleType) -> None:
    """Declare the operator schemas that torchvision's Python code refers to, where its library cannot.

    A torchvision that fits the torch beside it registers them itself; declaring them first would clash.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return
    for folder in spec.submodule_search_locations:
        for compiled in sorted(Path(folder).glob("_C.*")):
            with contextlib.suppress(OSError):
                torch.ops.load_library(str(compiled))
    for name, schema in _TORCHVISION_SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            library = torch.library.Library("torchvision", "FRAGMENT")
            library.define(schema)
            _declared.append(library)
