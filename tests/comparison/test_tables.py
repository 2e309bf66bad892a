"""Tables against formulas written here, and against chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from bradd.comparison.measured import Measured
from bradd.comparison.rendering import contrast_cells, markdown, notes, score_cells
from bradd.comparison.tables import comparison_tables

STUDIES, ALPHA = 200, 0.05
# With a true rate of 5 %, more than this many of 200 studies alarm with a probability below 1 %.
BOUND = int(stats.binom.ppf(0.99, STUDIES, ALPHA))


def measured(
    arm: str, seed: int, linear: float, knn: float = 50.0, budget: int = 1000, **others: Any
) -> Measured:
    facts: dict[str, Any] = {
        "variations": 10 * seed,
        "external_data": False,
        "seconds": 120.0,
        "gpus": 0,
        "groups": "definition",
    }
    scores = {"kNN": {"all": knn}, "linear": {"all": linear, "few": linear - 20}}
    return Measured(arm, seed, budget, scores={"digits": scores}, **(facts | others))


def rows_of(table: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["arm"]: row for row in table["rows"]}


def test_means_intervals_and_paired_differences() -> None:
    mine, theirs = [61.0, 63.5, 60.0], [60.0, 61.0, 59.5]
    runs = [measured("b", seed, value) for seed, value in enumerate(mine)]
    runs += [measured("a", seed, value) for seed, value in enumerate(theirs)]
    (table,) = comparison_tables(runs[::-1], ["a", "b"], ["a"])
    assert [row["arm"] for row in table["rows"]] == ["a", "b"]
    row = rows_of(table)["b"]
    assert row["seeds"] == [0, 1, 2]
    assert row["variations"] == 10
    linear = row["scores"]["digits"]["linear"]["all"]
    assert linear["values"] == mine
    assert linear["mean"] == pytest.approx(np.mean(mine))
    assert linear["half_width"] == pytest.approx(stats.t.ppf(0.975, 2) * stats.sem(mine))
    contrast = row["contrasts"]["a"]["digits"]["linear"]["all"]
    differences = np.subtract(mine, theirs)
    assert contrast["difference"] == pytest.approx(differences.mean())
    assert contrast["half_width"] == pytest.approx(stats.t.ppf(0.975, 2) * stats.sem(differences))
    assert contrast["p"] == pytest.approx(stats.ttest_rel(mine, theirs).pvalue)
    # Two tests: of the linear probe and of kNN, which is the same in both arms.
    assert table["tests"] == 2
    assert contrast["p_corrected"] == pytest.approx(min(1, 2 * contrast["p"]))
    assert rows_of(table)["a"]["contrasts"] == {}
    few = row["contrasts"]["a"]["digits"]["linear"]["few"]  # 20 less in both
    assert few["difference"] == pytest.approx(differences.mean())
    assert (few["p"], few["p_corrected"]) == (None, None)


def test_two_references_are_compared_with_each_other_once() -> None:
    generator = np.random.default_rng(0)
    runs = [
        measured(arm, seed, generator.normal(60), generator.normal(50))
        for arm in "abcd"
        for seed in range(4)
    ]
    (table,) = comparison_tables(runs, list("abcd"), ["a", "b"])
    assert table["tests"] == 2 * (3 + 2)
    rows = rows_of(table)
    there = rows["b"]["contrasts"]["a"]["digits"]["kNN"]["all"]
    back = rows["a"]["contrasts"]["b"]["digits"]["kNN"]["all"]
    assert there["difference"] == pytest.approx(-back["difference"])
    assert there["p_corrected"] == back["p_corrected"]


def test_only_common_seeds_are_paired() -> None:
    runs = [measured("a", 0, 60), measured("a", 1, 70), measured("b", 1, 71), measured("c", 2, 50)]
    (table,) = comparison_tables(runs, list("abc"), ["a"])
    rows = rows_of(table)
    contrast = rows["b"]["contrasts"]["a"]["digits"]["linear"]["all"]
    assert (contrast["seeds"], contrast["difference"], contrast["half_width"]) == ([1], 1.0, None)
    assert contrast["p"] is None  # a single pair says nothing, and is no test
    assert table["tests"] == 0
    nothing = rows["c"]["contrasts"]["a"]["digits"]["linear"]["all"]
    assert (nothing["seeds"], nothing["difference"], nothing["p"]) == ([], None, None)
    cells = contrast_cells(table, "digits", ["a"])
    assert cells[0] == ["arm", "kNN - a", "linear - a", "linear: few - a"]
    assert [line[2] for line in cells[1:]] == ["-", "+1.0", "-"]
    assert contrast_cells(table, "digits", ["nobody"]) == []


def test_different_budgets_are_kept_apart_unless_asked_and_then_marked() -> None:
    runs = [measured("none", 0, 60), measured("more", 0, 65, budget=1410)]
    apart = comparison_tables(runs, ["none", "more"], ["none"])
    assert [table["budgets"] for table in apart] == [[1000], [1410]]
    assert [[row["arm"] for row in table["rows"]] for table in apart] == [["none"], ["more"]]
    assert [table["tests"] for table in apart] == [0, 0]
    assert all("Another budget" not in " ".join(notes(table)) for table in apart)
    (one,) = comparison_tables(runs, ["none", "more"], ["none"], together=True)
    assert [line[0] for line in score_cells(one, "digits")] == ["arm", "none", "more*"]
    assert "more 1,410" in " ".join(notes(one))


def test_cells_of_scores() -> None:
    runs = [measured("a", seed, 60.0 + seed, seconds=1800.0, gpus=1) for seed in (0, 1)]
    runs += [measured("b", 0, 60, external_data=True)]
    (table,) = comparison_tables(runs, ["a", "b"], [])
    header, first, second = score_cells(table, "digits")
    assert header == [
        *("arm", "runs", "kNN", "linear", "linear: few"),
        *("variations", "external data", "minutes", "GPU-hours"),
    ]
    half = stats.t.ppf(0.975, 1) * 0.5
    assert first == [
        *("a", "2", "50.0 ± 0.0", f"60.5 ± {half:.1f}", f"40.5 ± {half:.1f}"),
        *("5", "no", "30.0", "0.50"),
    ]
    assert second == ["b", "1", "50.0", "60.0", "40.0", "0", "yes", "2.0", "0.00"]
    text = markdown([header, first, second])
    assert text.splitlines()[1] == "|" + "---|" * 9
    assert len(text.splitlines()) == 4


def test_a_group_that_some_seed_lacks_is_left_out() -> None:
    lacking = measured("a", 1, 60)
    del lacking.scores["digits"]["linear"]["few"]
    (table,) = comparison_tables([measured("a", 0, 60), lacking], ["a"], [])
    assert set(table["rows"][0]["scores"]["digits"]["linear"]) == {"all"}


def alarms(effect: float = 0.0, correct: bool = True) -> int:
    """In how many of 200 studies of nine arms and five seeds some difference is significant.

    Without an effect the arms differ by chance alone: seeds shift all arms, training each, and ten
    thousand test images are right or wrong.
    """
    generator = np.random.default_rng(0)
    found = 0
    for _ in range(STUDIES):
        shared = generator.normal(60, 1.0, 5)
        chances = shared + generator.normal(0, 0.3, (9, 5))
        chances[1] += effect
        linear, knn = (generator.binomial(10_000, chances / 100) / 100 for _ in range(2))
        runs = [
            measured(f"arm{arm}", seed, linear[arm, seed], knn[arm, seed])
            for arm in range(9)
            for seed in range(5)
        ]
        names = [f"arm{arm}" for arm in range(9)]
        (table,) = comparison_tables(runs, names, ["arm0", "arm5"])
        values = [
            by_group["all"]["p_corrected" if correct else "p"]
            for row in table["rows"]
            for by_data in row["contrasts"].values()
            for by_group in by_data["digits"].values()
        ]
        found += min(values) <= ALPHA
    return found


def test_studies_without_an_effect_alarm_in_at_most_one_of_twenty() -> None:
    assert BOUND == 18
    assert alarms() <= BOUND


def test_uncorrected_they_would_alarm_far_more_often() -> None:
    assert alarms(correct=False) > 3 * BOUND


def test_a_large_effect_is_found() -> None:
    assert alarms(effect=6.0) > 0.9 * STUDIES
