"""Wrong studies are refused at load, in a line with file, line number and remedy, and at once."""

import itertools
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fly64_assets.study import SHIPPED_STUDIES, Study, StudyError, load_study
from fly64_assets_tests.study.wrong_studies import RIGHT, WRONG, Wrong

SECONDS = 2.0
TINY = Path(__file__).parents[1] / "studies" / "tiny.yaml"


def refusal_of(path: Path, **options: object) -> list[str]:
    begun = time.process_time()
    with pytest.raises(StudyError) as caught:
        load_study(str(path), **options)
    assert time.process_time() - begun < SECONDS
    return str(caught.value).splitlines()


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "wrong.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_the_study_that_is_made_wrong_is_right(tmp_path: Path) -> None:
    assert load_study(str(written(tmp_path, RIGHT))).name == "right"


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.typed.strip()[:50])
def test_a_wrong_study_is_refused_with_line_and_remedy(wrong: Wrong, tmp_path: Path) -> None:
    path = written(tmp_path, wrong.text)
    expected = f"{path}:{wrong.at or wrong.line}: {wrong.refusal}"
    lines = refusal_of(path)
    assert [line for line in lines if line.startswith(expected)], "\n".join([expected, *lines])
    assert len(lines) <= 2
    assert all(line.startswith(f"{path}:") and "Traceback" not in line for line in lines)


def test_all_faults_are_told_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = RIGHT.replace("overlap: 0.7", "overlap: 70").replace("epochs: 8", "epochs: 0").replace("doses", "dose")
    text = text.replace("{gridsize: 1}", "{gridsize: 1, colour: red, groups_per_position: true}").replace(
        "kind: map", "kind: mp"
    )
    lines = refusal_of(written(tmp_path, text))
    assert [int(line.split(":")[1]) for line in lines] == [5, 13, 13, 16, 21, 22]


def bomb(width: int, depth: int) -> str:
    names = "abcdefghijklmnopqrstuvwxyz"[:depth]
    first = f"a: &a [{', '.join(['1'] * width)}]\n"
    return first + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * width)}]\n" for before, name in itertools.pairwise(names)
    )


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        pytest.param(b"", ":1: the file is empty", id="empty"),
        pytest.param(b"# nothing yet\n", ":1: the file is empty", id="comment"),
        pytest.param(b"- a\n- b\n", ":1: expected a mapping of study fields (name: ...), found a list", id="list"),
        pytest.param(b"quick\n", ":1: expected a mapping of study fields (name: ...), found the text", id="text"),
        pytest.param(b"name: x\n\x00\x01\x02", ":2: is a binary file", id="binary"),
        pytest.param(os.urandom(1000) + b"\x00", ": ", id="noise"),
        pytest.param("name: x\ntitle: größe\n".encode("latin-1"), ":2: byte 0xf6 is not UTF-8", id="latin-1"),
        pytest.param(RIGHT.encode("utf-16"), ":1: the file is UTF-16: save it as UTF-8", id="utf-16"),
        pytest.param(b"#" * (2**20 + 1), ": is larger than 1 MiB", id="large"),
        pytest.param(bomb(9, 9).encode(), ":7: more than 50 aliases", id="alias bomb"),
        pytest.param(bomb(5, 11).encode(), ": aliases make more than 10000 values", id="alias bomb below the bound"),
        pytest.param(
            (
                "a: &a {x: 1}\n"
                + "".join(
                    f"{n}: &{n} {{<<: [*{b}, *{b}, *{b}]}}\n"
                    for b, n in zip("abcdefghijklmn", "bcdefghijklmno", strict=True)
                )
            ).encode(),
            ": aliases make more than 10000 values",
            id="merge bomb",
        ),
        pytest.param(b"a: " + b"[" * 5000, ":1: more than 20 levels of nesting", id="deep"),
        pytest.param(b"- " * 3000, ":1: more than 20 levels of nesting", id="deep list"),
        pytest.param(b"a: [" + b"1," * 20000 + b"]", ":1: more than 10000 values", id="many values"),
        pytest.param(b"".join(b"key%d: 1\n" % n for n in range(4900)), ":1: ", id="many unknown fields"),
        pytest.param(b"name: " + b"x" * 10**6, ":1: name: 'xxx", id="long name"),
        pytest.param(b"x" * 10**6 + b": 1\n", ":1: ", id="long key"),
        *(
            pytest.param(
                RIGHT.replace("overlap: 0.7", f"overlap: {odd}").encode(), ":16: views.dense.overlap: ", id=odd[:9]
            )
            for odd in ("9" * 500_000, "1 " * 300_000, "1" + ":30" * 300_000, "0" * 500_000 + "8", "1" * 500_000 + "x")
        ),
        *(
            pytest.param(RIGHT.replace("[1000, 10000]", odd).encode(), ":5: doses: ", id=f"list {odd[:9]}")
            for odd in ("1 " * 300_000, "1" + " ," * 300_000 + "x", "(" * 500_000, "'" + " " * 500_000 + "'")
        ),
        pytest.param(
            RIGHT.replace("[1000, 10000]", f"[{', '.join(map(str, range(1, 1001)))}, 1]").encode(),
            ":5: doses: too many entries: expected at most 1000",
            id="many doses",
        ),
        pytest.param(
            b"name: x\nreport: {title: a}\nviews: {a: {}}\nmethods:\n"
            + b"".join(b"  m%d: {kind: map, starts_from: m%d}\n" % (n, n + 1) for n in range(1500)),
            ":4: methods: too many entries: expected at most 100",
            id="many methods",
        ),
        pytest.param(
            b"name: x\nreport: {title: a}\nmethods: {map: {kind: map}}\nviews:\n"
            + b"".join(b"  v%d: {trains: map}\n" % n for n in range(999)),
            ":5: views.v0.trains: map is not trained on this view",
            id="many views",
        ),
    ],
)
def test_what_is_no_study_file_is_refused_at_once(content: bytes, refusal: str, tmp_path: Path) -> None:
    path = written(tmp_path, content)
    lines = refusal_of(path)
    assert lines[0].startswith(f"{path}{refusal}") or refusal in lines[0], lines[0]
    assert len(lines) <= 31
    assert all(len(line) < 1000 and line.isprintable() for line in lines)


