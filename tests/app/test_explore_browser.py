"""A page in a real browser: every control by mouse, by touch and by keys, wide and narrow; it asks for nothing.

Needs Chromium (Debian's) and Playwright's Python package. Where they are not the tests skip, but not in CI (`CI` is
set). Pictures of the page lie in build/screens afterwards.
"""

import numpy as np
import pytest
import torch

from tests.app.test_explore import has_dinov2, largest, written
from tests.app.test_photos import picture
from tests.browsing import SIZES, Opened
from tests.explored import HUNDREDTH, off
from whatwhere.method.orthogonalise import orthogonalise
from whatwhere.method.solve import solve
from whatwhere.method.walk import random_walk
from whatwhere.publish.explored import means

#: Grid of the page of the transformer.
ROWS, COLUMNS = 8, 12


@pytest.fixture(scope="module")
def seen():
    return written("zoo-dino", picture(60, 90))


@pytest.fixture(scope="module")
def file(seen, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "a picture.html"
    path.write_text(seen[0], "utf-8")
    return path


@pytest.fixture(params=SIZES)
def opened(request, browser, file):
    """At either width; whatever a test does, there is no error, no request, and nothing beside the screen."""
    one = Opened(browser, file, SIZES[request.param], color_scheme="light" if request.param == "wide" else "dark")
    yield one
    one.close(request.node.name)
    assert one.asked == []


def patch(row, column):
    return row * COLUMNS + column


# ---------------------------------------------------------------------------------------------- numbers


def test_maps_are_the_librarys(opened, seen):
    """In the browser's own arithmetic: all layers, walks, layers, heads, eigenvectors."""
    at = patch(3, 7)
    for pathway in ("qk", "vv"):
        walks = random_walk(seen[1], pathway=pathway)
        M = means.mean_walk(walks).astype(float)
        assert off(opened.numbers(f"connections('{pathway}', {at})"), M[at]) < HUNDREDTH
        for steps in (1, 4, 128):
            expected = np.linalg.matrix_power(M / M.sum(1, keepdims=True), steps)[at]
            assert off(opened.numbers(f"walked('{pathway}', {at}, {steps})"), expected) < HUNDREDTH
        for number, layer in enumerate(walks.layers):
            P = torch.cat([block.clone() for block in layer.matrices()]).numpy()[:, at]
            assert off(opened.numbers(f"attention('{pathway}', {at}, {number}, null)"), P.mean(0)) < HUNDREDTH
            for head in range(layer.heads):
                assert off(opened.numbers(f"attention('{pathway}', {at}, {number}, {head})"), P[head]) < HUNDREDTH
    for pathway in ("qk", "vv", "both"):
        X = orthogonalise(solve(random_walk(seen[1], pathway=pathway), vectors=6).vectors).numpy()
        for number in range(6):
            assert off(opened.numbers(f"vector('{pathway}', {number})"), X[:, number]) < HUNDREDTH


@pytest.mark.parametrize("pathway", ["qk", "vv"])
def test_the_map_has_the_colours_of_its_numbers(opened, seen, pathway):
    """From pixel to number: without the photograph over it, each patch's colour is that of its place in the scale."""
    from matplotlib import colormaps

    opened.slide("over", "Home")
    opened.point("photo", 2, 5)
    opened.settle()
    read = "(id) => Array.from(document.getElementById(id).getContext('2d').getImageData(0, 0, 90, 60).data)"
    pixels = np.array(opened.page.evaluate(read, f"{pathway}-1")).reshape(60, 90, 4)[..., :3]
    middles = pixels[(np.arange(ROWS) * 2 + 1) * 60 // 16][:, (np.arange(COLUMNS) * 2 + 1) * 90 // 24].reshape(-1, 3)
    values = means.mean_walk(random_walk(seen[1], pathway=pathway))[patch(2, 5)]
    low, high = np.percentile(values, (1, 99))
    scale = colormaps["viridis"](np.arange(256), bytes=True)[:, :3].astype(int)
    found = np.abs(middles[:, None] - scale).sum(2).argmin(1) / 255
    expected = np.clip((values - low) / (high - low), 0, 1)
    away = np.array([abs(row - 2) > 1 or abs(column - 5) > 1 for row in range(ROWS) for column in range(COLUMNS)])
    # a hundredth of the largest, in a scale that ends at the 99th percentile, and a step of colour
    assert np.abs(found - expected)[away].max() <= HUNDREDTH * values.max() / (high - low) + 1 / 255


# ---------------------------------------------------------------------------------------------- pointing


@pytest.mark.parametrize("canvas", ["photo", "qk-1", "vv-1", "vector-qk", "vector-vv", "vector-both", "regions"])
def test_every_picture_is_pointed_at_by_mouse_and_by_keys(opened, canvas):
    opened.point(canvas, 3, 7)
    assert opened.choice()["point"] == patch(3, 7)
    before = opened.drawn("qk-1"), opened.drawn("vv-1")
    opened.page.focus(f"#{canvas}")
    for key, row, column in (("ArrowUp", 2, 7), ("ArrowLeft", 2, 6), ("ArrowDown", 3, 6), ("Shift+ArrowRight", 3, 11)):
        opened.page.keyboard.press(key)
        assert opened.choice()["point"] == patch(row, column)
    opened.page.keyboard.press("ArrowRight")
    assert opened.choice()["point"] == patch(3, 11)  # the edge
    assert opened.drawn("qk-1") != before[0]
    assert opened.drawn("vv-1") != before[1]
    opened.page.keyboard.press("Enter")
    assert opened.choice()["pins"] == [patch(3, 11)]
    opened.page.keyboard.press("Escape")
    assert opened.choice()["pins"] == []


def test_two_patches_are_pinned_and_compared(opened):
    x, y = opened.place("photo", 1, 2)
    opened.page.mouse.click(x, y)
    assert opened.choice()["pins"] == [patch(1, 2)]
    first = opened.drawn("qk-1")
    opened.point("photo", 6, 9)
    opened.settle()
    assert opened.page.locator("#second").is_visible()
    assert opened.drawn("qk-1") == first
    assert "row 7, column 10" in opened.page.text_content("#whose-2")
    opened.page.focus("#pin")
    opened.page.keyboard.press("Enter")
    assert opened.choice()["pins"] == [patch(1, 2), patch(6, 9)]
    assert opened.page.text_content("#whose-2").startswith("Pinned patch B")
    assert "A row 2, column 3; B row 7, column 10" in opened.page.text_content("#said")
    opened.point("photo", 4, 4)
    opened.settle()
    assert "row 7, column 10" in opened.page.text_content("#whose-2")
    opened.page.click("#clear")
    assert opened.choice()["pins"] == []
    assert not opened.page.locator("#second").is_visible()


def test_a_finger_points_and_the_second_touch_pins(browser, file):
    one = Opened(browser, file, SIZES["narrow"], has_touch=True, is_mobile=True)
    x, y = one.place("photo", 2, 3)
    one.page.touchscreen.tap(x, y)
    assert one.choice()["point"] == patch(2, 3)
    assert one.choice()["pins"] == []
    one.page.touchscreen.tap(x, y)
    assert one.choice()["pins"] == [patch(2, 3)]
    one.page.locator("#pin").tap()
    assert one.choice()["pins"] == []
    assert one.said == one.asked == []
    one.context.close()


# ---------------------------------------------------------------------------------------------- controls


def test_layers_and_heads(opened):
    maps = {opened.drawn("qk-1")}
    assert opened.page.is_disabled("#head")
    opened.page.select_option("#layer", "4")
    maps.add(opened.drawn("qk-1"))
    opened.page.select_option("#head", "1")
    maps.add(opened.drawn("qk-1"))
    assert opened.page.is_disabled("#steps")
    opened.page.focus("#head")
    opened.page.keyboard.press("ArrowUp")
    assert opened.choice()["head"] == 0
    maps.add(opened.drawn("qk-1"))
    opened.page.focus("#layer")
    opened.page.keyboard.press("ArrowDown")
    assert (opened.choice()["layer"], opened.choice()["head"]) == (5, None)
    maps.add(opened.drawn("qk-1"))
    assert len(maps) == 5
    opened.page.select_option("#layer", "")
    assert opened.choice()["layer"] is None
    assert opened.page.is_enabled("#steps")


def test_steps_of_the_walk(opened):
    maps = {opened.drawn("vv-1")}
    for steps in (2, 4, 8):
        opened.slide("steps", "ArrowRight")
        assert opened.choice()["steps"] == steps
        assert opened.page.text_content("#steps-said") == f"{steps} steps"
        maps.add(opened.drawn("vv-1"))
    assert len(maps) == 4
    slider(opened, "steps", 1.0)
    assert opened.choice()["steps"] == 128


def slider(opened, name, share):
    """A slider, pulled there by the mouse."""
    opened.page.locator(f"#{name}").scroll_into_view_if_needed()
    box = opened.page.locator(f"#{name}").bounding_box()
    opened.page.mouse.click(box["x"] + 2 + share * (box["width"] - 4), box["y"] + box["height"] / 2)


def test_the_photograph_over_the_maps(opened):
    before = opened.drawn("qk-1")
    slider(opened, "over", 1.0)
    assert opened.choice()["photo"] == 0.8
    assert opened.drawn("qk-1") != before
    opened.slide("over", "Home")
    assert opened.choice()["photo"] == 0


def test_eigenvectors_singly_and_three_as_colours(opened):
    names = ("qk", "vv", "both")
    shown = [tuple(opened.drawn(f"vector-{name}") for name in names)]
    opened.page.check("input[name=colours][value=one]")
    shown.append(tuple(opened.drawn(f"vector-{name}") for name in names))
    opened.page.select_option("#vector", index=5)
    shown.append(tuple(opened.drawn(f"vector-{name}") for name in names))
    facts = opened.page.evaluate("whatwhere.numbers.facts.vectors")
    for name in names:
        assert opened.page.text_content(f"#values-{name}") == f"eigenvalue 6: {facts[name]['values'][5]:.3f}"
    opened.page.focus("input[name=colours][value=one]")
    opened.page.keyboard.press("ArrowUp")
    assert opened.choice()["colours"] == "three"
    assert opened.choice()["vector"] == 3  # the last that has two after it
    opened.page.focus("#vector")
    opened.page.keyboard.press("ArrowUp")
    assert opened.choice()["vector"] == 2
    shown.append(tuple(opened.drawn(f"vector-{name}") for name in names))
    for pictures in zip(*shown, strict=True):
        assert len(set(pictures)) == 4


def test_regions_for_every_k_with_either_border(opened):
    opened.page.check("input[name=pathway][value=both]")
    assert opened.choice()["pathway"] == "both"
    opened.page.focus("input[name=pathway][value=both]")
    opened.page.keyboard.press("ArrowUp")
    assert opened.choice()["pathway"] == "vv"
    opened.slide("clusters", "Home")
    pictures = set()
    for clusters in range(2, 11):
        assert opened.choice()["clusters"] == clusters
        assert opened.page.text_content("#clusters-said") == f"{clusters} regions"
        rows = opened.page.locator("#region-rows tr")
        assert rows.count() == clusters
        shares = [float(rows.nth(row).locator("td").nth(0).text_content()[:-2]) for row in range(clusters)]
        assert sum(shares) == pytest.approx(100, abs=0.06 * clusters)
        pictures.add(opened.drawn("regions"))
        opened.slide("clusters", "ArrowRight")
    assert len(pictures) == 9
    slider(opened, "clusters", 0.5)
    assert opened.choice()["clusters"] == 6
    before = opened.drawn("regions")
    opened.page.uncheck("#borders")
    assert opened.choice()["borders"] == "tokens"
    assert opened.drawn("regions") != before
    opened.page.focus("#borders")
    opened.page.keyboard.press("Space")
    assert opened.choice()["borders"] == "image"


def test_a_region_pointed_at_has_its_outline_share_and_heat(opened):
    opened.page.evaluate("whatwhere.state.set({ pins: [20], clusters: 3 })")
    plain = opened.drawn("photo")
    opened.point("regions", 4, 6)
    region = opened.page.evaluate("whatwhere.numbers.patches('qk', 3)[54]")
    assert opened.choice()["region"] == region
    assert opened.drawn("photo") != plain
    assert opened.page.locator("tr.pointed th").text_content() == f"{region + 1}"
    labels = opened.numbers("patches('qk', 3)")
    pixels = opened.numbers("pixels('qk', 3, 'image')")
    cells = opened.page.locator("tr.pointed td").all_text_contents()
    assert cells[0] == f"{100 * (pixels == region).mean():.1f} %"
    for cell, walk in zip(cells[1:], ("qk", "vv"), strict=True):
        heat = opened.numbers(f"connections('{walk}', 20)")
        assert float(cell[:-2]) == pytest.approx(100 * heat[labels == region].mean() / heat.max(), abs=0.051)
    opened.page.focus("#region-rows tr:first-child button")
    assert opened.choice()["region"] == 0
    opened.page.keyboard.press("Tab")
    assert opened.choice()["region"] == 1
    opened.page.locator("#region-rows tr:last-child").hover()
    assert opened.choice()["region"] == 2


def test_dark_and_light(opened):
    ground = "getComputedStyle(document.body).backgroundColor"
    before = opened.page.evaluate(ground)
    opened.page.click("#theme")
    other = opened.page.evaluate(ground)
    assert other != before
    opened.page.focus("#theme")
    opened.page.keyboard.press("Enter")
    assert opened.page.evaluate(ground) == before


def test_every_control_has_a_line_that_explains_it_and_equations_open(opened):
    for control in opened.page.locator(".control").all():
        assert control.locator(".why").count() >= 1
        assert control.locator("details").count() == 1, control.text_content()
    for equation in opened.page.locator("details:visible").all():
        equation.locator("summary").focus()
        opened.page.keyboard.press("Enter")
        assert equation.locator("p").first.is_visible()
    words = " ".join(opened.page.locator("summary").all_text_contents())
    assert all(f"quation{s}" in words for s in (" 5", "s 3, 4 and 8"))


def test_noise_samples_of_a_diffusion_model(browser, tmp_path):
    from tests.app.test_explore import numbers_of, page
    from whatwhere.backbones import load_backbone

    image = picture(60, 90)
    model = load_backbone("zoo-diffusion", options={"samples": 2})
    text = page(numbers_of(model, image, size_px=64, protocol="square", vectors=4), image, title="noisy")
    (tmp_path / "noisy.html").write_text(text, "utf-8")
    one = Opened(browser, tmp_path / "noisy.html", SIZES["wide"])
    assert one.page.locator("#sample-row").is_visible()
    one.page.select_option("#layer", index=1)
    first, before = one.choice()["layer"], one.drawn("qk-1")
    one.page.select_option("#sample", "1")
    assert one.choice()["layer"] is None
    one.page.select_option("#layer", index=1)
    facts = one.page.evaluate("whatwhere.numbers.facts.layers")
    assert facts[first]["sample"] == 0
    assert facts[one.choice()["layer"]]["sample"] == 1
    assert one.drawn("qk-1") != before
    assert one.said == one.asked == []
    one.context.close()


def test_where_there_is_one_sample_nobody_is_asked_for_it(opened):
    assert not opened.page.locator("#sample-row").is_visible()


def test_the_photograph_is_there_within_a_second(browser, file):
    one = Opened(browser, file, SIZES["wide"])
    paint = one.painted_ms()
    one.context.close()
    assert paint < 1000


#: Megabytes of the browser's process that a page of 10 MB takes: when it is opened, once all was looked at.
OPENED_MB, SEEN_MB = 150, 300


@pytest.mark.slow
def test_the_largest_page_is_there_within_a_second_and_takes_little_memory(browser, tmp_path, record_property):
    """32 × 32 patches, 12 layers, 6 heads: every layer, pathway and number of regions was asked for in the end."""
    has_dinov2()
    file = tmp_path / "astronaut.html"
    file.write_text(largest()[2], "utf-8")
    one = Opened(browser, file, SIZES["wide"])
    assert one.painted_ms() < 1000
    found = {"paint ms": one.painted_ms(), "opened": one.memory()}
    for layer in range(12):
        one.page.select_option("#layer", f"{layer}")
        one.settle()
    found["all layers"] = one.memory()
    one.page.select_option("#layer", "")
    one.slide("steps", "End")
    for pathway in ("qk", "vv", "both"):
        one.page.check(f"input[name=pathway][value={pathway}]")
        one.slide("clusters", "Home")
        # by the last pathway every number of regions, by the others the fewest
        for _ in range(9 if pathway == "both" else 1):
            one.page.uncheck("#borders")
            one.settle()
            one.page.check("#borders")
            one.settle()
            one.slide("clusters", "ArrowRight")
    found["all regions"] = one.memory()
    record_property("memory", found)
    print(found)
    assert found["opened"]["process"] < OPENED_MB
    assert max(one["process"] for one in (found["all layers"], found["all regions"])) < SEEN_MB
    assert found["all regions"]["nodes"] < found["opened"]["nodes"] + 500
    assert one.said == one.asked == []
    one.context.close()
