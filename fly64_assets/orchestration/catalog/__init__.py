"""What is kept: catalog entries, the gate, publishing, freshness, verification, run history."""
