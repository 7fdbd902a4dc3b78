"""Code versions that nobody can forget to raise: digests of the science code that an entry function imports.

What counts is the syntax tree, without comments, docstrings and formatting, of the entry's module and of every module
of ``fly64_assets.science`` that it imports, directly or not: inside functions too, by the name of a child process's
module, and with the packages around it, which Python imports as well. Files beside a package's modules, such as
templates, count by their bytes. Of a plug-in, the modules of its own package count like the science's, and its
distribution's name and version. Nothing is imported to find this out.
"""

import ast
import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import entry_points, packages_distributions, version
from pathlib import Path

_PACKAGE = "fly64_assets"
_SCIENCE = "fly64_assets.science"
_MODULE_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_DATA_SUFFIXES = {".css", ".csv", ".html", ".j2", ".js", ".json", ".npy", ".npz", ".toml", ".txt", ".yaml", ".yml"}
_LEFT_OUT = {"ctx", "kind", "type_comment", "type_ignores"}
"""Fields of syntax nodes that change nothing."""

DIGITS = 16


class CodeVersionError(ValueError):
    """An entry whose source cannot be found or read."""


@dataclass(frozen=True)
class _Source:
    """What one file says.

    Attributes:
        digest: of its syntax tree, or of its bytes.
        imports: modules that it may import; names in them may turn out to be no modules.
    """

    digest: str
    imports: frozenset[str] = frozenset()


def code_version(entry: str) -> str:
    """The version of the code behind an entry, equal on every machine and Python version.

    What is found by name alone, such as a registered network or metric, is imported by nobody: it is an entry too.

    Args:
        entry: ``module`` or ``module:name``, or several with blanks between them; whole modules count.

    Returns:
        Hexadecimal digits.

    Raises:
        CodeVersionError: the module has no source.
    """
    modules = _modules(entry)
    for module in modules:
        if _file_of(module) is None:
            message = f"no source of {module!r}: the code version of {entry!r} needs one"
            raise CodeVersionError(message)
    found: list[object] = [(name, _digest_of(path)) for name, path in sorted(_closure(modules).items())]
    found += [_distribution(module) for module in modules if _top(module) != _PACKAGE]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:DIGITS]


def modules_of(entry: str) -> tuple[str, ...]:
    """The modules that count for an entry, sorted; for the documentation of an asset."""
    return tuple(sorted(_closure(_modules(entry))))


def _modules(entry: str) -> list[str]:
    return sorted({each.partition(":")[0] for each in entry.split()})


def _top(module: str) -> str:
    return module.partition(".")[0]


def _closure(modules: list[str]) -> dict[str, Path]:
    """Files by module: those of the entry and all that counts of what they import."""
    roots = (_SCIENCE, *(_top(module) for module in modules if _top(module) != _PACKAGE))
    found: dict[str, Path] = {}
    waiting = {each for module in modules for each in (module, *_packages_around(module, roots))}
    while waiting:
        name = waiting.pop()
        path = _file_of(name)
        if name in found or path is None:
            continue
        found[name] = path
        for each in _source(path, *_stamp(path)).imports:
            absolute = _absolute(each, name, path)
            if _inside(absolute, roots):
                waiting |= {absolute, *_packages_around(absolute, roots)} - found.keys()
    return found


def _inside(name: str, roots: tuple[str, ...]) -> bool:
    return any(name == root or name.startswith(root + ".") for root in roots)


def _packages_around(name: str, roots: tuple[str, ...]) -> set[str]:
    parts = name.split(".")
    packages = {".".join(parts[:count]) for count in range(1, len(parts))}
    return {package for package in packages if _inside(package, roots)}


def _absolute(name: str, importer: str, path: Path) -> str:
    """A relative import's module; others as they are."""
    if not name.startswith("."):
        return name
    package = importer if path.name == "__init__.py" else importer.rpartition(".")[0]
    return importlib.util.resolve_name(name, package)


def _file_of(module: str) -> Path | None:
    """The source file of a module; None if it is no module, or has no source."""
    spec = _spec(module)
    origin = spec.origin if spec is not None else None
    return Path(origin) if origin is not None and origin.endswith(".py") and Path(origin).is_file() else None


