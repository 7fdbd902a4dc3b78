"""One dose of one view as the comparison sees it: its verified files, read and scored."""

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from fly64_assets.orchestration.catalog.gate import PartitionFiles
from fly64_assets.orchestration.graph.files import COSTS_FILE, is_result, product_file, snapshot_file
from fly64_assets.science.contract import read_dataset
from fly64_assets.science.interop.ptychodus import read_product
from fly64_assets.science.metrics.scoring import CellScores, score_cell
from fly64_assets.science.metrics.trace import FRONTIER_COLUMNS, score_snapshots
from fly64_assets.science.records import METHODS, Dataset, Reconstruction, Scan, Split
from fly64_assets.storage import read_json
from fly64_assets.study import Study


@dataclass(frozen=True)
class Cell:
    """One dose and view, and the verified files that it is scored from."""

    study: Study
    dose: float
    view: str
    view_files: PartitionFiles
    networks: PartitionFiles
    iterative: PartitionFiles

    def dataset(self, seed: int, split: Split) -> Dataset:
        """Counts and truth of a split."""
        return read_dataset(self.view_files.path(f"{self._folder(seed)}{self.view}_{split}.npz"))

    def products(self, seed: int, split: Split) -> dict[str, tuple[PartitionFiles, str]]:
        """Method to the partition and name of its product; a method that the view does not have is absent."""
        names = {method: product_file(method, split, self._folder(seed)) for method in METHODS}
        sources = (self.networks, self.iterative)
        return {method: (source, name) for method, name in names.items() for source in sources if name in source.files}

    def reconstructions(self, seed: int, split: Split) -> dict[str, Reconstruction]:
        """What every method made of a split."""
        return {
            method: read_product(source.path(name)) for method, (source, name) in self.products(seed, split).items()
        }

    def score(self, seed: int, split: Split) -> CellScores:
        """Score all methods of a split."""
        dataset = self.dataset(seed, split)
        return score_cell(
            self.reconstructions(seed, split),
            dataset,
            _scan_of(dataset),
            self.study.scoring,
            dose=self.dose,
            view=self.view,
            split=split,
            seed=seed,
            rng=self.study.rng("bootstrap", self.view, split),
            costs=self.costs(seed, split),
        )

    def frontier(self) -> pd.DataFrame:
        """Phase SSIM of pty-chi on the test split after so much CPU time, every seed."""
        split: Split = "test"
        parts = []
        for seed in self.study.seeds:
            reached = read_json(self.iterative.path(COSTS_FILE))[str(seed)]["on_the_way"]["pty_chi"][split]
            steps = [
                replace(
                    read_product(self.iterative.path(snapshot_file("pty_chi", split, self._folder(seed), int(epochs)))),
                    cpu_seconds=seconds,
                )
                for epochs, seconds in sorted(reached.items(), key=lambda item: int(item[0]))
            ]
            dataset = self.dataset(seed, split)
            scored = score_snapshots(steps, dataset, _scan_of(dataset), self.study.scoring)
            parts.append(scored.assign(dose=self.dose, view=self.view, split=split, seed=seed, method="pty_chi"))
        return pd.concat(parts).reindex(columns=list(FRONTIER_COLUMNS))

    def costs(self, seed: int, split: Split) -> dict[str, dict[str, float]]:
        """CPU-seconds and training patterns of each method."""
        costs: dict[str, dict[str, float]] = {}
        for source in (self.networks, self.iterative):
            entry = read_json(source.path(COSTS_FILE))[str(seed)]
            for method, seconds in entry["reconstruct"].items():
                costs.setdefault(method, {})["cpu_seconds_reconstruct"] = seconds[split]
            for method, spent in entry.get("train", {}).items():
                costs.setdefault(method, {})["cpu_seconds_train"] = spent["cpu_seconds"]
                costs[method]["patterns_trained_on"] = spent["patterns_trained_on"]
        return costs

    def with_provenance(self, metrics: pd.DataFrame, seed: int, split: Split) -> pd.DataFrame:
        """The table with the digests of the files that each row was computed from."""
        dataset = self.view_files.files[f"{self._folder(seed)}{self.view}_{split}.npz"].sha256
        digests = {method: source.files[name].sha256 for method, (source, name) in self.products(seed, split).items()}
        return metrics.assign(
            dataset_sha256=dataset, product_sha256=metrics["method"].map(lambda method: digests.get(method, ""))
        )

    def describe(self, scores: dict[tuple[int, Split], CellScores], figure_note: str) -> dict[str, Any]:
        """What the report says of the cell besides its scores."""
        files = [self.view_files, self.networks, self.iterative]
        return {
            "view_summary": read_json(self.view_files.path("metrics_bundle.json")),
            "object_origin": self.dataset(self.study.seeds[0], "test").metadata.get("object_origin", "truth"),
            "digests": {
                f"{source.item.folder}/{name}": record.sha256
                for source in files
                for name, record in sorted(source.files.items())
                if name.endswith((".npz", ".zip")) or is_result(name)
            },
            "failures": {
                f"{method}, {split} split, seed {seed}": reason
                for (seed, split), part in scores.items()
                for method, reason in part.failures.items()
            },
            "figure_note": figure_note,
        }

    def _folder(self, seed: int) -> str:
        return self.study.seed_folder(seed)


def _scan_of(dataset: Dataset) -> Scan:
    measurement = dataset.measurement
    return Scan(dataset.object, measurement.probe, measurement.positions_xy_px, dataset.scan_index)
