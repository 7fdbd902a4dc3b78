"""fly64_assets: a ptychography dose and overlap study as a Dagster asset graph.

The map, from the top layer down; a layer imports only from the ones below it:

- ``cli``             the ``fly64`` command; ``conformance`` beside it holds every kind of method to the same rules.
- ``definitions``     assembles the Dagster code location of the current study; decides nothing.
- ``orchestration``   the graph, the catalog, the assets, what runs by itself, and ``fly64 study``.
- ``study``           the study file: one YAML, validated; what each asset may read of it.
- ``storage``         atomic writes, content digests, locks. Nothing is ever unpickled.
- ``science``         pure: physics, views, networks, methods, metrics, report. No Dagster, no studies.

``studies/*.yaml`` are the shipped studies. Methods, networks, metrics and file formats are records that packages
register under entry-point groups, the shipped ones too: see docs/extending.md. What passes through which modules, in
order, stands in docs/architecture.md.
"""

__version__ = "0.1.0"
