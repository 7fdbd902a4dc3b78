"""One dose of one view as the comparison sees it: its verified files, read and scored."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from fly64_assets.orchestration.catalog.gate import PartitionFiles
from fly64_assets.orchestration.graph import files
from fly64_assets.science.contract import read_dataset
from fly64_assets.science.interop.ptychodus import read_product
from fly64_assets.science.metrics.costs import cost_table
from fly64_assets.science.metrics.explanation import Explanation
from fly64_assets.science.metrics.scoring import CellScores, score_cell
from fly64_assets.science.metrics.tables import TRACE
from fly64_assets.science.metrics.trace import score_trace
from fly64_assets.science.randomness import named_rng
from fly64_assets.science.records import Dataset, Reconstruction, Scan, Split
from fly64_assets.storage import read_json
from fly64_assets.study.parameters import ComparisonParameters, Repetition

Key = tuple[Repetition, Split]


@dataclass(frozen=True)
class ScoredCell:
    """One dose and view, and the verified files that it is scored from.

    Attributes:
        parameters: of the comparison.
        view: files of the view.
        results: method to the files of its results; methods without a place here are absent.
        not_here: method to the reason why it has none.
    """

    parameters: ComparisonParameters
    view: PartitionFiles
    results: Mapping[str, PartitionFiles]
    not_here: Mapping[str, str]

    @classmethod
    def of(
        cls, parameters: ComparisonParameters, inputs: Mapping[str, Mapping[str | None, PartitionFiles]]
    ) -> "ScoredCell":
        """Sort the inputs of a comparison, methods in the study's order."""

        def only(asset: str) -> PartitionFiles:
            (found,) = inputs[asset].values()
            return found

        found = {method.name: only(f"reconstruction/{method.name}") for method in parameters.methods}
        return cls(
            parameters,
            only("overlap_view"),
            {name: source for name, source in found.items() if source.skip_reason is None},
            {name: source.skip_reason for name, source in found.items() if source.skip_reason is not None},
        )

    @cached_property
    def scores(self) -> dict[Key, CellScores]:
        """Every object, seed and split, scored."""
        return {(each, split): self._score(each, split) for each, split in self._parts()}

    def _parts(self) -> list[Key]:
        return [(each, split) for each in self.parameters.repetitions for split in each.splits]

    @property
    def first(self) -> Repetition:
        """What pictures and ways are of."""
        return self.parameters.repetitions[0]

    def results_of(self, each: Repetition) -> dict[str, PartitionFiles]:
        """The results of the methods that were run on an object."""
        alone = {method.name for method in self.parameters.methods if method.first_object_alone}
        is_first = each.object == self.first.object
        return {name: source for name, source in self.results.items() if is_first or name not in alone}

    def dataset(self, each: Repetition, split: Split) -> Dataset:
        """Counts and truth of a split."""
        return read_dataset(self.view.path(files.view_file(self.parameters.view_name, split, each.folder)))

    def reconstructions(self, each: Repetition, split: Split) -> dict[str, Reconstruction]:
        """What every method made of a split."""
        return {
            method: read_product(source.path(files.product_file(method, split, each.folder)))
            for method, source in self.results_of(each).items()
        }

    def explanations(self, each: Repetition, split: Split) -> dict[str, Explanation]:
        """How every result explains its counts."""
        return {
            method: Explanation.from_dict(read_json(source.path(files.EXPLANATIONS))[each.key][split])
            for method, source in self.results_of(each).items()
        }

    def _score(self, each: Repetition, split: Split) -> CellScores:
        """Bootstrap and bound are of the first object: over several, their spread is the interval."""
        dataset, parameters = self.dataset(each, split), self.parameters
        bare = {} if each.object == self.first.object else {"bootstrap_samples": 0, "bound_patches": 0}
        return score_cell(
            self.reconstructions(each, split),
            dataset,
            _scan_of(dataset),
            parameters.scoring.model_copy(update=bare),
            dose=parameters.dose,
            view=parameters.view_name,
            split=split,
            object=each.object,
            seed=each.seed,
            rng=named_rng(parameters.bootstrap_seed, "bootstrap", parameters.view_name, split),
            explanations=self.explanations(each, split),
        )

    def metrics(self) -> pd.DataFrame:
        """The score table of all objects, seeds and splits, each row with the digests of the files behind it."""
        return pd.concat([self._with_provenance(part.table, *key) for key, part in self.scores.items()])

    def frc_curves(self) -> pd.DataFrame:
        """The curves of all objects, seeds and splits."""
        return pd.concat([part.frc_curves for part in self.scores.values()])

    def trace(self) -> pd.DataFrame:
        """Phase SSIM of what the methods had on their way: test split, first object and seed; with ``cpu_seconds``.

        A method that starts from another carries that one's time.
        """
        dataset = self.dataset(self.first, files.TRACED)
        parts = [self._trace_of(method, source, dataset) for method, source in self.results.items()]
        keys = {"dose": self.parameters.dose, "view": self.parameters.view_name, "split": files.TRACED}
        keys |= {"object": self.first.object, "seed": self.first.seed}
        found = pd.concat(parts).assign(**keys) if parts else pd.DataFrame()
        return found.reindex(columns=[*TRACE.names, "cpu_seconds"])

    def _trace_of(self, method: str, source: PartitionFiles, dataset: Dataset) -> pd.DataFrame:
        reached = read_json(source.path(files.COSTS))["trace"].get(self.first.key, {})
        folder = self.first.folder
        steps = sorted(map(int, reached))
        estimates = {
            step: read_product(source.path(files.trace_file(method, files.TRACED, folder, step))) for step in steps
        }
        scored = score_trace(estimates, dataset, _scan_of(dataset), self.parameters.scoring)
        before = sum(self._seconds(start, self.first, files.TRACED) for start in self._chain(method)[1:])
        seconds = [before + reached[str(step)] for step in scored["step"]]
        return scored.assign(method=method, cpu_seconds=np.array(seconds, float))

    def costs(self) -> pd.DataFrame:
        """CPU-seconds and training patterns of each method; what it starts from included."""
        cell = {"dose": self.parameters.dose, "view": self.parameters.view_name}
        return pd.concat(
            cost_table(
                {method: dict(self._cost_of(method, each, split)) for method in self.results_of(each)},
                split=split,
                object=each.object,
                seed=each.seed,
                **cell,
            )
            for each, split in self._parts()
        )

    def _cost_of(self, method: str, each: Repetition, split: Split) -> Iterator[tuple[str, float]]:
        chain = self._chain(method)
        yield "cpu_seconds_reconstruct", sum(self._seconds(start, each, split) for start in chain)
        seed = str(each.seed)
        trainings = [read_json(self.results[start].path(files.COSTS))["train"].get(seed) for start in chain]
        spent = [training for training in trainings if training is not None]
        if spent:
            yield "cpu_seconds_train", sum(training["cpu_seconds"] for training in spent)
            yield "patterns_trained_on", max(training["patterns_trained_on"] for training in spent)

    def _seconds(self, method: str, each: Repetition, split: Split) -> float:
        return float(read_json(self.results[method].path(files.COSTS))["reconstruct"][each.key][split])

    def _chain(self, method: str) -> tuple[str, ...]:
        return next(each.chain for each in self.parameters.methods if each.name == method)

    def _with_provenance(self, metrics: pd.DataFrame, each: Repetition, split: Split) -> pd.DataFrame:
        """The table with the digests of the files that each row was computed from."""
        dataset = files.view_file(self.parameters.view_name, split, each.folder)
        digests = {
            method: source.files[files.product_file(method, split, each.folder)].sha256
            for method, source in self.results_of(each).items()
        }
        return metrics.assign(
            dataset_sha256=self.view.files[dataset].sha256,
            product_sha256=metrics["method"].map(lambda method: digests.get(method, "")),
        )

    def describe(self, figure_note: str) -> dict[str, Any]:
        """What the report says of the cell besides its scores."""
        shown = self.dataset(self.first, files.TRACED)
        return {
            "object_origin": shown.metadata.get("object_origin", "truth"),
            "not_here": dict(self.not_here),
            "digests": {
                f"{source.item.folder}/{name}": record.sha256
                for source in (self.view, *self.results.values())
                for name, record in sorted(source.files.items())
                if files.is_dataset(name) or files.is_product(name)
            },
            "failures": {
                f"{method}, {split} split, {each.object}, seed {each.seed}": reason
                for (each, split), part in self.scores.items()
                for method, reason in part.failures.items()
            },
            "figure_note": figure_note,
        }


def _scan_of(dataset: Dataset) -> Scan:
    measurement = dataset.measurement
    return Scan(dataset.object, measurement.probe, measurement.positions_xy_px, dataset.scan_index)
