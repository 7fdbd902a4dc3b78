"""The kinds under kinds/ are imported by name, as those of an installed package; pytest does not collect them."""

collect_ignore = ["kinds"]
