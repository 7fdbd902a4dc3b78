"""trained_bundle: one trained network per dose and view, as wts.h5.zip with its history and log."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import dagster as dg

from fly64_assets.orchestration.assets.launchpad import training_config, with_training_overrides
from fly64_assets.orchestration.catalog.gate import PartitionFiles
from fly64_assets.orchestration.catalog.io_manager import published_output, record_skip
from fly64_assets.orchestration.catalog.ledger import JobKey, TrainingLedger
from fly64_assets.orchestration.catalog.metadata import optional_picture, table
from fly64_assets.orchestration.graph.partitions import PartitionId, StudyPartitions
from fly64_assets.orchestration.graph.workspace import Workspace
from fly64_assets.science import networks as models
from fly64_assets.science.figures import loss_curve
from fly64_assets.storage import FileRecord, StagedFolder, digest_of, read_json, record_of, sha256_of, staged
from fly64_assets.study import Study, dose_label, split_partition

if TYPE_CHECKING:
    from fly64_assets.science.networks.training import TrainingResult

BUNDLE_NAME = "wts.h5.zip"
COSTS_FILE = "costs.json"
VERDICTS_FILE = "verdicts.json"
TRAINING_POOL = "training"


def training_assets(partitions: StudyPartitions) -> list[dg.AssetsDefinition]:
    """The one asset that trains."""

    @dg.asset(
        partitions_def=partitions.dose_and_view,
        group_name="training",
        code_version="2",
        io_manager_key="files",
        kinds={"pytorch", "lightning"},
        pool=TRAINING_POOL,
        config_schema=training_config(partitions.study),
        output_required=False,
    )
    def trained_bundle(
        context: dg.AssetExecutionContext,
        workspace: dg.ResourceParam[Workspace],
        overlap_view: PartitionFiles,
    ) -> Iterator[dg.Output]:
        """A network trained on one view at one dose: a PINN on counts alone, or the supervised baseline.

        Holds wts.h5.zip, the learning curve and the log. A killed training resumes from its last
        checkpoint when the partition is materialized again.
        """
        item = workspace.item(context, "trained_bundle")
        _, view = split_partition(item.partition)
        study = with_training_overrides(workspace.study, view, context.op_execution_context.op_config)
        parameter_hash = study.parameter_hash("trained_bundle", item.partition)
        ledger = TrainingLedger(workspace.data_root)
        reason = untrainable_reason(overlap_view)
        if reason is not None:
            ledger.record_skip(_job(study, item, study.seeds[0]), reason)
            record_skip(context, reason, parameter_hash=parameter_hash, upstream=[overlap_view])
            return
        with staged(workspace.data_root / item.folder) as stage:
            results = {}
            for seed in study.seeds:
                job = _job(study, item, seed)
                with _recorded(ledger, job):
                    results[seed] = _train(context, workspace, study, item, overlap_view, seed, stage)
                _announce(context, ledger, job, results[seed], stage, workspace.data_root / item.folder)
            first = results[study.seeds[0]]
            metadata = {
                **_bundle_metadata(study, item, stage, results),
                "epochs_completed": first.epochs_completed,
                "final_loss": float(first.final_loss),
                "cpu_seconds": float(first.cpu_seconds),
                "patterns_trained_on": first.patterns_trained_on,
                "verdicts": table(_verdict_rows(results)),
                **optional_picture(context, lambda: loss_curve(first.history), "learning curve"),
            }
            yield published_output(
                context, stage, parameter_hash=parameter_hash, upstream=[overlap_view], metadata=metadata
            )

    return [trained_bundle]


def bundle_file(study: Study, view: str, seed: int) -> str:
    """Name of a seed's bundle inside its partition."""
    return f"{study.seed_folder(seed)}gs{study.views[view].gridsize}/{BUNDLE_NAME}"


def untrainable_reason(view: PartitionFiles) -> str | None:
    """Why nothing is trained on a view; None if it can be."""
    if view.skip_reason is not None:
        return view.skip_reason
    summary = read_json(view.path("metrics_bundle.json"))
    return None if summary["trainable"] else summary["reason"]


def _job(study: Study, item: PartitionId, seed: int) -> JobKey:
    dose, view = split_partition(item.partition)
    return JobKey(
        dose=study.dose_of(dose),
        view=view,
        gridsize=study.views[view].gridsize,
        seed=seed,
        folder=f"{item.folder}/{study.seed_folder(seed)}gs{study.views[view].gridsize}",
    )


