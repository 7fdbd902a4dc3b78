"""What a network is: one frozen record that names it and builds it.

A record stands in the network's module and is registered under the entry-point group ``fly64_assets.networks``;
options of a training name it, bundles name it, and nothing else knows the module. A package adds a network by its
stages alone::

    def build(options: TrainingOptions) -> StagedNetwork:
        return StagedNetwork(MyStage(options.width) for _ in range(options.stages))


    MINE = NetworkRecord(name="mine", meaning="steps with a learned length", build=build)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fly64_assets.science.options import TrainingOptions
from fly64_assets.science.registry import Registry

if TYPE_CHECKING:
    from fly64_assets.science.networks.staged import StagedNetwork


@dataclass(frozen=True, kw_only=True)
class NetworkRecord:
    """A network that trainings can name.

    Attributes:
        name: as options, bundles and the entry point name it.
        meaning: one line; no full stop.
        build: makes it with initial weights from torch's generator. It may read ``stages`` and ``width`` of the
            options alone: a bundle holds no others, and builds the network anew from them.
    """

    name: str
    meaning: str
    build: Callable[[TrainingOptions], "StagedNetwork"]


NETWORKS = Registry("fly64_assets.networks", "network", NetworkRecord)
"""Every network that is installed."""


def build_network(name: str, *, stages: int, width: int) -> "StagedNetwork":
    """A registered network with initial weights.

    Args:
        name: of its record.
        stages: looks at the data, 1 to 64.
        width: base number of channels, 1 to 512.

    Raises:
        RegistryError: nobody registered that name, or its package cannot be imported.
        ValueError: what it builds has another number of stages, or state that a bundle cannot hold.
    """
    network = NETWORKS.get(name).build(TrainingOptions(network=name, stages=stages, width=width))
    if len(network.stages) != stages:
        message = f"network {name!r} has {len(network.stages)} stages, asked for {stages}"
        raise ValueError(message)
    for key, value in network.state_dict().items():
        if str(value.dtype) != "torch.float32":
            message = f"network {name!r}: {key} is {value.dtype}; a bundle holds float32 alone"
            raise ValueError(message)
    return network
