"""Claims: planted numbers give known verdicts, what is missing is said, and intervals are read the right way round."""

import pytest

from whatwhere.artifacts.errors import InputError
from whatwhere.config import parse
from whatwhere.config.claims import QUANTITIES, Claim, references
from whatwhere.publish.claims import judge

HIGHER, LOWER = "higher", "lower"


def entry(backbone, method, value=None, half=None, quantity="mIoU", **changes):
    """A row as a table's `.meta.json` has it, with an interval of `half` on both sides."""
    ends = [value, None, None] if half is None else [value, value - half, value + half]
    numbers = {} if value is None else {quantity: ends}
    row = {"backbone": backbone, "method": method, "naming": None, "crf": False, "dataset": "scenes", "labels": []}
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
        entry("dino", "ours", 0.466, 0.02),
        entry("dino", "final", 0.389, 0.02),
        entry("dino", "ncut", 0.3, 0.02),
        entry("mae", "ours", 0.375, 0.02),
        entry("mae", "final", 0.389, 0.02),
    )

    def test_the_best_of_several_counts(self):
        found = judged(self.rows, beats("dino", "ncut", "final"))
        assert (found.verdict, found.words) == ("reproduced here", "holds on DINO (0.466 against at most 0.389)")
        assert found.intervals == "clear"

    def test_one_failure_is_enough(self):
        found = judged(self.rows, beats("dino", "final", "ncut"), beats("mae", "final"))
        assert found.verdict == "not reproduced here"
        assert found.words == (
            "holds on DINO (0.466 against at most 0.389); fails on MAE (0.375 < 0.389, within the intervals)"
        )
        assert found.intervals == "within the intervals"

    def test_lower_may_be_better(self):
        found = judged(self.rows, beats("mae", "final"), beats("dino", "final", "ncut"), better=LOWER)
        assert found.verdict == "not reproduced here"
        assert found.words == "holds on MAE (0.375 < 0.389, within the intervals); fails on DINO (0.466 > 0.300)"
        assert found.intervals == "clear"
        rows = [entry("a", "ours", 1.0), entry("a", "x", 2.0), entry("a", "y", 3.0)]
        found = judged(rows, beats("a", "y", "x"), better=LOWER)
        assert (found.verdict, found.words) == ("reproduced here", "holds on A (1.0 against at least 2.0)")

    def test_as_good_is_not_better(self):
        rows = [entry("a", "ours", 0.5, 0.1), entry("a", "x", 0.5, 0.1)]
        found = judged(rows, beats("a", "x"))
        assert (found.verdict, found.words) == (
            "not reproduced here",
            "fails on A (0.500 = 0.500, within the intervals)",
        )

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
        assert (found.verdict == "reproduced here") is holds
        assert ("margin 0.03" in found.words) is (margin > 0 and ours != 0.54)

    def test_without_a_name_only_the_numbers_are_said(self):
        found = judged(self.rows, against("", reference("dino", "ours"), reference("dino", "ncut")))
        assert found.words == "holds (0.466 > 0.300)"


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
        assert found.words == "holds on MAE (−0.014 < 0.077)"
        assert found.intervals == "clear"  # -0.014 ± 0.04 and 0.077 ± 0.04 are apart
        wide = [
            {**row, "numbers": {"mIoU": [v := row["numbers"]["mIoU"][0], v - 0.03, v + 0.03]}}
            for row in TestVerdicts.rows
        ]
        assert judged(wide, against("MAE", *gains), better=LOWER).intervals == "within the intervals"


class TestDataSets:
    """Of a table that has several, with no data set named."""

    rows = (
        entry("a", "ours", 5.0, 0.5),
        entry("a", "ours", 2.0, 0.5, dataset="photos"),
        entry("a", "x", 4.0, 0.1),
        entry("a", "x", 1.0, 0.1, dataset="photos"),
    )

    def test_a_comparison_is_made_on_each(self):
        found = judged(self.rows, beats("a", "x"))
        assert (found.verdict, found.intervals) == ("reproduced here", "clear")
        assert found.words == "holds on A (scenes: 5.0 > 4.0), on A (photos: 2.0 > 1.0)"

    def test_one_that_fails_is_enough(self):
        found = judged([*self.rows[:3], entry("a", "x", 3.0, 0.1, dataset="photos")], beats("a", "x"))
        assert found.verdict == "not reproduced here"
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
        assert found.verdict == "reproduced here"
        assert found.words == "holds on A (0.500 > 0.400); without a number: a gone, a empty, b ours"

    def test_nothing_left_is_not_testable(self):
        found = judged(self.rows, beats("b", "x"), beats("a", "empty"), reason="needs weights")
        assert (found.verdict, found.intervals) == ("not testable on this run", "")
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
        assert (found.verdict, found.words, found.intervals) == ("not testable on this run", "needs a GPU", "")


class TestIntervals:
    @pytest.mark.parametrize(
        ("ours", "rival", "half", "better", "certainty"),
        [
            (0.5, 0.4, 0.04, HIGHER, "clear"),
            (0.5, 0.4, 0.06, HIGHER, "within the intervals"),
            (0.4, 0.5, 0.04, HIGHER, "clear"),
            (0.4, 0.5, 0.06, HIGHER, "within the intervals"),
            (0.4, 0.5, 0.04, LOWER, "clear"),
            (0.4, 0.5, 0.06, LOWER, "within the intervals"),
            (0.5, 0.4, 0.04, LOWER, "clear"),
            (0.5, 0.4, None, HIGHER, ""),
        ],
    )
    def test_are_clear_where_they_do_not_overlap(self, ours, rival, half, better, certainty):
        rows = [entry("a", "ours", ours, half), entry("a", "x", rival, half)]
        found = judged(rows, beats("a", "x"), better=better)
        assert found.intervals == certainty
        assert ("within the intervals" in found.words) is (certainty == "within the intervals")

    def test_who_asserts_needs_all_who_denies_needs_one(self):
        rows = [entry("a", "ours", 0.5, 0.01), entry("a", "x", 0.4, 0.01), entry("a", "y", 0.49, 0.01)]
        rows += [entry("b", "ours", 0.5, 0.01), entry("b", "x", 0.6, 0.01), entry("b", "y", 0.501, 0.01)]
        assert judged(rows, beats("a", "x")).intervals == "clear"
        assert judged(rows, beats("a", "x", "y")).intervals == "within the intervals"
        assert judged(rows, beats("b", "x", "y")).intervals == "clear"  # x is above it for sure
        assert judged(rows, beats("b", "y")).intervals == "within the intervals"
        # what holds by a hair does not matter where something else fails for sure
        assert judged(rows, beats("a", "x", "y"), beats("b", "x")).intervals == "clear"

    def test_a_margin_moves_the_bar(self):
        rows = [entry("a", "ours", 0.5, 0.01), entry("a", "x", 0.52, 0.01)]
        assert judged(rows, beats("a", "x"), margin=0.05).intervals == "clear"
        assert judged(rows, beats("a", "x"), margin=0.03).intervals == "within the intervals"


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
