"""Whose data root it is, and which layout it has: everything else is refused in one line, and left as it was."""

from pathlib import Path

import pytest

from fly64_assets.orchestration.catalog.instance import OWNER_FILE, dagster_home, require_owner
from fly64_assets.study import StudyError


def test_a_new_data_root_is_free_and_then_owned_in_the_present_layout(tmp_path: Path) -> None:
    require_owner(tmp_path, "mine")
    home = dagster_home(tmp_path, "mine")
    assert (home / "dagster.yaml").is_file()
    assert (tmp_path / OWNER_FILE).read_text() == "mine\nlayout 2\n"
    assert dagster_home(tmp_path, "mine") == home
    require_owner(tmp_path, "mine")


@pytest.mark.parametrize(
    ("owner", "found"),
    [
        ("mine\n", "names no layout"),
        ("mine", "names no layout"),
        ("mine\nlayout 1\n", "says 'layout 1'"),
        ("mine\nlayout 3\n", "says 'layout 3'"),
        ("mine\nlayout 2\nlayout 3\n", "says 'layout 2'"),
        ("mine\n2\n", "says '2'"),
    ],
)
@pytest.mark.parametrize("ask", [dagster_home, require_owner])
def test_another_layout_is_refused_in_a_line_with_the_remedy(ask, owner: str, found: str, tmp_path: Path) -> None:
    (tmp_path / OWNER_FILE).write_text(owner)
    with pytest.raises(StudyError) as refused:
        ask(tmp_path, "mine")
    message = str(refused.value)
    assert found in message
    assert str(tmp_path) in message
    assert "name another folder in FLY64_DATA_ROOT, or remove this one" in message
    assert "\n" not in message
    assert [path.name for path in tmp_path.iterdir()] == [OWNER_FILE]
    assert (tmp_path / OWNER_FILE).read_text() == owner


@pytest.mark.parametrize("ask", [dagster_home, require_owner])
@pytest.mark.parametrize("owner", ["other\nlayout 2\n", "other\n", "", "\xff"])
def test_the_data_root_of_another_study_is_refused_by_its_name(ask, owner: str, tmp_path: Path) -> None:
    (tmp_path / OWNER_FILE).write_bytes(owner.encode("latin-1"))
    with pytest.raises(StudyError, match=r"holds study .*, not 'mine': set or unset FLY64_DATA_ROOT"):
        ask(tmp_path, "mine")


def test_a_catalog_without_an_owner_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "dagster").mkdir()
    with pytest.raises(StudyError, match=r"it has a catalog and no \.study"):
        dagster_home(tmp_path, "mine")
    assert not (tmp_path / OWNER_FILE).exists()
