"""Claims: planted numbers give known verdicts, what is missing is said, and intervals are read the right way round."""

import numpy as np
import pytest

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.seeding import seed_for
from whatwhere.config import parse
from whatwhere.config.claims import QUANTITIES, Claim, references
from whatwhere.publish.claims import judge

HIGHER, LOWER = "higher", "lower"


#: What resamples of the images add to every score of them: much more than rows differ by.
COMMON = np.random.default_rng(0).normal(0, 0.2, 1000)


def entry(backbone, method, value=None, own=None, quantity="mIoU", shared=1.0, clusters=(0.0,), **changes):
    """A row as a table's `.meta.json` has it; with draws where `own` says by how much, on both sides, resamples move
    this row alone. `clusters` are what draws of clusters add.
    """
    numbers = {} if value is None else {quantity: [value, None, None]}
    row = {"backbone": backbone, "method": method, "naming": None, "crf": False, "dataset": "scenes", "labels": []}
    if own is not None:
        noise = np.random.default_rng(seed_for(0, backbone, method)).uniform(-own, own, 1000)
        scores = np.concatenate([[0], shared * COMMON + noise]) + value
        row["draws"] = {quantity: np.stack([scores + c for c in clusters])}
    return {**row, "numbers": numbers, **changes}


def reference(backbone, method, **changes):
    return {"backbone": backbone, "method": method, **changes}


def against(about, ours, *than):
    return {"about": about, "ours": ours, "than": list(than)}


def claim(*comparisons, better=HIGHER, **changes):
    """As the configuration hands it on."""
    said = {"says": "s", "source": "p", "table": "t", "quantity": "mIoU", "better": better, **changes}
    return Claim.model_validate({**said, "comparisons": comparisons}).model_dump(mode="json")


def beats(name, *rivals):
    """Ours of a backbone is better than each of its rivals."""
    return against(name.upper(), reference(name, "ours"), *(reference(name, rival) for rival in rivals))


def judged(rows, *comparisons, **changes):
    return judge(claim(*comparisons, **changes), {"t": rows})


class TestVerdicts:
    rows = (
        entry("dino", "ours", 0.466, 0.01),
        entry("dino", "final", 0.389, 0.01),
        entry("dino", "ncut", 0.3, 0.01),
        entry("mae", "ours", 0.37, 0.01),
        entry("mae", "final", 0.4, 0.01),
        entry("clip", "ours", 0.4, 0.02),
        entry("clip", "final", 0.399, 0.02),
    )

    def test_the_nearest_of_several_decides(self):
        found = judged(self.rows, beats("dino", "ncut", "final"))
        assert found.verdict == "holds"
        assert found.words.startswith("holds on DINO (0.466 > 0.389 of dino final: +0.077 [+0.0")

    def test_one_failure_is_enough(self):
        found = judged(self.rows, beats("dino", "final"), beats("clip", "final"), beats("mae", "final"))
        assert found.verdict == "does not hold"
        parts = found.words.split("; ")
        assert [part.partition(" on ")[0] for part in parts] == ["holds", "fails", "cannot be told"]
        assert parts[1].startswith("fails on MAE (0.370 < 0.400: −0.030 [−0.0")
        assert parts[2].startswith("cannot be told on CLIP (0.400 > 0.399: +0.001 [−0.0")

    def test_what_nobody_can_tell_is_no_claim_that_holds(self):
        found = judged(self.rows, beats("dino", "final"), beats("clip", "final"))
        assert found.verdict == "cannot be told"

    def test_lower_may_be_better(self):
        found = judged(self.rows, beats("mae", "final"), beats("dino", "final", "ncut"), better=LOWER)
        assert found.verdict == "does not hold"
        assert found.words.startswith("holds on MAE (0.370 < 0.400: −0.030 [")
        assert "fails on DINO (0.466 > 0.300 of dino ncut: +0.166 [" in found.words
        rows = [entry("a", "ours", 1.0), entry("a", "x", 2.0), entry("a", "y", 3.0)]
        found = judged(rows, beats("a", "y", "x"), better=LOWER)
        assert (found.verdict, found.words) == ("holds", "holds on A (1.0 < 2.0 of a x)")

    def test_as_good_is_not_better(self):
        rows = [entry("a", "ours", 0.5), entry("a", "x", 0.5)]
        assert judged(rows, beats("a", "x")).words == "fails on A (0.500 = 0.500)"
        rows = [entry("a", "ours", 0.5, 0.1), entry("a", "x", 0.5, 0.1)]
        assert judged(rows, beats("a", "x")).verdict == "cannot be told"

    @pytest.mark.parametrize(
        ("ours", "better", "margin", "holds"),
        [
            (0.50, HIGHER, 0.03, True),  # though 0.53 - 0.03 is above 0.5 in binary
            (0.49, HIGHER, 0.03, False),
            (0.54, HIGHER, 0.03, True),
            (0.56, LOWER, 0.03, True),
            (0.57, LOWER, 0.03, False),
            (0.529, HIGHER, 0.0, False),
        ],
    )
    def test_a_margin_is_what_ours_may_be_worse_by(self, ours, better, margin, holds):
        rows = [entry("a", "ours", ours), entry("a", "x", 0.53)]
        found = judged(rows, beats("a", "x"), better=better, margin=margin)
        assert found.verdict == ("holds" if holds else "does not hold")
        assert ("margin 0.03" in found.words) is (margin > 0 and ours != 0.54)

    def test_without_a_name_only_the_numbers_are_said(self):
        found = judged(self.rows, against("", reference("dino", "ours"), reference("dino", "ncut")))
        assert found.words.startswith("holds (0.466 > 0.300: +0.166 [")


