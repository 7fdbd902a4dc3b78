"""The science, pure: it imports neither Dagster nor studies nor storage, and runs in a notebook.

- ``physics``    what light and counting do; ``contract``, the dataset file and its rules.
- ``views``      which positions are kept, how they are grouped, how much probes overlap.
- ``networks``   what a network is, its training, its bundle; ``methods``, how an object is reconstructed.
- ``metrics``    how results are compared with the object; ``figures`` and ``report``, how they are shown.
- ``interop``    file formats of other programs.

Beside them: ``scan`` and ``simulation`` make data, ``records`` are what passes between packages, ``options`` the
bounded choices, ``registry`` finds what packages register, ``randomness`` names every random stream. Whatever knows a
partition, a folder or a run belongs in ``orchestration``.
"""