@cache
def _spec(module: str) -> ModuleSpec | None:
    """Where a module lies; unlike importlib.util.find_spec, packages around it are not imported."""
    package, _, _ = module.rpartition(".")
    if not package:
        return importlib.util.find_spec(module)
    around = _spec(package)
    if around is None or around.submodule_search_locations is None:
        return None
    return PathFinder.find_spec(module, list(around.submodule_search_locations))


def _digest_of(path: Path) -> list[object]:
    """The digest of a module, and of the files beside it if it is a package's own."""
    digest: list[object] = [_source(path, *_stamp(path)).digest]
    if path.name == "__init__.py":
        digest += [
            [each.relative_to(path.parent).as_posix(), _bytes_digest(each, *_stamp(each))] for each in _data(path)
        ]
    return digest


def _data(init: Path) -> Iterator[Path]:
    """Data files of a package, those of packages inside it apart."""
    waiting = [init.parent]
    while waiting:
        for each in sorted(waiting.pop().iterdir()):
            if each.is_dir():
                if not (each / "__init__.py").is_file() and not each.name.startswith((".", "__")):
                    waiting.append(each)
            elif each.suffix in _DATA_SUFFIXES and not each.name.startswith("."):
                yield each


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@cache
def _bytes_digest(path: Path, *stamp: int) -> str:
    del stamp  # part of the cache's key: a changed file is read again
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def _source(path: Path, *stamp: int) -> _Source:
    del stamp
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError as error:
        message = f"{path} is no Python: {error}"
        raise CodeVersionError(message) from error
    words: list[str] = []
    imports: set[str] = set()
    _read(tree, words, imports)
    return _Source(hashlib.sha256("\x00".join(words).encode("utf-8", "surrogatepass")).hexdigest(), frozenset(imports))


def _read(node: ast.AST, words: list[str], imports: set[str]) -> None:
    """Write a node down, and collect what it may import.

    Empty fields are left out, so that fields that a later Python adds (``type_params``) change nothing.
    """
    words.append(type(node).__name__)
    if isinstance(node, ast.Constant):
        words.append(repr(node.value))
        if isinstance(node.value, str) and _MODULE_NAME.fullmatch(named := node.value.partition(":")[0]):
            imports.add(named)
    elif isinstance(node, ast.Import | ast.ImportFrom):
        imports.update(_imported(node))
    for name in node._fields:
        value = getattr(node, name, None)
        if name in _LEFT_OUT or value is None or (isinstance(node, ast.Constant) and name == "value"):
            continue
        if isinstance(value, ast.AST):
            words.append(name)
            _read(value, words, imports)
        elif isinstance(value, list):
            if value:
                words += (name, "[")
                _read_list(value, words, imports)
                words.append("]")
        else:
            words += (name, repr(value))
    words.append(";")


def _read_list(values: list, words: list[str], imports: set[str]) -> None:
    for each in values:
        if not isinstance(each, ast.AST):
            words.append(repr(each))
        elif isinstance(each, ast.If) and _is_for_type_checkers(each.test):
            _read_list(each.orelse, words, imports)
        elif not _is_docstring(each):
            _read(each, words, imports)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_for_type_checkers(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else test.id if isinstance(test, ast.Name) else ""
    return name == "TYPE_CHECKING"


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (each.name for each in node.names)
        return
    package = "." * node.level + (node.module or "")
    yield package
    separator = "" if package.endswith(".") else "."
    yield from (package + separator + each.name for each in node.names if each.name != "*")


@cache
def _distribution(module: str) -> str:
    """Name and version of the distribution that a plug-in's module belongs to; empty if it belongs to none."""
    for entry in entry_points(module=module):
        if entry.group.startswith(f"{_PACKAGE}.") and entry.dist is not None:
            return f"{entry.dist.name} {entry.dist.version}"
    owners = packages_distributions().get(_top(module), [])
    return ", ".join(f"{owner} {version(owner)}" for owner in sorted(set(owners)))
