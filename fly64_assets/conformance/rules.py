"""The rules, kind by kind: what is run, and which results must be equal."""

import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fly64_assets.conformance.judgement import (
    Finding,
    cancel_fault,
    children_fault,
    difference,
    estimates_fault,
    first_difference,
    options_fault,
    record_fault,
    skip_fault,
    training_fault,
)
from fly64_assets.conformance.scan import Place, Scans
from fly64_assets.conformance.trial import Call, Outcome, Trials
from fly64_assets.science.methods.record import METHOD_KINDS, MethodKind
from fly64_assets.science.methods.record import Place as ViewPlace
from fly64_assets.science.options import Options, ViewOptions
from fly64_assets.science.registry import RegistryError

SMALL = {
    "epochs": 2,
    "passes": 4,
    "groups_per_epoch": 32,
    "stages": 2,
    "width": 8,
    "scans": 10,
    "batches_per_epoch": 3,
    "passes_between": 2,
}
"""Options that make a trial short, for kinds that have them and unless others are given."""

_SIDE_BY_SIDE = 2
_SEED = 1


def findings(name: str, given: Mapping[str, Any], scans: Scans, folder: Path) -> Iterator[Finding]:
    """Try one kind.

    Args:
        name: registered name.
        given: options; the others are small values where the kind has such options, else its defaults.
        scans: what to try it on.
        folder: empty private folder.

    Yields:
        One finding per rule.

    Raises:
        RegistryError: nobody registered the name.
        pydantic.ValidationError: options that the kind refuses.
    """
    METHOD_KINDS.entry_point(name)
    try:
        kind = METHOD_KINDS.get(name)
    except RegistryError as error:
        yield Finding(name, "can be imported", str(error))
        return
    small = {field: value for field, value in SMALL.items() if field in kind.options.model_fields}
    options = kind.options.model_validate({**small, **given})
    yield Finding(name, "is described in one line", record_fault(kind))
    yield Finding(name, "describes its options, with bounds", options_fault(kind.options))
    yield Finding(name, "skips with a reason", skip_fault(kind, options))
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        yield from _Try(kind, options, scans, folder, pool).findings()


