"""Seconds by stage."""

from __future__ import annotations

import pytest

from bradd.clock import Clock


def test_stages_are_timed_and_those_entered_again_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.5, 10.0, 12.0, 20.0, 20.25])
    monkeypatch.setattr("bradd.clock.time.perf_counter", lambda: next(times))
    clock = Clock()
    with clock("a"):
        pass
    with clock("b"):
        pass
    with pytest.raises(KeyError), clock("a"):
        raise KeyError
    assert clock.seconds == {"a": 1.75, "b": 2.0}
