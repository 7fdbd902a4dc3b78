"""Cron expressions: what is accepted, Dagster accepts; what Dagster accepts and people write, is accepted."""

import pytest
from dagster._utils.schedules import is_valid_cron_string
from hypothesis import given
from hypothesis import strategies as st

from fly64_assets.study.cron import cron_fault

NUMBERS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
ODD = (
    *("*", "0", "7", "30", "31", "60", "*/5", "*/0", "5-1", "1-5/2", "9/3", "a", "-1", "1--2", "*-3", "l", "?", "*?"),
    *(
        "2#1",
        "2#6",
        "*#2",
        "1-3#2",
        "mon#1",
        "mon#1,tue",
        "5/2#1",
        "mon",
        "jan",
        "mon-fri",
        "fri-mon",
        "nov-feb",
        "1,2",
    ),
    *("1,", ",", "02", "0-0", "h", "r", "l5", "1_0", "feb", "2/12", "sun-", "*/", "/5"),
)


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high).map(str)
    span = st.tuples(number, number).map("-".join)
    stepped = st.tuples(st.one_of(st.just("*"), span), st.integers(1, 9).map(str)).map("/".join)
    return st.one_of(st.just("*"), st.lists(st.one_of(number, span, stepped), min_size=1, max_size=3).map(",".join))


@given(st.tuples(*(field(*bounds) for bounds in NUMBERS)).map(" ".join))
def test_what_people_write_is_judged_as_dagster_judges_it(text: str) -> None:
    assert (cron_fault(text) is None) == is_valid_cron_string(text)


@given(st.lists(st.sampled_from(ODD), min_size=4, max_size=6).map(" ".join))
def test_whatever_is_accepted_dagster_accepts(text: str) -> None:
    assert cron_fault(text) is not None or is_valid_cron_string(text)


@pytest.mark.parametrize("position", range(5))
@pytest.mark.parametrize("odd", ODD)
def test_one_odd_field_is_accepted_only_if_dagster_accepts_it(odd: str, position: int) -> None:
    fields = ["*"] * 5
    fields[position] = odd
    text = " ".join(fields)
    assert cron_fault(text) is not None or is_valid_cron_string(text)


@pytest.mark.parametrize(
    "text", ["@daily", "@Weekly", "0 2 * * MON-FRI", "0 0 1 jan,JUL *", "0 22-4 * * *", "0 0 l * *"]
)
def test_words_are_accepted(text: str) -> None:
    assert cron_fault(text) is None
    assert is_valid_cron_string(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected five fields (minute, hour, day, month, weekday), found 0"),
        ("* * * *", "found 4"),
        ("0 0 2 * * *", "found 6"),
        ("@nightly", "found 1"),
        ("60 * * * *", "minute '60' is not in 0-59"),
        ("0 0 0 * *", "day of the month '0' is not in 1-31"),
        ("0 0 * 13 *", "month '13' is not in 1-12 or jan, feb"),
        ("0 0 * * mo", "day of the week 'mo' is not in 0-7 or sun, mon"),
        ("*/0 * * * *", "has a step of 0"),
        ("0 0 30 2 *", "there is no 30 February"),
        ("* " * 500, "found a long text"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_shows_a_right_one(text: str, words: str) -> None:
    fault = cron_fault(text)
    assert fault is not None
    assert words in fault
    assert fault.endswith("for example '0 2 * * *', every night at 2")
