"""A network as somebody else's package would add it: its stages, and a record."""

import torch

from fly64_assets.science.networks.record import NetworkRecord
from fly64_assets.science.networks.staged import StagedNetwork
from fly64_assets.science.options import TrainingOptions


class Step(torch.nn.Module):
    """A step of learned length, kept smooth by a learned kernel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.length = torch.nn.Parameter(torch.tensor(0.1))
        self.enter = torch.nn.Conv2d(2, width, 3, padding=1)
        self.leave = torch.nn.Conv2d(width, 2, 3, padding=1)

    def forward(self, canvas, previous, score, data, symmetry):
        step = data.newton_step(score)
        features = symmetry.apply(torch.stack([step.real, step.imag], dim=1))
        change = symmetry.revert(self.leave(torch.relu(self.enter(features))))
        return canvas + self.length * step + 0.01 * torch.complex(change[:, 0], change[:, 1])


def build(options: TrainingOptions) -> StagedNetwork:
    return StagedNetwork(Step(options.width) for _ in range(options.stages))


GRADIENT_STEPS = NetworkRecord(name="gradient_steps", meaning="gradient steps of learned length", build=build)
