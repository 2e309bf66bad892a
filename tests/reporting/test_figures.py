from __future__ import annotations

import itertools
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bradd.reporting.figures import (
    class_counts_figure,
    curve_figure,
    histogram_figure,
    score_histograms,
    selection_cut,
)
from bradd.reporting.run_files import Round, Selection

finite = st.floats(-10, 10, width=32)


def selection(scores: np.ndarray, selected: np.ndarray) -> Selection:
    return Selection(scores, selected, np.ones(len(scores), dtype=bool), {}, {})


def rounds(*scores: np.ndarray) -> list[Round]:
    return [
        Round(i + 1, Path(), {}, selection(s, np.zeros(len(s), dtype=bool)))
        for i, s in enumerate(scores)
    ]


@given(
    arrays(np.float64, st.integers(1, 50), elements=finite),
    arrays(np.float64, st.integers(1, 50), elements=finite),
)
def test_every_image_of_the_first_and_last_round_is_in_its_bin(
    first: np.ndarray, last: np.ndarray
) -> None:
    histograms = score_histograms(rounds(first, np.zeros(3), last), bins=7)
    assert [h.label for h in histograms] == ["round 1", "round 3"]
    assert np.array_equal(histograms[0].edges, histograms[1].edges)
    for histogram, scores in zip(histograms, (first, last), strict=True):
        edges = histogram.edges
        expected = [int(((scores >= a) & (scores < b)).sum()) for a, b in itertools.pairwise(edges)]
        expected[-1] += int((scores == edges[-1]).sum())
        assert histogram.counts.tolist() == expected
        assert histogram.counts.sum() == len(scores)


def test_scores_that_are_not_finite_are_left_out() -> None:
    (histogram,) = score_histograms(rounds(np.array([0.0, np.nan, 1.0, np.inf])), bins=2)
    assert histogram.counts.tolist() == [1, 1]
    assert score_histograms(rounds(np.array([np.nan]))) == []
    assert score_histograms([Round(1, Path(), {}, None)]) == []


@given(arrays(np.float64, st.integers(3, 30), elements=finite, unique=True), st.data())
def test_cut_splits_candidates_into_selected_and_not(
    scores: np.ndarray, data: st.DataObject
) -> None:
    scores = np.argsort(np.argsort(scores)).astype(float)  # gaps of 1: no ties
    n = data.draw(st.integers(1, len(scores) - 1))
    selected = np.zeros(len(scores), dtype=bool)
    selected[np.argsort(-scores)[:n]] = True
    cut = selection_cut(selection(scores, selected))
    assert cut is not None
    assert np.array_equal(scores >= cut, selected)


def test_no_cut_where_the_selection_does_not_follow_the_score() -> None:
    scores = np.array([0.1, 0.2, 0.3])
    assert selection_cut(selection(scores, np.array([True, False, False]))) is None
    assert selection_cut(selection(scores, np.zeros(3, dtype=bool))) is None
    assert selection_cut(selection(np.zeros(3), np.array([True, False, False]))) is None


def test_a_withheld_image_does_not_hide_the_cut() -> None:
    scores, selected = np.array([0.1, 0.2, 0.3]), np.array([False, True, False])
    candidates = np.array([True, True, False])
    assert selection_cut(Selection(scores, selected, candidates, {}, {})) == 0.2


def test_figures_are_plain_svg_and_leave_matplotlib_as_it_was() -> None:
    before = dict(matplotlib.rcParams)
    values = np.array([3.0, np.nan, 1.0])
    figures = [
        histogram_figure(score_histograms(rounds(np.arange(9.0), np.arange(5.0)))),
        curve_figure("curve", "Loss <b>", np.arange(3.0), values),
        class_counts_figure({"$a_1$ <b>": 5, "b": 2}),
        class_counts_figure({str(i): 100 - i for i in range(100)}),
    ]
    assert dict(matplotlib.rcParams) == before
    for figure in figures:
        root = ElementTree.fromstring(figure)
        assert root.tag == "svg"
        assert "http" not in figure
        assert "width" not in root.attrib
        assert "<image" not in figure
        assert "var(--series-1)" in figure
    assert "$a_1$ &lt;b&gt;" in figures[2]
    assert "3 at epoch 0, 1 at epoch 2" in figures[1]


def test_figure_is_the_same_again() -> None:
    one, two = (curve_figure("c", "Loss", np.arange(4.0), np.arange(4.0)) for _ in range(2))
    assert one == two
