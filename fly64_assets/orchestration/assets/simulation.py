"""scan and simulated_dataset: object, probe and positions, and the photons counted at each dose."""

import dagster as dg

from fly64_assets.orchestration.assets.launchpad import seed_config, with_seed
from fly64_assets.orchestration.catalog.gate import PartitionFiles
from fly64_assets.orchestration.catalog.io_manager import published_output
from fly64_assets.orchestration.catalog.metadata import loss_metadata, optional_picture, scalars, table
from fly64_assets.orchestration.graph.partitions import PartitionId, StudyPartitions
from fly64_assets.orchestration.graph.workspace import Workspace
from fly64_assets.science.contract import read_dataset
from fly64_assets.science.figures import dataset_preview, scan_preview
from fly64_assets.science.methods.reference import reconstruct_reference
from fly64_assets.science.physics.probe import probe_diameter_px
from fly64_assets.science.records import SPLITS, ProgressListener, Reconstruction, Scan, Split
from fly64_assets.science.scan import make_scan, read_measured_scan, read_scan, with_reference, write_scan
from fly64_assets.science.simulation import simulate_dose
from fly64_assets.storage import staged

SCAN_FILE = "scan.npz"
DATASET_FILES: dict[Split, str] = {split: f"patched_{split}.npz" for split in SPLITS}


def simulation_assets(partitions: StudyPartitions) -> list[dg.AssetsDefinition]:
    """The two assets that need no view."""

    @dg.asset(group_name="simulation", code_version="1", io_manager_key="files", kinds={"numpy"})
    def scan(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.Output:
        """Object, probe and scan positions that every dose shares.

        Synthetic, read from a base NPZ, or reconstructed by pty-chi from measured counts at full dose.
        """
        options = workspace.study.scan
        item = PartitionId("scan")
        progress = workspace.progress(context.log)
        reference = None
        if options.source == "measured":
            made, reference = measured_scan(workspace, progress)
        else:
            made = make_scan(options)
        with staged(workspace.data_root / item.folder) as stage:
            write_scan(stage.path(SCAN_FILE), made)
            metadata = {
                "positions": len(made.positions_xy_px),
                "object_shape_px": str(made.object.shape),
                "object_origin": made.object_origin,
                "probe_diameter_px": float(probe_diameter_px(made.probe)),
                **optional_picture(context, lambda: scan_preview(made), "scan"),
                **({} if reference is None else loss_metadata(context, reference)),
            }
            return published_output(
                context, stage, parameter_hash=workspace.study.parameter_hash("scan"), upstream=[], metadata=metadata
            )

    @dg.asset(
        partitions_def=partitions.dose,
        group_name="simulation",
        code_version="1",
        io_manager_key="files",
        kinds={"numpy"},
        config_schema=seed_config(partitions.study, "Seed of the noise, or of the thinning."),
    )
    def simulated_dataset(
        context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace], scan: PartitionFiles
    ) -> dg.Output:
        """Photon counts at one dose: Poisson noise, or measured counts thinned; train and test DATA-001 files.

        Train and test are the two halves of the scan in y, with a guard band between them, so that
        no lit object pixel is in both.
        """
        study = with_seed(workspace.study, context.op_execution_context.op_config)
        item = workspace.item(context, "simulated_dataset")
        parameter_hash = study.parameter_hash("simulated_dataset", item.partition)
        source = read_scan(scan.path(SCAN_FILE))
        with staged(workspace.data_root / item.folder) as stage:
            rows = []
            for seed in study.seeds:
                folder = study.seed_folder(seed)
                summary = simulate_dose(
                    source,
                    study.dose_of(context.partition_key),
                    study.dose,
                    study.split,
                    seed=seed,
                    paths={split: stage.path(folder + name) for split, name in DATASET_FILES.items()},
                    parameter_hash=parameter_hash,
                    progress=workspace.progress(context.log),
                )
                rows.append({"seed": seed, **summary.to_dict()})
            first = stage.path(study.seed_folder(study.seeds[0]) + DATASET_FILES["train"])
            metadata = {
                **scalars(rows[0]),
                "summary": table(rows),
                **optional_picture(context, lambda: dataset_preview(read_dataset(first)), "train split"),
            }
            return published_output(context, stage, parameter_hash=parameter_hash, upstream=[scan], metadata=metadata)

    return [scan, simulated_dataset]


def measured_scan(workspace: Workspace, progress: ProgressListener) -> tuple[Scan, Reconstruction]:
    """Object and probe reconstructed by pty-chi from measured counts; a reference, not the truth."""
    options = workspace.study.scan
    measured = read_measured_scan(options)
    found = reconstruct_reference(measured, options.reference, seed=options.seed, progress=progress)
    return with_reference(measured, found), found
