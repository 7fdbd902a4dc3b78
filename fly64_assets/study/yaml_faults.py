"""What a YAML parser complains of, in words for the person who must mend the file."""

import re

import yaml

from fly64_assets.science.registry import did_you_mean
from fly64_assets.study.marks import shortened

_SECOND_COLON = "a second colon: put text that holds a colon in quotes, or begin a new line"
_CONTINUED = "this line continues the line before: indent it as its neighbours, and put a space after every colon"
_INDENTED = "this line is indented differently from its neighbours, or the line before lacks a colon or a bracket"


def in_words(error: yaml.YAMLError, text: str) -> tuple[int, str]:
    """Line, from 1, and words of a parser's error.

    Args:
        error: what PyYAML raised.
        text: the file.
    """
    conflict = re.search(r"^(<{7}|={7}|>{7})( |$)", text, re.MULTILINE)
    if conflict is not None:
        line = text.count("\n", 0, conflict.start()) + 1
        return line, f"{conflict[1]} is left of two versions of the file: keep one of them"
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return line, f"control character {int(error.character):#04x}: remove it"
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return 1, f"is not YAML: {error}"
    problem, context = error.problem or "", error.context or ""
    line = error.problem_mark.line + 1
    began = error.context_mark.line + 1 if error.context_mark is not None else line
    found = _by_context(context, problem, text, began, line)
    return found or _by_problem(context, problem, text, began, line, error.problem_mark.column)


def _by_context(context: str, problem: str, text: str, began: int, line: int) -> tuple[int, str] | None:
    """Of what a fault that began earlier makes of the lines below it."""
    written = _line_of(text, line)
    if "\t" in written[: len(written) - len(written.lstrip())] or "'\\t'" in problem:
        return line, "a tab: YAML is indented with spaces"
    if "quoted scalar" in context and "end of stream" in problem:
        return began, "a quote is opened here and never closed"
    if "flow sequence" in context or "flow mapping" in context:
        return _flow("[" if "sequence" in context else "{", began, line, written)
    return None


def _by_problem(context: str, problem: str, text: str, began: int, line: int, column: int) -> tuple[int, str]:
    for pattern, words in _WORDS:
        found = re.search(pattern, problem) or re.search(pattern, context)
        if found is not None:
            return line, words.format(*found.groups())
    if (alias := re.search(r"found undefined alias '(.*)'", problem)) is not None:
        name, anchors = shortened(alias[1]), re.findall(r"(?<!\S)&(\w+)", text)
        return line, f"*{name} refers to no &{name}{did_you_mean(name, anchors)}"
    if "':'" in problem:
        written = _line_of(text, began).split(" #")[0].strip()
        if re.match(r"-[^\s-]", written):
            return began, "an item of a list is a dash, a space and a value, as in - 100"
        return began, f"expected a colon after {shortened(written)!r}, as in name: value"
    if "mapping values are not allowed" in problem:
        first = re.match(r"\s*(- )?[^\s:]*:", _line_of(text, line))
        return line, _CONTINUED if first is not None and first.end() > column else _SECOND_COLON
    return line, f"is not YAML: {problem}"


_WORDS = (
    ("expected a single document", "a second document (---): a study file holds one"),
    ("found duplicate anchor", "an anchor (&name) is given twice"),
    (
        "expected <block end>, but found '<scalar>'",
        "text after a closing quote or bracket: put the whole text in quotes",
    ),
    ("expected <block end>", _INDENTED),
    ("expected the node content, but found '<stream end>'", "the file ends inside a bracket or before a value"),
    ("sequence entries are not allowed", "a list item (-) stands where none may: begin a new line for it"),
    ("block scalar", "after | or > begin a new line, indented"),
    (
        "expected the node content, but found (.+)",
        "a value is missing before {}, or text that starts with it needs quotes",
    ),
    ("found character '(.+?)' that cannot start any token", "text that starts with {} needs quotes"),
    ("expected alphabetic or numeric character", "* and & are aliases and anchors to YAML: put such text in quotes"),
    ("(unknown escape character .+)", "{}: use single quotes, in which a backslash is only a backslash"),
)


def _flow(bracket: str, began: int, line: int, written: str) -> tuple[int, str]:
    closing = {"[": "]", "{": "}"}[bracket]
    if began == line and closing in written:
        return line, f"inside {bracket} {closing} items are separated by commas: {shortened(written.strip())!r}"
    return began, f"{bracket} is opened here and not closed by {closing} before line {line}"


def _line_of(text: str, line: int) -> str:
    lines = text.split("\n", line)
    return lines[line - 1] if line <= len(lines) else ""
