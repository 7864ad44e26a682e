"""Bars of every class: as high as their scores, whiskers as long as their intervals, the mean by itself."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from whatwhere.artifacts.errors import InputError
from whatwhere.publish.figures import DPI, Bar, draw_bars, plot_bars

NAN = float("nan")
GROUPS = {
    "mean": {"ours": Bar(0.3, 0.25, 0.34), "other": Bar(0.2, 0.1, 0.22)},
    "sky": {"ours": Bar(0.5, 0.4, 0.6), "other": Bar(0.0, 0.0, 0.0)},
    "dining table": {"ours": Bar(NAN), "other": Bar(0.4)},
    "boat": {"ours": Bar(0.1, 0.15, 0.2)},
}


def axes_of(groups):
    (axes,) = plot_bars(groups, y_label="IoU").axes
    return axes


def bars_of(axes):
    """Method -> its bars from left to right."""
    return {container.get_label(): list(container) for container in axes.containers if hasattr(container, "patches")}


def middle(bar):
    return bar.get_x() + bar.get_width() / 2


def crosses(axes):
    return [tuple(point) for line in axes.lines if line.get_marker() == "x" for point in line.get_xydata()]


class TestPlot:
    def test_bars_are_the_scores_in_the_given_order_the_mean_last_and_apart(self):
        axes = axes_of(GROUPS)
        assert [label.get_text() for label in axes.get_xticklabels()] == ["sky", "dining table", "boat", "mean"]
        assert np.diff(axes.get_xticks()).round(6).tolist() == [1.0, 1.0, 1.6]
        heights = {method: [bar.get_height() for bar in bars] for method, bars in bars_of(axes).items()}
        assert heights == {"ours": [0.5, 0, 0.1, 0.3], "other": [0, 0.4, 0, 0.2]}
        assert [label.get_fontweight() for label in axes.get_xticklabels()] == ["normal"] * 3 + ["bold"]

    def test_methods_stand_beside_each_other_about_their_classs_name(self):
        axes = axes_of(GROUPS)
        ours, other = bars_of(axes).values()
        for tick, left, right in zip(axes.get_xticks(), ours, other, strict=True):
            assert (middle(left) + middle(right)) / 2 == pytest.approx(tick)
            assert left.get_x() + left.get_width() == pytest.approx(right.get_x())
        assert len({tuple(bar.get_facecolor()) for bar in ours}) == 1
        assert ours[0].get_facecolor() != other[0].get_facecolor()

    def test_whiskers_reach_from_low_to_high_wherever_the_score_is(self):
        axes = axes_of(GROUPS)
        found = {
            (round(x, 6), round(low, 6), round(high, 6))
            for lines in axes.collections
            for (x, low), (_, high) in lines.get_segments()
        }
        bars = bars_of(axes)
        expected = {
            (round(middle(bars[method][place]), 6), GROUPS[name][method].low, GROUPS[name][method].high)
            for place, name in enumerate(("sky", "dining table", "boat", "mean"))
            for method in GROUPS[name]
            if not math.isnan(GROUPS[name][method].low)
        }
        assert found == expected

    def test_a_score_that_is_missing_is_a_cross_and_one_of_zero_is_none(self):
        axes = axes_of(GROUPS)
        ours, other = bars_of(axes).values()
        assert [x for x, _ in crosses(axes)] == pytest.approx([middle(ours[1]), middle(other[2])])

    def test_one_legend_names_the_methods_and_the_crosses_if_there_are_any(self):
        (legend,) = plot_bars(GROUPS, y_label="IoU").legends
        assert [text.get_text() for text in legend.get_texts()] == ["ours", "other", "not scored"]
        (legend,) = plot_bars({"sky": GROUPS["sky"]}, y_label="IoU").legends
        assert [text.get_text() for text in legend.get_texts()] == ["ours", "other"]

    @pytest.mark.parametrize("names", [("a", "b"), ("mean",)])
    def test_without_other_groups_or_without_a_mean_nothing_is_apart(self, names):
        axes = axes_of({name: {"ours": Bar(0.5)} for name in names})
        assert axes.get_xticks().tolist() == list(range(len(names)))
        assert not axes.lines

    def test_names_turn_only_where_they_do_not_fit(self):
        few, many = (axes_of({f"potted plant {i}": {"ours": Bar(0.5)} for i in range(n)}) for n in (4, 21))
        assert {label.get_rotation() for label in few.get_xticklabels()} == {0}
        assert {label.get_rotation() for label in many.get_xticklabels()} == {40}

    @pytest.mark.parametrize(("classes", "methods"), [(8, 1), (21, 1), (21, 4), (3, 9)])
    def test_bars_never_overlap_and_look_different(self, classes, methods):
        axes = axes_of({str(c): {f"m{m}": Bar(0.5) for m in range(methods)} for c in range(classes)})
        bars = sorted((bar for bars in bars_of(axes).values() for bar in bars), key=middle)
        assert len(bars) == classes * methods
        assert all(a.get_x() + a.get_width() <= b.get_x() + 1e-9 for a, b in pairwise(bars))
        assert len({(tuple(bar.get_facecolor()), bar.get_hatch()) for bar in bars}) == methods


class TestFile:
    OPTIONS = {"title": "A title", "y_label": "IoU", "caption": "Words. " * 60}  # noqa: RUF012

    def test_it_is_a_page_wide_and_the_same_every_time_whatever_the_users_own_settings(self, tmp_path):
        import matplotlib

        draw_bars(GROUPS, tmp_path / "a.png", **self.OPTIONS)
        with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 20, "errorbar.capsize": 9}):
            draw_bars(GROUPS, tmp_path / "b.png", **self.OPTIONS)
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
        with Image.open(tmp_path / "a.png") as page:
            assert (page.mode, page.width) == ("RGB", 7 * DPI)
            assert (np.asarray(page)[[0, -1]] == 255).all()

    def test_names_of_any_kind_are_only_drawn(self, tmp_path):
        for name in ("$x_1$", r"$\frac$", "a $", "", "naïve", "a_b^c", "_hidden", "w" * 80):
            draw_bars({name: {name: Bar(0.5)}, "b": {name: Bar(0.5)}}, tmp_path / "a.png", **self.OPTIONS)

    def test_the_legend_has_any_name_breaks_into_rows_and_is_read_by_them(self):
        (legend,) = plot_bars({"a": {"_m $": Bar(0.5)}}, y_label="IoU").legends
        assert [text.get_text() for text in legend.get_texts()] == ["_m $"]
        five = [f"{letter}, " + "a rather long name " * 2 for letter in "abcde"]
        (legend,) = plot_bars({"a": {name: Bar(0.5) for name in five}}, y_label="IoU").legends
        # two columns, filled one after the other
        assert [text.get_text()[0] for text in legend.get_texts()] == ["a", "c", "e", "b", "d"]

    def test_only_missing_scores_are_crosses_on_an_empty_plot(self, tmp_path):
        draw_bars({"a": {"ours": Bar(NAN)}, "mean": {"ours": Bar(NAN)}}, tmp_path / "a.png", **self.OPTIONS)
        assert (tmp_path / "a.png").exists()

    @pytest.mark.parametrize("groups", [{}, {"a": {}}])
    def test_no_bars_at_all_are_refused(self, tmp_path, groups):
        with pytest.raises(InputError, match="expected at least one bar, got none; "):
            draw_bars(groups, tmp_path / "a.png", **self.OPTIONS)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("numbers", [(0.5, 0.6, 0.4), (np.inf,), (0.5, -np.inf, 0.6)])
    def test_bars_that_cannot_be_drawn_are_one_line(self, numbers):
        with pytest.raises(InputError, match=r"^bar: expected finite numbers with low <= high, got [^\n]*$"):
            Bar(*map(float, numbers))