class TestRows:
    def test_are_told_apart_by_everything_that_is_named(self):
        rows = [
            entry("a", "m", 1.0),
            entry("a", "m", 2.0, crf=True),
            entry("a", "m", 3.0, naming="things"),
            entry("a", "m", 4.0, dataset="photos"),
            entry("z", "m", 9.0),
            entry("z", "m", 8.0, dataset="photos"),
        ]
        for changes, words in (
            ({}, "(scenes: 1.0 < 9.0), (photos: 4.0 < 8.0)"),
            ({"crf": True}, "(scenes: 2.0 < 9.0)"),
            ({"naming": "things"}, "(scenes: 3.0 < 9.0)"),
            ({"dataset": "photos"}, "(photos: 4.0 < 8.0)"),
        ):
            found = judged(rows, against("", reference("a", "m", **changes), reference("z", "m")))
            assert found.words == f"fails {words}"

    def test_another_quantity_is_another_number(self):
        rows = [{**entry("a", "ours"), "numbers": {"mIoU": [1.0, None, None], "MSE": [7.0, None, None]}}]
        rows += [entry("a", "x", 5.0, quantity="MSE")]
        assert judged(rows, beats("a", "x"), quantity="MSE").words == "holds on A (7.0 > 5.0)"

    def test_a_gain_is_a_number_less_another(self):
        gains = [reference(b, "ours", over=reference(b, "final")) for b in ("mae", "dino")]
        found = judged(TestVerdicts.rows, against("MAE", *gains), better=LOWER)
        assert found.verdict == "holds"  # what resamples do to both numbers of a gain is no part of it
        assert found.words.startswith("holds on MAE (−0.030 < 0.077: −0.107 [−0.1")
        near = [entry(b, m, v, 0.1) for b, m, v in (("x", "ours", 0.5), ("x", "final", 0.4), ("y", "ours", 0.51))]
        gains = [reference(b, "ours", over=reference(b, "final")) for b in ("y", "x")]
        rows = [*near, entry("y", "final", 0.4, 0.1)]
        assert judged(rows, against("Y", *gains)).verdict == "cannot be told"


