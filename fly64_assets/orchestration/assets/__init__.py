"""Assets by concern; no module here imports another."""
