"""DATA-001 rules that need the data: values, counts against metadata, patches against object and positions.

Large arrays are read block by block through their mapping, so that memory stays flat.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fly64_assets.science.contract.rules import fault
from fly64_assets.science.physics.diffraction import extract_patches
from fly64_assets.science.records import Fault

Arrays = Mapping[str, np.ndarray]
Metadata = Mapping[str, Any]

BLOCK = 64
_PATCH_TOLERANCE = 1e-4
_DOSE_STANDARD_ERRORS = 6.0
_EXPECTATION_STANDARD_ERRORS = 8.0


def positions_of(arrays: Arrays) -> np.ndarray:
    """Positions ``(n, 2)``, x first."""
    return np.stack([arrays["xcoords"], arrays["ycoords"]], axis=1)


def small_array_faults(arrays: Arrays, metadata: Metadata, patches: np.ndarray) -> Iterator[Fault]:
    """Faults of positions, object, probe and indices.

    Args:
        arrays: all arrays but the patterns and patches, in memory.
        metadata: parsed metadata.
        patches: Y, mapped; tells exchanged axes from positions that are merely outside.

    Yields:
        One fault per violation.
    """
    for key, array in arrays.items():
        finite = np.isfinite(array)
        if not finite.all():
            bad = np.argwhere(~finite)[0].tolist()
            yield fault("not-finite", f"{key}{bad}", "finite numbers", str(array[tuple(bad)]))
    for key in ("objectGuess", "probeGuess"):
        if not np.any(arrays[key]):
            yield fault("all-zero", key, "some non-zero values", "zeros only")
    if np.any(arrays.get("expected_photons", np.zeros(1)) < 0):
        yield fault("negative", "expected_photons", "photon numbers >= 0", str(arrays["expected_photons"].min()))
    if not metadata.get("positions_perturbed", False):
        for key in ("xcoords", "ycoords"):
            if not np.array_equal(arrays[key], arrays[f"{key}_start"], equal_nan=True):
                yield fault("start-differs", f"{key}_start", f"a copy of {key}", "other values")
    if "scan_index" in arrays:
        yield from _index_faults(arrays["scan_index"])
    yield from _inside_faults(arrays, patches)


def _index_faults(index: np.ndarray) -> Iterator[Fault]:
    if index.min() < 0:
        yield fault("scan-index-negative", "scan_index", "indices >= 0", str(index.min()))
    repeated = len(index) - len(np.unique(index))
    if repeated:
        yield fault("scan-index-duplicate", "scan_index", "each index once", f"{repeated} repeated")


def _inside_faults(arrays: Arrays, patches: np.ndarray) -> Iterator[Fault]:
    positions, shape, size = positions_of(arrays), arrays["objectGuess"].shape, patches.shape[-1]
    if not np.isfinite(positions).all():
        return
    outside = outside_object(positions, shape, size)
    if not outside.any():
        return
    grid = f"an object of {shape[0]} rows x {shape[1]} columns"
    exchanged = positions[:, ::-1]
    first = np.asarray(patches[0])
    if not outside_object(exchanged, shape, size).any() and _fits(first, exchanged[:1], arrays["objectGuess"])[0]:
        actual = f"{outside.sum()} patches outside it, but none with x and y exchanged"
        yield fault("xy-exchanged", "xcoords, ycoords", f"patches inside {grid}", actual)
        return
    k = int(np.flatnonzero(outside)[0])
    half = size / 2
    allowed = f"x in [{half}, {shape[1] - half}], y in [{half}, {shape[0] - half}] for {grid}"
    yield fault("patch-outside", f"position {k}", allowed, f"x, y = {positions[k].tolist()}; {outside.sum()} outside")


def outside_object(positions: np.ndarray, shape: tuple[int, ...], size: int) -> np.ndarray:
    """Which patches leave an object of ``shape``."""
    half = size / 2
    return np.any((positions < half) | (positions > np.array([shape[1], shape[0]]) - half), axis=1)


@dataclass(slots=True)
class _Tally:
    """Sums over the patterns under three readings of what is stored."""

    totals: list[np.ndarray] = field(default_factory=list)
    as_intensity: float = 0.0
    fractional: int = 0
    fractional_as_intensity: int = 0
    fractional_as_unscaled: int = 0

    def add(self, amplitude: np.ndarray, scale: float) -> None:
        counts = (scale * amplitude) ** 2
        self.totals.append(np.rint(counts).sum(axis=(1, 2)))
        self.fractional += _fractional(counts)
        intensity = scale**2 * amplitude
        self.as_intensity += float(intensity.sum())
        self.fractional_as_intensity += _fractional(intensity)
        self.fractional_as_unscaled += _fractional(amplitude**2)


def _fractional(values: np.ndarray) -> int:
    """How many values are no whole numbers, with room for the rounding of a float32 amplitude."""
    return int(np.sum(np.abs(values - np.rint(values)) > 1e-3 + 1e-6 * values))


def pattern_faults(diffraction: np.ndarray, arrays: Arrays, metadata: Metadata) -> Iterator[Fault]:
    """Faults of the amplitudes: finite, non-negative, counts that are whole and that the metadata confirm.

    Yields:
        One fault per violation.
    """
    tally = _Tally()
    for start in range(0, len(diffraction), BLOCK):
        block = np.asarray(diffraction[start : start + BLOCK], dtype=np.float64)
        wrong = ~np.isfinite(block)
        rule, expected = "not-finite", "finite amplitudes"
        if not wrong.any():
            wrong, rule, expected = block < 0, "negative", "amplitudes >= 0"
        if wrong.any():
            k, row, column = np.argwhere(wrong)[0].tolist()
            yield fault(rule, f"diffraction[{start + k}, {row}, {column}]", expected, str(block[k, row, column]))
            return
        tally.add(block, float(metadata["counts_scale"]))
    totals = np.concatenate(tally.totals)
    if not tally.as_intensity:
        yield fault("no-photons", "diffraction", "some photons", "zero in every pattern")
        return
    mean, n = float(totals.mean()), len(diffraction)
    misread = list(_count_faults(tally, mean, n, metadata))
    yield from misread
    yield from _scale_faults(metadata)
    if misread:  # the counts mean nothing, so neither does their dose
        return
    yield from _dose_faults(mean, n, metadata)
    if "expected_photons" in arrays:
        yield from _expectation_faults(totals, arrays["expected_photons"])


def _count_faults(tally: _Tally, mean: float, n: int, metadata: Metadata) -> Iterator[Fault]:
    declared = metadata.get("split_measured_photons_per_pattern") or metadata["measured_photons_per_pattern"]
    sums_as_intensity = np.isclose(tally.as_intensity / n, declared, rtol=1e-3)
    sums_as_amplitude = np.isclose(mean, declared, rtol=1e-3)
    whole = "counts_scale^2 times the values"
    if sums_as_intensity and not sums_as_amplitude:
        actual = f"an intensity: {whole}, not their squares, sum to the declared dose"
        yield fault("intensity", "diffraction", "amplitudes, the square root of intensity", actual)
    elif tally.fractional and not tally.fractional_as_intensity:
        actual = f"an intensity: {whole}, not their squares, are whole counts"
        yield fault("intensity", "diffraction", "amplitudes, the square root of intensity", actual)
    elif tally.fractional and not tally.fractional_as_unscaled:
        yield fault("amplitude-unscaled", "diffraction", "sqrt(counts) / counts_scale", "sqrt(counts)")
    elif tally.fractional:
        actual = f"fractions in {tally.fractional} pixels"
        yield fault("counts-fractional", "diffraction", "(counts_scale * amplitude)^2 to be whole counts", actual)


def _dose_faults(mean: float, n: int, metadata: Metadata) -> Iterator[Fault]:
    own = metadata.get("split_measured_photons_per_pattern")
    whole, wanted = metadata["measured_photons_per_pattern"], metadata["requested_photons_per_pattern"]
    if own is not None and not np.isclose(mean, own, rtol=1e-5):
        where = "metadata.split_measured_photons_per_pattern"
        yield fault("dose-counts", where, f"{mean:.6g}, the mean counts of these patterns", f"{own:.6g}")
    elif own is None and not 0.5 < mean / whole < 2:
        where = "metadata.measured_photons_per_pattern"
        yield fault("dose-counts", where, f"about {mean:.6g}, the mean counts of these patterns", f"{whole:.6g}")
    error = _DOSE_STANDARD_ERRORS * np.sqrt(wanted / metadata.get("n_scan", n)) + 1e-6 * wanted
    if abs(whole - wanted) > error:
        where = "metadata.requested_photons_per_pattern"
        yield fault("dose-requested", where, f"{whole:.6g} +- {error:.2g}, as measured over the scan", f"{wanted:.6g}")


def _scale_faults(metadata: Metadata) -> Iterator[Fault]:
    wanted, scale = metadata["requested_photons_per_pattern"], metadata["counts_scale"]
    energy = metadata.get("scan_mean_energy")
    if energy is not None and not np.isclose(scale**2 * energy, wanted, rtol=1e-5):
        wanted_scale = np.sqrt(wanted / energy)
        yield fault("dose-scale", "metadata.counts_scale", f"{wanted_scale:.8g} for the requested dose", f"{scale:.8g}")


def _expectation_faults(totals: np.ndarray, expected: np.ndarray) -> Iterator[Fault]:
    """Thinned counts vary less than Poisson, so that Poisson's error bounds both kinds."""
    z = (totals.sum() - expected.sum()) / np.sqrt(max(expected.sum(), 1.0))
    if abs(z) > _EXPECTATION_STANDARD_ERRORS:
        actual = f"{totals.mean():.6g} counted per pattern, {abs(z):.0f} standard errors away"
        yield fault("expected-photons", "expected_photons", f"about {expected.mean():.6g} per pattern", actual)


