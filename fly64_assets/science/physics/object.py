"""Samples: model objects with structure at all scales in phase and amplitude, or an object from a file.

Every kind is built from two maps in [0, 1], one for the phase and one for the absorption, which are related but not
copies of each other: ``object = (1 - (1 - minimum_amplitude) * absorption) * exp(i * phase_range * (phase - 1/2))``.
"""

import importlib.util
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import scipy.fft
from scipy.ndimage import gaussian_filter
from skimage import data, io, transform

from fly64_assets.science.arrays import ComplexObject
from fly64_assets.science.options import FileObject, ModelObject, ObjectOptions, ReplicateOptions

Maps = tuple[np.ndarray, np.ndarray]

_GRAIN_LAYERS = 2.5
"""How often grains cover the object, on average."""

_SKIMAGE, _SKLEARN = "skimage.data", "sklearn.datasets.images"
_PICTURES = (
    (_SKIMAGE, "astronaut.png", 2, 2),
    (_SKLEARN, "china.jpg", 1, 2),
    (_SKIMAGE, "coffee.png", 1, 2),
    (_SKIMAGE, "chelsea.png", 1, 1),
    (_SKLEARN, "flower.jpg", 1, 2),
    (_SKIMAGE, "motorcycle_left.png", 1, 2),
    (_SKIMAGE, "hubble_deep_field.jpg", 2, 2),
    (_SKIMAGE, "brick.png", 2, 2),
    (_SKIMAGE, "retina.jpg", 2, 2),
    (_SKIMAGE, "gravel.png", 2, 2),
    (_SKIMAGE, "ihc.png", 2, 2),
    (_SKIMAGE, "coins.png", 1, 1),
    (_SKIMAGE, "moon.png", 1, 2),
    (_SKIMAGE, "grass.png", 1, 2),
    (_SKIMAGE, "rocket.jpg", 1, 1),
)
"""Pictures in the wheels of two packages, in pieces of rows x columns; the first natural_image is yet another one."""

_CROPS = sorted(
    ((*picture, place) for picture in _PICTURES for place in range(picture[2] * picture[3])),
    key=lambda crop: crop[-1],
)
"""The first piece of every picture, then the second ones, and so on."""

_STAR_PERIODS = 24
_STAR_RADIUS = 0.33
"""Radius of the amplitude star of natural_image, as a fraction of the shorter side."""


def make_object(options: ObjectOptions | ReplicateOptions, rng: np.random.Generator, number: int = 1) -> ComplexObject:
    """Build the sample that the options describe.

    Args:
        options: of one kind: shape (rows, columns), phase range, amplitude and blur, or a file.
        rng: draws the random kinds; siemens_star and the first natural_image use none.
        number: which replicate of a kind it is, from 1; decides the picture of a natural_image.

    Returns:
        Transmission function, complex64, |object| <= 1 for the model kinds.

    Raises:
        ValueError: the file is missing, unreadable or of the wrong type.
    """
    if options.kind == "natural_image" and number > 1:
        return compose_object(*_picture_crop(options.shape_px, rng, number), options)
    return OBJECT_KINDS[options.kind](options, rng)


def _from_maps(
    draw: Callable[[tuple[int, int], np.random.Generator], Maps], options: ModelObject, rng: np.random.Generator
) -> ComplexObject:
    phase, absorption = draw(options.shape_px, rng)
    return compose_object(phase, absorption, options)


def compose_object(phase: np.ndarray, absorption: np.ndarray, options: ModelObject) -> ComplexObject:
    """The object of two maps in [0, 1], with the blur, the phase range and the amplitude of the options."""
    phase, absorption = (gaussian_filter(part, options.blur_px, mode="nearest") for part in (phase, absorption))
    amplitude = 1.0 - (1.0 - options.minimum_amplitude) * absorption
    return (amplitude * np.exp(1j * options.phase_range_rad * (phase - 0.5))).astype(np.complex64)


def _from_file(options: FileObject, rng: np.random.Generator) -> ComplexObject:
    del rng
    return read_object(options)


def read_object(options: FileObject) -> ComplexObject:
    """Read ``objectGuess`` from an NPZ as it is, or turn an image's brightness into phase and absorption.

    Raises:
        ValueError: no such file, no objectGuess in it, or not a finite two-dimensional complex array.
    """
    path = Path(options.file)
    if not path.is_file():
        message = f"object.file: no file {path}; name an image or an NPZ with objectGuess"
        raise ValueError(message)
    if path.suffix.lower() != ".npz":
        image = _fit(io.imread(path, as_gray=True).astype(float), options.shape_px)
        return compose_object(image, image, options)
    with np.load(path, allow_pickle=False) as file:
        if "objectGuess" not in file.files:
            message = f"{path}: no objectGuess among its keys {sorted(file.files)}"
            raise ValueError(message)
        array = file["objectGuess"]
    if array.ndim != 2 or array.dtype.kind != "c" or not np.isfinite(array).all():
        message = f"{path}: objectGuess is {array.dtype} {array.shape}; expected a finite complex array (H, W)"
        raise ValueError(message)
    return array.astype(np.complex64)


