"""Staged networks: look at the data, improve the canvas, and look again.

What every registered network has in common. Its stages are its own; they work on canvases of any size with any number
of patterns: the four patterns of a gridsize-2 group, the one of gridsize 1, or a whole scan.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Complex64, Float
from torch import nn

from fly64_assets.science.physics.canvas_data import CanvasData


@dataclass(frozen=True)
class Symmetry:
    """A symmetry of the problem under which corrections are learned: turn, mirror, conjugate.

    A turned object under the equally turned probe gives turned patterns, and passes over the data turn with them;
    hence it suffices to turn what a correction sees, and to turn its answer back.

    Attributes:
        quarter_turns: 0 to 3.
        mirrored: columns reversed before turning.
        conjugated: object and probe conjugated.
    """

    quarter_turns: int = 0
    mirrored: bool = False
    conjugated: bool = False

    def apply(self, features: Float[torch.Tensor, "b f H W"]) -> Float[torch.Tensor, "b f turned_H turned_W"]:
        """Turn features: real and imaginary parts in alternation, an odd last one being real."""
        if self.conjugated:
            features = features * _signs(features)
        if self.mirrored:
            features = features.flip(-1)
        return torch.rot90(features, self.quarter_turns, (-2, -1))

    def revert(self, features: Float[torch.Tensor, "b f turned_H turned_W"]) -> Float[torch.Tensor, "b f H W"]:
        """Undo :meth:`apply`."""
        features = torch.rot90(features, -self.quarter_turns, (-2, -1))
        if self.mirrored:
            features = features.flip(-1)
        if self.conjugated:
            features = features * _signs(features)
        return features


IDENTITY = Symmetry()


def _signs(features: torch.Tensor) -> torch.Tensor:
    """Sign of each feature under complex conjugation."""
    return (1.0 - 2.0 * (torch.arange(features.shape[1], device=features.device) % 2))[:, None, None]


class StagedNetwork(nn.Module):
    """Stages in a row, from a flat object.

    Each stage is called ``(canvas, previous, score, data, symmetry)`` and returns the improved canvas. ``canvas`` and
    ``previous`` are the current estimate and the one before, ``(groups, H, W)`` complex64; ``score`` is that of a look
    at the data from ``canvas``; ``data`` knows illumination and scales; what is learned is to be seen through
    ``symmetry``, or to have it.

    Args:
        stages: one per look at the data.
    """

    def __init__(self, stages: Iterable[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # the stubs lack this form

    def improve(self, data: CanvasData) -> Iterator[Complex64[torch.Tensor, "groups H W"]]:
        """The object on every group's canvas after each stage."""
        canvas = previous = data.flat()
        for stage in self.stages:
            canvas, previous = stage(canvas, previous, data.look(canvas, valued=False).score, data, IDENTITY), canvas
            yield canvas

    def forward(self, data: CanvasData) -> Complex64[torch.Tensor, "groups H W"]:
        """The object on every group's canvas after the last stage."""
        canvas = data.flat()
        for improved in self.improve(data):
            canvas = improved
        return canvas
