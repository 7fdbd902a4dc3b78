"""``fly64 study`` without its command line: plan, walk, and the summary at the end."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dagster import DagsterInstance
from rich.console import Console

from fly64_assets.orchestration.catalog.freshness import Freshness, plan
from fly64_assets.orchestration.catalog.instance import limit_training, study_instance
from fly64_assets.orchestration.catalog.interrupted import settle_interrupted
from fly64_assets.orchestration.catalog.verify import verify_data_root
from fly64_assets.orchestration.code_location import code_versions
from fly64_assets.orchestration.graph import files
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.graph.study_graph import REPORT, StudyGraph
from fly64_assets.orchestration.study_run.pool import WorkerPool
from fly64_assets.orchestration.study_run.runs import STUDY_TAG
from fly64_assets.orchestration.study_run.terminal import TerminalDisplay
from fly64_assets.orchestration.study_run.walk import Walk
from fly64_assets.storage import remove_abandoned_staging
from fly64_assets.study import Study


@dataclass(frozen=True)
class StudyRequest:
    """What ``fly64 study`` was asked to do."""

    study: Study
    data_root: Path
    doses: list[str]
    views: list[str]
    jobs: int = 1

    @cached_property
    def graph(self) -> StudyGraph:
        """The study's graph."""
        return StudyGraph(self.study)

    def selected(self) -> list[PartitionId]:
        """The partitions asked for, with what they need, upstream first."""
        return self.graph.select(self.doses, self.views)


def list_plan(request: StudyRequest, console: Console) -> None:
    """Print what would run and why; run nothing."""
    with study_instance(request.data_root, request.study.name) as instance:
        states = plan(_freshness(request, instance), request.selected())
    for state in states:
        why = f": {'; '.join(state.reasons)}" if state.reasons else ""
        verb = "run " if state.must_run else "keep"
        console.print(f"{verb} {state.item} ({state.status}{why})", markup=False, highlight=False)
    todo = sum(state.must_run for state in states)
    console.print(f"{todo} of {len(states)} partitions would run", markup=False, highlight=False)


def run_study(request: StudyRequest, console: Console) -> dict[PartitionId, str]:
    """Materialize what is missing or stale and print the summary.

    Returns:
        Failed partitions with their causes; empty if all went well.
    """
    with study_instance(request.data_root, request.study.name) as instance:
        limit_training(instance)
        for run_id in _settle(request, instance):
            console.print(f"run {run_id[:8]} was interrupted and is marked as failed", markup=False, highlight=False)
        freshness = _freshness(request, instance)
        pool = WorkerPool(request.study, request.data_root, request.jobs)
        display = TerminalDisplay(console)
        walking = Walk(freshness, request.selected(), pool, display, {STUDY_TAG: request.graph.study_hash})
        try:
            with display.live():
                walking.run()
        finally:
            pool.close()
            _settle(request, instance)
        _print_summary(request, freshness, walking, console)
    return walking.failed


def verify_study(request: StudyRequest, console: Console) -> int:
    """Print every deviation of the data root from the catalog.

    Returns:
        How many there are; stale partitions and partitions never made are not counted.
    """
    with study_instance(request.data_root, request.study.name) as instance:
        findings = verify_data_root(_freshness(request, instance))
    for finding in findings:
        console.print(str(finding), markup=False, highlight=False, soft_wrap=True)
    damaged = sum(finding.kind in ("missing", "changed") for finding in findings)
    others = len(findings) - damaged
    console.print(f"{request.data_root}: {damaged} missing or changed, {others} foreign or stale", markup=False)
    return damaged


def _settle(request: StudyRequest, instance: DagsterInstance) -> list[str]:
    """Leave nothing behind of dead processes: unfinished runs, trainings that stand as running, staged files."""
    remove_abandoned_staging(request.data_root)
    return settle_interrupted(instance, request.graph, request.data_root)


def _freshness(request: StudyRequest, instance: DagsterInstance) -> Freshness:
    return Freshness(request.graph, instance, request.data_root, code_versions(request.graph))


def _print_summary(request: StudyRequest, freshness: Freshness, walking: Walk, console: Console) -> None:
    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    computed = sum(outcome.success for outcome in walking.outcomes.values())
    kept = len(walking.done) - computed
    say(f"{computed} partitions computed, {kept} were fresh, {len(walking.failed)} failed")
    for item in walking.selected:
        entry = freshness.entry(item) if request.graph.node(item.asset).trains else None
        for name, record in entry.files.items() if entry is not None else ():
            if files.is_bundle(name):
                say(f"bundle {item.folder}/{name}  sha256 {record.sha256}")
    for item, cause in walking.failed.items():
        say(f"FAILED {item}: {cause}\n       retry with: {item.command}")
    report = request.data_root / REPORT / files.REPORT
    if report.exists():
        say(f"report {report}")
