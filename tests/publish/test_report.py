"""A report holds everything it shows, shows everything it was given, and is the same every time."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from whatwhere.artifacts.errors import InputError
from whatwhere.publish.claims import Verdict
from whatwhere.publish.figures import for_screen
from whatwhere.publish.figures.page import save_page
from whatwhere.publish.report import Facts, Judged, write_report
from whatwhere.publish.tables import Number, write_draws
from whatwhere.stages.reporting import write_run_report

VOID = {"meta", "link", "img", "br", "hr", "input"}
TABLE = (
    "Model,Mask,mIoU (paper),mIoU (ours),95 % interval,Note\n"
    "DINO,Ours + K-Means,0.80,0.412,0.391–0.433,\n"
    "MAE,K-Means,0.71,,,the data set has no labels\n"
    "<script>alert(1)</script>,a & b,,−0.1,,\n"
)


class Page(HTMLParser):
    """What a browser would see: elements with their attributes and text; fails where tags do not nest."""

    def __init__(self, text):
        super().__init__()
        self.text = text
        self.open: list[str] = []
        self.elements: list[tuple[str, dict]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(set(names)) == len(names)
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((tuple(self.open), data.strip()))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def words(self, tag):
        return [text for path, text in self.texts if tag in path]


@pytest.fixture
def material(tmp_path):
    (tmp_path / "table1.csv").write_text(TABLE, "utf-8")
    meta = {"title": "Table 1 <on> scenes", "source": "paper, Table 1", "notes": ["different data", "a < b"]}
    (tmp_path / "table1.meta.json").write_text(json.dumps(meta), "utf-8")
    Image.fromarray(np.arange(60, dtype=np.uint8).reshape(4, 5, 3)).save(tmp_path / "figure3.png")
    return {
        "title": "Run <embedded>",
        "summary": [("Data sets", "scenes, photos"), ("Backbones", "dino & mae")],
        "tables": [tmp_path / "table1.csv"],
        "figures": [(tmp_path / "figure3.png", 'A "caption" with <script>alert(2)</script>')],
        "provenance": [
            Facts("Versions <b>", [("torch", "2.15.0")]),
            Facts("Artifacts", [("features", "0123abcd" * 8)], ("stage", "digest")),
        ],
        "settings": "run: embedded\nviews: {a: <b>}\n",
    }


def render(tmp_path, **values):
    output = tmp_path / "out" / "report.html"
    write_report(output, **values)
    return Page(output.read_text("utf-8"))


class TestContent:
    def test_nothing_is_fetched(self, tmp_path, material):
        page = render(tmp_path, **material)
        for _, attributes in page.elements:
            for name in ("src", "href", "srcset", "action", "poster"):
                assert attributes.get(name, "#").startswith(("#", "data:"))
        assert not page.all("script")
        (style,) = page.words("style")
        assert "url(" not in style
        assert "@import" not in style
        policies = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
        assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]

    def test_it_is_html5_for_any_screen(self, tmp_path, material):
        page = render(tmp_path, **material)
        assert page.text.startswith("<!doctype html>\n")
        assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
        assert "prefers-color-scheme: dark" in page.text
        assert "@media print" in page.text

    def test_pictures_are_inside_byte_for_byte(self, tmp_path, material):
        (image,) = render(tmp_path, **material).all("img")
        kind, content = image["src"].split(",")
        assert kind == "data:image/webp;base64"
        assert base64.b64decode(content) == for_screen(tmp_path / "figure3.png")
        assert (image["width"], image["height"]) == ("5", "4")
        assert image["alt"] == material["figures"][0][1]

    def test_what_is_long_has_the_whole_width(self, tmp_path, material):
        material["summary"].append(("Methods", "exact, " * 30))
        page = render(tmp_path, **material)
        assert [one.get("class") for one in page.all("div")[:3]] == [None, None, "long"]

    def test_everything_is_shown_as_it_was_written(self, tmp_path, material):
        page = render(tmp_path, **material)
        assert page.words("h1") == [material["title"]] == page.words("title")
        assert page.words("dt") + page.words("dd") == [
            "Data sets",
            "Backbones",
            "scenes, photos",
            "dino & mae",
        ]
        assert page.words("figcaption") == [material["figures"][0][1]]
        assert page.words("pre") == [material["settings"].strip()]
        for text in ("Table 1 <on> scenes", "a < b", "<script>alert(1)</script>"):
            assert any(text == words for _, words in page.texts)
        assert "Source: paper, Table 1" in page.words("article")
        assert page.words("details")[1:4] == ["Versions <b>", "torch", "2.15.0"]
        assert page.words("details")[4:9] == ["Artifacts", "stage", "digest", "features", "0123abcd" * 8]

    def test_a_figures_own_caption_follows_its_title(self, tmp_path, material):
        drawn = tmp_path / "figure4.png"
        save_page([Image.new("RGB", (40, 30), "white")], drawn, caption="6 of 8 images.")
        page = render(tmp_path, **{**material, "figures": [(drawn, "Figure 4. Mine")]})
        assert page.words("figcaption") == ["Figure 4. Mine. 6 of 8 images."]
        assert [image["alt"] for image in page.all("img")] == ["Figure 4. Mine"]

    def test_columns_for_programs_are_not_shown(self, tmp_path, material):
        material["tables"][0].write_text(
            "Model,mIoU (ours),mIoU [value],mIoU [low]\nDINO,0.412,0.4117,0.391\n", "utf-8"
        )
        page = render(tmp_path, **material)
        assert page.words("thead") == ["Model", "mIoU", "(ours)", *page.words("thead")[3:]]
        assert "0.4117" not in page.text

    def test_every_link_has_its_target(self, tmp_path, material):
        page = render(tmp_path, **material)
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(set(ids)) == len(ids)
        links = [a["href"].removeprefix("#") for a in page.all("a")]
        assert links == ["table-table1", "figure-figure3", "provenance", "settings"]
        assert set(links) <= set(ids)

    def test_files_of_one_name_have_different_anchors(self, tmp_path, material):
        again = material | {"tables": material["tables"] * 3}
        links = [a["href"] for a in render(tmp_path, **again).all("a")]
        assert links[:3] == ["#table-table1", "#table-table1--2", "#table-table1--3"]

    def test_a_run_without_results_is_a_page_too(self, tmp_path, material):
        page = render(tmp_path, **(material | {"tables": [], "figures": [], "summary": []}))
        assert [a["href"] for a in page.all("a")] == ["#provenance", "#settings"]
        assert not page.all("img") + page.all("dl") + page.all("article")


class TestTables:
    def cells(self, tmp_path, material, text):
        (tmp_path / "table1.csv").write_text(text, "utf-8")
        page = render(tmp_path, **material)
        head = [a["class"] for a in page.all("th") if a["scope"] == "col" and "class" in a]
        return (
            page,
            head,
            [a["class"].split() for a in page.all("td") if a.get("class", "short") != "short"],
        )

    def test_numbers_are_on_the_right_and_notes_small(self, tmp_path, material):
        _, head, cells = self.cells(tmp_path, material, TABLE)
        assert head == ["text", "text", "number paper", "number", "number", "note"]
        assert [c[0] for c in cells] == [kind.split()[0] for kind in head] * 3

    def test_the_papers_numbers_and_differences_are_marked(self, tmp_path, material):
        text = "Model,Paper's model,mIoU (paper),mIoU (ours − paper),mIoU (ours)\nzoo,SD,0.82,−0.35,0.466\n"
        page, head, _ = self.cells(tmp_path, material, text)
        assert head == ["text", "text paper", "number paper", "number difference", "number"]
        assert "−0.35" in page.words("td")
        assert [text for text in page.words("th") if text.startswith("(")] == ["(paper)", "(ours − paper)", "(ours)"]

    @pytest.mark.parametrize(("names", "opens"), [("aabb", [0, 2]), ("abc", []), ("abb", [0, 1]), ("a", [])])
    def test_a_group_of_rows_is_set_apart(self, tmp_path, material, names, opens):
        page, *_ = self.cells(tmp_path, material, "Model,x\n" + "".join(f"{name},1\n" for name in names))
        rows = page.all("tr")[1 : 1 + len(names)]
        assert [i for i, row in enumerate(rows) if row.get("class") == "opening"] == opens

    @pytest.mark.parametrize("number", ["-1", "+0.5", "−3", "1e-5", "12 %", "0.3 ± 0.1", "0.2 [0.1, 0.3]", "nan", "7*"])
    def test_what_counts_as_a_number(self, tmp_path, material, number):
        _, head, _ = self.cells(tmp_path, material, f'a,b\nx,"{number}"\ny,\n')
        assert head == ["text", "number"]

    @pytest.mark.parametrize("text", ["ViT-S/16", "–", "scenes", "3 of many", "K = 5"])
    def test_what_does_not(self, tmp_path, material, text):
        _, head, _ = self.cells(tmp_path, material, f"a,b\nx,{text}\ny,5\n")
        assert head == ["text", "text"]

    def test_empty_cells_are_dashes_but_empty_notes_are_nothing(self, tmp_path, material):
        page, _, _ = self.cells(tmp_path, material, "a,b,Note\nx,,\n,1,why\n")
        shown = [text for text in page.words("article") if text in page.words("td")]
        assert shown == ["x", "–", "–", "1", "why"]
        assert page.text.count('class="none"') == 2

    def test_a_note_column_without_notes_is_left_out(self, tmp_path, material):
        _, head, cells = self.cells(tmp_path, material, "a,Note,b\nx,,1\n")
        assert head == ["text", "number"]
        assert len(cells) == 2

    def test_without_meta_the_file_names_the_table(self, tmp_path, material):
        (tmp_path / "table1.meta.json").unlink()
        page = render(tmp_path, **material)
        assert page.words("h3")[0] == "table1"
        assert "Source:" not in page.text

    def test_a_header_alone_is_a_table(self, tmp_path, material):
        _, head, cells = self.cells(tmp_path, material, "\ufeffa,b\n")
        assert (head, cells) == (["number", "number"], [])


def judged(verdict, says="regions beat <tokens>", table="table1", words="holds on DINO (0.5 > 0.4)"):
    return Judged(says, "section 4.1", table, Verdict(verdict, words))


class TestClaims:
    def test_stand_behind_the_first_figure_with_words_and_colours(self, tmp_path, material):
        claims = [
            judged("holds"),
            judged("does not hold", "second"),
            judged("not testable on this run", "third", "table7", words="needs weights"),
        ]
        page = render(tmp_path, **material, claims=claims)
        heading = "What the paper claims, and what this run says"
        assert page.words("h2")[:2] == ["What was found", heading]
        found = page.text.index('id="figure-figure3"')
        assert found < page.text.index(heading) < page.text.index("<nav") < page.text.index('class="results"')
        assert page.text.count('id="figure-figure3"') == 1
        marks = [a["class"] for a in page.all("strong") if "verdict" in a.get("class", "")]
        assert marks == ["verdict yes", "verdict no", "verdict open"]
        words = [text for path, text in page.texts if path[-1] == "strong"]
        assert words == [claim.verdict.verdict for claim in claims]
        for text in ("regions beat <tokens>", "holds on DINO (0.5 > 0.4)", "needs weights"):
            assert text in [words for _, words in page.texts]

    def test_link_to_their_table_where_it_is_on_the_page(self, tmp_path, material):
        page = render(tmp_path, **material, claims=[judged("holds"), judged("holds", table="none")])
        assert [a["href"] for a in page.all("a")][:2] == ["#table-table1", "#table-table1"]  # a claim's, the contents'
        assert page.text.count('href="#table-table1"') == 2

    def test_are_counted(self, tmp_path, material):
        claims = [judged("holds")] + [judged("does not hold")] * 2
        page = render(tmp_path, **material, claims=claims)
        counted = [(path[-1], text) for path, text in page.texts if path[-2:] == ("p", "b") or path[-1] == "b"]
        assert [text for _, text in counted] == ["1", "2"]
        assert "Of 3 claims" in page.text

    def test_a_margin_is_part_of_what_is_said_of_them(self, tmp_path, material):
        page = render(tmp_path, **material, claims=[judged("holds")])
        (said,) = [text for text in page.words("p") if text.startswith("Each claim is an order of numbers")]
        assert (
            "better than all that they are compared with or, where said, worse by no more than the margin"
            in " ".join(said.split())
        )

    def test_without_any_there_is_no_such_section(self, tmp_path, material):
        assert "claims-heading" not in render(tmp_path, **material).text


@pytest.fixture
def finished(tmp_path):
    """The folder of a run with one table, one claim, two stages and what an earlier configuration left."""
    root = tmp_path / "results" / "small"
    row = {"backbone": "dino", "method": "exact", "naming": None, "crf": False, "dataset": "scenes", "labels": ["a"]}
    rows = [
        {**row, "numbers": {"mIoU": [0.5, 0.49, 0.51]}},
        {**row, "method": "final", "numbers": {"mIoU": [0.4, 0.3, 0.45]}},
    ]
    store = {
        "content": "c0ffee",
        "arrays": {},
        "files": {"x": [2_500_000, "00"]},
        "provenance": {"torch": "2.15.0"},
        "weights": "zoo/dino (sha256 abc)",
    }
    files = {
        "tables/table1.meta.json": {"title": "Table 1", "notes": [], "source": "", "rows": rows},
        "images/scenes/native/index.json": {"shards": {"8x8-000": ["a", "b"], "8x8-001": ["c"]}},
        "vectors/scenes/dino/exact/8x8-000.json": store,
        "features/scenes/dino/8x8-000.json": {**store, "provenance": {"torch": "2.14.0"}},
        "features/scenes/gone/8x8-000.json": {**store, "weights": "of an earlier configuration"},
        "timings/scenes/dino.json": {"machine": "a GPU", "methods": {}},
    }
    for second, (name, content) in enumerate(files.items()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        os.utime(path, (1_800_000_000 + 60 * second,) * 2)
    (root / "tables/table1.csv").write_text("Model,mIoU (ours)\nzoo/dino,0.500\n")
    (root / "features/scenes/dino/8x8-000.zarr").mkdir()
    (root / "features/scenes/dino/8x8-000.zarr/zarr.json").write_text("{}")
    return root


def settings_of_a_run(**changes):
    than = {"backbone": "dino", "method": "final"}
    comparison = {"about": "DINO", "ours": {"backbone": "dino", "method": "exact"}, "than": [than]}
    claim = {"says": "all layers are better", "source": "section 4.1", "table": "table1", "quantity": "mIoU"}
    return {
        "run": "small",
        "seed": 7,
        "threads": 1,
        "device": "cpu",
        "views": {"native": {}},
        "datasets": {"scenes": {"kind": "scenes"}},
        "backbones": {"dino": {"model": "zoo/dino", "weights": None}},
        "methods": {"exact": {"kind": "exact"}, "final": {"kind": "final"}},
        "regions": {"clusters": "auto"},
        "figures": {},
        "claims": [{**claim, "better": "higher", "margin": 0.0, "comparisons": [comparison], "reason": ""}],
        **changes,
    }


def report_of(root, **changes):
    output = root / "report.html"
    write_run_report(output, [str(root / "tables/table1.csv")], [], settings_of_a_run(**changes))
    return Page(output.read_text("utf-8"))


class TestRun:
    def facts(self, page):
        """Rows of the provenance, by their first cell."""
        found, cells = {}, []
        for path, text in page.texts:
            if "details" in path and path[-1] == "th":
                cells = found.setdefault(text, [])
            elif "details" in path and path[-1] == "td":
                cells.append(text)
        return found

    def test_claims_are_judged_by_the_tables_numbers(self, finished):
        page = report_of(finished)
        assert "holds on DINO (0.500 > 0.400)" in [text for _, text in page.texts]
        assert [a["class"] for a in page.all("strong")] == ["verdict yes"]
        assert "verdict yes" not in report_of(finished, claims=[]).text

    def test_claims_are_judged_by_the_draws_beside_a_table(self, finished):
        """Ours is better by as much as a resample of the images moves both, or by more than that."""
        noise = np.random.default_rng(0).normal(0, 0.3, 500)
        for together, verdict in ((True, "holds"), (False, "cannot be told")):
            ours, final = ([[0.5, *(0.5 + noise)]], [[0.4, *(0.4 + (noise if together else noise[::-1]))]])
            numbers = [{"scenes": {"mIoU": Number.of(np.array(draws))}} for draws in (ours, final)]
            write_draws(finished / "tables/table1.draws.parquet", numbers)
            assert verdict in report_of(finished).words("strong")
            (_, claim) = (finished / "claims.csv").read_text().splitlines()
            assert f",{verdict}," in claim
            assert "0.500 > 0.400: +0.100 [" in claim

    def test_a_run_without_claims_needs_none(self, finished):
        settings = settings_of_a_run()
        del settings["claims"]
        write_run_report(finished / "r.html", [], [], settings)
        assert "claims-heading" not in (finished / "r.html").read_text()

    def test_the_summary_counts_images(self, finished):
        assert "scenes (3 images)" in report_of(finished).words("dd")
        index = finished / "images/scenes/native/index.json"
        left_out = [{"id": f"bad-{i}", "reason": "cut off"} for i in range(6)]
        index.write_text(json.dumps({**json.loads(index.read_text()), "skipped": left_out}))
        words = "scenes (3 images, 6 unreadable and left out: bad-0, bad-1, bad-2, bad-3, bad-4, …)"
        assert words in report_of(finished).words("dd")

    def test_what_artifacts_say_of_themselves_is_there(self, finished):
        facts = self.facts(report_of(finished))
        assert facts["torch"] == ["2.14.0, 2.15.0"]
        assert facts["dino"] == ["zoo/dino (sha256 abc)"]
        assert (facts["seed"], facts["machine"], facts["device"]) == (["7"], ["a GPU"], ["cpu"])
        assert facts["vectors"][:2] == ["1", "2.5 MB"]
        assert facts["vectors"][-3] == facts["vectors"][-2] == "2027-01-15 08:02:00 UTC"
        assert facts["features"][0] == "1"  # neither what is gone from the configuration nor the inside of a store
        assert facts["artifacts written"] == [
            "2027-01-15 08:02:00 UTC to 2027-01-15 08:05:00 UTC, 3 min 0 s with pauses"
        ]
        digest = hashlib.sha256((finished / "tables/table1.csv").read_bytes()).hexdigest()
        assert facts["table1.csv"] == [digest]

    @pytest.mark.parametrize(
        ("known", "gone"),
        [
            ("joint/scenes/dino/exact.json", "joint/scenes/dino/old.json"),
            ("segments/scenes/dino/exact.json", "segments/scenes/dino/old.json"),
            ("refined/scenes/dino/exact.json", "refined/scenes/dino/old.json"),
            ("matching/segments/scenes/dino/v1.2.parquet", "matching/segments/scenes/dino/v1.1.parquet"),
            ("coordinates/scenes/dino/final.json", "coordinates/scenes/dino/dino.json"),
            ("detections/scenes/dino/exact.parquet", "detections/scenes/dino/old.parquet"),
            ("timings/scenes/dino.json", "timings/scenes/old.json"),
            ("texts/scenes/dino/things.json", "texts/scenes/dino/exact.json"),
        ],
    )
    def test_files_named_after_what_is_gone_are_not_counted(self, finished, known, gone):
        methods = {name: {"kind": "exact"} for name in ("exact", "final", "v1.2")}
        for name in (known, gone):
            (finished / name).parent.mkdir(parents=True, exist_ok=True)
            (finished / name).write_text("{}")
        facts = self.facts(report_of(finished, methods=methods, namings={"things": {}}))
        assert facts[known.partition("/")[0]][0] == "1"
        (finished / known).unlink()
        facts = self.facts(report_of(finished, methods=methods, namings={"things": {}}))
        assert known.partition("/")[0] not in facts

    def test_a_stage_took_what_its_jobs_logs_say(self, finished):
        assert self.facts(report_of(finished))["vectors"][2:4] == ["–", "–"]
        ended = {"000": "done in 71.5 s, at most 400 MB of memory", "001": "done in 2.0 s, at most 90 MB of memory"}
        for shard, line in ended.items():
            log = finished / f"logs/vectors/scenes/dino/exact/8x8-{shard}.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(f"50%\r100%\n{line}\n")
        assert self.facts(report_of(finished))["vectors"][2:4] == ["1 min 12 s", "400 MB"]  # of one artifact
        for shard, suffix in (("001", "json"), ("001", "x.json"), ("002", "json")):  # 002: without a log
            (finished / f"vectors/scenes/dino/exact/8x8-{shard}.{suffix}").write_text("{}")
        assert self.facts(report_of(finished))["vectors"][2:4] == ["1 min 14 s (2 of 3 jobs)", "400 MB"]

    def test_a_stages_digest_follows_its_contents_only(self, finished):
        before = self.facts(report_of(finished))
        manifest = finished / "vectors/scenes/dino/exact/8x8-000.json"
        stated = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**stated, "provenance": {"torch": "2.16.0"}}))
        assert self.facts(report_of(finished))["vectors"][-1] == before["vectors"][-1]
        manifest.write_text(json.dumps({**stated, "content": "other"}))
        after = self.facts(report_of(finished))
        assert after["vectors"][-1] != before["vectors"][-1]
        assert after["features"] == before["features"]

    def test_written_again_it_is_the_same(self, finished):
        report_of(finished)
        first = (finished / "report.html").read_bytes()
        report_of(finished)
        assert (finished / "report.html").read_bytes() == first


class TestFile:
    def test_the_same_input_gives_the_same_bytes(self, tmp_path, material):
        files = [tmp_path / "a.html", tmp_path / "b" / "b.html"]
        for file in files:
            write_report(file, **material)
        assert files[0].read_bytes() == files[1].read_bytes()

    def test_no_partial_file_stays(self, tmp_path, material):
        render(tmp_path, **material)
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.html"]

    @pytest.mark.parametrize(
        ("name", "content", "got"),
        [
            ("table1.csv", None, "No such file"),
            ("table1.csv", b"", "an empty file"),
            ("table1.csv", b"a,b\n1,2\n1,2,3\n", "3 in row 3"),
            ("table1.csv", b"a,b\n\xff\xfe,2\n", "a damaged file"),
            ("table1.meta.json", b"{", "a damaged file"),
            ("table1.meta.json", b"[]", "something else"),
            ("table1.meta.json", b'{"notes": "one"}', "something else"),
            ("figure3.png", None, "No such file"),
            ("figure3.png", b"GIF89a", "another format"),
            ("figure3.png", b"\x89PNG\r\n\x1a\n", "a damaged file"),
        ],
    )
    def test_bad_input_is_one_line_and_leaves_the_old_report(self, tmp_path, material, name, content, got):
        (tmp_path / name).unlink()
        if content is not None:
            (tmp_path / name).write_bytes(content)
        output = tmp_path / "report.html"
        output.write_text("old")
        before = sorted(path.name for path in tmp_path.iterdir())
        with pytest.raises(InputError) as caught:
            write_report(output, **material)
        message = str(caught.value)
        assert "\n" not in message
        for words in (name, "expected", got, ";"):
            assert words in message
        assert output.read_text() == "old"
        assert sorted(path.name for path in tmp_path.iterdir()) == before
