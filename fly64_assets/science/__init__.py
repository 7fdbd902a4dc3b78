"""The science: physics, contracts, views, networks, reconstruction, metrics, report; without Dagster or studies."""
