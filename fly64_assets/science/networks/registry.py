"""The kinds of network that a study file can name."""

from dataclasses import dataclass

NetworkKind = str


@dataclass(frozen=True)
class Kind:
    """What tells kinds of network apart.

    Attributes:
        name: as in ``ViewOptions.network``.
        needs_truth: trains on true patches (Y); otherwise training gets a Measurement and nothing else.
        stages: looks at the data.
    """

    name: str
    needs_truth: bool


KINDS = {kind.name: kind for kind in (Kind("pinn", needs_truth=False), Kind("supervised", needs_truth=True))}


def kind_of(name: str) -> Kind:
    """Look a kind up.

    Raises:
        ValueError: unknown name; the message lists the known ones.
    """
    if name not in KINDS:
        message = f"unknown kind of network {name!r}; known: {', '.join(sorted(KINDS))}"
        raise ValueError(message)
    return KINDS[name]
