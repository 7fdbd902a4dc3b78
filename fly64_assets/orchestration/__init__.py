"""The asset graph on Dagster: the only package beside definitions and cli that imports it.

- ``graph``        who reads what, under which parameters, in which files: written once.
- ``catalog``      what was made, and whether it may be trusted and kept.
- ``assets``       what is computed: thin bodies around the science, and the checks that judge it.
- ``automation``   who asks without a person.
- ``study_run``    the walk, the workers and the terminal of ``fly64 study``.

``code_location`` puts them together; ``dagster_internals`` alone imports Dagster's private names. No formula stands
here (``science``), no rule of the study file (``study``) and no way of writing a file (``storage``).
"""
