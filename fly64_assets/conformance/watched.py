"""A process whose clocks are wrong and whose opened files are noted; its own child processes as well.

A ``sitecustomize`` module on ``PYTHONPATH`` calls :func:`install` in every Python process that inherits the
environment, before anything else is imported.
"""

import datetime
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

OPENS_VARIABLE = "FLY64_CONFORMANCE_OPENS"
CLOCK_VARIABLE = "FLY64_CONFORMANCE_CLOCK"
_CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "thread_time")

SHIFT_S = 1_000_000.0
RATE = 10.0
"""A wrong clock is this late, and runs this fast: a result that depends on elapsed time would show."""

SITECUSTOMIZE = "from fly64_assets.conformance.watched import install\n\ninstall()\n"


def environment(folder: Path, data_root: Path, *, wrong_clock: bool) -> dict[str, str]:
    """Variables for a watched process.

    Args:
        folder: existing private folder; receives sitecustomize.py and the list of opened files.
        data_root: what FLY64_DATA_ROOT says; files opened under it are noted.
        wrong_clock: whether its clocks are shifted and too fast.
    """
    site = folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITECUSTOMIZE, encoding="utf-8")
    (folder / "tmp").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FLY64_", "DAGSTER_"))}
    inherited = [str(Path(each).resolve()) for each in kept.get("PYTHONPATH", "").split(os.pathsep) if each]
    return kept | {
        "PYTHONPATH": os.pathsep.join([str(site), *inherited]),
        "FLY64_DATA_ROOT": str(data_root),
        "TMPDIR": str(folder / "tmp"),
        OPENS_VARIABLE: str(folder / "opened.txt"),
        **({CLOCK_VARIABLE: "wrong"} if wrong_clock else {}),
    }


def opened(folder: Path) -> list[str]:
    """Files under the data root that the process and its children opened."""
    path = folder / "opened.txt"
    return sorted(set(path.read_text(encoding="utf-8").splitlines())) if path.is_file() else []


def install() -> None:
    """Note opened files and falsify the clocks, as the environment asks."""
    if OPENS_VARIABLE in os.environ:
        _note_opened_files(os.environ[OPENS_VARIABLE], os.environ["FLY64_DATA_ROOT"])
    if CLOCK_VARIABLE in os.environ:
        _falsify_clocks()


def _note_opened_files(log: str, data_root: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    root = os.path.realpath(data_root) + os.sep

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if path.startswith(root):
            os.write(descriptor, f"{path[len(root) :]}\n".encode())

    sys.addaudithook(note)


def _falsify_clocks() -> None:
    for name in _CLOCKS:
        for suffix, unit in (("", 1.0), ("_ns", 1e9)):
            setattr(time, name + suffix, _wrong(getattr(time, name + suffix), unit))
    for name in ("localtime", "gmtime", "ctime"):
        setattr(time, name, _of_wrong_time(getattr(time, name)))
    real_strftime, localtime = time.strftime, time.localtime
    time.strftime = lambda form, *given: real_strftime(form, *(given or (localtime(),)))  # pyright: ignore[reportAttributeAccessIssue]


def falsify_datetime() -> None:
    """Give ``datetime.datetime`` the present of a wrong clock, where the environment asks for one.

    To be called before a kind is imported. Compiled modules look at the class when they are imported, and pandas does
    not survive another one: it comes first. That is why :func:`install` leaves the class alone.
    """
    if CLOCK_VARIABLE in os.environ:
        import pandas as pd

        del pd
        datetime.datetime = _wrong_datetime(datetime.datetime)  # pyright: ignore[reportAttributeAccessIssue]


def _wrong(clock: Callable[[], Any], unit: float) -> Callable[[], Any]:
    begun = clock()
    number = type(begun)
    return lambda: begun + number(SHIFT_S * unit) + number(RATE) * (clock() - begun)


def _of_wrong_time(convert: Callable[..., Any]) -> Callable[..., Any]:
    return lambda seconds=None: convert(time.time() if seconds is None else seconds)


def _wrong_datetime(real: type[datetime.datetime]) -> type[datetime.datetime]:
    """A datetime class whose present is the wrong clock's; values of the real one are instances of it."""

    class Instances(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, real) if cls is Wrong else super().__instancecheck__(value)

    class Wrong(real, metaclass=Instances):
        __slots__ = ()

        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return real.fromtimestamp(time.time(), tz)

        @classmethod
        def today(cls) -> datetime.datetime:
            return real.fromtimestamp(time.time())

        @classmethod
        def utcnow(cls) -> datetime.datetime:
            return real.fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None)

    return Wrong
