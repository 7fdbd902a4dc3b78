"""Comparing reconstructions with the truth: alignment, image errors, FRC, bounds, scores of a cell."""
