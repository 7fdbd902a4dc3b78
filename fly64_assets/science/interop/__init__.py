"""File formats of other programs, written and read without them; one module and one record each.

A format of one's own lives in any package and registers a record of ``interop.record`` under
``fly64_assets.formats``. Our own dataset file and its rules stand in ``contract``, our bundles in ``networks``.
"""
