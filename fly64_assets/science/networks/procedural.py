"""Procedural objects that a network for a probe learns from: many kinds of structure, no photograph, no test object.

An object is one to three textures, mixed or pasted by masks, once for the phase and once, more or less alike, for the
absorption. Every draw has another contrast, range, blur and scale of detail. None of the kinds that a study can name as
its object (``science.physics.object``) is drawn from here.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.fft
from scipy.ndimage import map_coordinates
from scipy.spatial import KDTree

from fly64_assets.science.arrays import ComplexObject
from fly64_assets.science.options import ModelObject
from fly64_assets.science.physics.object import compose_object, unit_range

Shape = tuple[int, int]
Texture = Callable[[Shape, np.random.Generator], np.ndarray]

_PHASE_RANGE_RAD = (0.3, 2.2)
_MINIMUM_AMPLITUDE = (0.6, 0.97)
_BLUR_PX = (0.7, 1.4)
_LIKENESS = (0.0, 0.3, 0.7, 1.0)
"""How much the absorption repeats the phase, with either sign."""


@dataclass(frozen=True, slots=True)
class ProceduralObject:
    """A drawn object and the names of the textures in its phase.

    Attributes:
        object: transmission function, ``|object| <= 1``.
        textures: names, in the order of drawing.
    """

    object: ComplexObject
    textures: tuple[str, ...]


def draw_object(shape: Shape, rng: np.random.Generator) -> ProceduralObject:
    """Draw an object of the given rows and columns."""
    phase, names = _mixture(shape, rng)
    other, _ = _mixture(shape, rng)
    likeness = rng.choice(_LIKENESS)
    source = phase if rng.random() < 0.5 else 1 - phase
    absorption = likeness * source + (1 - likeness) * other
    options = ModelObject(
        blur_px=rng.uniform(*_BLUR_PX),
        minimum_amplitude=rng.uniform(*_MINIMUM_AMPLITUDE),
        phase_range_rad=rng.uniform(*_PHASE_RANGE_RAD),
    )
    return ProceduralObject(compose_object(unit_range(phase), unit_range(absorption), options), names)


def _mixture(shape: Shape, rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
    """One to three textures, added or pasted into one another."""
    names = tuple(rng.choice(list(TEXTURES), size=rng.choice(3, p=(0.4, 0.4, 0.2)) + 1))
    found = unit_range(TEXTURES[names[0]](shape, rng))
    for name in names[1:]:
        layer = unit_range(TEXTURES[name](shape, rng))
        if rng.random() < 0.5:
            share = rng.uniform(0.2, 0.8)
            found = share * found + (1 - share) * layer
        else:
            mask = power_law_noise(shape, rng, rng.uniform(1.5, 3)) > rng.uniform(-0.5, 0.5)
            found = np.where(mask, layer, found)
    if rng.random() < 0.3:
        found = unit_range(found) ** rng.uniform(0.5, 2)
    return found, names


def power_law_noise(shape: Shape, rng: np.random.Generator, exponent: float, stretch: float = 1.0) -> np.ndarray:
    """Gaussian noise of unit variance whose amplitude spectrum falls as ``q ** -exponent``; stretched at an angle."""
    fy, fx = scipy.fft.fftfreq(shape[0])[:, None], scipy.fft.rfftfreq(shape[1])[None, :]
    angle = rng.uniform(0, np.pi)
    along, across = np.cos(angle) * fx + np.sin(angle) * fy, np.cos(angle) * fy - np.sin(angle) * fx
    frequency = np.hypot(along * stretch, across / stretch)
    frequency[0, 0] = np.inf
    lowest = 1 / max(shape)
    spectrum = np.asarray(scipy.fft.rfft2(rng.standard_normal(shape))) * np.maximum(frequency, lowest) ** -exponent
    noise = np.asarray(scipy.fft.irfft2(spectrum, s=shape))
    return noise / max(float(noise.std()), 1e-12)


def _leaves(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Occluding discs, boxes and polygons whose radii follow a power law, each flat or shaded."""
    image = np.full(shape, 0.5)
    smallest, largest = rng.uniform(1.5, 6), rng.uniform(0.1, 0.4) * min(shape)
    power = rng.uniform(1.5, 3.2)
    corners = int(rng.choice((0, 3, 4, 5, 6, 8)))
    shaded = rng.random() < 0.4
    layers = rng.uniform(0.7, 3)
    covered, area = 0.0, shape[0] * shape[1]
    while covered < layers * area:
        radius = (largest**-power + rng.random() * (smallest**-power - largest**-power)) ** (-1 / power)
        covered += np.pi * radius**2
        _paint(image, radius, corners, shaded, rng)
    return image