@dataclass
class _Try:
    """One kind with its options, ready to be run."""

    kind: MethodKind
    options: Options
    scans: Scans
    folder: Path
    pool: ThreadPoolExecutor

    def __post_init__(self) -> None:
        self.trials = Trials(self.kind.name, self.options.model_dump(mode="json"), self.folder)

    def findings(self) -> Iterator[Finding]:
        bundle = None
        opened: list[str] = []
        if self.kind.trains != "nothing":
            training = self._training()
            first = training["first"].results[0]
            yield from self._training_findings(training)
            opened += [path for outcome in training.values() for path in outcome.opened]
            if first["error"]:
                return
            bundle = first["bundle"]
        outcomes = self._reconstruction(bundle)
        yield from self._reconstruction_findings(outcomes)
        opened += [path for outcome in outcomes.values() for path in outcome.opened]
        yield self._finding(
            "opens no file of the data root", f"it opened {', '.join(sorted(set(opened)))}" * bool(opened)
        )

    def _finding(self, rule: str, why: str) -> Finding:
        return Finding(self.kind.name, rule, " ".join(why.split()))

    def _collect(self, started: Mapping[str, Future[Outcome]]) -> dict[str, Outcome]:
        return {name: future.result() for name, future in started.items()}

    def _training(self) -> dict[str, Outcome]:
        honest, blinded = self.scans.honest, self.scans.blinded
        call, blind = self._training_call(honest), self._training_call(blinded)
        run = self.pool.submit
        started = {
            "first": run(self.trials.run, [call], honest),
            "again": run(self.trials.run, [call, call], honest),
            "another time": run(self.trials.run, [call], honest, wrong_clock=True),
            "cancelled": run(self.trials.run, [call | {"end": "cancel"}], honest),
            "no truth": run(self.trials.run, [blind if self._must_not_see_truth() else call], blinded),
        }
        return self._collect(started)

    def _must_not_see_truth(self) -> bool:
        """Whether the training's own source may not be used for its truth; a probe's file teaches the probe alone."""
        return self.kind.learns_from == "counts" or self.kind.trains == "probe"

    def _training_call(self, place: Place) -> Call:
        """A training on a copy of the file, outside the data root."""
        source = self.trials.new_folder() / "source.npz"
        shutil.copyfile(place.scan if self.kind.trains == "probe" else place.dataset("train"), source)
        return {"do": "train", "source": str(source), "view": self._view().model_dump(mode="json"), "seed": _SEED}

    def _view(self) -> ViewOptions:
        grouped = ViewOptions(gridsize=2)
        skips = self.kind.skip(ViewPlace("dense", grouped, "dense", grouped), self.options)
        return ViewOptions(gridsize=1) if skips else grouped

    def _training_findings(self, training: Mapping[str, Outcome]) -> Iterator[Finding]:
        first = training["first"].results[0]
        again, twice = training["again"].results
        yield self._finding("trains a valid bundle with its verdicts", training_fault(first))
        yield self._finding("trains the same bundle in two processes", difference(first, again))
        yield self._finding("trains the same bundle twice in one process", difference(again, twice))
        yield self._finding(
            "trains the same bundle at another time", difference(first, training["another time"].results[0])
        )
        where = "the truth" if self._must_not_see_truth() else "the truth in the data root"
        yield self._finding(f"trains without {where}", difference(first, training["no truth"].results[0]))
        yield self._finding("cancels a training when told", cancel_fault(training["cancelled"].results[0]))

    def _reconstruction(self, bundle: str | None) -> dict[str, Outcome]:
        call = self._call(bundle)
        other = call | {"measurement": str(self.scans.other), "seed": _SEED + 1}
        honest, blinded, run = self.scans.honest, self.scans.blinded, self.pool.submit
        ended = [call | {"end": "cancel"}, call | {"end": "close"}, call]
        started_elsewhere = [call | {"start": str(self.scans.start)}] if self.kind.may_start_from_a_result else []
        started = {
            "first": run(self.trials.run, [call], honest),
            "again": run(self.trials.run, [call, call, other, call], honest),
            "another time": run(self.trials.run, [call], honest, wrong_clock=True),
            "no truth": run(self.trials.run, [call], blinded),
            "ended": run(self.trials.run, [*ended, *started_elsewhere], honest),
        }
        return self._collect(started)

    def _call(self, bundle: str | None) -> Call:
        return {"do": "reconstruct", "measurement": str(self.scans.measurement), "seed": _SEED, "bundle": bundle}

    def _reconstruction_findings(self, outcomes: Mapping[str, Outcome]) -> Iterator[Finding]:
        first = outcomes["first"].results[0]
        again, *later = outcomes["again"].results
        cancelled, closed, after, *started = outcomes["ended"].results
        yield self._finding("gives sound estimates", estimates_fault(first))
        yield self._finding("leaves what it is given as it is", _input_fault(first))
        yield self._finding("gives the same in two processes", difference(first, again))
        yield self._finding(
            "keeps no state between calls", first_difference(again, [later[0], later[2]]) or difference(again, after)
        )
        yield self._finding("does not depend on time", difference(first, outcomes["another time"].results[0]))
        yield self._finding("does not depend on the truth", difference(first, outcomes["no truth"].results[0]))
        yield self._finding("cancels when told", cancel_fault(cancelled))
        yield self._finding("ends when nobody asks on", closed["error"] or children_fault(closed))
        if started:
            yield self._finding("uses what it starts from", _start_fault(first, started[0]))


def _input_fault(result: Mapping[str, Any]) -> str:
    if result["error"]:
        return result["error"]
    return "" if result["input_unchanged"] else "it writes into the measurement or into the object to start from"


def _start_fault(flat: Mapping[str, Any], started: Mapping[str, Any]) -> str:
    if flat["error"] or started["error"]:
        return flat["error"] or started["error"]
    if flat["estimates"][0]["object"] == started["estimates"][0]["object"]:
        return "its first estimate is the same from flat and from another object"
    return ""
