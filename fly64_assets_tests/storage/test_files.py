"""Atomic files, digests, locks."""

import hashlib
import multiprocessing
import os
from pathlib import Path

import pytest

from fly64_assets.storage import (
    DataRootBusyError,
    StagedFolder,
    cached_sha256_of,
    content_digest,
    data_root_lock,
    read_json,
    record_of,
    safe_relative_path,
    sha256_of,
    staged,
    update_json,
    write_atomically,
)


def test_digest_is_sha256_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"probe" * 100_000)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"probe" * 100_000).hexdigest()


def test_an_unchanged_file_is_hashed_once_and_a_changed_one_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []

    def count(path: Path) -> str:
        hashed.append(path)
        return sha256_of(path)

    monkeypatch.setattr("fly64_assets.storage.digests.sha256_of", count)
    scan, link = tmp_path / "scan.npz", tmp_path / "link.npz"
    scan.write_bytes(b"one")
    link.symlink_to(scan)
    first = cached_sha256_of(scan)
    assert first == cached_sha256_of(scan) == cached_sha256_of(link) == hashlib.sha256(b"one").hexdigest()
    assert hashed == [scan]
    scan.write_bytes(b"three")  # another size
    assert cached_sha256_of(scan) == cached_sha256_of(link) == hashlib.sha256(b"three").hexdigest()
    scan.write_bytes(b"seven")  # the same size
    os.utime(scan, ns=(0, 0))
    assert cached_sha256_of(scan) == hashlib.sha256(b"seven").hexdigest()
    os.utime(link, ns=(0, 1))  # only touched
    assert cached_sha256_of(scan) == hashlib.sha256(b"seven").hexdigest()
    assert len(hashed) == 4
    with pytest.raises(FileNotFoundError):
        cached_sha256_of(tmp_path / "none")


def test_published_files_appear_whole_and_replace_the_earlier_version(tmp_path: Path) -> None:
    folder = tmp_path / "partition"
    with staged(folder) as stage:
        stage.path("old.txt").write_text("old")
        stage.path("sub/both.txt").write_text("1")
        stage.publish()
    with staged(folder) as stage:
        stage.path("sub/both.txt").write_text("2")
        assert (folder / "sub/both.txt").read_text() == "1"
        records = stage.publish()
    assert (folder / "sub/both.txt").read_text() == "2"
    assert records["sub/both.txt"] == record_of(folder / "sub/both.txt")
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["both.txt"]


def test_a_failed_body_leaves_the_partition_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "partition"
    with staged(folder) as stage:
        stage.path("a").write_text("good")
        stage.publish()
    with pytest.raises(RuntimeError, match="cancelled"), staged(folder) as stage:
        stage.path("a").write_text("half")
        raise RuntimeError("cancelled")
    assert [path.name for path in folder.iterdir()] == ["a"]
    assert (folder / "a").read_text() == "good"


def test_staging_of_a_dead_writer_is_removed_and_of_a_living_one_kept(tmp_path: Path) -> None:
    dead = tmp_path / ".staging-999999999-aa"
    living = tmp_path / f".staging-{os.getpid()}-bb"
    dead.mkdir()
    living.mkdir()
    StagedFolder(tmp_path)
    assert not dead.exists()
    assert living.exists()


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "a\\b", "a\0b"])
def test_paths_that_leave_the_folder_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="relative path"):
        safe_relative_path(name)


def test_content_digest_ignores_order_and_volatile_files_but_no_content(tmp_path: Path) -> None:
    for name, text in (("a", "1"), ("b", "2"), ("costs.json", "3")):
        (tmp_path / name).write_text(text)
    a, b, costs = (record_of(tmp_path / name) for name in ("a", "b", "costs.json"))
    volatile = frozenset({"costs.json"})
    assert content_digest({"a": a, "b": b}) == content_digest({"b": b, "a": a})
    assert content_digest({"a": a, "costs.json": costs}, volatile) == content_digest({"a": a})
    assert content_digest({"a": a}) != content_digest({"a": b})
    assert content_digest({"a": a}) != content_digest({"b": a})
    with pytest.raises(ValueError, match="no file with lasting content"):
        content_digest({"costs.json": costs}, volatile)


def test_atomic_write_leaves_no_temporary_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "x" / "a.json", "1")
    write_atomically(tmp_path / "x" / "a.json", b"2")
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["a.json"]
    assert (tmp_path / "x" / "a.json").read_bytes() == b"2"


def _count_up(path: Path, times: int) -> None:
    for _ in range(times):
        update_json(path, lambda value: {"n": value.get("n", 0) + 1})


def test_concurrent_updates_keep_every_entry(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_count_up, args=(tmp_path / "n.json", 20)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert read_json(tmp_path / "n.json") == {"n": 60}


def _hold(root: Path, ready, release) -> None:
    with data_root_lock(root):
        ready.set()
        release.wait(20)


def test_a_held_data_root_is_refused_and_named(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready, release))
    holder.start()
    assert ready.wait(20)
    with pytest.raises(DataRootBusyError, match=str(holder.pid)), data_root_lock(tmp_path):
        pass
    release.set()
    holder.join()
    with data_root_lock(tmp_path):
        pass
