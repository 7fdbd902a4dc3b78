"""What runs by itself: the nightly schedule, the sensor of the input file, the sensor that settles killed runs.

They ask ``catalog.freshness`` like everybody else and decide nothing about a partition themselves. A walk that a
person starts stands in ``study_run``. Dagster on this: https://docs.dagster.io/guides/automate
"""
