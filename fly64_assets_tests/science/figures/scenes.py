"""Small made-up inputs for figures: an object that is different under every flip, a probe, positions."""

import numpy as np

from fly64_assets.science.records import Dataset, Measurement, Reconstruction, Scan


def made_up_object(shape: tuple[int, int] = (72, 96)) -> np.ndarray:
    """A phase wedge with one bright corner: no flip or transpose of it looks the same."""
    rows, columns = shape
    phase = np.linspace(-0.6, 0.6, columns)[None, :] * np.ones((rows, 1))
    phase[: rows // 4, : columns // 4] = 0.9
    return ((0.8 + 0.2 * (np.arange(rows)[:, None] > rows / 2)) * np.exp(1j * phase)).astype(np.complex64)


def made_up_scan(*, modes: int = 1) -> Scan:
    """A 32-pixel probe on a small raster."""
    axis = np.arange(32) - 16
    spot = np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / 60).astype(np.complex64)
    positions = np.array([(x, y) for y in range(18, 54, 6) for x in range(18, 78, 6)], dtype=np.float64)
    return Scan(made_up_object(), np.stack([spot] * modes), positions, np.arange(len(positions)))


def made_up_dataset(n_patterns: int = 20) -> Dataset:
    """Counts of a flat field, 3 photons per pixel on average."""
    scan = made_up_scan()
    counts = np.random.default_rng(1).poisson(3.0, size=(n_patterns, 32, 32))
    measurement = Measurement(
        (np.sqrt(counts) / 2.0).astype(np.float32), 2.0, scan.probe, scan.positions_xy_px[:n_patterns], (72, 96)
    )
    return Dataset(measurement, scan.object, None, np.arange(n_patterns), {})


def made_up_reconstruction(method: str) -> Reconstruction:
    """The object itself with a little noise."""
    scan = made_up_scan()
    noise = np.random.default_rng(2).normal(scale=0.05, size=scan.object.shape)
    return Reconstruction((scan.object + noise).astype(np.complex64), scan.probe, scan.positions_xy_px, method, 2.0)
