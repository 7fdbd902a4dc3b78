"""Physics of the far-field experiment: probe, object, positions, diffraction, photon counting, one look at the data.

Forward model, likelihood, the spectral lift and the canvas that counts are laid out on, in NumPy and in torch. What
is done with them stands elsewhere: iterating in ``methods``, learning in ``networks``, writing files in ``contract``.
"""