def test_a_long_way_of_starts_ends() -> None:
    methods = {f"m{n}": {"kind": "map", "starts_from": f"m{n + 1}"} for n in range(90)}
    study = load_study(
        str(TINY), {"methods": {**methods, "m90": {"kind": "map"}}, "views": {"baseline": {"trains": None}}}
    )
    assert study.chain_of("m0")[-1] == "m90"


def test_aliases_and_merges_within_bounds_are_read(tmp_path: Path) -> None:
    text = RIGHT.replace(
        "  dense:\n", "  sparse: &own {overlap: 0.2, min_train_positions: 9}\n  dense:\n    <<: *own\n"
    )
    views = load_study(str(written(tmp_path, text))).views
    assert (views["sparse"].overlap, views["dense"].overlap, views["dense"].min_train_positions) == (0.2, 0.7, 9)


def test_a_fault_in_what_is_given_beside_the_file_has_no_line(tmp_path: Path) -> None:
    path = written(tmp_path, RIGHT)
    assert refusal_of(path, overrides={"views": {"dense": {"overlap": 70}}}) == [
        f"{path}: views.dense.overlap: 70 is too large: overlap is a fraction, not percent: write 0.7"
    ]
    assert refusal_of(path, overrides={"colour": "red"})[0].startswith(f"{path}: colour: unknown field")


@pytest.mark.parametrize(
    ("scan", "place"),
    [
        ("  source: base_npz\n  file: /nowhere/base.npz", "scan.file"),
        ("  probe: {kind: file, file: /nowhere/probe.npz}", "scan.probe.file"),
        ("  object: {kind: file, file: /nowhere/object.png}", "scan.object.file"),
        ("  objects: [{kind: mixed}, {kind: file, file: /nowhere/object.png}]", "scan.objects[1].file"),
    ],
)
def test_files_that_are_not_there_are_refused_where_they_are_needed(scan: str, place: str, tmp_path: Path) -> None:
    head, tail = RIGHT.split("scan:\n")
    path = written(tmp_path, f"{head}scan:\n{scan}\n{tail[tail.index('views:') :]}")
    assert load_study(str(path)).name == "right"
    (line,) = refusal_of(path, require_files=True)
    number = 9 if "source" in scan else 8
    assert line.startswith(f"{path}:{number}: {place}: there is no file /nowhere/")


