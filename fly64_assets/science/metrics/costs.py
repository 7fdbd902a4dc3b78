"""What methods cost: a table apart from the scores, because measured times never repeat."""

from collections.abc import Mapping

import pandas as pd

from fly64_assets.science.metrics.tables import COST_MEANINGS, COSTS
from fly64_assets.science.records import Split


def cost_table(
    costs: Mapping[str, Mapping[str, float | int]],
    *,
    dose: float,
    view: str,
    split: Split,
    seed: int,
    object: str = "object",
) -> pd.DataFrame:
    """One row per method and cost.

    Args:
        costs: method to cost to value; the costs are those of ``COST_MEANINGS``.
        dose: requested photons per pattern, copied into the rows, as are view, split and seed.
        view: name.
        split: name.
        seed: study seed.
        object: name of the object.

    Returns:
        The columns of the schema ``COSTS``.

    Raises:
        ValueError: a cost of another name.

    >>> cost_table(
    ...     {"map": {"cpu_seconds_reconstruct": 2.5}}, dose=1e4, view="dense", split="test", seed=1
    ... ).values.tolist()
    [[10000.0, 'dense', 'test', 'object', 1, 'map', 'cpu_seconds_reconstruct', 2.5]]
    """
    rows = []
    for method, spent in costs.items():
        unknown = sorted(set(spent) - set(COST_MEANINGS))
        if unknown:
            message = f"{method} has the costs {', '.join(unknown)}; known are {', '.join(COST_MEANINGS)}"
            raise ValueError(message)
        rows += [(dose, view, split, object, seed, method, metric, float(value)) for metric, value in spent.items()]
    return pd.DataFrame(rows, columns=pd.Index(COSTS.names))
