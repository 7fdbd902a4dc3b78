"""``fly64 import`` and ``fly64 export``: the format by the file's ending, atomic writes, nothing overwritten."""

from pathlib import Path
from typing import Any

from fly64_assets.science.contract.raw_import import import_raw
from fly64_assets.science.interop import cxi, ptychodus
from fly64_assets.storage import new_file

HDF5_ENDINGS = (".h5", ".hdf5")


class ConversionError(ValueError):
    """A conversion that does not exist; the message lists those that do."""


def import_dataset(
    source: Path, out: Path, *, diffraction: Path | None = None, raw_options: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Convert a raw NPZ, a CXI file, or a Ptychodus product with its diffraction file into a DATA-001 dataset.

    Args:
        source: file to read.
        out: file to write; must not exist.
        diffraction: the diffraction file of a Ptychodus product.
        raw_options: keyword arguments of :func:`fly64_assets.science.contract.raw_import.import_raw`.

    Returns:
        What was recognised and written.

    Raises:
        ConversionError: no importer for this file.
        FileNotFoundError: the source does not exist.
    """
    for path in (source, diffraction):
        if path is not None and not path.is_file():
            message = f"there is no file {path}"
            raise FileNotFoundError(message)
    ending = source.suffix.lower()
    with new_file(out) as temporary:
        if ending == ".npz":
            return import_raw(source, temporary, **(raw_options or {})).to_dict()
        if ending == ".cxi":
            return cxi.import_dataset(source, temporary)
        if ending in HDF5_ENDINGS and diffraction is not None:
            return ptychodus.import_dataset(source, diffraction, temporary)
        message = f"{source}: import reads .npz, .cxi, or a Ptychodus product .h5 together with --diffraction FILE"
        raise ConversionError(message)


def export_file(source: Path, out: Path) -> list[Path]:
    """Write a dataset or a reconstruction for other programs.

    Args:
        source: DATA-001 ``.npz``, or a product ``.h5``.
        out: ``.h5`` for Ptychodus (a dataset also writes ``NAME_diffraction.h5``), ``.cxi`` for CXI.

    Returns:
        The files that were written.

    Raises:
        ConversionError: no exporter for these endings.
        FileNotFoundError: the source does not exist.
    """
    if not source.is_file():
        message = f"there is no file {source}"
        raise FileNotFoundError(message)
    kinds = (source.suffix.lower(), out.suffix.lower())
    if kinds[0] == ".npz" and kinds[1] in HDF5_ENDINGS:
        second = out.with_name(f"{out.stem}_diffraction{out.suffix}")
        with new_file(out) as product, new_file(second) as diffraction:
            ptychodus.export_dataset(source, product, diffraction)
        return [out, second]
    if kinds == (".npz", ".cxi"):
        with new_file(out) as temporary:
            cxi.export_dataset(source, temporary)
        return [out]
    if kinds[0] in HDF5_ENDINGS and kinds[1] == ".cxi":
        with new_file(out) as temporary:
            cxi.write_reconstruction(temporary, ptychodus.read_product(source))
        return [out]
    message = f"no export from {source.name} to {out.name}: a dataset .npz goes to .h5 or .cxi, a product .h5 to .cxi"
    raise ConversionError(message)
