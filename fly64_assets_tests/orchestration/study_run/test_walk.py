"""The walk over a study: what runs when, what a failure blocks, and what it costs. No process is started."""

import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly64_assets.orchestration.catalog.freshness import PartitionState, Status
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.graph.study_graph import REPORT, StudyGraph
from fly64_assets.orchestration.study_run.pool import Task, Worker
from fly64_assets.orchestration.study_run.runs import RunOutcome
from fly64_assets.orchestration.study_run.walk import Walk
from fly64_assets.science.records import Progress
from fly64_assets.study import load_study
from fly64_assets_tests.orchestration.conftest import TINY

SIX = {"methods": {"map_again": {"kind": "map", "starts_from": "baseline", "options": {"passes": 4}}}}
GRAPH = StudyGraph(load_study(str(TINY), SIX))
ORDER = GRAPH.walk_order()
DONE = {"outcome": {"success": True, "cause": "", "run_id": "1"}}
FAILED = {"outcome": {"success": False, "cause": "it broke", "run_id": "1"}}
KILLED = {"died": "was killed by SIGKILL (the system does so when memory runs out)"}


@dataclass
class MadeUpFreshness:
    """Says of each partition what it is told to; what has not been made is missing."""

    graph: Any = field(default_factory=lambda: GRAPH)
    states: Mapping[PartitionId, Status] = field(default_factory=dict)
    skips: Mapping[PartitionId, str] = field(default_factory=dict)
    asked: list[PartitionId] = field(default_factory=list)

    def state(self, item: PartitionId) -> PartitionState:
        self.asked.append(item)
        return PartitionState(item, self.states.get(item, "missing"), ("a reason",))

    def entry(self, item: PartitionId) -> Any:
        return type("Entry", (), {"skip_reason": self.skips.get(item)})


@dataclass
class Told:
    """A display that remembers what it is told."""

    events: list[tuple[str, PartitionId]] = field(default_factory=list)
    total: int = 0
    numbers: list[tuple[int, int]] = field(default_factory=list)
    reasons: dict[PartitionId, tuple[str, ...]] = field(default_factory=dict)

    def begin(self, total: int) -> None:
        self.total = total

    def started(self, item: PartitionId, number: int, total: int) -> None:
        self.events.append(("started", item))
        self.numbers.append((number, total))

    def progress(self, item: PartitionId, progress: Progress) -> None:
        self.events.append((f"progress {progress.done}/{progress.total}", item))

    def ended(self, outcome: RunOutcome) -> None:
        self.events.append(("ended", outcome.item))

    def settled(self, state: PartitionState) -> None:
        self.events.append((f"settled {state.status}", state.item))
        self.reasons[state.item] = state.reasons

    def blocked(self, item: PartitionId, cause: str) -> None:
        self.events.append(("blocked", item))
        self.reasons[item] = (cause,)

    def of(self, event: str) -> list[PartitionId]:
        return [item for said, item in self.events if said == event]


class MadeUpWorker(Worker):
    """A worker without a process."""

    pool: Any

    def start(self, task: Task) -> None:
        assert self.task is None, "a busy worker is given nothing"
        self.task = task
        self.pool.given(task)

    def forget(self) -> None:
        self.pool.forgotten += 1
        self.task = None


class MadeUpPool:
    """Workers in this process, of which a chance one ends at a time; what is not told otherwise succeeds."""

    def __init__(
        self,
        jobs: int = 1,
        messages: Mapping[PartitionId, list[dict[str, Any]]] | None = None,
        order: random.Random | None = None,
    ) -> None:
        self.workers = [MadeUpWorker(self) for _ in range(jobs)]  # pyright: ignore[reportArgumentType]
        self.said, self.order = messages or {}, order or random.Random(0)
        self.tasks: list[Task] = []
        self.running: set[PartitionId] = set()
        self.ended: set[PartitionId] = set()
        self.forgotten = self.most = 0

    def given(self, task: Task) -> None:
        item = task.item
        assert item not in self.running | self.ended, "nothing runs twice"
        self.tasks.append(task)
        self.running.add(item)
        self.most = max(self.most, len(self.running))

    def idle(self) -> list[MadeUpWorker]:
        return [worker for worker in self.workers if worker.task is None]

    def messages(self, timeout_seconds: float) -> list[tuple[MadeUpWorker, dict[str, Any]]]:
        worker = self.order.choice([worker for worker in self.workers if worker.task is not None])
        assert worker.task is not None
        self.running.discard(worker.task.item)
        self.ended.add(worker.task.item)
        return [(worker, message) for message in self.said.get(worker.task.item, [DONE])]

    @property
    def given_out(self) -> list[PartitionId]:
        return [task.item for task in self.tasks]


def walked(
    pool: MadeUpPool, freshness: MadeUpFreshness | None = None, selected: list[PartitionId] | None = None
) -> tuple[Walk, Told]:
    display = Told()
    walk = Walk(
        freshness or MadeUpFreshness(),  # pyright: ignore[reportArgumentType]
        ORDER if selected is None else selected,
        pool,  # pyright: ignore[reportArgumentType]
        display,
        {"study": "abc"},
    )
    walk.run()
    return walk, display


