"""The conformance command on kinds that keep every rule and on kinds that cheat, registered as a package would."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fly64_assets.conformance.__main__ import main
from fly64_assets.science.methods.record import METHOD_KINDS

KINDS = Path(__file__).parent / "kinds"
UNTRAINED = ("steady", "reads_truth", "keeps_state", "looks_at_the_calendar", "looks_at_the_clock", "sloppy")
NAMES = (*UNTRAINED, "learner", "learner_of_truth", "secret_learner")
QUICK = (*UNTRAINED, "absent")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Value of PYTHONPATH under which the kinds are registered."""
    info = tmp_path_factory.mktemp("site") / "kinds_for_tests-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: kinds-for-tests\nVersion: 1\n")
    lines = [f"{name} = kinds_for_tests:{name.upper()}" for name in NAMES]
    lines.append("absent = no_such_module_anywhere:ABSENT")
    (info / "entry_points.txt").write_text("[fly64_assets.methods]\n" + "\n".join(lines) + "\n")
    return os.pathsep.join([str(info.parent), str(KINDS)])


def conformance(path: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH")]))}
    command = [sys.executable, "-m", "fly64_assets.conformance", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def broken(result: subprocess.CompletedProcess[str], kind: str) -> dict[str, str]:
    """Rules that a kind breaks, with what is said about it."""
    assert not result.stderr
    lines = [line for line in result.stdout.splitlines()[:-1] if line.split()[1] == kind]
    assert len(lines) >= 11 or kind == "absent"
    return dict(line.split("  ", 2)[2].split(": ", 1) for line in lines if line.startswith("FAILED"))


@pytest.fixture(scope="module")
def quick_kinds(path: str) -> subprocess.CompletedProcess[str]:
    """One run over the kinds that train nothing: what it costs to begin is paid once."""
    return conformance(path, *QUICK)


def test_the_last_line_and_the_exit_status_sum_up(quick_kinds: subprocess.CompletedProcess[str]) -> None:
    *lines, last = quick_kinds.stdout.splitlines()
    assert {line.split()[1] for line in lines} == set(QUICK)
    failed = sum(line.startswith("FAILED") for line in lines)
    assert failed
    assert last == f"{failed} rules are broken"
    assert quick_kinds.returncode == 1


def test_an_honest_kind_keeps_every_rule(quick_kinds: subprocess.CompletedProcess[str]) -> None:
    assert broken(quick_kinds, "steady") == {}


@pytest.mark.trust
@pytest.mark.parametrize("kind", ["learner", "learner_of_truth"])
def test_an_honest_kind_that_trains_keeps_every_rule(path: str, kind: str) -> None:
    result = conformance(path, kind)
    assert broken(result, kind) == {}
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1] == "every rule is kept"


def test_a_kind_that_reads_the_truth_from_the_data_root_is_caught(
    quick_kinds: subprocess.CompletedProcess[str],
) -> None:
    found = broken(quick_kinds, "reads_truth")
    assert set(found) == {"does not depend on the truth", "opens no file of the data root"}
    assert "patched_test.npz" in found["opens no file of the data root"]


def test_a_kind_that_keeps_state_between_calls_is_caught(quick_kinds: subprocess.CompletedProcess[str]) -> None:
    assert set(broken(quick_kinds, "keeps_state")) == {"keeps no state between calls"}


@pytest.mark.parametrize("kind", ["looks_at_the_calendar", "looks_at_the_clock"])
def test_a_kind_whose_result_depends_on_time_is_caught(
    quick_kinds: subprocess.CompletedProcess[str], kind: str
) -> None:
    assert set(broken(quick_kinds, kind)) == {"does not depend on time"}


@pytest.mark.trust
def test_a_training_that_uses_the_truth_and_denies_it_is_caught(path: str) -> None:
    assert set(broken(conformance(path, "secret_learner"), "secret_learner")) == {"trains without the truth"}


def test_haste_is_told_rule_by_rule(quick_kinds: subprocess.CompletedProcess[str]) -> None:
    found = broken(quick_kinds, "sloppy")
    assert "one line" in found["is described in one line"]
    described = found["describes its options, with bounds"]
    assert described == "epochs has no description; epochs is a number without bounds; gain is a number without bounds"
    assert "skip must give None or one line" in found["skips with a reason"]
    assert "float64" in found["gives sound estimates"]
    assert "not finite" in found["gives sound estimates"]
    assert "writes into" in found["leaves what it is given as it is"]
    assert "although the progress listener raised" in found["cancels when told"]
    assert "time.sleep" in found["ends when nobody asks on"]
    assert "the same from flat" in found["uses what it starts from"]


def test_a_kind_that_cannot_be_imported_is_a_finding(quick_kinds: subprocess.CompletedProcess[str]) -> None:
    assert "ModuleNotFoundError" in broken(quick_kinds, "absent")["can be imported"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mpa",), "did you mean 'map'"),
        (("map", "--options", '{"passes": 0}'), "greater than or equal to 1"),
        (("map", "--options", "[1]"), "must be a JSON object"),
        (("map", "--options", "{"), "conformance: Expecting"),
    ],
)
def test_a_wrong_request_is_refused_in_words(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert said in capsys.readouterr().err


@pytest.mark.trust
@pytest.mark.parametrize("kind", [name for name in METHOD_KINDS.names() if METHOD_KINDS.shipped(name)])
def test_what_ships_is_held_to_the_same_rules(path: str, kind: str) -> None:
    assert broken(conformance(path, kind), kind) == {}