@contextlib.contextmanager
def _recorded(ledger: TrainingLedger, job: JobKey) -> Iterator[None]:
    ledger.record_start(job)
    try:
        yield
    except BaseException as error:
        ledger.record_failure(job, f"{type(error).__name__}: {str(error) or 'ended from outside'}")
        raise


def _train(
    context: dg.AssetExecutionContext,
    workspace: Workspace,
    study: Study,
    item: PartitionId,
    view_files: PartitionFiles,
    seed: int,
    stage: StagedFolder,
) -> "TrainingResult":
    from fly64_assets.science.networks.training import train_network  # seconds of imports that the UI does without

    dose, view = split_partition(item.partition)
    name = f"{study.seed_folder(seed)}{view}_train.npz"
    parameter_hash = study.parameter_hash("trained_bundle", item.partition)
    resumable = [parameter_hash, view_files.files[name].sha256, seed, _code_digest()]
    work_dir = workspace.work_dir(item, digest_of(resumable))
    result = train_network(
        view_files.path(name),
        view=study.views[view],
        training=study.training_of(view),
        seed=seed,
        work_dir=work_dir,
        provenance={
            "dose": study.dose_of(dose),
            "view": view,
            "dataset_sha256": view_files.files[name].sha256,
            "parameter_hash": parameter_hash,
        },
        progress=workspace.progress(context.log),
    )
    folder = study.seed_folder(seed)
    shutil.copyfile(result.bundle_path, stage.path(bundle_file(study, view, seed)))
    for extra in ("history.csv", "train.log"):
        if (work_dir / extra).exists():
            shutil.copyfile(work_dir / extra, stage.path(bundle_file(study, view, seed)).with_name(extra))
    _write_json(stage, folder + VERDICTS_FILE, result.verdicts)
    costs = {"cpu_seconds": result.cpu_seconds, "patterns_trained_on": result.patterns_trained_on}
    _write_json(stage, folder + COSTS_FILE, costs)
    shutil.rmtree(work_dir)
    return result


def _code_digest() -> str:
    """Digest of the networks' source: a checkpoint that other code left is not resumed, because it may not fit."""
    return digest_of({path.name: sha256_of(path) for path in sorted(Path(models.__file__).parent.glob("*.py"))})


def _write_json(stage: StagedFolder, name: str, value: Any) -> None:
    stage.path(name).write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def _announce(
    context: dg.AssetExecutionContext,
    ledger: TrainingLedger,
    job: JobKey,
    result: "TrainingResult",
    stage: StagedFolder,
    folder: Path,
) -> None:
    relative = f"{job.folder}/{BUNDLE_NAME}"
    inside = Path(relative).relative_to(Path(folder).relative_to(ledger.data_root)).as_posix()
    record: FileRecord = record_of(stage.staging / inside)
    ledger.record_success(job, result, relative, record)
    head = f"{job.view} (dose={dose_label(job.dose)})"
    for line in (
        f"{head} → Bundle: {relative}",
        f"{head} → SHA256: {record.sha256}",
        f"{head} → Size: {record.size_bytes}",
    ):
        click.echo(line)
        context.log.info(line)


def _bundle_metadata(
    study: Study, item: PartitionId, stage: StagedFolder, results: dict[int, "TrainingResult"]
) -> dict[str, Any]:
    _, view = split_partition(item.partition)
    names = {seed: bundle_file(study, view, seed) for seed in results}
    records = stage.records()
    first = records[names[study.seeds[0]]]
    rows = [
        {"seed": seed, "bundle": f"{item.folder}/{name}", **records[name].to_dict()} for seed, name in names.items()
    ]
    return {
        "bundle_path": f"{item.folder}/{names[study.seeds[0]]}",
        "bundle_sha256": first.sha256,
        "bundle_size_bytes": first.size_bytes,
        "bundles": table(rows),
    }


def _verdict_rows(results: dict[int, "TrainingResult"]) -> list[dict[str, Any]]:
    return [
        {"seed": seed, "verdict": name, "passed": bool(verdict["passed"]), "details": str(verdict.get("details", ""))}
        for seed, result in results.items()
        for name, verdict in result.verdicts.items()
    ]
