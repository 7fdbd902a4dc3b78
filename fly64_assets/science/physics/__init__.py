"""Physics of the far-field experiment: probe, object, scan positions, diffraction and photon counting."""
