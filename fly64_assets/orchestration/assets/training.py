"""trained_bundle and training/<method>: one trained network per dose and view, as wts.h5.zip with history and log."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import click

from fly64_assets.orchestration.assets.places import require_place
from fly64_assets.orchestration.catalog.ledger import JobKey
from fly64_assets.orchestration.catalog.metadata import Metadata, optional_picture, table
from fly64_assets.orchestration.catalog.publishing import PartitionRun, UntrainableError
from fly64_assets.orchestration.graph import files
from fly64_assets.science.figures import loss_curve
from fly64_assets.science.methods.record import METHOD_KINDS, MethodKind, TrainingResult, TrainingTask
from fly64_assets.study.keys import dose_label
from fly64_assets.study.parameters import TrainingParameters

TRAINING_POOL = "training"


def trained_bundle(run: PartitionRun[TrainingParameters]) -> Metadata:
    """A network, trained on one view at one dose or once for the probe, on counts alone or on a truth.

    Holds wts.h5.zip, the learning curve and the log. A killed training resumes from its last
    checkpoint when the partition is materialized again.
    """
    with _skip_recorded(run):
        require_place(run)
    kind = METHOD_KINDS.get(str(run.parameters.kind))
    results = {seed: _train(run, kind, seed) for seed in run.parameters.seeds}
    first = results[run.parameters.first_seed]
    return {
        "method": str(run.parameters.method),
        **_bundle_metadata(run),
        "epochs_completed": first.epochs_completed,
        "final_loss": float(first.final_loss),
        "cpu_seconds": float(first.cpu_seconds),
        "patterns_trained_on": first.patterns_trained_on,
        "verdicts": table(_verdict_rows(results)),
        **optional_picture(run.log, lambda: loss_curve(first.history), "learning curve"),
    }


def _train(run: PartitionRun[TrainingParameters], kind: MethodKind, seed: int) -> TrainingResult:
    """Train one seed, keep its files, and say where its bundle will stand."""
    job = _job(run, seed)
    with _recorded(run, job):
        result = _result(run, kind, seed)
    bundle = _bundle_of(run, seed)
    record = run.records()[bundle]
    path = f"{run.folder}/{bundle}"
    run.ledger.record_success(job, result, path, record)
    for line in (f"Bundle: {path}", f"SHA256: {record.sha256}", f"Size: {record.size_bytes}"):
        click.echo(f"{_title(run)} → {line}")
        run.log.info(f"{_title(run)} → {line}")
    return result


def _title(run: PartitionRun[TrainingParameters]) -> str:
    """What stands before the printed lines: view and dose, and the method where the asset does not say it."""
    parameters = run.parameters
    if parameters.view_name is None or parameters.dose is None:
        return str(parameters.method)
    method = "" if run.item.asset == "trained_bundle" else f"{parameters.method}, "
    return f"{method}{parameters.view_name} (dose={dose_label(parameters.dose)})"


def _result(run: PartitionRun[TrainingParameters], kind: MethodKind, seed: int) -> TrainingResult:
    parameters = run.parameters
    source, dataset_sha256 = _source(run, seed)
    # A checkpoint that other code left is not resumed, because it may not fit.
    work_dir = run.work_dir([parameters.digest, run.code_version, dataset_sha256, seed])
    task = TrainingTask(
        source=source,
        view=parameters.view,
        seed=seed,
        work_dir=work_dir,
        provenance={
            "method": parameters.method,
            "dose": parameters.dose,
            "view": parameters.view_name,
            "dataset_sha256": dataset_sha256,
            "parameter_hash": parameters.digest,
        },
        execution=run.execution,
        progress=run.progress,
    )
    if kind.train is None:
        message = f"kind {kind.name} trains nothing"
        raise TypeError(message)
    result = kind.train(task, parameters.options)
    bundle = run.path(_bundle_of(run, seed))
    shutil.copyfile(result.bundle_path, bundle)
    for extra in (files.HISTORY, files.TRAINING_LOG):
        if (work_dir / extra).exists():
            shutil.copyfile(work_dir / extra, bundle.with_name(extra))
    run.write_json(parameters.folder_of(seed) + files.VERDICTS, result.verdicts)
    costs = {"cpu_seconds": result.cpu_seconds, "patterns_trained_on": result.patterns_trained_on}
    run.write_json(parameters.folder_of(seed) + files.COSTS, costs)
    shutil.rmtree(work_dir)
    return result


def _source(run: PartitionRun[TrainingParameters], seed: int) -> tuple[Path, str]:
    """What the network learns from, with its digest: the view's train split, or the scan's probe and positions."""
    parameters = run.parameters
    if parameters.view_name is None:
        found, name = run.files("scan"), files.ILLUMINATION
    else:
        found = run.files("overlap_view")
        name = files.view_file(parameters.view_name, "train", parameters.folder_of(seed))
    return found.path(name), found.files[name].sha256


def _bundle_of(run: PartitionRun[TrainingParameters], seed: int) -> str:
    if run.parameters.view is None:
        return files.BUNDLE
    return files.bundle_file(run.parameters.view.gridsize, run.parameters.folder_of(seed))


def _job(run: PartitionRun[TrainingParameters], seed: int) -> JobKey:
    parameters = run.parameters
    return JobKey(
        dose=parameters.dose,
        view=parameters.view_name,
        method=parameters.method,
        gridsize=None if parameters.view is None else parameters.view.gridsize,
        seed=seed,
        folder=PurePosixPath(run.folder, _bundle_of(run, seed)).parent.as_posix(),
    )


@contextlib.contextmanager
def _skip_recorded(run: PartitionRun[TrainingParameters]) -> Iterator[None]:
    try:
        yield
    except UntrainableError as reason:
        run.ledger.record_skip(_job(run, run.parameters.first_seed), str(reason))
        raise


@contextlib.contextmanager
def _recorded(run: PartitionRun[TrainingParameters], job: JobKey) -> Iterator[None]:
    run.ledger.record_start(job)
    try:
        yield
    except BaseException as error:
        run.ledger.record_failure(job, f"{type(error).__name__}: {str(error) or 'ended from outside'}")
        raise


def _bundle_metadata(run: PartitionRun[TrainingParameters]) -> Metadata:
    records = run.records()
    names = {seed: _bundle_of(run, seed) for seed in run.parameters.seeds}
    first = names[run.parameters.first_seed]
    rows = [{"seed": seed, "bundle": f"{run.folder}/{name}", **records[name].to_dict()} for seed, name in names.items()]
    return {
        "bundle_path": f"{run.folder}/{first}",
        "bundle_sha256": records[first].sha256,
        "bundle_size_bytes": records[first].size_bytes,
        "bundles": table(rows),
    }


def _verdict_rows(results: dict[int, TrainingResult]) -> list[dict[str, Any]]:
    return [
        {"seed": seed, "verdict": name, "passed": bool(verdict["passed"]), "details": str(verdict.get("details", ""))}
        for seed, result in results.items()
        for name, verdict in result.verdicts.items()
    ]
