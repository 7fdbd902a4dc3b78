"""Mutants: the package with one thing wrong, each of which a test must notice. Run ``make mutants``.

Each group is applied to a copy of the package and its tests, and the named tests are run there: every one of them must
fail, in its body and not before. Mutants of one group cannot hide each other: the tests of one do not touch what the
others change. The same tests on an unchanged copy must pass, else they would prove nothing. Every copy has a process of
its own, forked from one that has imported what others wrote, because imports take longer than tests.
"""

import contextlib
import io
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROCESSES = 2
COPIED = ("fly64_assets", "fly64_assets_tests")
PRELOADED = [
    "pytest",
    "hypothesis",
    "numpy",
    "pandas",
    "scipy.optimize",
    "h5py",
    "torch",
    "dagster",
    "pandera",
    "matplotlib.pyplot",
]

TESTS = "fly64_assets_tests"
CHECKS = "fly64_assets/orchestration/assets/checks.py"
GATE = "fly64_assets/orchestration/catalog/gate.py"
FRESHNESS = "fly64_assets/orchestration/catalog/freshness.py"
RECORDS = "fly64_assets/study/parameters.py"
INTERVALS = "fly64_assets/science/metrics/intervals.py"
LIGHTNING = "fly64_assets/science/networks/lightning_modules.py"
PALETTE = "fly64_assets/science/palette.py"
WALK = "fly64_assets/orchestration/study_run/walk.py"


@dataclass(frozen=True)
class Mutant:
    """One thing that is wrong.

    Attributes:
        name: what is wrong, in words.
        file: in which file.
        old: text that stands there once.
        new: text in its place.
        tests: pytest ids that must fail.
        group: mutants with the same group share a copy.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    group: str


JUDGES: dict[str, tuple[str, str, str]] = {
    "scan_is_usable": ("scan_is_usable", "a patch outside", "counts"),
    "datasets_follow_data_001": ("files_follow_data_001", "NaN counts in a dataset", "counts"),
    "dose_within_tolerance": ("dose_within_tolerance", "a whole scan 6 % too bright", "counts"),
    "view_follows_data_001": ("files_follow_data_001", "exchanged axes in a view", "counts"),
    "overlap_between_zero_and_one": ("overlap_between_zero_and_one", "a negative overlap", "counts"),
    "bundle_matches_catalog": ("bundle_matches_catalog", "a flipped byte, its digest renewed", "networks"),
    "weights_are_finite": ("weights_are_finite", "a weight that is not finite", "networks"),
    "weights_changed": ("weights_changed", "weights that did not move", "networks"),
    "network_learned": ("network_learned", "a network no better than a flat object", "networks"),
    "products_are_finite": ("products_are_finite", "zeros everywhere", "results"),
    "explains_counts": ("explains_counts", "a result that diverged", "results"),
    "metrics_table_is_complete": ("metrics_table_is_complete", "a table without a method", "results"),
}
"""Check to its judge, a case of test_checks.py on which it must fail, and the mutant's group."""


def _judges() -> Iterator[Mutant]:
    test = f"{TESTS}/orchestration/assets/test_checks.py::test_what_is_broken_is_seen_and_said"
    for check, (judge, case, group) in JUDGES.items():
        old, new = f'    "{check}": {judge},\n', f'    "{check}": lambda judged: [],\n'
        yield Mutant(f"{check} says that all is well", CHECKS, old, new, (f"{test}[{case}]",), group)


def _left_out(option: str, leaf: str) -> Mutant:
    test = f"{TESTS}/study/test_parameters.py::test_a_leaf_changes_the_records_of_exactly_the_assets_that_receive_it"
    hashed = 'digest_of(self.model_dump(mode="json"))'
    return Mutant(
        f"{option} is left out of the records",
        RECORDS,
        hashed,
        f'digest_of(self.model_dump(mode="json", exclude={{"options": {{"{option}"}}}}))',
        (f"{test}[{leaf}]",),
        option,
    )