def _mixed(shape: tuple[int, int], rng: np.random.Generator) -> Maps:
    """Overlapping grains of all sizes, smooth swells, fine texture and a spoke target: edges and slopes everywhere."""
    grains_a, grains_b = _grains(shape, rng)
    swell = _power_law_noise(shape, rng, exponent=2.5)
    texture_a = _power_law_noise(shape, rng, exponent=1.0)
    texture_b = _power_law_noise(shape, rng, exponent=1.0)
    side = min(shape)
    centre = (shape[0] * rng.uniform(0.3, 0.7), shape[1] * rng.uniform(0.3, 0.7))
    spokes, disc = _star(shape, centre, 0.22 * side, 18)
    phase = 0.50 * grains_a + 0.35 * swell + 0.15 * texture_a
    phase = np.where(disc, 0.45 * phase + 0.55 * spokes, phase)
    absorption = 0.40 * grains_b + 0.20 * grains_a + 0.25 * (1 - swell) + 0.15 * texture_b
    absorption = np.where(disc, 0.75 * absorption + 0.25 * spokes, absorption)
    return unit_range(phase), unit_range(absorption)


def _grains(shape: tuple[int, int], rng: np.random.Generator) -> Maps:
    """Ellipses and rectangles that occlude each other, areas by a power law, two independent values each."""
    rows, columns = shape
    smallest, largest = 2.0, max(3.0, 0.25 * min(shape))
    # Radii by the inverse-cube law that makes occluding grains look alike at every magnification.
    area = 2 * np.pi * np.log(largest / smallest) / (smallest**-2 - largest**-2)
    count = int(_GRAIN_LAYERS * rows * columns / area) + 1
    radii = (largest**-2 + rng.random(count) * (smallest**-2 - largest**-2)) ** -0.5
    maps = np.full((2, rows, columns), 0.5)
    for radius in radii:
        _paint_grain(maps, radius, rng.random(2), rng)
    return maps[0], maps[1]


def _paint_grain(maps: np.ndarray, radius: float, values: np.ndarray, rng: np.random.Generator) -> None:
    _, rows, columns = maps.shape
    y, x = rng.uniform(0, rows), rng.uniform(0, columns)
    aspect, angle, rectangular = rng.uniform(0.5, 1.0), rng.uniform(0, np.pi), rng.random() < 0.4
    top, bottom = max(0, int(y - radius)), min(rows, int(y + radius) + 2)
    left, right = max(0, int(x - radius)), min(columns, int(x + radius) + 2)
    dy = np.arange(top, bottom)[:, None] - y
    dx = np.arange(left, right)[None, :] - x
    u = (np.cos(angle) * dx + np.sin(angle) * dy) / radius
    v = (np.cos(angle) * dy - np.sin(angle) * dx) / (radius * aspect)
    inside = np.maximum(abs(u), abs(v)) < 0.7 if rectangular else u**2 + v**2 < 1
    maps[:, top:bottom, left:right][:, inside] = values[:, None]


def _power_law_noise(shape: tuple[int, int], rng: np.random.Generator, exponent: float) -> np.ndarray:
    """Noise in [0, 1] whose Fourier amplitude falls as frequency to ``-exponent``."""
    frequency = np.hypot(scipy.fft.fftfreq(shape[0])[:, None], scipy.fft.rfftfreq(shape[1])[None, :])
    frequency[0, 0] = np.inf
    spectrum = np.asarray(scipy.fft.rfft2(rng.standard_normal(shape))) * frequency**-exponent
    noise = np.asarray(scipy.fft.irfft2(spectrum, s=shape))
    return 0.5 + 0.5 * np.tanh(noise / (1.5 * noise.std()))


def _star(shape: tuple[int, int], centre: tuple[float, float], radius: float, periods: int) -> Maps:
    """Spokes (0 or 1) and the disc that holds them."""
    y = np.arange(shape[0])[:, None] - centre[0]
    x = np.arange(shape[1])[None, :] - centre[1]
    disc = np.hypot(y, x) < radius
    spokes = (np.sin(periods * np.arctan2(y, x)) > 0) & disc
    return spokes.astype(float), disc


