"""The science: physics, contracts, views, networks, reconstruction, metrics, report. Knows neither Dagster nor studies."""