class TestDataSets:
    """Of a table that has several, with no data set named."""

    rows = (
        entry("a", "ours", 5.0),
        entry("a", "ours", 2.0, dataset="photos"),
        entry("a", "x", 4.0),
        entry("a", "x", 1.0, dataset="photos"),
    )

    def test_a_comparison_is_made_on_each(self):
        found = judged(self.rows, beats("a", "x"))
        assert found.verdict == "holds"
        assert found.words == "holds on A (scenes: 5.0 > 4.0), on A (photos: 2.0 > 1.0)"

    def test_one_that_fails_is_enough(self):
        found = judged([*self.rows[:3], entry("a", "x", 3.0, dataset="photos")], beats("a", "x"))
        assert found.verdict == "does not hold"
        assert found.words == "holds on A (scenes: 5.0 > 4.0); fails on A (photos: 2.0 < 3.0)"

    def test_numbers_of_two_are_never_compared(self):
        found = judged(self.rows[1:3], beats("a", "x"))  # ours on photos, the rival on scenes
        assert (found.verdict, found.words) == ("not testable on this run", "without a number: a x on photos")
        found = judged([*self.rows[:3], entry("a", "y", 9.0, dataset="photos")], beats("a", "x", "y"))
        assert found.words == (
            "holds on A (scenes: 5.0 > 4.0); fails on A (photos: 2.0 < 9.0); "
            "without a number: a y on scenes, a x on photos"
        )

    def test_a_gain_is_over_the_same_data_set(self):
        gain = reference("a", "ours", over=reference("a", "x"))
        rows = [*self.rows[:3], entry("a", "x", 1.9, dataset="photos"), entry("b", "m", 0.5)]
        found = judged([*rows, entry("b", "m", 0.5, dataset="photos")], against("", gain, reference("b", "m")))
        assert found.words == "holds (scenes: 1.000 > 0.500); fails (photos: 0.100 < 0.500)"

    def test_the_named_one_is_that_of_all(self):
        ours = reference("a", "ours", dataset="photos")
        assert judged(self.rows, against("", ours, reference("a", "x"))).words == "holds (photos: 2.0 > 1.0)"

    def test_a_rival_and_what_a_gain_is_over_may_name_another(self):
        rival = reference("a", "x", dataset="scenes")
        ours = reference("a", "ours", dataset="photos")
        assert judged(self.rows, against("", ours, rival)).words == "fails (photos: 2.0 < 4.0)"
        gain = reference("a", "ours", dataset="photos", over=rival)
        assert judged(self.rows, against("", gain, reference("a", "x"))).words == "fails (photos: −2.0 < 1.0)"

    def test_one_without_labels_is_passed_over(self):
        rows = [*self.rows[::2], entry("a", "ours", dataset="photos"), entry("a", "x", dataset="photos")]
        assert judged(rows, beats("a", "x")).words == "holds on A (scenes: 5.0 > 4.0)"
        nothing = judged([*rows[2:], entry("a", "ours"), entry("a", "x")], beats("a", "x"))
        assert nothing.words == "without a number: a ours, a x"

    def test_only_ours_missing_where_others_have_a_number_is_said(self):
        rows = [*self.rows[::2], entry("a", "ours", dataset="photos"), self.rows[3]]
        assert judged(rows, beats("a", "x")).words == (
            "holds on A (scenes: 5.0 > 4.0); without a number: a ours on photos"
        )
        # unless its row is not of that data set
        assert judged([*self.rows[::2], self.rows[3]], beats("a", "x")).words == "holds on A (scenes: 5.0 > 4.0)"


class TestMissing:
    rows = (entry("a", "ours", 0.5), entry("a", "x", 0.4), entry("a", "empty"), entry("b", "x", 0.4))

    def test_the_rest_is_tested_and_the_missing_said(self):
        found = judged(self.rows, beats("a", "x", "gone", "empty"), beats("b", "x"))
        assert found.verdict == "holds"
        assert found.words == "holds on A (0.500 > 0.400); without a number: a gone, a empty, b ours"

    def test_nothing_left_is_not_testable(self):
        found = judged(self.rows, beats("b", "x"), beats("a", "empty"), reason="needs weights")
        assert found.verdict == "not testable on this run"
        assert found.words == "without a number: b ours, a empty; needs weights"

    def test_a_gain_needs_both_numbers(self):
        ours = reference("a", "ours", over=reference("a", "empty", crf=True, dataset="photos"))
        found = judged(self.rows, against("", ours, reference("a", "x")))
        assert found.verdict == "not testable on this run"
        assert found.words == "without a number: a empty with CRF on photos"

    def test_a_table_of_another_run(self):
        found = judge(claim(beats("a", "x")), {"other": self.rows})
        assert (found.verdict, found.words) == ("not testable on this run", "t is not among this run's tables")

    def test_without_comparisons_the_reason_is_said(self):
        found = judge(claim(reason="needs a GPU"), {"t": self.rows})
        assert (found.verdict, found.words) == ("not testable on this run", "needs a GPU")


