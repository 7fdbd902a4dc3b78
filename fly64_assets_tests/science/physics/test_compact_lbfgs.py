"""The compact form of L-BFGS beside its two-loop recursion, and what it forgets."""

import numpy as np
import torch

from fly64_assets.science.physics.compact_lbfgs import CompactInverse

LENGTH = 24
MEMORY = 8


def two_loops(downhill, pairs, initial):
    """The textbook recursion, in double precision."""
    found, weights = downhill.copy(), []
    for move, bend in reversed(pairs):
        weights.append(move @ found / (move @ bend))
        found = found - weights[-1] * bend
    move, bend = pairs[-1]
    found = initial @ found * (move @ bend / (bend @ initial @ bend))
    for (move, bend), weight in zip(pairs, reversed(weights), strict=True):
        found = found + (weight - bend @ found / (move @ bend)) * move
    return found


def as_canvas(vector):
    pairs = torch.as_tensor(vector, dtype=torch.float32).reshape(1, 2, LENGTH // 4, 2).contiguous()
    return torch.view_as_complex(pairs)


def as_vector(canvas):
    return torch.view_as_real(canvas).reshape(-1).double().numpy()


def test_it_equals_the_two_loop_recursion_also_after_it_has_forgotten_the_oldest_pairs():
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(LENGTH, LENGTH)) / LENGTH**0.5
    hessian = factor @ factor.T + np.eye(LENGTH)
    initial = np.diag(rng.uniform(0.5, 2, LENGTH))
    downhill = rng.normal(size=LENGTH)
    inverse = CompactInverse(lambda canvas: as_canvas(initial @ as_vector(canvas)), as_canvas(downhill))
    np.testing.assert_allclose(as_vector(inverse.direction()), initial @ downhill, rtol=1e-5)
    pairs = []
    for _ in range(MEMORY + 4):
        move = rng.normal(size=LENGTH)
        pairs = [*pairs, (move, hessian @ move)][-MEMORY:]
        downhill = downhill - hessian @ move
        inverse.learn(as_canvas(move), as_canvas(downhill))
        expected = two_loops(downhill, pairs, initial)
        np.testing.assert_allclose(as_vector(inverse.direction()), expected, atol=2e-4 * abs(expected).max())


def test_a_pair_that_bends_the_wrong_way_is_left_out_and_the_newest_direction_is_kept():
    start, later = torch.ones(1, 2, 2, dtype=torch.complex64), torch.full((1, 2, 2), 3 + 0j)
    inverse = CompactInverse(lambda canvas: canvas, start)
    inverse.learn(torch.ones(1, 2, 2, dtype=torch.complex64), later)
    assert torch.equal(inverse.direction(), later)