def item(asset: str, cell: str | None = "1000|dense") -> PartitionId:
    return PartitionId(asset, cell)


def below(source: PartitionId) -> set[PartitionId]:
    found, waiting = set(), [source]
    while waiting:
        waiting += (new := set(GRAPH.downstream(waiting.pop())) - found)
        found |= new
    return found


def require_upstream_first(display: Told, selected: set[PartitionId]) -> None:
    """Nothing was given out before the last word was said of each partition that it reads."""
    spoken_of: set[PartitionId] = set()
    for said, each in display.events:
        if said == "started":
            waiting = set(GRAPH.upstream(each)) & selected - spoken_of
            assert not waiting, f"{each} was given out before {waiting}"
        else:
            spoken_of.add(each)


def test_one_worker_gets_everything_upstream_first_and_cell_by_cell() -> None:
    pool = MadeUpPool()
    walk, display = walked(pool)
    given_out = pool.given_out
    place = {each: number for number, each in enumerate(given_out)}
    assert len(given_out) == len(ORDER) == display.total
    assert all(place[source] < place[each] for each in ORDER for source in GRAPH.upstream(each))
    assert walk.done == set(ORDER)
    assert walk.failed == {}
    assert display.of("ended") == display.of("started") == given_out
    assert display.numbers == [(number, len(ORDER)) for number in range(1, len(ORDER) + 1)]
    assert {(tuple(task.run_config), tuple(task.tags.items())) for task in pool.tasks} == {((), (("study", "abc"),))}
    cells = [each.partition for each in given_out if each.asset == "comparison_metrics"]
    begun = [each.partition for each in given_out if each.asset == "reconstruction/map"]
    assert cells == begun, "a cell that was begun is finished before the next"


def test_a_failure_blocks_what_is_below_and_nothing_else() -> None:
    broken = item("reconstruction/baseline")
    walk, display = walked(MadeUpPool(messages={broken: [FAILED]}))
    blocked = below(broken) - {PartitionId(REPORT)}
    assert {each.asset for each in blocked} == {"reconstruction/map_again", "comparison_metrics"}
    assert walk.failed[broken] == "it broke"
    assert set(walk.failed) == {broken, *blocked} == {broken, *display.of("blocked")}
    assert display.reasons[item("reconstruction/map_again")] == (f"waits for {broken}, which failed",)
    assert walk.done == set(ORDER) - set(walk.failed)
    assert not walk.outcomes[broken].success


def test_a_network_that_other_views_apply_blocks_them_too() -> None:
    walk, _ = walked(MadeUpPool(messages={item("trained_bundle", "1000|baseline"): [FAILED]}))
    assert item("reconstruction/baseline", "1000|sparse") in walk.failed
    assert item("reconstruction/map", "1000|sparse") in walk.done
    assert not any(each.partition and each.partition.startswith("10000") for each in walk.failed)


def test_the_report_is_made_after_failures_even_if_nothing_else_asks_for_it() -> None:
    broken, report = item("reconstruction/map"), PartitionId(REPORT)
    fresh: dict[PartitionId, Status] = {each: "fresh" for each in ORDER if each not in (broken, report)}
    for found in ("missing", "fresh"):
        pool = MadeUpPool(messages={broken: [FAILED]})
        walk, _ = walked(pool, MadeUpFreshness(states={**fresh, report: found}))
        assert pool.given_out == [broken, report]
        assert report in walk.done
    pool = MadeUpPool()
    walked(pool, MadeUpFreshness(states={**fresh, broken: "fresh", report: "fresh"}))
    assert pool.given_out == []


def test_skips_are_shown_as_skips_whether_they_are_found_or_made() -> None:
    found, made = item("trained_bundle", "1000|sparse"), item("reconstruction/pinn", "1000|sparse")
    freshness = MadeUpFreshness(states={found: "skipped"}, skips={made: "too few positions"})
    walk, display = walked(MadeUpPool(), freshness)
    assert display.of("settled skipped") == [found, made]
    assert display.reasons[made] == ("too few positions",)
    assert made not in display.of("ended")
    assert {found, made} <= walk.done


def test_what_is_fresh_is_judged_when_its_upstream_is_done_and_not_run() -> None:
    """A run above may have changed it, or may not: its content decides, and that is there only now."""
    dataset, view = item("simulated_dataset", "1000"), item("overlap_view")
    selected = [PartitionId("scan"), dataset, view]
    pool, freshness = MadeUpPool(), MadeUpFreshness(states={view: "fresh"})
    asked_when_ended: list[set[PartitionId]] = []

    def state(each: PartitionId) -> PartitionState:
        asked_when_ended.append(set(pool.ended))
        return MadeUpFreshness.state(freshness, each)

    freshness.state = state  # type: ignore[method-assign]
    _, display = walked(pool, freshness, selected)
    assert freshness.asked == selected
    assert asked_when_ended == [set(), {selected[0]}, {selected[0], dataset}]
    assert display.of("settled fresh") == [view]


