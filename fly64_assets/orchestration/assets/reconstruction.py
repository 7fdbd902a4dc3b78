"""reconstruction/<method>: what a method makes of both splits of a view, as Ptychodus product files."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fly64_assets.orchestration.assets.places import require_place
from fly64_assets.orchestration.catalog.gate import GateRefusedError, PartitionFiles
from fly64_assets.orchestration.catalog.metadata import Metadata, loss_metadata, optional_picture, table
from fly64_assets.orchestration.catalog.publishing import PartitionRun
from fly64_assets.orchestration.graph import files
from fly64_assets.science.contract import read_dataset
from fly64_assets.science.figures import reconstruction_preview
from fly64_assets.science.interop.ptychodus import read_product, write_product
from fly64_assets.science.methods.following import Followed, follow
from fly64_assets.science.methods.record import METHOD_KINDS, Given
from fly64_assets.science.metrics.explanation import Explanation, explain_counts
from fly64_assets.science.records import Measurement, Reconstruction, Split
from fly64_assets.storage import read_json, sha256_of
from fly64_assets.study.parameters import ReconstructionParameters, Repetition


def reconstruction(run: PartitionRun[ReconstructionParameters]) -> Metadata:
    """What one method makes of the counts of a view, of both splits.

    The method sees amplitudes, their scale, the probe and the positions, never the object. Of the test split, what
    it had on its way is kept too: it shows what less CPU time would have bought. Objects beyond the first have a test
    split alone, and no way is kept of them.
    """
    require_place(run)
    made = Results()
    for each in run.parameters.repetitions:
        for split in each.splits:
            _keep(run, made, _follow(run, each, split), each, split)
    made.costs |= {"train": {str(seed): spent for seed, spent in _training_costs(run)}}
    run.write_json(files.COSTS, made.costs)
    run.write_json(files.EXPLANATIONS, made.explanations)
    shown = made.shown
    return {
        "costs": table(made.cost_rows()),
        "explains counts": table(made.explanation_rows()),
        **optional_picture(run.log, lambda: reconstruction_preview(shown), f"{files.TRACED} split"),
        **(loss_metadata(run.log, shown[str(run.parameters.method)]) if shown else {}),
    }


@dataclass
class Results:
    """Collects what a partition's runs cost, how they explain the counts, and what is shown of them."""

    costs: dict[str, Any] = field(default_factory=lambda: {"reconstruct": {}, "trace": {}})
    explanations: dict[str, dict[str, Any]] = field(default_factory=dict)
    shown: dict[str, Reconstruction] = field(default_factory=dict)

    def cost_rows(self) -> list[dict[str, Any]]:
        """A row per seed or further object, and split."""
        return [
            {"object or seed": key, "split": split, "cpu_seconds": round(seconds, 2)}
            for key, splits in self.costs["reconstruct"].items()
            for split, seconds in splits.items()
        ]

    def explanation_rows(self) -> list[dict[str, Any]]:
        """A row per seed or further object, and split."""
        return [
            {"object or seed": key, "split": split, **found}
            for key, splits in self.explanations.items()
            for split, found in splits.items()
        ]


def _follow(run: PartitionRun[ReconstructionParameters], each: Repetition, split: Split) -> Followed:
    parameters = run.parameters
    start = _start(run, each, split)
    given = Given(
        each.seed,
        start=None if start is None else start.object,
        start_extended=None if start is None else start.extended,
        bundle=_bundle(run, each.seed),
        progress=run.progress,
    )
    return follow(
        METHOD_KINDS.get(str(parameters.kind)),
        _measurement(run, each, split),
        parameters.options,
        given,
        method=str(parameters.method),
        keep_trace=split == files.TRACED and each.first,
    )


def _measurement(run: PartitionRun[ReconstructionParameters], each: Repetition, split: Split) -> Measurement:
    name = files.view_file(run.parameters.view_name, split, each.folder)
    return read_dataset(run.files("overlap_view").path(name)).measurement


def _keep(
    run: PartitionRun[ReconstructionParameters], made: Results, followed: Followed, each: Repetition, split: Split
) -> None:
    """Write a result and its way; CPU times go to the costs, so that equal results have equal files."""
    parameters, result = run.parameters, followed.result
    method, folder = str(parameters.method), each.folder
    _write(run.path(files.product_file(method, split, folder)), result)
    made.costs["reconstruct"].setdefault(each.key, {})[split] = result.cpu_seconds
    for step, estimate in followed.trace.items():
        _write(run.path(files.trace_file(method, split, folder, step)), estimate)
        made.costs["trace"].setdefault(each.key, {})[str(step)] = estimate.cpu_seconds
    made.explanations.setdefault(each.key, {})[split] = _explained(run, result, each, split).to_dict()
    if split == files.TRACED and each.first:
        made.shown[method] = result


def _explained(
    run: PartitionRun[ReconstructionParameters], result: Reconstruction, each: Repetition, split: Split
) -> Explanation:
    return explain_counts(_measurement(run, each, split), result, learned=run.parameters.learned)


def _write(path: Path, estimate: Reconstruction) -> None:
    write_product(path, replace(estimate, cpu_seconds=float("nan")))


def _start(run: PartitionRun[ReconstructionParameters], each: Repetition, split: Split) -> Reconstruction | None:
    """The result of the method that this one starts from; None: flat."""
    method = run.parameters.starts_from
    if method is None:
        return None
    products = run.files(f"reconstruction/{method}")
    return read_product(products.path(files.product_file(method, split, each.folder)))


def _trained(run: PartitionRun[ReconstructionParameters]) -> PartitionFiles | None:
    """The partition that holds the method's network; None if it has none."""
    names = ("trained_bundle", f"training/{run.parameters.method}")
    found = [source for name in names for source in run.inputs.get(name, {}).values()]
    return found[0] if found else None


def _bundle(run: PartitionRun[ReconstructionParameters], seed: int) -> Path | None:
    if run.parameters.bundle_sha256 is not None:
        return _named_bundle(run)
    source = _trained(run)
    if source is None:
        return None
    # One that was trained for the probe serves every seed.
    folder = run.parameters.folder_of(seed) if run.parameters.trained_on is not None else ""
    found = [name for name in source.files if files.is_bundle(name) and name.startswith(folder)]
    if len(found) != 1:
        message = f"{source.item}: expected one bundle of seed {seed}, it holds {sorted(source.files)}"
        raise GateRefusedError(message)
    return source.path(found[0])


def _named_bundle(run: PartitionRun[ReconstructionParameters]) -> Path:
    """The bundle that the options name, if it is still what it was when the run was asked for."""
    options, expected = run.parameters.options, run.parameters.bundle_sha256
    path = METHOD_KINDS.get(str(run.parameters.kind)).bundle_of(options)
    if path is None or not path.is_file() or sha256_of(path) != expected:
        message = f"{run.item}: the bundle that {run.parameters.method} names is {path}, expected sha256 {expected}"
        raise GateRefusedError(message)
    return path


def _training_costs(run: PartitionRun[ReconstructionParameters]) -> Iterator[tuple[int, dict[str, Any]]]:
    source = _trained(run)
    if source is None:
        return
    for seed in run.parameters.seeds:
        folder = run.parameters.folder_of(seed) if run.parameters.trained_on is not None else ""
        yield seed, read_json(source.path(folder + files.COSTS))
