"""Networks by name: those that are shipped, somebody else's, and those that break the contract."""

from importlib.metadata import EntryPoint

import pytest
import torch

from fly64_assets.science import registry
from fly64_assets.science.networks.bundle import BundleError, read_bundle
from fly64_assets.science.networks.inference import estimate_objects
from fly64_assets.science.networks.record import NETWORKS, NetworkRecord, build_network
from fly64_assets.science.networks.staged import StagedNetwork
from fly64_assets.science.networks.training import train_network
from fly64_assets.science.networks.training_task import TrainingTask
from fly64_assets.science.options import TrainingOptions, ViewOptions
from fly64_assets_tests.science.networks import foreign_network
from fly64_assets_tests.science.networks.measurements import measure
from fly64_assets_tests.science.networks.test_inference import similarity
from fly64_assets_tests.science.networks.test_training import write_dataset


@pytest.fixture
def installed(monkeypatch):
    """Installs records of the tests' module under their names, until told otherwise."""

    def install(*records):
        found = {}
        for record in records:
            key = f"RECORD_{record.name}"
            monkeypatch.setattr(foreign_network, key, record, raising=False)
            value = f"{foreign_network.__name__}:{key}"
            found[record.name] = (EntryPoint(record.name, value, NETWORKS.group),)
        monkeypatch.setattr(registry, "_entries", lambda group: found)

    return install


def test_the_shipped_network_is_registered():
    assert "unrolled_unet" in NETWORKS.names()
    assert NETWORKS.get("unrolled_unet").name == "unrolled_unet"


def test_a_foreign_network_trains_beats_its_own_start_and_serves_from_its_bundle(installed, tmp_path):
    installed(foreign_network.GRADIENT_STEPS)
    options = TrainingOptions(
        network="gradient_steps", stages=4, width=4, epochs=4, groups_per_epoch=32, batch_size=8, learning_rate=1e-2
    )
    task = TrainingTask(write_dataset(tmp_path / "train.npz"), ViewOptions(), 1, tmp_path / "work", {"dose": 1e4})
    trained = train_network(task, options, learns_from="counts")
    bundle = read_bundle(trained.bundle_path)
    assert bundle.manifest.network.builder == "gradient_steps"
    *_, (looks, found) = estimate_objects(bundle, measure(1e4))
    assert all(verdict["passed"] for verdict in trained.verdicts.values())
    assert looks == 4
    assert trained.history[-1]["validation_loss"] < trained.history[0]["validation_loss"]
    assert similarity(found) > 0.5


def test_a_bundle_whose_network_is_not_installed_is_refused_with_that_sentence(installed, tmp_path):
    installed(foreign_network.GRADIENT_STEPS)
    options = TrainingOptions(network="gradient_steps", stages=1, width=2, epochs=1, groups_per_epoch=8, batch_size=8)
    task = TrainingTask(write_dataset(tmp_path / "train.npz"), ViewOptions(), 1, tmp_path / "work", {})
    path = train_network(task, options, learns_from="counts").bundle_path
    installed(NETWORKS_OTHER)
    with pytest.raises(BundleError, match=r"network.builder: unknown network 'gradient_steps' \(known: other\)"):
        read_bundle(path)


class Counter(foreign_network.Step):
    """State that no bundle can hold."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))


NETWORKS_OTHER = NetworkRecord(name="other", meaning="nothing", build=foreign_network.build)


@pytest.mark.parametrize(
    ("build", "fault"),
    [
        (lambda _: StagedNetwork([foreign_network.Step(2)]), "network 'other' has 1 stages, asked for 3"),
        (
            lambda options: StagedNetwork(Counter(2) for _ in range(options.stages)),
            r"network 'other': stages.0.calls is torch.int64; a bundle holds float32 alone",
        ),
    ],
)
def test_a_network_that_breaks_the_contract_is_refused(installed, build, fault):
    installed(NetworkRecord(name="other", meaning="wrong", build=build))
    with pytest.raises(ValueError, match=fault):
        build_network("other", stages=3, width=2)


def test_a_network_is_told_stages_and_width_and_nothing_else(installed):
    told = []

    def build(options):
        told.append(options)
        return foreign_network.build(options)

    installed(NetworkRecord(name="other", meaning="asks", build=build))
    build_network("other", stages=3, width=2)
    assert told == [TrainingOptions(network="other", stages=3, width=2)]
