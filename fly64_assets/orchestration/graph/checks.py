"""Which checks judge which assets. What they ask stands in ``assets/checks.py``; the gate asks the catalog for them."""

_TRAINED = ("bundle_matches_catalog", "weights_are_finite", "weights_changed", "network_learned")

_BLOCKING: dict[str, tuple[str, ...]] = {
    "scan": ("scan_is_usable",),
    "simulated_dataset": ("datasets_follow_data_001", "dose_within_tolerance"),
    "overlap_view": ("view_follows_data_001", "overlap_between_zero_and_one"),
    "trained_bundle": _TRAINED,
    "training": _TRAINED,
    "reconstruction": ("products_are_finite",),
    "comparison_metrics": ("metrics_table_is_complete",),
}

_ADVISORY: dict[str, tuple[str, ...]] = {"reconstruction": ("explains_counts",)}


def blocking_checks(asset: str) -> tuple[str, ...]:
    """Checks that must have passed on a partition before anything may read it.

    >>> blocking_checks("reconstruction/ml")
    ('products_are_finite',)
    """
    return _BLOCKING.get(asset.split("/")[0], ())


def advisory_checks(asset: str) -> tuple[str, ...]:
    """Checks that warn and stop nothing.

    >>> advisory_checks("reconstruction/ml"), advisory_checks("scan")
    (('explains_counts',), ())
    """
    return _ADVISORY.get(asset.split("/")[0], ())