MUTANTS: tuple[Mutant, ...] = (
    *_judges(),
    Mutant(
        "a new upstream makes nothing stale",
        FRESHNESS,
        'reasons.append(f"{name} is new")',
        "pass",
        (f"{TESTS}/orchestration/catalog/test_freshness.py::test_an_upstream_that_is_new_is_a_reason",),
        "freshness",
    ),
    Mutant(
        "another upstream makes nothing stale",
        FRESHNESS,
        'reasons.append(f"{name} changed")',
        "pass",
        (f"{TESTS}/orchestration/catalog/test_freshness.py::test_an_upstream_that_is_another_is_a_reason",),
        "freshness",
    ),
    Mutant(
        "a changed marker of a skip is still a skip to the freshness",
        FRESHNESS,
        "            reasons = changed_files(",
        "            reasons = [] if entry.skip_reason else changed_files(",
        (
            f"{TESTS}/orchestration/catalog/test_freshness.py"
            "::test_a_marker_of_a_skip_that_was_changed_makes_its_partition_stale",
        ),
        "freshness",
    ),
    Mutant(
        "a changed marker of a skip passes the gate",
        GATE,
        "    faults = changed_files(folder, entry)",
        "    faults = [] if entry.skip_reason else changed_files(folder, entry)",
        (f"{TESTS}/orchestration/catalog/test_gate.py::test_a_marker_of_a_skip_is_refused_once_it_was_changed",),
        "freshness",
    ),
    _left_out("passes", "methods.map.options.passes"),
    _left_out("threads", "methods.map.options.threads"),
    _left_out("precision", "methods.pinn.options.precision"),
    Mutant(
        "a bootstrap interval of 90 % for 95 %",
        INTERVALS,
        "_PERCENT = (2.5, 97.5)",
        "_PERCENT = (5.0, 95.0)",
        (f"{TESTS}/science/metrics/test_intervals.py::test_a_mean_over_independent_blocks_has_the_closed_form_width",),
        "intervals",
    ),
    Mutant(
        "a normal interval of 90 % for 95 %",
        INTERVALS,
        "_NORMAL_QUANTILE = 1.96",
        "_NORMAL_QUANTILE = 1.645",
        (f"{TESTS}/science/metrics/test_intervals.py::test_the_excess_likelihood_has_the_normal_width_over_patterns",),
        "intervals",
    ),
    Mutant(
        "the moving average is not validated",
        LIGHTNING,
        "            _network(pl_module).load_state_dict(self._average)",
        "            pass",
        (
            f"{TESTS}/science/networks/test_training.py"
            "::test_the_average_follows_its_formula_and_validation_sees_it_alone",
        ),
        "networks",
    ),
    Mutant(
        "the second method looks like the first",
        PALETTE,
        '("#0a5a3f", "#25a86b", "square", "")',
        '("#1f6feb", "#8fc4ff", "circle", "")',
        (f"{TESTS}/science/test_palette.py::test_ten_methods_differ_in_their_markers_alone",),
        "two looks",
    ),
    Mutant(
        "the eleventh method looks like the first",
        PALETTE,
        "(DASHES.index(dash) + turn)",
        "DASHES.index(dash)",
        (f"{TESTS}/science/test_palette.py::test_no_two_methods_of_a_study_are_drawn_alike",),
        "eleven looks",
    ),
    Mutant(
        "a partition runs before all that it reads is done",
        WALK,
        "if not self._unmet[below]:",
        "if self._unmet[below] >= 0:",
        (
            f"{TESTS}/orchestration/study_run/test_walk.py"
            "::test_any_selection_ends_with_each_partition_done_or_failed_and_none_too_early",
        ),
        "walk",
    ),
)


@dataclass(eq=False)  # pytest keeps its plugins in a set
class Outcomes:
    """A pytest plugin that notes how the body of each test ended."""

    passed: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note a body's end; what fails before or after it counts as neither."""
        if report.when == "call":
            (self.failed if report.failed else self.passed).add(report.nodeid)


