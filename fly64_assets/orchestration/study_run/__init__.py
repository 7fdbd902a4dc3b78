"""``fly64 study``: plan, walk, worker processes, terminal.

Each partition is an ordinary run on the study's instance. What is fresh is asked of ``catalog``, the order is that of
``graph``; arguments and exit status belong to ``cli``.
"""
