"""Tests that every kind of method must pass, shipped or from another package: ``python -m fly64_assets.conformance``.

A kind is tried on a small simulated scan, in child processes of its own whose data root holds decoys, whose clocks can
be wrong, and whose opened files are noted. ``scan`` makes the scan and the decoys, ``watched`` fools and watches a
process, ``child`` carries calls out in it, ``trial`` starts it, ``rules`` judge what came back. What a method is worth
is not judged here: that is the study's business.
"""
