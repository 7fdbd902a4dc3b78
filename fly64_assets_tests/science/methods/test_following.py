"""A method that is followed: its times are its own, what is kept depends on steps alone, and broken ones are named."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly64_assets.science.methods.following import TRACE_ESTIMATES, Followed, MethodError, follow
from fly64_assets.science.methods.record import Estimate, Given, MethodKind
from fly64_assets.science.option_base import Options
from fly64_assets.science.records import Measurement
from fly64_assets_tests.science.metrics import cells

DATASET, _ = cells.cell(step_px=24.0)
MEASUREMENT = DATASET.measurement
FLAT = np.ones(MEASUREMENT.object_shape, np.complex64)


class FakeClock:
    """CPU time that advances when it is told to."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds

    def spend(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    made = FakeClock()
    monkeypatch.setattr(time, "process_time", made)
    return made


def kind_of(reconstruct: Callable[[Measurement, Any, Given], Iterator[Estimate]]) -> MethodKind:
    return MethodKind(name="made_up", meaning="yields what it is told", options=Options, reconstruct=reconstruct)


def followed(estimates: Iterator[Estimate], *, keep_trace: bool = True) -> Followed:
    kind = kind_of(lambda measurement, options, given: estimates)
    return follow(kind, MEASUREMENT, Options(), Given(seed=3), method="mine", keep_trace=keep_trace)


def at(step: int, **more: Any) -> Estimate:
    return Estimate(FLAT * step, step, **more)


def test_what_the_method_spends_is_counted_and_what_happens_between_estimates_is_not(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spends() -> Iterator[Estimate]:
        for step, seconds in ((1, 2.0), (2, 3.0), (5, 4.0)):
            clock.spend(seconds)
            yield at(step)
        clock.spend(50.0)  # tidying up after the last estimate makes no result

    import fly64_assets.science.methods.following as following

    checked = following._require_contract

    def slow_check(*arguments: Any) -> None:
        clock.spend(1000.0)
        checked(*arguments)

    monkeypatch.setattr(following, "_require_contract", slow_check)
    found = followed(spends())
    assert {step: kept.cpu_seconds for step, kept in found.trace.items()} == {1: 2.0, 2: 5.0, 5: 9.0}
    assert found.result.cpu_seconds == 9.0


def test_the_clock_is_that_of_the_processor() -> None:
    def works_and_waits() -> Iterator[Estimate]:
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass
        yield at(1)
        time.sleep(0.3)
        yield at(2)

    found = followed(works_and_waits())
    assert 0.05 <= found.trace[1].cpu_seconds <= found.result.cpu_seconds < 0.25


def test_times_that_a_method_tells_win(clock: FakeClock) -> None:
    def tells() -> Iterator[Estimate]:
        clock.spend(7.0)
        yield at(1, cpu_seconds=0.5)
        clock.spend(7.0)
        yield at(2)
        clock.spend(7.0)
        yield at(3, cpu_seconds=1.5)

    found = followed(tells())
    assert [kept.cpu_seconds for kept in found.trace.values()] == [0.5, 14.0, 1.5]
    assert found.result.cpu_seconds == 1.5


STEPS = st.sets(st.integers(0, 3000), min_size=1, max_size=120).map(sorted)


@given(STEPS)
def test_at_most_eight_are_kept_the_first_and_the_last_among_them(steps: list[int]) -> None:
    kept = list(followed(map(at, steps)).trace)
    assert kept == sorted(set(kept) & set(steps))
    assert len(kept) == min(len(steps), TRACE_ESTIMATES) <= 8
    assert (kept[0], kept[-1]) == (steps[0], steps[-1])


@pytest.mark.parametrize("last", [100, 1000])
def test_what_is_kept_is_spread_in_the_logarithm_of_the_step(last: int) -> None:
    """The widest gap is less than twice an even one, and so much longer in steps at the end than at the start."""
    kept = list(followed(map(at, range(1, last + 1))).trace)
    gaps = np.diff(np.log(np.array(kept) + 1))
    even = math.log((last + 1) / 2) / (TRACE_ESTIMATES - 1)
    assert gaps.max() < 2 * even
    assert kept[-1] - kept[-2] > 10 * (kept[1] - kept[0])


@given(STEPS, st.randoms(use_true_random=False))
def test_what_is_kept_depends_on_the_steps_alone(steps: list[int], random: Any) -> None:
    other = [
        Estimate(FLAT * random.random(), step, loss=random.random(), cpu_seconds=random.random()) for step in steps
    ]
    assert list(followed(map(at, steps)).trace) == list(followed(iter(other)).trace)


def test_nothing_is_kept_unless_asked_for_and_the_result_is_the_last() -> None:
    found = followed(map(at, range(1, 40)), keep_trace=False)
    assert found.trace == {}
    assert np.array_equal(found.result.object, FLAT * 39)


def test_the_result_carries_what_the_measurement_and_the_last_estimate_say() -> None:
    probe, extended = MEASUREMENT.probe * 2, np.ones((FLAT.shape[0] + 2, FLAT.shape[1]), np.complex64)
    found = followed(iter([at(1), at(4, probe=probe, extended=extended)]))
    result, first = found.result, found.trace[1]
    assert (result.method, result.counts_scale) == ("mine", MEASUREMENT.counts_scale)
    assert result.comments == "made_up, step 4, seed 3"
    assert np.array_equal(result.probe, probe)
    assert np.array_equal(first.probe, MEASUREMENT.probe)
    assert result.extended is extended
    assert found.trace[4].extended is None, "nothing starts from what is kept of the way"


def test_each_estimate_carries_the_losses_until_its_step() -> None:
    losses = {1: 4.0, 2: None, 3: 2.0, 4: 1.0}
    found = followed(at(step, loss=loss) for step, loss in losses.items())
    curves = {step: (kept.loss_epochs, kept.loss_values) for step, kept in found.trace.items()}
    assert curves == {
        1: ((1,), (4.0,)),
        2: ((1,), (4.0,)),
        3: ((1, 3), (4.0, 2.0)),
        4: ((1, 3, 4), (4.0, 2.0, 1.0)),
    }
    assert (found.result.loss_epochs, found.result.loss_values) == curves[4]


@given(STEPS)
def test_the_losses_of_steps_that_are_not_kept_are(steps: list[int]) -> None:
    found = followed(at(step, loss=float(step)) for step in steps)
    for step, kept in found.trace.items():
        assert kept.loss_values == tuple(float(each) for each in steps if each <= step)


OTHER_GRID = np.ones((MEASUREMENT.object_shape[0] + 1, MEASUREMENT.object_shape[1]), np.complex64)


@pytest.mark.parametrize(
    ("estimates", "message"),
    [
        ([], "mine: kind made_up yielded no estimate"),
        ([at(1), Estimate(OTHER_GRID, 2)], r"mine: an estimate has shape \(129, 128\), expected \(128, 128\)"),
        ([at(1), at(3), at(3)], "mine: step 3 follows step 3; steps increase"),
        ([at(4), at(2)], "mine: step 2 follows step 4; steps increase"),
    ],
)
def test_a_broken_contract_is_named(estimates: list[Estimate], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        followed(iter(estimates))


class Ended:
    """A generator's own notice of its end."""

    def __init__(self) -> None:
        self.how: list[str] = []

    def estimates(self, steps: list[int], error: Exception | None = None) -> Iterator[Estimate]:
        try:
            yield from map(at, steps)
            if error is not None:
                raise error
        except GeneratorExit:
            self.how.append("closed")
            raise
        finally:
            self.how.append("ended")


def test_a_generator_is_closed_at_once_when_it_breaks_the_contract() -> None:
    """It may hold child processes: they end now, not when the generator is collected."""
    ended = Ended()
    generator = ended.estimates([2, 1, 3])
    with pytest.raises(MethodError):
        followed(generator)
    assert ended.how == ["closed", "ended"]
    del generator


def test_an_error_of_the_method_passes_as_it_is_and_the_method_has_ended() -> None:
    ended = Ended()
    with pytest.raises(ZeroDivisionError, match="its own"):
        followed(ended.estimates([1, 2], ZeroDivisionError("its own")))
    assert ended.how == ["ended"]


def test_a_method_that_runs_to_its_end_is_not_interrupted() -> None:
    ended = Ended()
    followed(ended.estimates([1, 2]))
    assert ended.how == ["ended"]
