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
from fly64_assets.science.records import SPLITS, Dataset, Reconstruction, Scan, Split
from fly64_assets.storage import read_json
from fly64_assets.study.parameters import ComparisonParameters

Key = tuple[int, Split]
"""Seed and split."""


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
        """Every seed and split, scored."""
        return {(seed, split): self._score(seed, split) for seed in self.parameters.seeds for split in SPLITS}

    def dataset(self, seed: int, split: Split) -> Dataset:
        """Counts and truth of a split."""
        name = files.view_file(self.parameters.view_name, split, self.parameters.folder_of(seed))
        return read_dataset(self.view.path(name))

    def reconstructions(self, seed: int, split: Split) -> dict[str, Reconstruction]:
        """What every method made of a split."""
        return {
            method: read_product(source.path(self._product(method, seed, split)))
            for method, source in self.results.items()
        }

    def explanations(self, seed: int, split: Split) -> dict[str, Explanation]:
        """How every result explains its counts."""
        return {
            method: Explanation.from_dict(read_json(source.path(files.EXPLANATIONS))[str(seed)][split])
            for method, source in self.results.items()
        }

    def _score(self, seed: int, split: Split) -> CellScores:
        dataset, parameters = self.dataset(seed, split), self.parameters
        return score_cell(
            self.reconstructions(seed, split),
            dataset,
            _scan_of(dataset),
            parameters.scoring,
            dose=parameters.dose,
            view=parameters.view_name,
            split=split,
            seed=seed,
            rng=named_rng(parameters.bootstrap_seed, "bootstrap", parameters.view_name, split),
            explanations=self.explanations(seed, split),
        )

    def metrics(self) -> pd.DataFrame:
        """The score table of all seeds and splits, each row with the digests of the files behind it."""
        return pd.concat([self._with_provenance(part.table, *key) for key, part in self.scores.items()])

    def frc_curves(self) -> pd.DataFrame:
        """The curves of all seeds and splits."""
        return pd.concat([part.frc_curves for part in self.scores.values()])

    def trace(self) -> pd.DataFrame:
        """Phase SSIM of what the methods had on their way: test split, first seed; with ``cpu_seconds``.

        A method that starts from another carries that one's time.
        """
        seed = self.parameters.first_seed
        dataset = self.dataset(seed, files.TRACED)
        parts = [self._trace_of(method, source, dataset) for method, source in self.results.items()]
        keys = {"dose": self.parameters.dose, "view": self.parameters.view_name, "split": files.TRACED, "seed": seed}
        found = pd.concat(parts).assign(**keys) if parts else pd.DataFrame()
        return found.reindex(columns=[*TRACE.names, "cpu_seconds"])

    def _trace_of(self, method: str, source: PartitionFiles, dataset: Dataset) -> pd.DataFrame:
        seed = self.parameters.first_seed
        reached = read_json(source.path(files.COSTS))["trace"].get(str(seed), {})
        folder = self.parameters.folder_of(seed)
        steps = sorted(map(int, reached))
        estimates = {
            step: read_product(source.path(files.trace_file(method, files.TRACED, folder, step))) for step in steps
        }
        scored = score_trace(estimates, dataset, _scan_of(dataset), self.parameters.scoring)
        before = sum(self._seconds(each, seed, files.TRACED) for each in self._chain(method)[1:])
        seconds = [before + reached[str(step)] for step in scored["step"]]
        return scored.assign(method=method, cpu_seconds=np.array(seconds, float))

    def costs(self) -> pd.DataFrame:
        """CPU-seconds and training patterns of each method; what it starts from included."""
        cell = {"dose": self.parameters.dose, "view": self.parameters.view_name}
        return pd.concat(
            cost_table(
                {method: dict(self._cost_of(method, seed, split)) for method in self.results},
                split=split,
                seed=seed,
                **cell,
            )
            for seed in self.parameters.seeds
            for split in SPLITS
        )

    def _cost_of(self, method: str, seed: int, split: Split) -> Iterator[tuple[str, float]]:
        chain = self._chain(method)
        yield "cpu_seconds_reconstruct", sum(self._seconds(each, seed, split) for each in chain)
        trainings = [read_json(self.results[each].path(files.COSTS))["train"].get(str(seed)) for each in chain]
        spent = [training for training in trainings if training is not None]
        if spent:
            yield "cpu_seconds_train", sum(training["cpu_seconds"] for training in spent)
            yield "patterns_trained_on", max(training["patterns_trained_on"] for training in spent)

    def _seconds(self, method: str, seed: int, split: Split) -> float:
        return float(read_json(self.results[method].path(files.COSTS))["reconstruct"][str(seed)][split])

    def _chain(self, method: str) -> tuple[str, ...]:
        return next(each.chain for each in self.parameters.methods if each.name == method)

    def _product(self, method: str, seed: int, split: Split) -> str:
        return files.product_file(method, split, self.parameters.folder_of(seed))

    def _with_provenance(self, metrics: pd.DataFrame, seed: int, split: Split) -> pd.DataFrame:
        """The table with the digests of the files that each row was computed from."""
        dataset = files.view_file(self.parameters.view_name, split, self.parameters.folder_of(seed))
        digests = {
            method: source.files[self._product(method, seed, split)].sha256 for method, source in self.results.items()
        }
        return metrics.assign(
            dataset_sha256=self.view.files[dataset].sha256,
            product_sha256=metrics["method"].map(lambda method: digests.get(method, "")),
        )

    def describe(self, figure_note: str) -> dict[str, Any]:
        """What the report says of the cell besides its scores."""
        shown = self.dataset(self.parameters.first_seed, files.TRACED)
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
                f"{method}, {split} split, seed {seed}": reason
                for (seed, split), part in self.scores.items()
                for method, reason in part.failures.items()
            },
            "figure_note": figure_note,
        }


def _scan_of(dataset: Dataset) -> Scan:
    measurement = dataset.measurement
    return Scan(dataset.object, measurement.probe, measurement.positions_xy_px, dataset.scan_index)
