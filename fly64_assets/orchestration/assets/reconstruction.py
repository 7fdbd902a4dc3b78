"""network_reconstruction and pty_chi_reconstruction: every method's object, as Ptychodus product files."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import dagster as dg

from fly64_assets.orchestration.catalog.gate import GateRefusedError, PartitionFiles
from fly64_assets.orchestration.catalog.io_manager import published_output, record_skip
from fly64_assets.orchestration.catalog.metadata import loss_metadata, optional_picture, table
from fly64_assets.orchestration.graph.files import COSTS_FILE, product_file, snapshot_file
from fly64_assets.orchestration.graph.partitions import StudyPartitions
from fly64_assets.orchestration.graph.workspace import Workspace
from fly64_assets.science.contract import read_dataset
from fly64_assets.science.figures import reconstruction_preview
from fly64_assets.science.interop.ptychodus import read_product, write_product
from fly64_assets.science.methods.pty_chi import reconstruct_with_pty_chi
from fly64_assets.science.records import SPLITS, Measurement, ProgressListener, Reconstruction, Split
from fly64_assets.storage import StagedFolder, read_json, staged
from fly64_assets.study import BASELINE_VIEW, Study, split_partition


def reconstruction_assets(partitions: StudyPartitions) -> list[dg.AssetsDefinition]:
    """Networks and iterative reconstruction, side by side."""
    cell: dict[str, Any] = {
        "partitions_def": partitions.dose_and_view,
        "group_name": "reconstruction",
        "io_manager_key": "files",
        "output_required": False,
    }
    bundles = dg.AssetIn(partition_mapping=partitions.own_and_baseline, metadata={"many": True})

    @dg.asset(ins={"trained_bundle": bundles}, kinds={"pytorch", "hdf5"}, code_version="3", **cell)
    def network_reconstruction(
        context: dg.AssetExecutionContext,
        workspace: dg.ResourceParam[Workspace],
        overlap_view: PartitionFiles,
        trained_bundle: dict[str, PartitionFiles],
    ) -> Iterator[dg.Output]:
        """The view's own network and the same dose's baseline applied to both splits, and the PINN refined.

        Networks see amplitudes, their scale, the probe and the positions; never the object.
        """
        item = workspace.item(context, "network_reconstruction")
        parameter_hash = workspace.study.parameter_hash("network_reconstruction", item.partition)
        upstream = [overlap_view, *trained_bundle.values()]
        reason = next((source.skip_reason for source in upstream if source.skip_reason is not None), None)
        if reason is not None:
            record_skip(context, reason, parameter_hash=parameter_hash, upstream=upstream)
            return
        dose, view = split_partition(item.partition)
        own, baseline = trained_bundle[f"{dose}|{view}"], trained_bundle[f"{dose}|{BASELINE_VIEW}"]
        products = ProductSet(workspace.study, workspace.progress(context.log))
        with staged(workspace.data_root / item.folder) as stage:
            for seed in workspace.study.seeds:
                products.training_costs(seed, view, own, baseline)
                for split in SPLITS:
                    measurement = measurement_of(overlap_view, workspace.study, view, split, seed)
                    products.add_networks(stage, measurement, seed, split, view, own, baseline)
            products.write_costs(stage)
            yield published_output(
                context,
                stage,
                parameter_hash=parameter_hash,
                upstream=upstream,
                metadata=products.metadata(context, stage),
            )

    ins = {"network_reconstruction": dg.AssetIn()} if partitions.study.pty_chi.start == "pinn" else {}

    @dg.asset(ins={"overlap_view": dg.AssetIn(), **ins}, kinds={"ptychi", "hdf5"}, code_version="2", **cell)
    def pty_chi_reconstruction(
        context: dg.AssetExecutionContext,
        workspace: dg.ResourceParam[Workspace],
        overlap_view: PartitionFiles,
        **start: PartitionFiles,
    ) -> Iterator[dg.Output]:
        """Iterative reconstruction of both splits by pty-chi, from a flat object unless the study says otherwise.

        The number of epochs is fixed in the study file; nothing is chosen by looking at the truth. Of the test split,
        what there was on the way is kept too: it shows what less CPU time would have bought.
        """
        item = workspace.item(context, "pty_chi_reconstruction")
        study = workspace.study
        parameter_hash = study.parameter_hash("pty_chi_reconstruction", item.partition)
        upstream = [overlap_view, *start.values()]
        reason = skip_reason(overlap_view)
        if reason is not None:
            record_skip(context, reason, parameter_hash=parameter_hash, upstream=upstream)
            return
        _, view = split_partition(item.partition)
        products = ProductSet(study, workspace.progress(context.log))
        with staged(workspace.data_root / item.folder) as stage:
            for seed in study.seeds:
                for split in SPLITS:
                    measurement = measurement_of(overlap_view, study, view, split, seed)
                    found = reconstruct_with_pty_chi(
                        measurement,
                        study.pty_chi,
                        seed=seed,
                        start_object=start_object(start, study, seed, split),
                        keep_snapshots=split == "test",
                        progress=products.progress,
                    )
                    products.add(stage, found, seed, split)
            products.write_costs(stage)
            yield published_output(
                context,
                stage,
                parameter_hash=parameter_hash,
                upstream=upstream,
                metadata=products.metadata(context, stage),
            )

    assets: list[Any] = [network_reconstruction, pty_chi_reconstruction]
    return assets


@dataclass
class ProductSet:
    """Collects the products of a cell and what they cost."""

    study: Study
    progress: ProgressListener
    costs: dict[str, dict[str, Any]] = field(default_factory=dict)
    shown: dict[str, Reconstruction] = field(default_factory=dict)

    def training_costs(self, seed: int, view: str, own: PartitionFiles, baseline: PartitionFiles) -> None:
        """What training cost, for the methods that rest on each bundle."""
        folder = self.study.seed_folder(seed)
        entry = self.costs.setdefault(str(seed), {})
        entry["train"] = {"baseline": read_json(baseline.path(f"{folder}{COSTS_FILE}"))}
        if view != BASELINE_VIEW:
            spent = read_json(own.path(f"{folder}{COSTS_FILE}"))
            entry["train"] |= {"pinn": spent, "pinn_refined": spent}

    def add_networks(
        self,
        stage: StagedFolder,
        measurement: Measurement,
        seed: int,
        split: Split,
        view: str,
        own: PartitionFiles,
        baseline: PartitionFiles,
    ) -> None:
        """Apply the baseline's bundle and, unless this is the baseline view, the view's own."""
        from fly64_assets.science.networks.inference import reconstruct_with_network  # imports torch

        folder = self.study.seed_folder(seed)
        gridsize = self.study.views[view].gridsize
        methods = {"baseline": (baseline.path(f"{folder}gs1/wts.h5.zip"), None)}
        if view != BASELINE_VIEW:
            bundle = own.path(f"{folder}gs{gridsize}/wts.h5.zip")
            methods |= {"pinn": (bundle, None), "pinn_refined": (bundle, self.study.refine)}
        for method, (bundle, refine) in methods.items():
            found = reconstruct_with_network(bundle, measurement, method=method, refine=refine, progress=self.progress)
            self.add(stage, found, seed, split)

    def add(self, stage: StagedFolder, found: Reconstruction, seed: int, split: Split) -> None:
        """Write a product; its CPU time goes to the costs, so that equal results have equal files."""
        folder = self.study.seed_folder(seed)
        write_product(stage.path(product_file(found.method, split, folder)), replace(found, cpu_seconds=float("nan")))
        costs = self.costs.setdefault(str(seed), {})
        costs.setdefault("reconstruct", {}).setdefault(found.method, {})[split] = found.cpu_seconds
        for step in found.snapshots:
            epochs = len(step.loss_epochs)
            path = stage.path(snapshot_file(found.method, split, folder, epochs))
            write_product(path, replace(step, cpu_seconds=float("nan")))
            trace = costs.setdefault("on_the_way", {}).setdefault(found.method, {}).setdefault(split, {})
            trace[str(epochs)] = step.cpu_seconds
        if split == "test" and seed == self.study.seeds[0]:
            self.shown[found.method] = found

    def write_costs(self, stage: StagedFolder) -> None:
        """Put the costs beside the products."""
        stage.path(COSTS_FILE).write_text(json.dumps(self.costs, indent=2, sort_keys=True) + "\n")

    def metadata(self, context: dg.AssetExecutionContext, stage: StagedFolder) -> dict[str, Any]:
        """Catalog entry: a picture of the test split and a table of costs."""
        rows = [
            {"seed": seed, "method": method, "split": split, "cpu_seconds": round(seconds, 2)}
            for seed, entry in self.costs.items()
            for method, splits in entry["reconstruct"].items()
            for split, seconds in splits.items()
        ]
        pictures = optional_picture(context, lambda: reconstruction_preview(self.shown), "test split")
        iterative = self.shown.get("pty_chi")
        if iterative is not None:
            pictures |= loss_metadata(context, iterative)
        return {"costs": table(rows), "files": len(stage.records()), **pictures}


def measurement_of(view_files: PartitionFiles, study: Study, view: str, split: Split, seed: int) -> Measurement:
    """What a solver may see of a view: the dataset without its truth."""
    return read_dataset(view_files.path(f"{study.seed_folder(seed)}{view}_{split}.npz")).measurement


def skip_reason(view_files: PartitionFiles) -> str | None:
    """Why a view's cell is not reconstructed; None if it is."""
    summary = read_json(view_files.path("metrics_bundle.json"))
    return None if summary["trainable"] else summary["reason"]


def start_object(start: Mapping[str, PartitionFiles], study: Study, seed: int, split: Split) -> Any:
    """The PINN's object to start from, if the study asks for it.

    Raises:
        GateRefusedError: the cell has no PINN product.
    """
    if study.pty_chi.start == "flat":
        return None
    products = start["network_reconstruction"]
    name = product_file("pinn", split, study.seed_folder(seed))
    if name not in products.files:
        message = f"{products.item} has no PINN product: pty_chi.start 'pinn' works in cells whose view trains a PINN"
        raise GateRefusedError(message)
    return read_product(products.path(name)).object
