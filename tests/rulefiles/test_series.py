"""Series of rule tests: what each notation becomes, and the message for one that cannot be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertbot.errors import BadExpression
from alertbot.rulefiles.series import Sample, parse_series
from alertbot.rules.catalogue import ValueType
from alertbot.rules.units import write_number

COUNT, DURATION, RATIO = ValueType.COUNT, ValueType.DURATION, ValueType.RATIO
TEXT, TIMESTAMP = ValueType.TEXT, ValueType.TIMESTAMP
NINE = 1_772_434_800_000.0  # 2026-03-02T09:00:00+02:00

GOOD: dict[str, tuple[str, ValueType, list[Sample]]] = {
    "durations": ("10s 1m10s 250ms", DURATION, [10_000, 70_000, 250]),
    "missing": ("_ 5 _x2", COUNT, [None, 5, None, None]),
    "repeated": ("5x3 0x2", COUNT, [5, 5, 5, 0, 0]),
    "a ramp is one more than its steps": ("10s+5sx4", DURATION, [10_000, 15_000, 20_000, 25_000, 30_000]),
    "a ramp down": ("5-1x3", COUNT, [5, 4, 3, 2]),
    "ratios": ("85% 12.5%x2", RATIO, [0.85, 0.125, 0.125]),
    "a ramp of ratios has no hair too much": ("80%-5%x2", RATIO, [0.8, 0.75, 0.7]),
    "bare words": ("OnBreak LoggedOutx2 _", TEXT, ["OnBreak", "LoggedOut", "LoggedOut", None]),
    "quoted words": ('"On Break"x2 "a \\"b\\""', TEXT, ["On Break", "On Break", 'a "b"']),
    "words that end in x and digits": ('Aux1 Aux2 Lunchx3 "Aux1"x2', TEXT, ["Aux1", "Aux2", "Lunchx3", "Aux1", "Aux1"]),
    "a word with a plus": ("A+B", TEXT, ["A+B"]),
    "timestamps": ("2026-03-02T09:00:00+02:00 2026-03-02T07:00:00Zx2", TIMESTAMP, [NINE, NINE, NINE]),
    "a ramp of timestamps": ("2026-03-02T09:00:00+02:00+15sx2", TIMESTAMP, [NINE, NINE + 15_000, NINE + 30_000]),
    "several spaces and lines": ("1  2\n3", COUNT, [1, 2, 3]),
    "a negative number": ("-4", ValueType.NUMBER, [-4]),
}


@pytest.mark.parametrize(("text", "kind", "samples"), GOOD.values(), ids=GOOD)
def test_a_series(text: str, kind: ValueType, samples: list[Sample]) -> None:
    assert list(parse_series(text, kind)) == samples


BAD: dict[str, tuple[str, ValueType, str]] = {
    "no unit": ("10", DURATION, "10 is a number, but the key is a duration (write 10s)"),
    "no percent": ("85", RATIO, "85 is a number, but the key is a ratio (write 85%)"),
    "a word for a number": ("many", COUNT, "many is not a count (write 5)"),
    "a duration for a count": ("5s", COUNT, "5s is a duration, but the key is a count (write 5)"),
    "steps without a count": ("5+5", COUNT, "5+5 has no number of steps (write 5+5x4 for five samples)"),
    "no times": ("5x0", COUNT, "5x0 means 0 samples (from 1 to 100000)"),
    "a time without a zone": (
        "2026-03-02T09:00:00",
        TIMESTAMP,
        "2026-03-02T09:00:00 has no time zone (write 2026-03-02T09:00:00Z or 2026-03-02T09:00:00+02:00)",
    ),
    "nothing": (" ", COUNT, "a series without samples (such as 10s 70s _ 20sx4)"),
    "a quote that is open": ('Off "On', TEXT, '"On is not one text (write "On Break", or "On Break"x3)'),
    "far too many": ("5x100000 5", COUNT, "a series of more than 100000 samples"),
}


@pytest.mark.parametrize(("text", "kind", "said"), BAD.values(), ids=BAD)
def test_a_bad_series(text: str, kind: ValueType, said: str) -> None:
    with pytest.raises(BadExpression) as caught:
        parse_series(text, kind)
    assert str(caught.value).startswith(said)


def test_every_wrong_sample_is_named_at_its_place() -> None:
    with pytest.raises(BadExpression) as caught:
        parse_series("10s 20 30s 40", DURATION)
    assert [(each.start, each.end) for each in caught.value.mistakes] == [(4, 6), (11, 13)]


@given(
    st.lists(
        st.one_of(st.none(), st.integers(0, 10**9).map(float), st.integers(0, 10**6).map(lambda n: n / 4)), min_size=1
    ),
    st.sampled_from([COUNT, DURATION]),
)
def test_what_is_written_is_read(samples: list[float | None], kind: ValueType) -> None:
    """Written sample by sample as conditions spell numbers, a series comes back as it was."""
    text = " ".join("_" if each is None else write_number(each, kind) for each in samples)
    assert list(parse_series(text, kind)) == samples
