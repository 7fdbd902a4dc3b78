"""A small network: every stage takes a step of learned length and adds what three convolutions say."""

import torch
from torch import nn

from fly64_assets.science.networks.record import NetworkRecord
from fly64_assets.science.networks.staged import StagedNetwork, Symmetry
from fly64_assets.science.options import TrainingOptions
from fly64_assets.science.physics.canvas_data import CanvasData


class Stage(nn.Module):
    """At the start of training a plain step: the last convolution is zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.step = nn.Parameter(torch.tensor(0.5))
        last = nn.Conv2d(width, 2, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.correct = nn.Sequential(
            *(nn.Conv2d(6, width, 3, padding=1), nn.SiLU()),
            *(nn.Conv2d(width, width, 3, padding=1), nn.SiLU(), last),
        )

    def forward(
        self,
        canvas: torch.Tensor,
        previous: torch.Tensor,
        score: torch.Tensor,
        data: CanvasData,
        symmetry: Symmetry,
    ) -> torch.Tensor:
        """The improved canvas; what is learned is seen through the symmetry."""
        newton = data.newton_step(score + data.prior_pull(canvas))
        seen = (canvas - 1, newton, canvas - previous)
        features = torch.stack([part for z in seen for part in (z.real, z.imag)], dim=1)
        change = symmetry.revert(self.correct(symmetry.apply(features))).float()
        return canvas + self.step * newton + torch.complex(change[:, 0], change[:, 1])


def build(options: TrainingOptions) -> StagedNetwork:
    """As many stages as the options say."""
    return StagedNetwork(Stage(options.width) for _ in range(options.stages))


EXAMPLE_NETWORK = NetworkRecord(
    name="example_network",
    meaning="steps of learned length with three convolutions each",
    build=build,
)
