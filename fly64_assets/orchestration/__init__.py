"""The asset graph on Dagster: the only package beside definitions and cli that imports it."""
