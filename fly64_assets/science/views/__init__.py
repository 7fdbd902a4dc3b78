"""Views: which positions a study cell keeps, how a network groups them, and how much their probes overlap.

What a network makes of the groups stands in ``networks.layouts``; the dataset that a view becomes is written by
``contract``.
"""
