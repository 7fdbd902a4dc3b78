"""L-BFGS in compact form around any initial inverse Hessian: its recursion as products over stacked pairs.

With moves S, changes of the downhill direction Y (each pair a row), ``Z = H0 Y``, ``R`` the upper triangle of
``S Y^T`` and ``D`` its diagonal, the inverse Hessian is
``g H0 + S^T R^-T (D + g Y Z^T) R^-1 S - S^T R^-T g Z - g Z^T R^-1 S``
(Byrd, Nocedal, Schnabel 1994). ``Z`` costs nothing: H0 is linear, and the downhill directions have been through it.
"""

from collections.abc import Callable

import torch
from jaxtyping import Complex64

_MEMORY = 8

Canvas = Complex64[torch.Tensor, "groups H W"]


class CompactInverse:
    """What has been learned of an objective's inverse Hessian, and the direction that it asks for.

    Args:
        initial: H0, linear and symmetric in the real inner product.
        downhill: half the steepest descent at the start.
    """

    def __init__(self, initial: Callable[[Canvas], Canvas], downhill: Canvas) -> None:
        self._initial = initial
        self._downhill, self._lifted = downhill, initial(downhill)
        length = 2 * downhill.numel()
        empty = torch.zeros(3, _MEMORY, length, device=downhill.device)
        self._moves, self._bends, self._lifted_bends = empty
        self._products = torch.zeros(_MEMORY, _MEMORY, dtype=torch.float64)  # S Y^T
        self._curvatures = torch.zeros(_MEMORY, _MEMORY, dtype=torch.float64)  # Y Z^T
        self._rows: list[int] = []
        """Rows of the pairs, oldest first: the newest takes the place of the oldest."""

    def learn(self, move: Canvas, downhill: Canvas) -> None:
        """Add the pair of an accepted step, unless it says that the objective bends the wrong way."""
        lifted = self._initial(downhill)
        bend, lifted_bend = self._downhill - downhill, self._lifted - lifted
        self._downhill, self._lifted = downhill, lifted
        if float(torch.dot(_flat(move), _flat(bend))) <= 0:
            return
        row = self._rows.pop(0) if len(self._rows) == _MEMORY else len(self._rows)
        self._rows.append(row)
        for stack, new in ((self._moves, move), (self._bends, bend), (self._lifted_bends, lifted_bend)):
            stack[row] = _flat(new)
        self._products[:, row] = (self._moves @ self._bends[row]).double().cpu()
        self._products[row] = (self._bends @ self._moves[row]).double().cpu()
        self._curvatures[:, row] = (self._lifted_bends @ self._bends[row]).double().cpu()
        self._curvatures[row] = self._curvatures[:, row]

    def direction(self) -> Canvas:
        """The inverse Hessian times the newest downhill direction."""
        if not self._rows:
            return self._lifted
        order, newest = torch.tensor(self._rows), self._rows[-1]
        products = self._products[order][:, order]
        scale = float(self._products[newest, newest] / self._curvatures[newest, newest])
        downhill = _flat(self._downhill)
        along = (self._moves @ downhill).double().cpu()[order]
        against = scale * (self._lifted_bends @ downhill).double().cpu()[order]
        upper = products.triu()
        inner = torch.diag(products.diagonal()) + scale * self._curvatures[order][:, order]
        solved = torch.linalg.solve_triangular(upper, along[:, None], upper=True)
        moves = torch.linalg.solve_triangular(upper.T, inner @ solved - against[:, None], upper=False)[:, 0]
        found = scale * _flat(self._lifted)
        found += self._stacked(moves, order) @ self._moves
        found -= self._stacked(scale * solved[:, 0], order) @ self._lifted_bends
        return torch.view_as_complex(found.view(*self._downhill.shape, 2))

    def _stacked(self, weights: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
        """Weights of the pairs as weights of the rows."""
        rows = torch.zeros(_MEMORY, dtype=torch.float64)
        rows[order] = weights
        return rows.to(self._moves)


def _flat(canvas: Canvas) -> torch.Tensor:
    return torch.view_as_real(canvas).reshape(-1)
