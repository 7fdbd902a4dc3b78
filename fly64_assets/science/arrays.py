"""Array types used throughout: the name says what the array holds, the annotation its dtype and axes.

The annotations are checked by beartype under pytest and cost nothing in production. Axis letters:
``n`` patterns or positions, ``N`` the patch side in pixels, ``H W`` object rows and columns.
Positions are always ordered ``(x, y)``: x is the column, y is the row.
"""

import numpy as np
from jaxtyping import Complex64, Float32, Float64, Int64

Amplitude = Float32[np.ndarray, "n N N"]
"""Square root of intensity, DC at ``[N // 2, N // 2]``."""

ObjectPatches = Complex64[np.ndarray, "n N N"]
ComplexObject = Complex64[np.ndarray, "H W"]
ExtendedObject = Complex64[np.ndarray, "extended_H extended_W"]
"""An object with further rows and columns beyond the end of its grid."""
ErrorMap = Float32[np.ndarray, "H W"]
"""Predicted error of each pixel of an object, ``sqrt(E |estimate - truth|^2)``; infinite where it is unknown."""

ProbeModes = Complex64[np.ndarray, "modes N N"]
"""Incoherent probe modes; a fully coherent probe has one."""

PositionsXY = Float64[np.ndarray, "n 2"]
ScanIndex = Int64[np.ndarray, "n"]