@dataclass(frozen=True)
class Verdict:
    """What a run on one copy says.

    Attributes:
        survivors: names of mutants of which a test did not fail, or faults of the run itself.
        seconds: wall time.
        printed: pytest's own words.
    """

    group: str
    survivors: tuple[str, ...]
    seconds: float
    printed: str


def judged(group: str, mutants: list[Mutant], tests: list[str]) -> Verdict:
    """Run the tests on a copy with these mutants; without any, all tests must pass."""
    begun = time.monotonic()
    with TemporaryDirectory(prefix="fly64-mutant-") as folder:
        copy = _copied(Path(folder), mutants)
        outcomes, printed = _run(copy, tests)
    if mutants:
        survivors = [mutant.name for mutant in mutants if not set(mutant.tests) <= outcomes.failed]
    else:
        survivors = [f"does not pass on the package as it is: {test}" for test in tests if test not in outcomes.passed]
    return Verdict(group, tuple(survivors), time.monotonic() - begun, printed)


def _copied(folder: Path, mutants: list[Mutant]) -> Path:
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name)
    shutil.copyfile(ROOT / "pyproject.toml", folder / "pyproject.toml")
    for mutant in mutants:
        file = folder / mutant.file
        text = file.read_text(encoding="utf-8")
        if text.count(mutant.old) != 1:
            message = f"{mutant.name}: {mutant.file} holds {text.count(mutant.old)} times {mutant.old!r}, expected once"
            raise LookupError(message)
        file.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    return folder


def _run(copy: Path, tests: list[str]) -> tuple[Outcomes, str]:
    """Run tests in this process, which has imported nothing of the package yet."""
    import hypothesis
    import pytest

    # One failing example is enough: the smallest one is for people.
    hypothesis.settings.register_profile("mutants", phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate])
    hypothesis.settings.load_profile("mutants")
    os.chdir(copy)
    os.environ["PYTHONPATH"] = str(copy)
    sys.path[:] = [str(copy), *(entry for entry in sys.path if entry and Path(entry).resolve() != ROOT)]
    for module in [name for name in sys.modules if name.split(".")[0] in COPIED]:
        del sys.modules[module]
    outcomes, printed = Outcomes(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        pytest.main(["-q", "--assert=plain", "-p", "no:cacheprovider", "--show-capture=no", *tests], plugins=[outcomes])
    found = Path(sys.modules["fly64_assets"].__file__ or "")
    if not found.is_relative_to(copy):
        message = f"the tests imported {found}, not the copy in {copy}"
        raise RuntimeError(message)
    return outcomes, printed.getvalue()


def main() -> int:
    """Judge all mutants and print a table.

    Returns:
        How many survived, 0 if all is well.
    """
    begun = time.monotonic()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    groups: dict[str, list[Mutant]] = {"unchanged": []}
    for mutant in MUTANTS:
        groups.setdefault(mutant.group, []).append(mutant)
    every = [test for mutant in MUTANTS for test in mutant.tests]
    with ProcessPoolExecutor(PROCESSES, mp_context=context, max_tasks_per_child=1) as pool:
        waiting = [
            pool.submit(judged, name, found, [test for mutant in found for test in mutant.tests] or every)
            for name, found in groups.items()
        ]
        verdicts = {verdict.group: verdict for verdict in (each.result() for each in waiting)}
    for mutant in MUTANTS:
        lives = mutant.name in verdicts[mutant.group].survivors
        print(f"{'SURVIVES' if lives else 'killed  '}  {mutant.name}")
    for verdict in verdicts.values():
        print(f"{verdict.seconds:6.1f} s  {verdict.group}")
        if verdict.survivors:
            print("\n".join((*verdict.survivors, verdict.printed)))
    survivors = sum(len(verdict.survivors) for verdict in verdicts.values())
    print(f"{len(MUTANTS)} mutants, {survivors} survivors or faults, {time.monotonic() - begun:.0f} s")
    return min(survivors, 1)


if __name__ == "__main__":
    sys.exit(main())
