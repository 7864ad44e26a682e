"""A report holds everything it shows, shows everything it was given, and is the same every time."""

from __future__ import annotations

import base64
import json
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from whatwhere.errors import InputError
from whatwhere.figures import for_screen
from whatwhere.report import write_report

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
        "provenance": {"torch": "2.15.0", "features": "0123abcd" * 8},
        "settings": "run: embedded\nviews: {a: <b>}\n",
        "notes": ["weights are <random>"],
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
        for text in ("weights are <random>", "Table 1 <on> scenes", "a < b", "<script>alert(1)</script>"):
            assert any(text == words for _, words in page.texts)
        assert "Source: paper, Table 1" in page.words("article")
        assert page.words("details")[1:5] == ["torch", "2.15.0", "features", "0123abcd" * 8]

    def test_every_link_has_its_target(self, tmp_path, material):
        page = render(tmp_path, **material)
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(set(ids)) == len(ids)
        links = [a["href"].removeprefix("#") for a in page.all("a")]
        assert links == ["table-table1", "figure-figure3", "notes", "provenance", "settings"]
        assert set(links) <= set(ids)

    def test_files_of_one_name_have_different_anchors(self, tmp_path, material):
        again = material | {"tables": material["tables"] * 3}
        links = [a["href"] for a in render(tmp_path, **again).all("a")]
        assert links[:3] == ["#table-table1", "#table-table1--2", "#table-table1--3"]

    def test_a_run_without_results_is_a_page_too(self, tmp_path, material):
        page = render(tmp_path, **(material | {"tables": [], "figures": [], "summary": [], "notes": ()}))
        assert [a["href"] for a in page.all("a")] == ["#provenance", "#settings"]
        assert not page.all("img") + page.all("dl") + page.all("article")


class TestTables:
    def cells(self, tmp_path, material, text):
        (tmp_path / "table1.csv").write_text(text, "utf-8")
        page = render(tmp_path, **material)
        head = [attributes["class"] for attributes in page.all("th") if attributes["scope"] == "col"]
        return (
            page,
            head,
            [attributes["class"].split() for attributes in page.all("td") if "class" in attributes],
        )

    def test_numbers_are_on_the_right_and_notes_small(self, tmp_path, material):
        _, head, cells = self.cells(tmp_path, material, TABLE)
        assert head == ["text", "text", "number", "number", "number", "note"]
        assert [c[0] for c in cells] == head * 3

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
        shown = [text for text in page.words("td") if text not in ("2.15.0", "0123abcd" * 8)]
        assert shown == ["x", "–", "–", "1", "why"]
        assert page.text.count('class="none"') == 2

    def test_a_note_column_without_notes_is_left_out(self, tmp_path, material):
        _, head, cells = self.cells(tmp_path, material, "a,Note,b\nx,,1\n")
        assert head == ["text", "number"]
        assert len(cells) == 2

    def test_without_meta_the_file_names_the_table(self, tmp_path, material):
        (tmp_path / "table1.meta.json").unlink()
        page = render(tmp_path, **material)
        assert page.words("h3") == ["table1"]
        assert "Source:" not in page.text

    def test_a_header_alone_is_a_table(self, tmp_path, material):
        _, head, cells = self.cells(tmp_path, material, "\ufeffa,b\n")
        assert (head, cells) == (["number", "number"], [])


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
