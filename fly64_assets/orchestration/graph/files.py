"""Names of all files inside partitions, for their writers and readers, and which of them measure the run itself."""

from pathlib import PurePosixPath

from fly64_assets.science.records import Split

SCAN = "scan.npz"
ILLUMINATION = "illumination.npz"
"""Probe and positions of the scan, without its object: all that a training for the probe may read."""

OVERLAP_METRICS = "metrics_bundle.json"
BUNDLE = "wts.h5.zip"
HISTORY = "history.csv"
TRAINING_LOG = "train.log"
VERDICTS = "verdicts.json"
EXPLANATIONS = "explanations.json"
SCORES = "comparison_metrics.csv"
FRC_CURVES = "frc_curves.csv"
TRACE = "trace.csv"
TRACE_COSTS = "trace_costs.csv"
COMPARISON_FIGURE = "comparison.png"
CELL = "cell.json"
REPORT = "report.html"
REPORT_SCORES = "metrics.csv"
REPORT_SCORES_PARQUET = "metrics.parquet"
NOT_HERE = "not_here.json"
"""Marks a partition in which a method has no place; holds the reason."""

TRACED: Split = "test"
"""The split of which the way to a result is kept, for the first seed, and which pictures are of."""

COSTS = "costs.json"
"""CPU-seconds of a training or of reconstructions, per seed."""

COST_TABLE = "costs.csv"

VOLATILE = frozenset({COSTS, COST_TABLE, TRACE_COSTS, TRAINING_LOG, REPORT})
"""Files that hold measured times; digested and verified, but no part of the data version: results repeat, times not."""


def dataset_file(split: Split, seed_folder: str) -> str:
    """Name of a split's counts inside ``simulated_dataset``.

    >>> dataset_file("train", "")
    'patched_train.npz'
    """
    return f"{seed_folder}patched_{split}.npz"


def view_file(view: str, split: Split, seed_folder: str) -> str:
    """Name of a view's dataset inside ``overlap_view``.

    >>> view_file("dense", "test", "seed_2/")
    'seed_2/dense_test.npz'
    """
    return f"{seed_folder}{view}_{split}.npz"


TRAIN_VIEW = view_file("{view}", "train", "")
"""What a network of a view learns from, where a study has one seed: replicates of the object add no pattern to it."""


def bundle_file(gridsize: int, seed_folder: str) -> str:
    """Name of a seed's bundle inside an asset that trains.

    >>> bundle_file(2, "")
    'gs2/wts.h5.zip'
    """
    return f"{seed_folder}gs{gridsize}/{BUNDLE}"


def product_file(method: str, split: Split, seed_folder: str) -> str:
    """Name of a method's result inside ``reconstruction/<method>``.

    >>> product_file("ml", "test", "seed_1/")
    'seed_1/ml_test.h5'
    """
    return f"{seed_folder}{method}_{split}.h5"


def trace_file(method: str, split: Split, seed_folder: str, step: int) -> str:
    """Name of what a method had on its way after so many steps.

    >>> trace_file("ml", "test", "", 12)
    'trace/ml_test_step_00012.h5'
    """
    return f"{seed_folder}trace/{method}_{split}_step_{step:05d}.h5"


def is_bundle(name: str) -> bool:
    """Whether a file is a network.

    >>> is_bundle("seed_1/gs2/wts.h5.zip"), is_bundle("scan.npz")
    (True, False)
    """
    return PurePosixPath(name).name == BUNDLE


def is_product(name: str) -> bool:
    """Whether a file is a method's result, not something on the way to it.

    >>> is_product("seed_1/ml_test.h5"), is_product(trace_file("ml", "test", "seed_1/", 3))
    (True, False)
    """
    return name.endswith(".h5") and "trace" not in PurePosixPath(name).parts


def is_dataset(name: str) -> bool:
    """Whether a file holds counts.

    >>> is_dataset("patched_train.npz"), is_dataset("metrics_bundle.json")
    (True, False)
    """
    return name.endswith(".npz")
