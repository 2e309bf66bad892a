from __future__ import annotations

import pytest

from bradd.reporting.numbers import ABSENT, duration, error, number, percent, share, signal


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1234567, "1,234,567"),
        (0.79, "0.790"),
        (1.0, "1.00"),
        (1234.5, "1,234"),
        (2e-5, "2.00e-05"),
        (None, ABSENT),
        (float("nan"), ABSENT),
        ("text", ABSENT),
        (True, ABSENT),
    ],
)
def test_number(value: object, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.9, "59.9 s"),
        (59.96, "1 min 00 s"),
        (192.4, "3 min 12 s"),
        (3599.6, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (None, ABSENT),
    ],
)
def test_duration(seconds: object, text: str) -> None:
    assert duration(seconds) == text


def test_percentages() -> None:
    assert percent(61.25) == "61.2 %"
    assert share(0.5) == "50.0 %"
    assert error(0.42) == "± 0.4"
    assert {percent(None), share(None), error(None)} == {ABSENT}


def test_a_signals_strength_in_words() -> None:
    text = signal({"share_of_variance": 0.625, "stability": 0.75})
    assert "75.0 % of their anchors in common" in text
    assert "62.5 % of the variance of the scores lies between images" in text
    assert signal({"stability": 0.75}).count(ABSENT) == 1
    assert "not measured" in signal(None)
