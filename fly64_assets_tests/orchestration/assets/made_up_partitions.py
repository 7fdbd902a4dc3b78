"""Small real partitions that a test may break: written by the functions that the assets call, once per process."""

import json
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

from fly64_assets.orchestration.assets.checks import Judged
from fly64_assets.orchestration.catalog.gate import PartitionFiles
from fly64_assets.orchestration.graph import files
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.graph.study_graph import StudyGraph
from fly64_assets.science.contract import read_dataset
from fly64_assets.science.interop.ptychodus import read_product, write_product
from fly64_assets.science.metrics.explanation import Explanation, explain_counts
from fly64_assets.science.options import CheckOptions
from fly64_assets.science.records import SPLITS, Dataset, Reconstruction, Scan, Split
from fly64_assets.science.scan import make_scan, read_scan, write_scan
from fly64_assets.science.simulation import simulate_dose
from fly64_assets.science.views.view import make_view
from fly64_assets.storage import read_json, record_of
from fly64_assets.study import load_study
from fly64_assets_tests.orchestration.conftest import TINY

DOSE, CELL, NOT_HERE = 1000.0, "1000|dense", "pinn_refined"


class Partition:
    """Files of one partition in a folder of their own, and the catalog's digests of them as they are when asked."""

    def __init__(self, item: PartitionId, folder: Path) -> None:
        self.item, self.folder = item, folder

    def judged(self, **thresholds: float) -> Judged:
        """What a judge is given."""
        records = {
            path.relative_to(self.folder).as_posix(): record_of(path)
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        }
        found = PartitionFiles(self.item, "version", self.folder, records)
        return Judged(found, made_up().graph.parameters(self.item), CheckOptions(**thresholds))

    def path(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def change_scan(self, **arrays: Any) -> None:
        scan = read_scan(self.path(files.SCAN))
        fields = {name: getattr(scan, name) for name in ("object", "probe", "positions_xy_px", "scan_index")}
        write_scan(self.path(files.SCAN), Scan(**(fields | arrays)))

    def change_dataset(self, name: str, change: Callable[[dict[str, Any]], None]) -> None:
        with np.load(self.path(name)) as stored:
            arrays = dict(stored)
        change(arrays)
        np.savez(self.path(name), **arrays)

    def change_metadata(self, name: str, change: Callable[[dict[str, Any]], None]) -> None:
        def rewrite(arrays: dict[str, Any]) -> None:
            metadata = json.loads(str(arrays["metadata"]))
            change(metadata)
            arrays["metadata"] = np.array(json.dumps(metadata))

        self.change_dataset(name, rewrite)

    def change_json(self, name: str, change: Callable[[dict[str, Any]], None]) -> None:
        content = read_json(self.path(name))
        change(content)
        self.path(name).write_text(json.dumps(content))

    def change_table(self, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        path = self.path(files.SCORES)
        change(pd.read_csv(path)).to_csv(path, index=False)

    def change_product(self, split: Split, change: Callable[[np.ndarray], np.ndarray], *, explained: bool) -> None:
        """Replace a result's object; ``explained``: and say anew how it explains the counts, as the asset does."""
        path = self.path(files.product_file("map", split, ""))
        product = read_product(path)
        result = made_up().result("map", change(product.object.copy()))
        write_product(path, result)
        if explained:
            found = explain_counts(made_up().view(split).measurement, result, learned=False).to_dict()
            self.change_json(files.EXPLANATIONS, lambda content: content["1"].__setitem__(split, found))

    def flip_byte(self, name: str) -> None:
        """In the middle of a file; the catalog's digest is taken afterwards."""
        content = bytearray(self.path(name).read_bytes())
        content[len(content) // 2] ^= 255
        self.path(name).write_bytes(content)


class MadeUp:
    """The tiny study's partitions at its first dose, each made when it is first asked for."""

    def __init__(self) -> None:
        self.folder = Path(mkdtemp(prefix="fly64-made-up-"))
        self.graph = StudyGraph(load_study(str(TINY)))

    @cached_property
    def scan(self) -> Scan:
        return make_scan(self.graph.study.scan)

    @cached_property
    def dataset_folder(self) -> Path:
        folder = self._folder("simulated_dataset")
        study = self.graph.study
        paths = {split: folder / files.dataset_file(split, "") for split in SPLITS}
        simulate_dose(self.scan, DOSE, study.dose, study.split, seed=1, paths=paths, parameter_hash="0" * 64)
        return folder

    @cached_property
    def view_folder(self) -> Path:
        from fly64_assets.orchestration.assets.views import metrics_bundle  # imports matplotlib

        folder = self._folder("overlap_view")
        summaries = {
            split: make_view(
                self.dataset_folder / files.dataset_file(split, ""),
                self.graph.study.views["dense"],
                view_name="dense",
                split=split,
                out=folder / files.view_file("dense", split, ""),
                rng=np.random.default_rng(1),
                parameter_hash="0" * 64,
            )
            for split in SPLITS
        }
        (folder / files.OVERLAP_METRICS).write_text(json.dumps(metrics_bundle("dense", {1: summaries})))
        return folder

    def view(self, split: Split) -> Dataset:
        return read_dataset(self.view_folder / files.view_file("dense", split, ""))

    def result(self, method: str, estimate: np.ndarray) -> Reconstruction:
        return Reconstruction(
            object=estimate.astype(np.complex64),
            probe=self.scan.probe,
            positions_xy_px=self.view("test").measurement.positions_xy_px,
            method=method,
            counts_scale=self.view("test").measurement.counts_scale,
        )

    @cached_property
    def bundle_folder(self) -> Path:
        import torch

        from fly64_assets.science.networks.bundle import TrainedNetwork, write_bundle
        from fly64_assets.science.networks.record import build_network

        folder, measurement = self._folder("trained_bundle"), self.view("train").measurement
        path = folder / files.bundle_file(2, "")
        path.parent.mkdir()
        torch.manual_seed(1)
        weights = build_network("unrolled_unet", stages=1, width=8).state_dict()
        network = TrainedNetwork(
            builder="unrolled_unet", learns_from="counts", stages=1, width=8, gridsize=2, neighbor_count=7,
            patch_size_px=measurement.patch_size_px, probe_modes=len(measurement.probe),
            counts_scale=measurement.counts_scale, dose=DOSE,
        )  # fmt: skip
        write_bundle(
            path, weights=weights, probe=measurement.probe, network=network, seed=1, epochs_completed=8,
            global_step=8, provenance={"method": "pinn"},
        )  # fmt: skip
        moved = {name: value + 1 for name, value in weights.items()}
        (folder / files.VERDICTS).write_text(json.dumps(verdicts(weights, moved, nll=1.0, flat=2.0)))
        return folder

    @cached_property
    def reconstruction_folder(self) -> Path:
        folder, explanations = self._folder("reconstruction"), {}
        for split in SPLITS:
            result = self.result("map", self.scan.object)
            write_product(folder / files.product_file("map", split, ""), result)
            explanations[split] = explain_counts(self.view(split).measurement, result, learned=False).to_dict()
        (folder / files.EXPLANATIONS).write_text(json.dumps({"1": explanations}))
        return folder

    @cached_property
    def comparison_folder(self) -> Path:
        """Every method with some error, but for one that has no place here and one that diverged."""
        from fly64_assets.science.metrics.scoring import score_cell

        folder, rng = self._folder("comparison_metrics"), np.random.default_rng(0)
        methods = [name for name in self.graph.study.methods if name != NOT_HERE]
        diverged = {"pty_chi": Explanation("diverged", None, -1.0, reason="the likelihood is not finite")}
        parts = []
        for split in SPLITS:
            truth, dataset = self.scan.object, self.view(split)
            results = {name: self.result(name, truth + 0.05 * rng.standard_normal(truth.shape)) for name in methods}
            at = dataset.measurement
            parts.append(
                score_cell(
                    results, dataset, Scan(dataset.object, at.probe, at.positions_xy_px, dataset.scan_index),
                    self.graph.study.scoring, dose=DOSE, view="dense", split=split, seed=1, rng=rng,
                    explanations=diverged, object="mixed_1",
                ).table
            )  # fmt: skip
        pd.concat(parts).to_csv(folder / files.SCORES, index=False)
        (folder / files.CELL).write_text(json.dumps({"not_here": {NOT_HERE: "no network here"}}))
        return folder

    @cached_property
    def scan_folder(self) -> Path:
        folder = self._folder("scan")
        write_scan(folder / files.SCAN, self.scan)
        return folder

    def _folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder


def verdicts(initial: dict[str, Any], final: dict[str, Any], *, nll: float, flat: float) -> dict[str, Any]:
    """What a training says of its weights."""
    from fly64_assets.science.networks.lightning_modules import StagedModule
    from fly64_assets.science.networks.training import learned_verdict, weight_verdicts

    module = mock.create_autospec(StagedModule, instance=True)
    module.counts_losses.return_value = (nll, flat)
    return {**weight_verdicts(initial, final), "learned": learned_verdict(module, [])}


@cache
def made_up() -> MadeUp:
    """The partitions of this process."""
    return MadeUp()