class TestIntervals:
    @pytest.mark.parametrize("better", [HIGHER, LOWER])
    @pytest.mark.parametrize(
        ("ours", "rival", "own", "verdict"),
        [
            (0.5, 0.4, 0.05, "holds"),
            (0.5, 0.4, 0.2, "cannot be told"),
            (0.4, 0.5, 0.05, "does not hold"),
            (0.4, 0.5, 0.2, "cannot be told"),
        ],
    )
    def test_are_of_the_difference_on_the_same_images(self, ours, rival, own, verdict, better):
        """Resamples move both rows alike by four times as much as what parts them."""
        rows = [entry("a", "ours", ours, own), entry("a", "x", rival, own)]
        if better == LOWER:
            verdict = {"holds": "does not hold", "does not hold": "holds"}.get(verdict, verdict)
        assert judged(rows, beats("a", "x"), better=better).verdict == verdict

    def test_of_rows_on_other_images_are_as_wide_as_both(self):
        rows = [entry("a", "ours", 0.5, 0.01), entry("a", "x", 0.4, 0.3, shared=0.0)]
        assert judged(rows, beats("a", "x")).verdict == "cannot be told"

    def test_are_percentiles_of_the_differences(self):
        rows = [entry("a", "ours", 0.5, 0.05), entry("a", "x", 0.4, 0.05)]
        one, other = (row["draws"]["mIoU"][0] for row in rows)
        low, high = np.percentile((one - other)[1:], [2.5, 97.5])
        assert judged(rows, beats("a", "x")).words.endswith(f": +0.100 [{low:+.3f}, {high:+.3f}])")

    def test_are_over_draws_of_clusters(self):
        """Every draw of one meets every draw of the other, but with the same clusters each meets itself."""
        draws = (-0.1, 0.1)
        rows = [entry("a", "ours", 0.5, 0.01, clusters=draws), entry("a", "x", 0.4, 0.01, clusters=draws)]
        assert judged(rows, beats("a", "x")).verdict == "cannot be told"
        rows = [entry("a", "ours", 0.5, 0.01, clusters=draws, crf=True), entry("a", "ours", 0.4, 0.01, clusters=draws)]
        refined = against("A", reference("a", "ours", crf=True), reference("a", "ours"))
        assert judged(rows, refined).verdict == "holds"
        # of one draw with a CRF and of several without, the one that both have counts
        rows[0] = entry("a", "ours", 0.4, 0.01, clusters=draws[:1], crf=True)
        assert judged(rows, refined).verdict == "cannot be told"

    def test_who_asserts_needs_all_who_denies_needs_one(self):
        rows = [entry("a", "ours", 0.5, 0.01), entry("a", "x", 0.4, 0.01), entry("a", "y", 0.499, 0.01)]
        rows += [entry("b", "ours", 0.5, 0.01), entry("b", "x", 0.6, 0.01), entry("b", "y", 0.501, 0.01)]
        assert judged(rows, beats("a", "x")).verdict == "holds"
        assert judged(rows, beats("a", "x", "y")).verdict == "cannot be told"
        assert judged(rows, beats("b", "x", "y")).verdict == "does not hold"  # x is above it for sure
        assert judged(rows, beats("b", "y")).verdict == "cannot be told"
        assert judged(rows, beats("a", "x", "y"), beats("b", "x")).verdict == "does not hold"

    def test_a_margin_moves_the_bar(self):
        rows = [entry("a", "ours", 0.5, 0.005), entry("a", "x", 0.52, 0.005)]
        for margin, verdict in ((0.05, "holds"), (0.02, "cannot be told"), (0.001, "does not hold")):
            assert judged(rows, beats("a", "x"), margin=margin).verdict == verdict

    def test_the_order_of_rows_does_not_matter(self):
        rows = TestVerdicts.rows
        comparisons = [beats("dino", "final"), beats("mae", "final"), beats("clip", "final")]
        assert judged(rows, *comparisons) == judged(rows[::-1], *comparisons)


