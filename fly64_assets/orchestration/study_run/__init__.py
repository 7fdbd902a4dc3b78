"""``fly64 study``: plan, walk, workers, terminal."""
