"""The study as a graph: partitions, who reads what, file names, columns, jobs."""