class TestWords:
    @pytest.mark.parametrize(
        ("ours", "rival", "words"),
        [
            (0.5, 0.25, "0.500 > 0.250"),
            (25.43, 9.0, "25.4 > 9.0"),
            (0.50004, 0.50001, "0.50004 > 0.50001"),
            (-0.2, -0.3, "−0.200 > −0.300"),
        ],
    )
    def test_different_numbers_look_different(self, ours, rival, words):
        rows = [entry("a", "ours", ours), entry("a", "x", rival)]
        assert judged(rows, beats("a", "x")).words == f"holds on A ({words})"


class TestSettings:
    def test_a_claim_is_tested_or_explained(self):
        with pytest.raises(ValueError, match="expected `comparisons`, or the `reason`"):
            claim()

    def test_a_comparison_needs_a_rival(self):
        with pytest.raises(ValueError, match="at least 1 item"):
            claim(against("A", reference("a", "ours")))

    def test_unknown_keys_are_refused(self):
        with pytest.raises(ValueError, match="unknown key 'methods'"):
            claim(against("A", {"backbone": "a", "methods": "m"}, reference("a", "x")))


def configured(quantity, kind="oracle", table="t", **settings):
    """A configuration with one table without rows and a claim about it."""
    shown = {"kind": kind, "title": "T", "source": "p", "datasets": ["d"], "columns": [], "rows": [], **settings}
    said = {"says": "s", "source": "p", "table": table, "quantity": quantity, "better": HIGHER, "reason": "r"}
    tree = {"views": {}, "datasets": {}, "backbones": {}, "methods": {}, "tables": {"t": shown}}
    return parse({**tree, "regions": {"candidates": [2, 3, 10]}, "claims": [said, {**said, "table": "none"}]})


class TestQuantities:
    """That the tables give all that is listed is for their own tests to say."""

    @pytest.mark.parametrize("kind", QUANTITIES)
    def test_what_its_table_gives_may_be_claimed(self, kind):
        for quantity in QUANTITIES[kind]:
            assert configured(quantity, kind).claims[0].quantity == quantity

    @pytest.mark.parametrize(
        ("quantity", "kind", "words"),
        [
            ("mIuO", "oracle", r"expected one of mIoU, mean K, got 'mIuO' \(nearest: 'mIoU'\)"),
            ("spatial, gready", "position", r".*got 'spatial, gready' \(nearest: 'spatial, greedy'\)"),
            ("AP masks", "instances", r".*\(nearest: 'AP mask'\)"),
            ("mIoU", "matching", r"expected one of greedy, Hungarian, accuracy, got 'mIoU'"),
        ],
    )
    def test_another_is_refused_with_the_nearest(self, quantity, kind, words):
        with pytest.raises(InputError, match=r"claims\[0\].quantity: " + words):
            configured(quantity, kind)

    def test_of_one_k_only_the_tables_own(self):
        assert configured("mIoU, K = 10", clusters=10).claims
        for settings in ({"clusters": 3}, {}):
            with pytest.raises(InputError, match=r"claims\[0\].quantity: .*got 'mIoU, K = 10' \(nearest: 'mIoU"):
                configured("mIoU, K = 10", **settings)

    def test_of_a_table_of_another_run_nothing_is_known(self):
        assert configured("anything", table="other").claims


class TestReferences:
    """What a claim asks for."""

    def test_all_are_named_by_their_place(self):
        gain = reference("a", "ours", over=reference("a", "final", over=reference("b", "final")))
        made = Claim.model_validate(claim(beats("a", "x"), against("", gain, reference("a", "y"), reference("a", "z"))))
        asked = {where: (one.backbone, one.method) for where, one in references(made)}
        assert asked == {
            "comparisons[0].ours": ("a", "ours"),
            "comparisons[0].than[0]": ("a", "x"),
            "comparisons[1].ours": ("a", "ours"),
            "comparisons[1].ours.over": ("a", "final"),
            "comparisons[1].ours.over.over": ("b", "final"),
            "comparisons[1].than[0]": ("a", "y"),
            "comparisons[1].than[1]": ("a", "z"),
        }

    def test_without_comparisons_nothing_is_asked(self):
        assert not list(references(Claim.model_validate(claim(reason="needs a GPU"))))
