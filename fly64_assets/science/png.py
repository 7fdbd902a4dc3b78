"""Small PNG files of figures: a palette that keeps thin lines and letters in their own colours."""

import io

from PIL import Image

_LEVELS = 32


def compact_png(picture: Image.Image, colours: int | None) -> bytes:
    """The picture as PNG bytes, the same bytes for the same picture.

    Args:
        picture: in RGB.
        colours: size of the palette, at most 256; None keeps every colour.

    Returns:
        PNG bytes.
    """
    buffer = io.BytesIO()
    (picture if colours is None else _with_palette(picture, colours)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _with_palette(picture: Image.Image, colours: int) -> Image.Image:
    """Colours chosen for coverage, as a median cut would recolour what is rare: lines, letters, markers.

    The choice takes time with the square of the number of distinct colours: it is made among 32 levels per channel.
    """
    level = [round(round(v * (_LEVELS - 1) / 255) * 255 / (_LEVELS - 1)) for v in range(256)]
    return picture.point(level * 3).quantize(colours, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