def test_a_variable_that_is_not_set_is_refused_where_its_file_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLY64_SIEMENS_STAR", raising=False)
    assert load_study("siemens_star").scan.source == "measured"
    (line,) = refusal_of(Path("siemens_star"), require_files=True)
    assert "scan.file: the environment variable FLY64_SIEMENS_STAR is not set: set it to the file's path" in line
    (tmp_path / "star.npz").touch()
    monkeypatch.setenv("FLY64_SIEMENS_STAR", str(tmp_path / "star.npz"))
    assert load_study("siemens_star", require_files=True).name == "siemens_star"


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("quikc", "no study 'quikc'; did you mean 'quick'? ("),
        ("Quick", "no study 'Quick'; did you mean 'quick'? ("),
        ("nothing", "no study 'nothing' (--study, FLY64_STUDY or STUDY= takes one of fly64, quick, reference"),
        ("/tmp", "no study '/tmp': it is a folder"),
        ("/dev/zero", "no study '/dev/zero': it is no regular file"),
        ("/nowhere/x.yaml", "no study '/nowhere/x.yaml': there is no folder '/nowhere'"),
        ("a" * 300, "no study 'aaaa"),
        ("x\0y", "no study 'x\\x00y'"),
        ("~nobody_of_that_name/x.yaml", "no study '~nobody_of_that_name/x.yaml': "),
    ],
)
def test_a_study_that_is_not_there_is_named_with_its_nearest(name: str, refusal: str) -> None:
    (line,) = refusal_of(Path(name)) if "\0" not in name else refusal_of_name(name)
    assert line.startswith(refusal)


def refusal_of_name(name: str) -> list[str]:
    with pytest.raises(StudyError) as caught:
        load_study(name)
    return str(caught.value).splitlines()


def test_the_nearest_file_of_the_folder_is_named(tmp_path: Path) -> None:
    written(tmp_path, RIGHT)
    (line,) = refusal_of(tmp_path / "wrnog.yaml")
    assert "; did you mean 'wrong.yaml'?" in line


@pytest.mark.parametrize("path", sorted(SHIPPED_STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_study_survives_the_way_through_json(path: Path) -> None:
    study = load_study(path.stem)
    assert Study.model_validate_json(study.model_dump_json()) == study
    assert Study.model_validate(json.loads(study.model_dump_json())) == study
    assert Study.model_validate(study.model_dump()).methods == study.methods


def test_the_command_refuses_a_wrong_study_before_it_imports_dagster(tmp_path: Path) -> None:
    path = written(tmp_path, RIGHT.replace("overlap: 0.7", "overlap: 70"))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "fly64_assets.cli", "study", "--study", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"fly64: {path}:16: views.dense.overlap: 70 is too large: overlap is a fraction, not percent: write 0.7"
    ]
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < SECONDS


def test_loading_costs_neither_torch_nor_dagster_nor_two_seconds(tmp_path: Path) -> None:
    path = written(tmp_path, RIGHT.replace("overlap: 0.7", "overlap: 70"))
    code = (
        "import sys, time\nfrom fly64_assets.study import StudyError, load_study\n"
        f"try: load_study({str(path)!r})\nexcept StudyError as error: print(error)\n"
        "slow = {'torch', 'dagster', 'pandas', 'scipy.signal'}\n"
        "print(time.process_time(), sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    fault, costs = done.stdout.splitlines()
    assert fault == f"{path}:16: views.dense.overlap: 70 is too large: overlap is a fraction, not percent: write 0.7"
    assert float(costs.split()[0]) < SECONDS
    assert costs.endswith("[]")
