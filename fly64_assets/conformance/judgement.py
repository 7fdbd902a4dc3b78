"""What results must be like, and how two of them differ: the words of the rules."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from fly64_assets.science.methods.record import MethodKind, Place
from fly64_assets.science.options import Options, ViewOptions

Result = dict[str, Any]

VERDICTS = ("finite_weights", "weights_changed", "learned")
_MUST_PASS = ("finite_weights", "weights_changed")
CANCEL_LIMIT_S = 10.0


@dataclass(frozen=True)
class Finding:
    """The outcome of one rule.

    Attributes:
        kind: name of the kind of method.
        rule: what was asked.
        why: what is wrong; empty if the rule is kept.
    """

    kind: str
    rule: str
    why: str = ""

    def __str__(self) -> str:
        """One line."""
        return f"FAILED  {self.kind}  {self.rule}: {self.why}" if self.why else f"ok      {self.kind}  {self.rule}"


def record_fault(kind: MethodKind) -> str:
    """Why a record's meaning is no line for a report."""
    if not kind.meaning.strip() or "\n" in kind.meaning:
        return f"its meaning must be one line, it is {kind.meaning!r}"
    return "its meaning must not end with a full stop" if kind.meaning.rstrip().endswith(".") else ""


def options_fault(options: type[Options]) -> str:
    """Which options lack a description, a number its bounds, or the record its strictness."""
    if not issubclass(options, Options) or not options.model_config.get("frozen"):
        return "its options must be a frozen record derived from fly64_assets.science.options.Options"
    schema = options.model_json_schema()
    records = [schema, *schema.get("$defs", {}).values()]
    faults = [fault for record in records for fault in _field_faults(record.get("properties", {}))]
    return "; ".join(faults)


def _field_faults(properties: dict[str, Any]) -> Iterator[str]:
    for name, field in properties.items():
        if not field.get("description"):
            yield f"{name} has no description"
        for choice in field.get("anyOf", [field]):
            bounds = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "enum", "const")
            if choice.get("type") in ("integer", "number") and not any(bound in choice for bound in bounds):
                yield f"{name} is a number without bounds"


def skip_fault(kind: MethodKind, options: Options) -> str:
    """What is wrong with the answers of ``skip``."""
    for gridsize in (1, 2):
        view = ViewOptions(gridsize=gridsize)
        answer = kind.skip(Place("dense", view, "dense", view), options)
        if answer is not None and (not isinstance(answer, str) or not answer.strip() or "\n" in answer):
            return f"skip must give None or one line that says why; for gridsize {gridsize} it gives {answer!r}"
    return ""


def estimates_fault(result: Result) -> str:
    """What is wrong with the estimates of one call."""
    if result["error"]:
        return result["error"]
    estimates = result["estimates"]
    if not estimates:
        return "there is no estimate"
    for number, estimate in enumerate(estimates, 1):
        if estimate["faults"]:
            return f"estimate {number}: {'; '.join(estimate['faults'])}"
    steps = [estimate["step"] for estimate in estimates]
    if any(later <= earlier for earlier, later in pairwise(steps)):
        return f"steps must increase, they are {steps}"
    seconds = [estimate["cpu_seconds"] for estimate in estimates if estimate["cpu_seconds"] is not None]
    if any(not math.isfinite(each) or each < 0 for each in seconds) or seconds != sorted(seconds):
        return f"cpu_seconds must be zero or more and not fall, they are {seconds}"
    return ""


def training_fault(result: Result) -> str:
    """What is wrong with a training."""
    if result["error"]:
        return result["error"]
    verdicts = result["verdicts"]
    lacking = [name for name in VERDICTS if not isinstance(verdicts.get(name, {}).get("passed"), bool)]
    if lacking:
        return f"verdicts lack {', '.join(lacking)}"
    for name in _MUST_PASS:
        if not verdicts[name]["passed"]:
            return f"verdict {name}: {verdicts[name].get('details')}"
    if not result["rows"] or not math.isfinite(result["final_loss"]):
        return f"it has {result['rows']} epochs of history and a final loss of {result['final_loss']}"
    if not (result["cpu_seconds"] >= 0 and result["patterns_trained_on"] > 0):
        return f"cpu_seconds {result['cpu_seconds']}, patterns_trained_on {result['patterns_trained_on']}"
    return ""


def difference(first: Result, second: Result) -> str:
    """How two results that must be equal differ; empty if they do not. CPU times may."""
    for result in (first, second):
        if result["error"]:
            return result["error"]
    if "sha256" in first:
        return "" if first["sha256"] == second["sha256"] else f"bundles {first['sha256'][:8]}, {second['sha256'][:8]}"
    ours, theirs = (_without_times(result["estimates"]) for result in (first, second))
    if len(ours) != len(theirs):
        return f"{len(ours)} estimates, then {len(theirs)}"
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True), 1):
        different = [name for name in one if one[name] != other[name]]
        if different:
            return f"estimate {number} differs in {', '.join(different)}"
    return ""


def first_difference(first: Result, others: Sequence[Result]) -> str:
    """The first difference between a result and the others."""
    return next((found for other in others if (found := difference(first, other))), "")


def _without_times(estimates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in each.items() if name != "cpu_seconds"} for each in estimates]


def cancel_fault(result: Result) -> str:
    """What is wrong with a call whose progress listener raised."""
    if not result.get("told"):
        return result["error"] or "its progress listener is never told of a step"
    if not result["error"]:
        return "it went on to its end although the progress listener raised"
    if not result["cancelled"]:
        return f"instead of the listener's own error it raised {result['error']}"
    if result["seconds_to_end"] > CANCEL_LIMIT_S:
        return f"it ended {result['seconds_to_end']:.0f} s after the listener raised"
    return children_fault(result)


def children_fault(result: Result) -> str:
    """Which child processes were left behind."""
    return f"child processes are left: {'; '.join(result['children_left'])}" if result["children_left"] else ""
