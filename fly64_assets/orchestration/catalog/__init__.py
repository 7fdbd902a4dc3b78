"""What was made, and whether it may be trusted: entries, the gate, publishing, freshness, verification, run history.

The event log of the study's instance is the catalog; ``entries`` reads it, ``publishing`` and ``io_manager`` write
it. Every load passes ``gate``. Who reads what is asked of ``graph``; what a partition holds is the business of
``assets``; bytes on disk are that of ``storage``. Dagster on this: https://docs.dagster.io/guides/build/io-managers
"""