def _paint(image: np.ndarray, radius: float, corners: int, shaded: bool, rng: np.random.Generator) -> None:
    """One leaf: a disc without corners, else a regular polygon, turned and squeezed."""
    window, v, u = _window(image.shape, radius, rng)
    angle, aspect = rng.uniform(0, np.pi), rng.uniform(0.4, 1)
    a, b = np.cos(angle) * u + np.sin(angle) * v, (np.cos(angle) * v - np.sin(angle) * u) / aspect
    distance = np.hypot(a, b)
    if corners:
        sector = 2 * np.pi / corners
        distance = distance * np.cos((np.arctan2(b, a) % sector) - sector / 2) / np.cos(sector / 2)
    value = rng.random()
    shade = value + (rng.uniform(-0.5, 0.5) * a / radius if shaded else 0.0)
    image[window] = np.where(distance < radius, shade, image[window])


def _window(
    shape: Shape, radius: float, rng: np.random.Generator
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """A place for something of that radius: the part of the image around it, and offsets from its centre."""
    y, x = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
    reach = 1.5 * radius + 1
    rows = slice(max(0, int(y - reach)), int(y + reach) + 1)
    columns = slice(max(0, int(x - reach)), int(x + reach) + 1)
    v = np.arange(rows.start, min(rows.stop, shape[0]))[:, None] - y
    u = np.arange(columns.start, min(columns.stop, shape[1]))[None, :] - x
    return (rows, columns), v, u


def _voronoi(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Polygonal grains, flat, graded, or with bright or dark walls."""
    count = int(rng.integers(8, 300))
    seeds = rng.uniform(0, 1, (count, 2)) * shape
    points = _pixels(slice(0, shape[0]), slice(0, shape[1]))
    warp = rng.uniform(0, 6) * power_law_noise(shape, rng, 2.0).reshape(-1, 1) if rng.random() < 0.4 else 0.0
    distance, nearest = map(np.asarray, KDTree(seeds).query(points + warp, k=2))
    flat = rng.random(count)[nearest[:, 0]]
    style = rng.integers(3)
    if style == 1:
        slopes = rng.standard_normal((count, 2))[nearest[:, 0]]
        reach = np.sqrt(shape[0] * shape[1] / count)
        flat = flat + rng.uniform(0.2, 1) * ((points - seeds[nearest[:, 0]]) * slopes).sum(axis=1) / reach
    elif style == 2:
        wall = distance[:, 1] - distance[:, 0] < rng.uniform(1, 5)
        flat = np.where(wall, rng.choice((0.0, 1.0)), rng.uniform(0.2, 1) * flat)
    return flat.reshape(shape)


def _smooth(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """A power-law field, some of them stretched, some folded."""
    field = power_law_noise(shape, rng, rng.uniform(0.8, 3), rng.choice((1.0, 1.0, rng.uniform(1.2, 2.5))))
    return np.abs(field) if rng.random() < 0.25 else np.tanh(field / rng.uniform(0.7, 2))


def _islands(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """A power-law field cut at one to four levels."""
    field = power_law_noise(shape, rng, rng.uniform(1.2, 3), rng.choice((1.0, rng.uniform(1, 2.5))))
    levels = np.sort(rng.uniform(-1.5, 1.5, rng.integers(1, 5)))
    return rng.random(len(levels) + 1)[np.digitize(field, levels)]


def _grating(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Bars, square or sinusoidal, of a slowly changing period."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    angle, period = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(4), np.log(50)))
    along = np.cos(angle) * x + np.sin(angle) * y
    along = along * (1 + rng.uniform(-0.3, 0.3) * along / max(shape)) + rng.uniform(0, 4) * power_law_noise(
        shape, rng, 3.0
    )
    wave = np.sin(2 * np.pi * along / period + rng.uniform(0, 6))
    return wave if rng.random() < 0.4 else (wave > rng.uniform(-0.6, 0.6)).astype(float)


def _chess(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Boxes of one size in random or alternating shades."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    angle, side = rng.uniform(0, np.pi / 2), rng.uniform(5, 40)
    a, b = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    row, column = np.floor(b / side).astype(int), np.floor(a / (side * rng.uniform(0.5, 1.5))).astype(int)
    if rng.random() < 0.5:
        return ((row + column) % 2).astype(float)
    return rng.random((64, 64))[row % 64, column % 64]


def _rays(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Spokes or rings around a point, in or outside the field."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    v, u = y - rng.uniform(-0.2, 1.2) * shape[0], x - rng.uniform(-0.2, 1.2) * shape[1]
    radius = np.hypot(u, v)
    if rng.random() < 0.5:
        wave = np.sin(rng.integers(5, 60) * np.arctan2(v, u))
    else:
        wave = np.sin(2 * np.pi * radius / rng.uniform(6, 60) * (1 + rng.uniform(0, 1) * radius / max(shape)))
    shape_of_edge = wave if rng.random() < 0.3 else (wave > rng.uniform(-0.5, 0.5)).astype(float)
    return np.where(radius < rng.uniform(0.3, 1.5) * min(shape), shape_of_edge, rng.random())


def _fibres(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Curved wires of one to several pixels, round or flat in section, straight ones among them."""
    image = np.zeros(shape)
    bend, straight = rng.uniform(0, 0.08), rng.random() < 0.3
    widest = np.exp(rng.uniform(np.log(1.0), np.log(6.0)))
    adds, round_section = rng.random() < 0.5, rng.random() < 0.5
    for _ in range(int(rng.integers(5, 60))):
        steps = int(rng.uniform(0.3, 1.5) * max(shape))
        turns = np.zeros(steps) if straight else np.cumsum(rng.normal(0, bend / 4, steps))
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(turns)
        path = rng.uniform(0, 1, 2) * shape + np.cumsum(np.stack([np.sin(heading), np.cos(heading)], axis=1), axis=0)
        _stroke(image, path, widest * rng.uniform(0.5, 1), rng.uniform(0.2, 1), adds, round_section)
    return image


def _stroke(image: np.ndarray, path: np.ndarray, width: float, value: float, adds: bool, round_section: bool) -> None:
    """Paint a path of the given half width."""
    low = np.maximum(np.floor(path.min(axis=0) - width - 1), 0).astype(int)
    high = np.minimum(np.ceil(path.max(axis=0) + width + 2), image.shape).astype(int)
    if (high <= low).any():
        return
    window = slice(low[0], high[0]), slice(low[1], high[1])
    distance = np.asarray(KDTree(path).query(_pixels(*window), distance_upper_bound=width)[0])
    section = np.clip(1 - np.minimum(distance / width, 1) ** 2, 0, 1)
    section = np.sqrt(section) if round_section else (section > 0).astype(float)
    drawn = value * section.reshape(image[window].shape)
    image[window] = image[window] + drawn if adds else np.where(drawn > 0, drawn, image[window])


def _particles(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Balls, hollow shells or flat discs that lie over one another and add up."""
    image = np.zeros(shape)
    radii = np.exp(rng.uniform(np.log(1.5), np.log(rng.uniform(4, 0.15 * min(shape))), int(rng.integers(10, 200))))
    style, shell = rng.integers(3), rng.uniform(0.5, 0.9)
    for radius in radii:
        window, v, u = _window(shape, radius, rng)
        squared = (u**2 + v**2) / radius**2
        ball = np.sqrt(np.clip(1 - squared, 0, None))
        if style == 1:
            ball = ball - shell * np.sqrt(np.clip(1 - squared / shell**2, 0, None))
        elif style == 2:
            ball = (squared < 1).astype(float)
        image[window] += rng.uniform(0.3, 1) * ball
    return image


def _warped(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Another texture seen through a smooth displacement."""
    names = [name for name in TEXTURES if name != "warped"]
    inner = TEXTURES[str(rng.choice(names))](shape, rng)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    reach = rng.uniform(2, 15)
    y, x = (axis + reach * power_law_noise(shape, rng, rng.uniform(2, 3)) for axis in (y, x))
    return map_coordinates(inner, np.stack([y, x]), order=1, mode="reflect")


def _pixels(rows: slice, columns: slice) -> np.ndarray:
    """Row and column of every pixel of a window, ``(n, 2)``."""
    grid = np.meshgrid(np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop), indexing="ij")
    return np.stack(grid, axis=-1).reshape(-1, 2)


TEXTURES: dict[str, Texture] = {
    "leaves": _leaves,
    "voronoi": _voronoi,
    "smooth": _smooth,
    "islands": _islands,
    "grating": _grating,
    "chess": _chess,
    "rays": _rays,
    "fibres": _fibres,
    "particles": _particles,
    "warped": _warped,
}
"""Every texture: ``(shape, rng)`` to an image of any range."""
