"""``fly64``: run a study, check files, convert them, look into bundles. Each command answers --help with an example."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console

from fly64_assets.storage import DataRootBusyError, data_root_lock
from fly64_assets.study import Study, StudyError, data_root_of, dose_key, load_study

if TYPE_CHECKING:
    from fly64_assets.science.interop.record import FileFormat

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
console = Console(soft_wrap=True)
errors = Console(stderr=True, soft_wrap=True)

CODE_LOCATION = "fly64_assets.definitions"
NEEDS_CODE_LOCATION = (
    *("ASSET_MATERIALIZE", "ASSET_LIST", "DEFINITIONS_VALIDATE", "DEV"),
    *("JOB_BACKFILL", "JOB_EXECUTE", "JOB_LAUNCH", "JOB_LIST", "JOB_SCAFFOLD_CONFIG"),
    *("SCHEDULE_LIST", "SCHEDULE_START", "SCHEDULE_STOP", "SENSOR_LIST", "SENSOR_START", "SENSOR_STOP"),
)
"""Dagster commands that must be told where the code is."""

StudyOption = Annotated[str, typer.Option("--study", envvar="FLY64_STUDY", help="Name of a shipped study, or a path.")]


def main() -> None:
    """Entry point: known errors become one clear line and exit status 1."""
    try:
        app()
    except (StudyError, DataRootBusyError, FileNotFoundError, FileExistsError, ValueError) as error:
        errors.print(f"fly64: {error}", markup=False, highlight=False)
        sys.exit(1)


@app.command(epilog="Example: fly64 study --study quick --doses 1000,10000 --views dense,sparse --jobs 2")
def study(
    study_name: StudyOption = "quick",
    doses: Annotated[str, typer.Option(help="Comma-separated, or 'all'; default: the study's default_doses.")] = "",
    views: Annotated[str, typer.Option(help="Comma-separated, or 'all'.")] = "all",
    gridsize: Annotated[int | None, typer.Option(min=1, max=2, help="Only views of this gridsize.")] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Partitions side by side.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would run and why; run nothing.")] = False,
    epochs: Annotated[int | None, typer.Option(min=1, help="Training epochs of this run.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Groups per optimizer step.")] = None,
    n_images: Annotated[int | None, typer.Option(min=1, help="Limit of training patterns.")] = None,
    accelerator: Annotated[str | None, typer.Option(help="auto, cpu or gpu.")] = None,
    deterministic: Annotated[bool | None, typer.Option(help="Same seed, same bundle, bit for bit.")] = None,
    num_workers: Annotated[int | None, typer.Option(min=0, help="Data-loading processes.")] = None,
    logger: Annotated[str | None, typer.Option(help="csv or none.")] = None,
    checkpointing: Annotated[bool | None, typer.Option(help="Off: a killed training starts again.")] = None,
) -> None:
    """Materialize whatever is missing or stale, upstream first, and print where the report and the bundles are."""
    given = {
        "epochs": epochs,
        "batch_size": batch_size,
        "n_images": n_images,
        "accelerator": accelerator,
        "deterministic": deterministic,
        "num_workers": num_workers,
        "logger": logger,
        "checkpointing": checkpointing,
    }
    given = {name: value for name, value in given.items() if value is not None}
    loaded = _with_overrides(load_study(study_name, require_files=not dry_run), given)
    chosen = [view for view in _names(loaded, views) if gridsize in (None, loaded.views[view].gridsize)]
    dose_keys = _doses(loaded, doses)
    # Imported late: a wrong request is refused before seconds go into Dagster and torch.
    from fly64_assets.orchestration.study_run.command import StudyRequest, list_plan, run_study

    os.environ["FLY64_STUDY"] = study_name
    request = StudyRequest(
        study=loaded,
        data_root=data_root_of(loaded),
        doses=dose_keys,
        views=chosen,
        jobs=jobs,
    )
    if dry_run:
        list_plan(request, console)
        return
    with data_root_lock(request.data_root):
        failures = run_study(request, console)
    if failures:
        raise typer.Exit(1)


@app.command(epilog="Example: fly64 validate data/quick/simulated_dataset/dose_1000/patched_train.npz")
def validate(file: Annotated[Path, typer.Argument(help="A DATA-001 file.")]) -> None:
    """Check a file against the DATA-001 contract; print every fault with its remedy."""
    from fly64_assets.science.contract import validate_dataset

    faults = validate_dataset(file)
    for fault in faults:
        console.print(str(fault), markup=False, highlight=False)
    if faults:
        errors.print(f"{file}: {len(faults)} faults", markup=False)
        raise typer.Exit(1)
    console.print(f"{file}: follows DATA-001", markup=False, highlight=False)


@app.command(name="import", epilog="Example: fly64 import beamline.npz dataset.npz --values intensity")
def import_file(
    raw: Annotated[Path, typer.Argument(help="NPZ in a raw layout, CXI, a Ptychodus product, or an installed format.")],
    out: Annotated[Path, typer.Argument(help="The DATA-001 file to write; must not exist.")],
    diffraction: Annotated[Path | None, typer.Option(help="Ptychodus: diffraction file of the product.")] = None,
    layout: Annotated[str | None, typer.Option(help="NPZ: auto, nhw or hwn.")] = None,
    values: Annotated[str | None, typer.Option(help="NPZ: auto, intensity or amplitude.")] = None,
    dc: Annotated[str | None, typer.Option(help="NPZ: where the zero frequency is: centre or corner.")] = None,
    photons_per_pattern: Annotated[
        float | None, typer.Option(help="NPZ: scale data in arbitrary units to this dose.")
    ] = None,
    option: Annotated[list[str] | None, typer.Option(help="Any option of the format, as NAME=VALUE.")] = None,
    format_name: Annotated[str | None, typer.Option("--format", help="Of RAW, where it is not recognised.")] = None,
) -> None:
    """Convert other layouts into a DATA-001 dataset; the input is never changed.

    `fly64 methods --all` lists the formats that are installed, `fly64 methods FORMAT` the options of one.
    """
    from fly64_assets.cli.conversion import import_dataset

    flags = {
        "diffraction": diffraction,
        "layout": layout,
        "values": values,
        "dc": dc,
        "photons_per_pattern": photons_per_pattern,
    }
    given = {name: value for name, value in flags.items() if value is not None} | _pairs(option or [])
    summary = import_dataset(raw, out, _formats(), given, name=format_name)
    sys.stdout.write(json.dumps(summary, indent=2, sort_keys=True, default=str) + "\n")


@app.command(epilog="Example: fly64 export dataset.npz scan.h5   (writes scan.h5 and scan_diffraction.h5)")
def export(
    source: Annotated[Path, typer.Argument(help="A DATA-001 dataset (.npz) or a reconstruction's product (.h5).")],
    out: Annotated[Path, typer.Argument(help="product.h5 for Ptychodus, name.cxi for CXI; must not exist.")],
    format_name: Annotated[str | None, typer.Option("--format", help="Of OUT, where its ending fits several.")] = None,
) -> None:
    """Write a dataset or a reconstruction for other programs: in an installed format, by the ending of OUT."""
    from fly64_assets.cli.conversion import export_file

    for written in export_file(source, out, _formats(), name=format_name):
        console.print(str(written), markup=False, highlight=False)


def _formats() -> list["FileFormat"]:
    from fly64_assets.cli.conversion import installed_formats

    formats, skipped = installed_formats()
    for line in skipped:
        errors.print(f"fly64: {line}", markup=False, highlight=False)
    return formats


def _pairs(texts: list[str]) -> dict[str, Any]:
    """NAME=VALUE texts as a mapping; a value that is a number or a truth value in JSON becomes one."""
    unclear = [text for text in texts if "=" not in text]
    if unclear:
        message = f"--option expects NAME=VALUE, got {unclear[0]!r}"
        raise ValueError(message)
    return {name: _value(value) for name, _, value in (text.partition("=") for text in texts)}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


@app.command(epilog="Example: fly64 inspect data/quick/trained_bundle/dose_1000/dense/gs2/wts.h5.zip")
def inspect(bundle: Annotated[Path, typer.Argument(help="A wts.h5.zip.")]) -> None:
    """Verify a bundle strictly and print its manifest; nothing in it is executed or unpickled."""
    from fly64_assets.science.networks.bundle import inspect_bundle

    sys.stdout.write(json.dumps(inspect_bundle(bundle), indent=2, sort_keys=True) + "\n")


@app.command(epilog="Example: fly64 verify --study quick")
def verify(study_name: StudyOption = "quick") -> None:
    """Compare the whole data root with the catalog; list what is missing, changed, foreign or stale."""
    loaded = load_study(study_name)
    from fly64_assets.orchestration.study_run.command import StudyRequest, verify_study

    request = StudyRequest(loaded, data_root_of(loaded), loaded.dose_keys, list(loaded.views))
    if verify_study(request, console):
        raise typer.Exit(1)


@app.command(epilog="Example: fly64 bench simulation")
def bench(name: Annotated[str, typer.Argument(help="Which benchmark; without one, they are listed.")] = "") -> None:
    """Run a benchmark of this checkout: throughput per CPU-second, peak memory, how cost grows."""
    folder = Path(__file__).parents[2] / "fly64_assets_tests" / "benchmarks"
    names = sorted(path.stem.removeprefix("bench_") for path in folder.glob("bench_*.py"))
    if name not in names:
        known = ", ".join(names) or "none: benchmarks are part of the source checkout"
        errors.print(f"benchmarks: {known}", markup=False, highlight=False)
        raise typer.Exit(1 if name else 0)
    command = [sys.executable, "-m", f"fly64_assets_tests.benchmarks.bench_{name}"]
    raise typer.Exit(subprocess.run(command, cwd=folder.parents[1], check=False).returncode)


@app.command(epilog='Example: eval "$(fly64 environment)"')
def environment(study_name: StudyOption = "quick") -> None:
    """Print the shell variables under which the dagster commands find the study; create its instance."""
    loaded = load_study(study_name)
    from fly64_assets.orchestration.catalog.instance import dagster_home

    root = data_root_of(loaded)
    first = dose_key(loaded.doses[0])
    view = next((name for name, options in loaded.views.items() if options.gridsize > 1), next(iter(loaded.views)))
    variables = {
        "FLY64_STUDY": study_name,
        "DAGSTER_HOME": str(dagster_home(root, loaded.name)),
        "DAGSTER_CLI_ASSET_MATERIALIZE_PARTITION": f"{first}|{view}",
        # One variable per command: DAGSTER_MODULE_NAME is also read by the webserver and the daemon that
        # `dagster dev` starts, which refuse it beside their own workspace and then wait for ever.
        **{f"DAGSTER_CLI_{command}_MODULE_NAME": CODE_LOCATION for command in NEEDS_CODE_LOCATION},
    }
    if os.environ.get("FLY64_DATA_ROOT"):  # files and catalog belong together, also after `FLY64_DATA_ROOT=x fly64 ...`
        variables["FLY64_DATA_ROOT"] = str(root)
    sys.stdout.write("unset DAGSTER_MODULE_NAME\n")
    for name, value in variables.items():
        sys.stdout.write(f"export {name}='{value}'\n")


@app.command(epilog="Example: fly64 methods unrolled   (its options)   fly64 methods --all   (networks, formats, ...)")
def methods(
    kind: Annotated[str, typer.Argument(help="Kind of method, network, metric or format whose options to list.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Networks, metrics and file formats as well.")] = False,
) -> None:
    """List what is installed: kinds of methods, and where each comes from; or the options of one KIND."""
    from fly64_assets.cli.listing import print_installed, print_options

    if kind:
        print_options(kind, console)
    else:
        print_installed(console, everything=everything)


def _with_overrides(loaded: Study, given: dict[str, Any]) -> Study:
    """The study with options of this run: of every method that trains, and of how runs are executed."""
    from fly64_assets.science.options import ExecutionOptions

    execution = {name: value for name, value in given.items() if name in ExecutionOptions.model_fields}
    options = {name: value for name, value in given.items() if name not in execution}
    methods = {}
    try:
        for name, entry in loaded.methods.items():
            fields = {key: value for key, value in options.items() if key in type(entry.options).model_fields}
            changed = {**entry.options.model_dump(), **(fields if entry.trainable else {})}
            methods[name] = entry.model_copy(update={"options": type(entry.options).model_validate(changed)})
        executed = ExecutionOptions.model_validate({**loaded.execution.model_dump(), **execution})
    except ValidationError as error:
        faults = [f"--{fault['loc'][0]}: {fault['msg']}, got {fault['input']!r}" for fault in error.errors()]
        raise StudyError("; ".join(faults).replace("_", "-")) from None
    return loaded.with_changes(methods=methods, execution=executed)


def _doses(loaded: Study, text: str) -> list[str]:
    if text == "all":
        return loaded.dose_keys
    if not text:
        return [dose_key(dose) for dose in loaded.default_doses or loaded.doses]
    try:
        keys = [dose_key(float(part)) for part in text.split(",")]
    except ValueError:
        message = f"--doses expects numbers separated by commas or 'all', got {text!r}"
        raise StudyError(message) from None
    unknown = [key for key in keys if key not in loaded.dose_keys]
    if unknown:
        message = (
            f"doses {', '.join(unknown)} are not in study {loaded.name!r}, which has {', '.join(loaded.dose_keys)}"
        )
        raise StudyError(message)
    return keys


def _names(loaded: Study, text: str) -> list[str]:
    if text in ("all", ""):
        return list(loaded.views)
    names = text.split(",")
    unknown = [name for name in names if name not in loaded.views]
    if unknown:
        message = f"views {', '.join(unknown)} are not in study {loaded.name!r}, which has {', '.join(loaded.views)}"
        raise StudyError(message)
    return names
