"""scan and simulated_dataset: object, probe and positions, and the photons counted at each dose."""

from fly64_assets.orchestration.catalog.metadata import Metadata, loss_metadata, optional_picture, scalars, table
from fly64_assets.orchestration.catalog.publishing import PartitionRun
from fly64_assets.orchestration.graph import files
from fly64_assets.science.arrays import ComplexObject
from fly64_assets.science.contract import read_dataset
from fly64_assets.science.figures import contact_sheet, dataset_preview, scan_preview
from fly64_assets.science.methods.reference import reconstruct_reference
from fly64_assets.science.physics.probe import probe_diameter_px
from fly64_assets.science.records import Reconstruction, Scan
from fly64_assets.science.scan import (
    make_scan,
    read_measured_scan,
    read_scan,
    with_reference,
    write_illumination,
    write_scan,
)
from fly64_assets.science.simulation import simulate_dose
from fly64_assets.study.parameters import DatasetParameters, Repetition, ScanParameters


def scan(run: PartitionRun[ScanParameters]) -> Metadata:
    """Object, probe and scan positions that every dose shares.

    Synthetic, read from a base NPZ, or reconstructed by pty-chi from measured counts at full dose.
    """
    made, reference = _made(run)
    write_scan(run.path(files.SCAN), made)
    write_illumination(run.path(files.ILLUMINATION), made)
    return {
        "positions": len(made.positions_xy_px),
        "object_shape_px": str(made.object.shape),
        "object_origin": made.object_origin,
        "probe_diameter_px": float(probe_diameter_px(made.probe)),
        **optional_picture(run.log, lambda: scan_preview(made), "scan"),
        **(optional_picture(run.log, lambda: contact_sheet(_named(run, made)), "objects") if made.replicates else {}),
        **({} if reference is None else loss_metadata(run.log, reference)),
    }


def simulated_dataset(run: PartitionRun[DatasetParameters]) -> Metadata:
    """Photon counts at one dose: Poisson noise, or measured counts thinned; train and test DATA-001 files.

    Train and test are the two halves of the scan in y, with a guard band between them, so that
    no lit object pixel is in both. Of objects beyond the first there is a test file alone.
    """
    parameters = run.parameters
    source = read_scan(run.files("scan").path(files.SCAN))
    rows = [
        {"object": each.object, "seed": each.seed, **_simulate(run, source, each)} for each in parameters.repetitions
    ]
    first = run.path(files.dataset_file("train", parameters.folder_of(parameters.first_seed)))
    return {
        **scalars(rows[0]),
        "summary": table(rows),
        **optional_picture(run.log, lambda: dataset_preview(read_dataset(first)), "train split"),
    }


def _named(run: PartitionRun[ScanParameters], made: Scan) -> dict[str, ComplexObject]:
    """Every object by its name, the first one first."""
    return {name: made.of_object(name).object for name in run.parameters.scan.samples}


def _made(run: PartitionRun[ScanParameters]) -> tuple[Scan, Reconstruction | None]:
    """The scan; a measured one with the reference that was reconstructed for it, which is not the truth."""
    options = run.parameters.scan
    if options.source != "measured":
        return make_scan(options), None
    measured = read_measured_scan(options)
    found = reconstruct_reference(measured, options.reference, seed=options.seed, progress=run.progress)
    return with_reference(measured, found), found


def _simulate(run: PartitionRun[DatasetParameters], source: Scan, each: Repetition) -> dict:
    parameters = run.parameters
    further = each.object in source.replicates
    summary = simulate_dose(
        source.of_object(each.object),
        parameters.dose,
        parameters.options,
        parameters.split,
        seed=each.seed,
        paths={split: run.path(files.dataset_file(split, each.folder)) for split in each.splits},
        parameter_hash=parameters.digest if further else parameters.first_digest,
        stream=("object", each.object) if further else (),
        progress=run.progress,
    )
    return summary.to_dict()
