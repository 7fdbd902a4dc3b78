"""Reconstruction: networks applied to measurements, and pty-chi."""
