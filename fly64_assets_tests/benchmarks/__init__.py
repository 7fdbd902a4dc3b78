"""Scripts that measure throughput, memory and how cost grows; run by hand."""