def _natural_image(shape: tuple[int, int], rng: np.random.Generator) -> Maps:
    """A photograph in phase, a 24-period spoke target in amplitude."""
    del rng
    image = _fit(data.camera().astype(float), shape)
    spokes, _ = _star(shape, (shape[0] / 2, shape[1] / 2), _STAR_RADIUS * min(shape), _STAR_PERIODS)
    return image, spokes


def _picture_crop(shape: tuple[int, int], rng: np.random.Generator, number: int) -> Maps:
    """A piece of a picture in phase, a spoke target of random size and place in amplitude."""
    package, name, rows, columns, place = _CROPS[number - 2]
    image = np.asarray(io.imread(_folder_of(package) / name, as_gray=True), float)
    height, width = image.shape[0] // rows, image.shape[1] // columns
    top, left = place // columns * height, place % columns * width
    centre = (shape[0] * rng.uniform(0.3, 0.7), shape[1] * rng.uniform(0.3, 0.7))
    spokes, _ = _star(shape, centre, rng.uniform(0.2, 0.4) * min(shape), int(rng.integers(12, 37)))
    return _fit(image[top : top + height, left : left + width], shape), spokes


def _folder_of(package: str) -> Path:
    """Where an installed package keeps its pictures; it is found without being imported."""
    spec = importlib.util.find_spec(package.split(".")[0])
    if spec is None or spec.origin is None:
        message = f"natural_image: {package.split('.')[0]} is not installed, and its wheel holds the pictures"
        raise ValueError(message)
    return Path(spec.origin).parent.joinpath(*package.split(".")[1:])


def _siemens_star(shape: tuple[int, int], rng: np.random.Generator) -> Maps:
    """A spoke target with concentric gaps in phase; a weaker copy over a slow ramp in amplitude."""
    del rng
    centre = (shape[0] / 2, shape[1] / 2)
    radius = 0.48 * min(shape)
    spokes, _ = _star(shape, centre, radius, 36)
    distance = np.hypot(np.arange(shape[0])[:, None] - centre[0], np.arange(shape[1])[None, :] - centre[1])
    spokes = np.where((distance / radius * 5) % 1 < 0.08, 0.0, spokes)
    ramp = np.linspace(0, 1, shape[1])[None, :]
    return spokes, 0.6 * spokes + 0.4 * ramp


def _cells(shape: tuple[int, int], rng: np.random.Generator) -> Maps:
    """Rounded bodies with nuclei and granules over a faint background."""
    rows, columns = shape
    yy, xx = np.mgrid[0:rows, 0:columns]
    phase, absorption = 0.15 * _power_law_noise(shape, rng, 2.0), 0.15 * _power_law_noise(shape, rng, 1.5)
    for _ in range(max(4, rows * columns // 2_500)):
        y, x, radius = rng.uniform(0, rows), rng.uniform(0, columns), rng.uniform(0.06, 0.16) * min(shape)
        angle, aspect = rng.uniform(0, np.pi), rng.uniform(0.6, 1.0)
        u = np.cos(angle) * (xx - x) + np.sin(angle) * (yy - y)
        v = (np.cos(angle) * (yy - y) - np.sin(angle) * (xx - x)) / aspect
        body = np.sqrt(np.clip(1 - (u**2 + v**2) / radius**2, 0, None))
        nucleus = np.hypot(u - 0.2 * radius, v) < 0.35 * radius
        phase += 0.5 * body + 0.25 * nucleus
        absorption += 0.2 * body + rng.uniform(0.2, 0.6) * nucleus
    granules = gaussian_filter((rng.random(shape) > 0.99).astype(float), 1.0) * 4
    return unit_range(phase + granules * (phase > 0.3)), unit_range(absorption + granules)


def _fit(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Crop to the shape's aspect ratio, resize, stretch to [0, 1]."""
    rows, columns = image.shape
    scale = min(rows / shape[0], columns / shape[1])
    height, width = round(shape[0] * scale), round(shape[1] * scale)
    top, left = (rows - height) // 2, (columns - width) // 2
    cropped = image[top : top + height, left : left + width]
    return unit_range(np.asarray(transform.resize(cropped, shape, anti_aliasing=True)))


def unit_range(image: np.ndarray) -> np.ndarray:
    """Stretch to [0, 1]; zeros for an image that is constant."""
    low, high = image.min(), image.max()
    return (image - low) / (high - low) if high > low else np.zeros_like(image)


OBJECT_KINDS: Mapping[str, Callable[..., ComplexObject]] = {
    "mixed": partial(_from_maps, _mixed),
    "natural_image": partial(_from_maps, _natural_image),
    "siemens_star": partial(_from_maps, _siemens_star),
    "cells": partial(_from_maps, _cells),
    "file": _from_file,
}
"""Every kind of object: ``(options of the kind, rng)`` to the transmission function."""
