"""Names of the product files inside a partition of reconstructions, for their writers and readers."""

from fly64_assets.science.records import Split

COSTS_FILE = "costs.json"
"""Per seed: CPU-seconds to reconstruct and to train, and those that a run had spent at each kept epoch."""


def product_file(method: str, split: Split, seed_folder: str) -> str:
    """Name of a method's product.

    >>> product_file("pty_chi", "test", "seed_1/")
    'seed_1/pty_chi_test.h5'
    """
    return f"{seed_folder}{method}_{split}.h5"


def snapshot_file(method: str, split: Split, seed_folder: str, epochs: int) -> str:
    """Name of the product that a method had after so many epochs.

    >>> snapshot_file("pty_chi", "test", "", 12)
    'on_the_way/pty_chi_test_epoch_00012.h5'
    """
    return f"{seed_folder}on_the_way/{method}_{split}_epoch_{epochs:05d}.h5"


def is_result(name: str) -> bool:
    """Whether a file is a method's result, not something on the way to it.

    >>> is_result("seed_1/pinn_test.h5"), is_result(snapshot_file("pty_chi", "test", "seed_1/", 3))
    (True, False)
    """
    return name.endswith(".h5") and "on_the_way/" not in name
