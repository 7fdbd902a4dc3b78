"""Methods: how an object is reconstructed, one kind per module.

Here stand the records of the kinds, and solvers that only one of them uses. What a network is and how it is trained
stands in ``networks``, what light does in ``physics``, how results are judged in ``metrics``. A kind of one's own lives
in any package: it registers a record of ``methods.record`` under the entry-point group ``fly64_assets.methods``.
"""
