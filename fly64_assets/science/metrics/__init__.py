"""Comparing reconstructions with the object: alignment, image errors, FRC, bounds, intervals, scores and their tables.

One function scores every method of a cell. Which scores there are is a matter of records (``metrics.record``, entry-
point group ``fly64_assets.metrics``). How scores are put into words and charts stands in ``report``; that numbers
came from the right files is the business of ``orchestration``.
"""
