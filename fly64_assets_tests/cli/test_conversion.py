"""Import and export between DATA-001 and every installed format, shipped or somebody else's."""

import json
import sys
import types
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from pydantic import Field
from typer.testing import CliRunner

from fly64_assets.cli import conversion
from fly64_assets.cli.app import app
from fly64_assets.science import registry
from fly64_assets.science.contract import import_raw, read_dataset
from fly64_assets.science.interop.cxi import CXI
from fly64_assets.science.interop.ptychodus import PTYCHODUS
from fly64_assets.science.interop.raw_npz import RAW_NPZ
from fly64_assets.science.interop.record import FileFormat
from fly64_assets.science.options import Options
from fly64_assets_tests.science.small_scan import simulate, small_scan

SHIPPED = [RAW_NPZ, CXI, PTYCHODUS]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    simulate(small_scan(), folder, 1e4)
    return folder / "train.npz"


@pytest.fixture
def raw(tmp_path, dataset) -> Path:
    """Photon counts as a beamline writes them."""
    with np.load(dataset) as file:
        kept = {key: file[key] for key in ("xcoords", "ycoords", "probeGuess", "objectGuess", "scan_index")}
    np.savez(tmp_path / "raw.npz", diff3d=read_dataset(dataset).measurement.counts().astype(np.uint16), **kept)
    return tmp_path / "raw.npz"


def refused(function, *arguments, **keywords):
    with pytest.raises(conversion.ConversionError) as caught:
        function(*arguments, **keywords)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_format_is_found_by_what_the_file_holds_whatever_its_ending(tmp_path, dataset, raw):
    conversion.export_file(dataset, tmp_path / "scan.cxi", SHIPPED)
    (tmp_path / "scan.cxi").rename(tmp_path / "scan.h5")
    summary = conversion.import_dataset(tmp_path / "scan.h5", tmp_path / "cxi.npz", SHIPPED, {})
    assert summary["origin"] == "simulated"
    raw.rename(tmp_path / "raw.dat")
    assert conversion.import_dataset(tmp_path / "raw.dat", tmp_path / "raw_again.npz", SHIPPED, {})["key"] == "diff3d"
    for name in ("cxi.npz", "raw_again.npz"):
        counts = read_dataset(tmp_path / name).measurement.counts()
        assert np.array_equal(counts, read_dataset(dataset).measurement.counts())


def test_options_reach_the_importer_that_knows_them(tmp_path, raw):
    given = {"layout": "nhw", "values": "intensity", "photons_per_pattern": 50.0, "pixel_size_m": 2e-9}
    summary = conversion.import_dataset(raw, tmp_path / "a.npz", SHIPPED, given)
    direct = import_raw(raw, tmp_path / "b.npz", **given)
    assert summary == direct.to_dict()
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize(
    ("ending", "given", "message"),
    [
        (
            ".npz",
            {"diffraction": Path("d.h5")},
            "format raw_npz does not know option diffraction; it takes layout, val",
        ),
        (".npz", {"layout": "nwh"}, "format raw_npz: option layout: Input should be 'auto', 'nhw' or 'hwn', got 'nwh'"),
        (".npz", {"photons_per_pattern": -1.0}, "option photons_per_pattern: Input should be greater than 0, got -1.0"),
        (".cxi", {"layout": "nhw"}, "format cxi does not know option layout; it takes none"),
        (".h5", {}, "format ptychodus: needs option diffraction: Ptychodus diffraction file of the product."),
        (".h5", {"dc": "corner"}, "format ptychodus does not know option dc; it takes diffraction"),
    ],
)
def test_options_that_a_format_does_not_know_or_lacks_are_refused_in_one_line(tmp_path, ending, given, message):
    source = tmp_path / f"some{ending}"
    source.write_bytes(b"")
    assert message in refused(conversion.import_dataset, source, tmp_path / "out.npz", SHIPPED, given)
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


def test_what_no_format_reads_or_writes_lists_what_is_installed(tmp_path, dataset):
    strange = tmp_path / "scan.xyz"
    strange.write_bytes(b"?")
    message = refused(conversion.import_dataset, strange, tmp_path / "out.npz", SHIPPED, {})
    assert message == f"{strange}: import reads raw_npz (.npz), cxi (.cxi), ptychodus (.h5)"
    assert "no format: none is installed" in refused(conversion.import_dataset, strange, tmp_path / "o", [], {})
    message = refused(conversion.export_file, dataset, tmp_path / "out.xyz", SHIPPED)
    assert message == "no export from train.npz to out.xyz: a dataset goes to cxi (.cxi), ptychodus (.h5)"
    message = refused(conversion.import_dataset, dataset, tmp_path / "out.npz", SHIPPED, {}, name="cxy")
    assert "no file format 'cxy' is installed; there are raw_npz" in message
    message = refused(conversion.export_file, dataset, tmp_path / "out.npz", SHIPPED, name="raw_npz")
    assert "a dataset goes to cxi (.cxi), ptychodus (.h5)" in message


