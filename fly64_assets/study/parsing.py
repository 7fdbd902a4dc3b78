"""Parses a study file: YAML within bounds, every value with its line.

PyYAML alone would keep the last of two equal keys, follow aliases that explode, and forget where things stand.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from fly64_assets.study.marks import Fault, Mark, Place, StudyFile, UnreadableError, shortened
from fly64_assets.study.yaml_faults import in_words

MAX_BYTES = 2**20
MAX_VALUES = 10_000
MAX_DEPTH = 20
MAX_ALIASES = 50

_TAG = "tag:yaml.org,2002:"
_SCALAR_TAGS = frozenset(_TAG + name for name in ("null", "bool", "int", "float", "str", "timestamp", "value"))
_CONTAINER_TAGS = frozenset((_TAG + "map", _TAG + "seq"))
_LONGEST_OCTAL = 30
_MERGE = _TAG + "merge"


def parse_study_file(path: Path) -> StudyFile:
    """Parse a study file.

    Raises:
        UnreadableError: it cannot be read, is too large, is not UTF-8 or not YAML, or is no mapping.
    """
    text = _text_of(path)
    try:
        root = _Composer(text).get_single_node()
    except yaml.YAMLError as error:
        raise UnreadableError(*in_words(error, text)) from error
    if root is None:
        raise UnreadableError(1, "the file is empty: a study needs name, report and views")
    if not isinstance(root, yaml.MappingNode):
        noun = "a list" if isinstance(root, yaml.SequenceNode) else f"the text {shortened(root.value)!r}"
        raise UnreadableError(_line(root), f"expected a mapping of study fields (name: ...), found {noun}")
    reader = _Values()
    content = reader.value_of(root, (), 1)
    return StudyFile(path, content, reader.marks, tuple(reader.faults))


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnreadableError(None, f"cannot be read: {error.strerror or error}") from error
    if len(raw) > MAX_BYTES:
        raise UnreadableError(None, f"is larger than {MAX_BYTES // 2**20} MiB: that is no study file")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnreadableError(1, "the file is UTF-16: save it as UTF-8")
    if b"\0" in raw:
        raise UnreadableError(raw.count(b"\n", 0, raw.index(b"\0")) + 1, "is a binary file, expected a study in YAML")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UnreadableError(line, f"byte 0x{raw[error.start]:02x} is not UTF-8: save the file as UTF-8") from error


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _tag(node: yaml.Node) -> str:
    return shortened(f"!!{node.tag.removeprefix(_TAG)}" if node.tag.startswith(_TAG) else node.tag)


class _Composer(yaml.SafeLoader):
    """Composes nodes and gives up early on files that no person writes."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._nodes = self._aliases = self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node; counts it."""
        event = self.peek_event()
        line = event.start_mark.line + 1
        self._nodes += 1
        self._aliases += isinstance(event, yaml.AliasEvent)
        for count, limit, noun in (
            (self._nodes, MAX_VALUES, "values"),
            (self._aliases, MAX_ALIASES, "aliases (*name)"),
            (self._depth, MAX_DEPTH, "levels of nesting"),
        ):
            if count > limit:
                raise UnreadableError(line, f"more than {limit} {noun}: that is no study file")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Values:
    """Turns nodes into plain values, and keeps where they stand."""

    def __init__(self) -> None:
        self.marks: dict[Place, Mark] = {}
        self.faults: list[Fault] = []
        self._scalars = yaml.constructor.SafeConstructor()
        self._count = 0
        self._open: list[yaml.Node] = []

    def value_of(self, node: yaml.Node, place: Place, key_line: int) -> Any:
        """The value of a node; what is odd about it becomes a fault."""
        self._visit(node)
        self._open.append(node)
        known = _SCALAR_TAGS if isinstance(node, yaml.ScalarNode) else _CONTAINER_TAGS
        if node.tag not in known:
            self._add(_line(node), place, f"{_tag(node)} has no meaning in a study: remove it")
        if isinstance(node, yaml.ScalarNode):
            value = self._scalar(node, place)
        elif isinstance(node, yaml.SequenceNode):
            self.marks[place] = Mark(key_line)
            items = enumerate(node.value)
            value = [self.value_of(item, (*place, index), _line(item)) for index, item in items]
        else:
            self.marks[place] = Mark(key_line)
            value = self._mapping(node.value, place)
        self._open.pop()
        return value

    def _visit(self, node: yaml.Node) -> None:
        """Count a node each time that an alias leads to it, which is what a file that explodes is made of."""
        self._count += 1
        if self._count > MAX_VALUES:
            raise UnreadableError(_line(node), f"aliases make more than {MAX_VALUES} values: that is no study file")
        if any(node is each for each in self._open):
            raise UnreadableError(_line(node), "an alias refers to what it stands in: write the values out")
        if len(self._open) > MAX_DEPTH:
            raise UnreadableError(_line(node), f"more than {MAX_DEPTH} levels of nesting: that is no study file")

    def _add(self, line: int, place: Place, text: str) -> None:
        self.faults.append(Fault(line, place, text))

    def _scalar(self, node: yaml.ScalarNode, place: Place) -> Any:
        text, quoted = node.value, node.style is not None
        self.marks[place] = Mark(_line(node), text, quoted)
        kind = node.tag.removeprefix(_TAG)
        if kind in ("int", "float") and ":" in text:  # not computed: a long one would take minutes
            self._add(_line(node), place, f"{shortened(text)} is in base 60 to YAML: write it in base 10, or in quotes")
            return text
        if kind == "int" and len(text) < _LONGEST_OCTAL and re.fullmatch(r"[-+]?0[0-7_]*[1-7][0-7_]*", text):
            self._add(_line(node), place, f"{text} is octal to YAML: write {text.replace('_', '').lstrip('-+0')}")
        if node.tag not in _SCALAR_TAGS:
            return text
        try:
            return self._scalars.construct_object(node)
        except (ValueError, KeyError, OverflowError):  # a date such as 2024-13-45, an int of 5,000 digits
            return text

    def _mapping(self, pairs: list[tuple[yaml.Node, yaml.Node]], place: Place) -> dict[str, Any]:
        values: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in pairs:
            if key_node.tag == _MERGE:
                continue
            key, line = self._key(key_node, value_node, place), _line(key_node)
            if key in lines:
                text = f"given twice, first in line {lines[key]}: keep one of them"
                self._add(line, (*place, key), text)
                continue
            lines[key] = line
            values[key] = self.value_of(value_node, (*place, key), line)
        for key_node, value_node in pairs:
            if key_node.tag == _MERGE:
                self._merge(value_node, place, values)
        return values

    def _merge(self, node: yaml.Node, place: Place, values: dict[str, Any]) -> None:
        """Take over, from ``<<: *name``, what the mapping does not say itself."""
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            self._visit(source)
            if not isinstance(source, yaml.MappingNode):
                self._add(
                    _line(source), place, "<< takes over the fields of a mapping, as in <<: *name; found something else"
                )
                continue
            self._open.append(source)
            for key_node, value_node in source.value:
                if key_node.tag == _MERGE:
                    self._merge(value_node, place, values)
                elif (key := self._key(key_node, value_node, place)) not in values:
                    values[key] = self.value_of(value_node, (*place, key), _line(key_node))
            self._open.pop()

    def _key(self, node: yaml.Node, value: yaml.Node, place: Place) -> str:
        if not isinstance(node, yaml.ScalarNode):
            text = "a key is a name, found a list or mapping: put text with { or [ in quotes"
            raise UnreadableError(_line(node), text)
        alone = isinstance(value, yaml.ScalarNode) and value.style is None and not value.value
        if alone and node.style is None and not re.fullmatch(r"[A-Za-z_][\w -]*", node.value):
            name, colon, rest = node.value.partition(":")
            text = f"{shortened(node.value)} stands alone: write a decimal number with a point, and a list in [ ]"
            if colon and rest:
                text = f"a space is missing after the colon: write {shortened(name)}: {shortened(rest)}"
            self._add(_line(node), (*place, node.value), text)
        elif node.tag != _TAG + "str":
            what = node.tag.removeprefix(_TAG)
            text = f"{shortened(node.value)!r} as a name is no text to YAML ({what}): put it in quotes, or rename it"
            self._add(_line(node), (*place, node.value), text)
        return node.value