def patch_faults(patches: np.ndarray, arrays: Arrays) -> Iterator[Fault]:
    """Faults of Y: finite, and cut from objectGuess at each pattern's position.

    Yields:
        At most one fault.
    """
    positions, obj, size = positions_of(arrays), arrays["objectGuess"], patches.shape[-1]
    for start in range(0, len(patches), BLOCK):
        block = np.asarray(patches[start : start + BLOCK])
        if not np.isfinite(block).all():
            k, row, column = np.argwhere(~np.isfinite(block))[0].tolist()
            yield fault("not-finite", f"Y[{start + k}, {row}, {column}]", "finite numbers", str(block[k, row, column]))
            return
        wrong = _misfit(block, extract_patches(obj, positions[start : start + BLOCK], size)) > _PATCH_TOLERANCE
        if wrong.any():
            k = start + int(np.flatnonzero(wrong)[0])
            yield _explain_patch(np.asarray(patches[k]), k, positions, obj)
            return


def _misfit(patches: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Relative RMS difference of each patch."""
    power = np.sum(np.abs(wanted) ** 2, axis=(1, 2)) + np.finfo(np.float32).tiny
    return np.sqrt(np.sum(np.abs(patches - wanted) ** 2, axis=(1, 2)) / power)


def _fits(patch: np.ndarray, candidates: np.ndarray, obj: np.ndarray) -> np.ndarray:
    """At which of the candidate positions the object shows this patch."""
    size = patch.shape[-1]
    close = np.zeros(len(candidates), bool)
    inside = np.flatnonzero(~outside_object(candidates, obj.shape, size))
    for start in range(0, len(inside), BLOCK):
        part = inside[start : start + BLOCK]
        close[part] = _misfit(patch, extract_patches(obj, candidates[part], size)) <= _PATCH_TOLERANCE
    return close


def _explain_patch(patch: np.ndarray, k: int, positions: np.ndarray, obj: np.ndarray) -> Fault:
    """What is wrong with a patch: exchanged axes, an offset, another pattern's patch, or nothing known."""
    x, y = positions[k]
    where, expected = f"Y[{k}] at x, y = {x:g}, {y:g}", "the patch of objectGuess at its position"
    if _fits(patch, np.array([[y, x]]), obj)[0]:
        return fault("xy-exchanged", where, expected, "the patch with x and y exchanged")
    steps = (-1.0, -0.5, 0.0, 0.5, 1.0)
    shifts = np.array([(dx, dy) for dx in steps for dy in steps])
    close = _fits(patch, positions[k] + shifts, obj)
    if close.any():
        dx, dy = shifts[close][0]
        return fault("position-offset", where, expected, f"the patch {dx:+g} px in x and {dy:+g} px in y away")
    if _fits(patch.T, positions[k : k + 1], obj)[0]:
        return fault("Y-transposed", where, expected, "its transpose")
    others = np.flatnonzero(_fits(patch, positions, obj))
    if len(others):
        return fault("Y-order", where, expected, f"the patch of pattern {others[0]}")
    return fault("Y-not-from-object", where, expected, "another patch")
