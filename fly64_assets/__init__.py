"""fly64_assets: a ptychography dose and overlap study as a Dagster asset graph.

The map, from the top layer down; a layer imports only from the ones below it:

- ``definitions``     assembles the Dagster code location; decides nothing.
- ``orchestration``   assets, partitions, IO manager, gates, checks, freshness, jobs, schedules.
- ``study``           the frozen study file: one YAML, validated; parameter hashes per asset.
- ``storage``         atomic writes, content digests, locks. Nothing is ever unpickled.
- ``science``         pure: physics, views, networks, reconstruction, metrics, report. No Dagster.

``cli`` is the ``fly64`` command, ``conformance`` the rules that every kind of method is held to, whoever wrote it.
``studies/*.yaml`` are the shipped studies.
"""

__version__ = "0.1.0"