def test_the_partition_of_a_dead_worker_has_failed_with_the_signals_name_and_the_worker_goes_on() -> None:
    killed = item("trained_bundle")
    pool = MadeUpPool(messages={killed: [KILLED]})
    walk, display = walked(pool)
    assert walk.failed[killed] == "its process was killed by SIGKILL (the system does so when memory runs out)"
    assert walk.outcomes[killed].run_id == ""
    assert pool.forgotten == 1
    assert item("comparison_metrics") in display.of("blocked")
    assert item("comparison_metrics", "10000|sparse") in walk.done


def test_a_worker_that_dies_after_its_outcome_takes_nothing_from_it_and_gets_no_other_task() -> None:
    last = item("reconstruction/map")
    pool = MadeUpPool(messages={last: [DONE, KILLED]})
    walk, _ = walked(pool)
    assert last in walk.done
    assert walk.failed == {}
    assert pool.forgotten == 1


def test_progress_is_told_of_the_partition_that_makes_it() -> None:
    training = item("trained_bundle")
    told = {"progress": {"stage": "train pinn", "done": 3, "total": 8, "loss": 0.5}}
    walk, display = walked(MadeUpPool(messages={training: [told, DONE]}))
    assert display.of("progress 3/8") == [training]
    assert training in walk.done


def test_an_empty_selection_is_a_finished_walk() -> None:
    walk, display = walked(MadeUpPool(), selected=[])
    assert (walk.done, walk.failed, display.events) == (set(), {}, [])


ITEMS = st.sets(st.sampled_from(ORDER))


@given(
    chosen=ITEMS, fresh=ITEMS, failing=ITEMS, dying=ITEMS, jobs=st.integers(1, 5),
    order=st.randoms(use_true_random=False),
)  # fmt: skip
def test_any_selection_ends_with_each_partition_done_or_failed_and_none_too_early(
    chosen: set[PartitionId],
    fresh: set[PartitionId],
    failing: set[PartitionId],
    dying: set[PartitionId],
    jobs: int,
    order: random.Random,
) -> None:
    """However workers take turns: nothing is given out before its upstream is done, and failures go down the graph."""
    selected = [each for each in ORDER if each in chosen]
    pool = MadeUpPool(jobs, {each: [KILLED if each in dying else FAILED] for each in failing | dying}, order)
    freshness = MadeUpFreshness(states=dict.fromkeys(fresh, "fresh"))
    walk, display = walked(pool, freshness, selected)
    require_upstream_first(display, chosen)
    report = PartitionId(REPORT)
    failed, blocked = set(), set()
    for each in selected:
        if each != report and (failed | blocked) & set(GRAPH.upstream(each)):
            blocked.add(each)
        elif each in failing | dying and each not in fresh:
            failed.add(each)
    if report in fresh & (failing | dying) and report in pool.given_out:
        failed.add(report)
    assert set(walk.failed) == failed | blocked
    assert set(display.of("blocked")) == blocked
    assert walk.done == set(selected) - failed - blocked
    runs = set(selected) - blocked - fresh
    assert set(pool.given_out) - {report} == runs - {report}
    assert report not in pool.given_out or report not in fresh or failed | blocked
    assert pool.most <= jobs
    assert Counter(freshness.asked) == Counter(set(selected) - blocked)


class Counting:
    """A graph that counts what it is asked."""

    def __init__(self, graph: StudyGraph) -> None:
        self.graph, self.calls = graph, 0

    def upstream(self, each: PartitionId) -> tuple[PartitionId, ...]:
        self.calls += 1
        return self.graph.upstream(each)

    def downstream(self, each: PartitionId) -> tuple[PartitionId, ...]:
        self.calls += 1
        return self.graph.downstream(each)


def test_the_cost_is_linear_in_the_partitions() -> None:
    """300 doses x 10 views: the graph is asked three times for each partition, and a millisecond is plenty for each."""
    views = {f"v{number}": {"gridsize": 2, "overlap": 0.3} for number in range(7)}
    study = load_study(str(TINY), {"doses": [1000 + number for number in range(300)], "views": views, **SIX})
    graph = Counting(StudyGraph(study))
    selected = graph.graph.walk_order()
    assert len(selected) == 1 + 300 + 3000 * 9 + 1
    graph.graph.downstream(selected[0])
    pool = MadeUpPool(jobs=2)
    pool.given = pool.tasks.append  # type: ignore[method-assign]
    begun = time.process_time()
    walk, _ = walked(pool, MadeUpFreshness(graph=graph), selected)
    seconds = time.process_time() - begun
    assert len(walk.done) == len(selected)
    assert graph.calls <= 3 * len(selected)
    assert seconds / len(selected) < 1e-3, f"{seconds:.1f} CPU-seconds"


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_as_many_partitions_run_side_by_side_as_there_are_workers(jobs: int) -> None:
    pool = MadeUpPool(jobs)
    walked(pool)
    assert pool.most == jobs
