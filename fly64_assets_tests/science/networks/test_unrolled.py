"""The unrolled network: where it corrects, and where its corrections start."""

import torch

from fly64_assets.science.networks.unrolled import UNet, unrolled_network


def test_every_second_stage_corrects_and_the_last_one_does():
    corrects = [stage.correct is not None for stage in unrolled_network(5, 4).stages]
    assert corrects == [True, False, True, False, True]


def test_unet_starts_at_zero_and_takes_any_size():
    for shape in ((8, 8), (13, 21)):
        assert torch.equal(UNet(3, 2, 4)(torch.randn(2, 3, *shape)), torch.zeros(2, 2, *shape))
