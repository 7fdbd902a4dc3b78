"""Views: which positions a study cell keeps, how a network groups them, and how much their probes overlap."""
