"""A code version follows what the code computes, and nothing else. Packages are made up, except in the last tests."""

import itertools
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fly64_assets
from fly64_assets.orchestration.catalog import code_version as module
from fly64_assets.orchestration.catalog.code_version import CodeVersionError, code_version, modules_of

_numbers = itertools.count()

ENTRY = '''"""Says what it does."""
from {name}.middle import double
def run(x):
    """Doubles."""
    from {name} import lazy
    return double(x) + lazy.SHIFT  # and shifts
'''
FILES = {
    "__init__.py": "",
    "entry.py": ENTRY,
    "middle.py": "from .deep.far import FACTOR\ndef double(x):\n    return FACTOR * x\n",
    "deep/__init__.py": "",
    "deep/far.py": "FACTOR = 2\n",
    "lazy.py": "SHIFT = 1\n",
    "child.py": "ROUNDS = 1\n",
    "alone.py": "X = 1\n",
}


class Package:
    """A package under a name that no other test uses, whose files can be rewritten."""

    def __init__(self, root: Path) -> None:
        self.name = f"made_up_{next(_numbers)}"
        self.root = root
        for path, text in FILES.items():
            self.write(path, text)

    def write(self, path: str, text: str) -> None:
        file = self.root / self.name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("{name}", self.name))
        os.utime(file, ns=(time.time_ns(), next(_numbers) + 10**18))  # the file system's clock may be coarse

    def version(self) -> str:
        return code_version(f"{self.name}.entry:run")

    def changes(self, path: str, text: str) -> bool:
        before = self.version()
        self.write(path, text)
        return self.version() != before


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    monkeypatch.syspath_prepend(tmp_path)
    return Package(tmp_path)


def test_comments_docstrings_and_format_change_nothing(package: Package) -> None:
    assert not package.changes(
        "entry.py",
        '"""Other words."""\n\n\nfrom {name}.middle import (\n    double,\n)\n# why\n\n\n'
        "def run(x):\n    from {name} import lazy\n"
        '    return (double(x)\n            + lazy.SHIFT)\n"""The end."""\n',
    )


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("entry.py", ENTRY.replace("+ lazy", "- lazy")),
        ("deep/far.py", "FACTOR = 3\n"),  # two imports away
        ("deep/far.py", "FACTOR = 2.0\n"),
        ("deep/far.py", "FACTOR: int = 2\n"),
        ("lazy.py", "SHIFT = 2\n"),  # imported inside the function
        ("deep/__init__.py", "import sys\nsys.float_repr_style = 0\n"),  # Python imports packages on the way
        ("deep/table.json", "[1]"),
    ],
)
def test_what_is_computed_changes_it(package: Package, path: str, text: str) -> None:
    assert package.changes(path, text)


def test_a_module_that_nobody_imports_does_not_count(package: Package) -> None:
    assert not package.changes("alone.py", "X = 2\n")


def test_an_import_for_type_checkers_does_not_count(package: Package) -> None:
    hint = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from {name} import alone\n"
    package.write("middle.py", hint + FILES["middle.py"])
    assert not package.changes("alone.py", "X = 3\n")
    package.write("middle.py", hint.replace("    from", "    pass\nelse:\n    from") + FILES["middle.py"])
    assert package.changes("alone.py", "X = 4\n")


def test_a_module_that_a_child_process_runs_counts_by_its_name(package: Package) -> None:
    assert not package.changes("child.py", "ROUNDS = 2\n")
    package.write("middle.py", 'CHILD = "{name}.child"\n' + FILES["middle.py"])
    assert package.changes("child.py", "ROUNDS = 3\n")


def test_a_plug_in_counts_the_science_that_it_imports_and_its_distribution(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package.write("entry.py", "def run():\n    from fly64_assets.science.physics.dose import counts_scale\n")
    assert "fly64_assets.science.physics.dose" in modules_of(f"{package.name}.entry")
    without = package.version()
    info = tmp_path / "made_up-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[fly64_assets.methods]\nmade_up = {package.name}.entry:RUN\n")
    module._distribution.cache_clear()
    first = package.version()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: made-up\nVersion: 1.1\n")
    module._distribution.cache_clear()
    assert len({without, first, package.version()}) == 3


def test_an_entry_of_several_modules_counts_them_all(package: Package) -> None:
    def version(*modules: str) -> str:
        return code_version(" ".join(f"{package.name}.{module}" for module in modules))

    assert version("entry", "alone") == version("alone", "entry:run", "entry")
    before = version("entry"), version("entry", "alone")
    package.write("alone.py", "X = 5\n")
    assert (version("entry"), version("entry", "alone")) == (before[0], version("alone", "entry"))
    assert version("entry", "alone") != before[1]


def test_an_entry_without_source_is_refused() -> None:
    with pytest.raises(CodeVersionError, match=r"no source of 'fly64_assets\.science\.absent'"):
        code_version("fly64_assets.science.absent:run")


def versions_of(root: Path, *entries: str, python: str = sys.executable) -> list[str]:
    """Code versions of entries of the package that lies under a folder, in a fresh process."""
    code = (
        "import sys; from fly64_assets.orchestration.catalog.code_version import code_version\n"
        "print(*map(code_version, sys.argv[1:]))"
    )
    command = [python, "-c", code, *entries]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True)
    return result.stdout.split()


ENTRIES = ("fly64_assets.science.methods.map:MAP", "fly64_assets.science.report.render", "fly64_assets.science.scan")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    shutil.copytree(Path(fly64_assets.__file__).parent, tmp_path / "fly64_assets")
    return tmp_path


def test_our_own_versions_do_not_depend_on_the_machine(copied: Path) -> None:
    here = [code_version(entry) for entry in ENTRIES]
    assert versions_of(copied, *ENTRIES) == here
    other = shutil.which("python3.12") or shutil.which("python3.11")
    if other is not None and subprocess.run([other, "-V"], capture_output=True, check=False).returncode == 0:
        assert versions_of(copied, *ENTRIES, python=other) == here


def test_a_constant_of_the_science_and_a_template_change_those_that_use_them(copied: Path) -> None:
    before = versions_of(copied, *ENTRIES)
    style = copied / "fly64_assets/science/report/templates/style.css"
    style.write_text(style.read_text() + "\n.new {}\n")
    after = versions_of(copied, *ENTRIES)
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]
    dose = copied / "fly64_assets/science/physics/scan_positions.py"
    dose.write_text(dose.read_text() + "\nNEW = 1\n")
    last = versions_of(copied, *ENTRIES)
    assert [a == b for a, b in zip(after, last, strict=True)] == [True, True, False]


def test_thirty_assets_take_less_than_a_second(copied: Path) -> None:
    names = sorted((copied / "fly64_assets/science").rglob("*.py"))[:30]
    entries = [".".join(path.relative_to(copied).with_suffix("").parts) for path in names]
    versions_of(copied, *entries)
    started = time.process_time()
    for cached in (module._source, module._spec, module._bytes_digest):
        cached.cache_clear()
    for entry in entries:
        code_version(entry)
    assert time.process_time() - started < 1.0
