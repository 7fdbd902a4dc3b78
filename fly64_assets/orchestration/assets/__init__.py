"""The assets by concern, one body each, and the checks that judge them; no module of a concern imports another.

A body gets its parameter record, verified files and names to write to; it calls the science and describes what came
out. ``factory`` makes a Dagster asset of a node and a body, ``launchpad`` the fields of its run configuration. Names
of files stand in ``graph.files``, formulas in ``science``. Dagster on this:
https://docs.dagster.io/guides/test/asset-checks
"""