def test_a_reconstruction_goes_from_one_format_to_the_other_and_back(tmp_path, dataset):
    conversion.export_file(dataset, tmp_path / "p.h5", SHIPPED)
    assert conversion.export_file(tmp_path / "p.h5", tmp_path / "r.cxi", SHIPPED) == [tmp_path / "r.cxi"]
    conversion.export_file(tmp_path / "r.cxi", tmp_path / "q.h5", SHIPPED)
    first, again = (PTYCHODUS.read_reconstruction(tmp_path / name) for name in ("p.h5", "q.h5"))
    assert np.array_equal(first.object, again.object)
    assert np.array_equal(first.positions_xy_px, again.positions_xy_px)
    message = refused(conversion.export_file, tmp_path / "p.h5", tmp_path / "again.h5", SHIPPED)
    assert message.endswith("a reconstruction in a ptychodus file goes to cxi (.cxi)")


class TableOptions(Options):
    """What a table leaves open."""

    repeat: int = Field(default=1, ge=1, le=9, description="How often the line is written.")


def table_of(dataset: Path, first: Path, second: Path) -> None:
    first.write_text(dataset.name)
    second.write_text("beside")


def read_table(source: Path, out: Path, options: TableOptions) -> dict:
    out.write_text(source.read_text() * options.repeat)
    return {"repeat": options.repeat}


TABLE = FileFormat(
    name="table",
    meaning="somebody's table",
    endings=(".h5",),
    recognise=lambda path: path.is_file() and path.read_bytes()[:5] == b"table",
    import_dataset=read_table,
    import_options=TableOptions,
    export_dataset=table_of,
    dataset_suffixes=("_a", "_b"),
)


@pytest.fixture
def registered(monkeypatch):
    """The shipped formats, somebody's, and one whose library is not there, under their entry points."""
    module = types.ModuleType("somebodys_formats")
    module.TABLE = TABLE
    monkeypatch.setitem(sys.modules, "somebodys_formats", module)
    group, interop = "fly64_assets.formats", "fly64_assets.science.interop"
    places = {
        "raw_npz": f"{interop}.raw_npz:RAW_NPZ",
        "cxi": f"{interop}.cxi:CXI",
        "ptychodus": f"{interop}.ptychodus:PTYCHODUS",
        "table": "somebodys_formats:TABLE",
        "zarr": "somebodys_missing_library:ZARR",
    }
    entries = [EntryPoint(name, value, group) for name, value in places.items()]
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry for entry in entries if entry.group == group])
    registry._entries.cache_clear()
    yield
    registry._entries.cache_clear()


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_format_of_somebody_elses_is_read_and_written_and_a_missing_library_is_said(registered, tmp_path, dataset):
    source = tmp_path / "mine.h5"
    source.write_text("table ")
    result = run("import", source, tmp_path / "out.txt", "--option", "repeat=3")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"repeat": 3}
    assert (tmp_path / "out.txt").read_text() == "table " * 3
    skipped = "skipped: file format 'zarr' of somebodys_missing_library:ZARR cannot be imported: ModuleNotFoundError"
    assert skipped in result.stderr
    clash = run("export", dataset, tmp_path / "two.h5")
    assert str(clash.exception) == f"{tmp_path / 'two.h5'} fits the formats ptychodus, table: name one by --format"
    result = run("export", dataset, tmp_path / "two.h5", "--format", "table")
    assert result.stdout.split() == [str(tmp_path / "two_a.h5"), str(tmp_path / "two_b.h5")]
    assert (tmp_path / "two_a.h5").read_text() == "train.npz"


def test_flags_of_shipped_formats_are_passed_only_when_given(registered, tmp_path, raw, dataset):
    result = run("import", raw, tmp_path / "a.npz", "--values", "intensity", "--photons-per-pattern", "50000")
    assert json.loads(result.stdout)["photons_per_pattern"] == pytest.approx(50_000, rel=0.01)
    run("export", dataset, tmp_path / "p.h5", "--format", "ptychodus")
    lacking = run("import", tmp_path / "p.h5", tmp_path / "b.npz")
    assert "format ptychodus: needs option diffraction" in str(lacking.exception)
    result = run("import", tmp_path / "p.h5", tmp_path / "b.npz", "--diffraction", tmp_path / "p_diffraction.h5")
    assert result.exit_code == 0
    assert "does not know option values" in str(
        run("import", tmp_path / "p.h5", tmp_path / "c", "--values", "x").exception
    )
    assert "expects NAME=VALUE" in str(run("import", raw, tmp_path / "c.npz", "--option", "dc").exception)


def test_an_exporter_that_fails_leaves_nothing_behind(tmp_path, dataset):
    def fail(source: Path, first: Path, second: Path) -> None:
        first.write_text("half")
        raise ValueError("no")

    broken = FileFormat(
        name="broken", meaning="x", endings=(".b",), recognise=lambda path: False, export_dataset=fail,
        dataset_suffixes=("", "_2"),
    )  # fmt: skip
    with pytest.raises(ValueError, match="no"):
        conversion.export_file(dataset, tmp_path / "x.b", [broken])
    assert list(tmp_path.iterdir()) == []
