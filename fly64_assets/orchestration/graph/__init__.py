"""The study as a graph, written once: partitions, who reads what, names of files, columns, checks, jobs.

Dagster's inputs and mappings, the freshness walk, priorities and jobs are derived from ``study_graph``. Nothing here
computes (``assets``) or asks what has been made (``catalog``). Dagster on this:
https://docs.dagster.io/guides/build/assets
"""
