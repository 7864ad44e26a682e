"""The page over a folder in a real browser (`tests.browsing`): by mouse, by touch and by keys, wide and narrow."""

import shutil

import numpy as np
import pytest

from tests.app.test_discover import write_album
from tests.app.test_explore_folder import SMALL, index_of, marks_of, photos_of
from tests.browsing import SIZES, Opened
from tests.explored import connections_of, labels_of
from whatwhere.app.cli import main

#: Those with a grid of 8 × 12; the second is one of those that are in no sample.
FIRST, NAMES = "p0", ["below/p1", "below/p3", "p0", "p2"]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folder")
    write_album(folder / "album", range(4))
    main(["discover", str(folder / "album"), "--out", str(folder / "o"), *SMALL, "--sample", "3", "--landmarks", "150"])
    (folder / "o" / "classes.yaml").write_text('- {class: 1, name: "<i>things & more", colour: "#123456"}\n')
    main(["explore", str(folder / "o")])
    return folder / "o"


@pytest.fixture(params=SIZES)
def opened(request, browser, found):
    """At either width; whatever a test does, there is no error, no request but for files, nothing beside the screen."""
    scheme = "light" if request.param == "wide" else "dark"
    one = Opened(browser, found / "explore" / "index.html", SIZES[request.param], color_scheme=scheme)
    yield one
    one.close(f"folder-{request.node.name}")
    base = (found / "explore").as_uri()
    assert all(url.startswith((f"{base}/data/", f"{base}/thumbs/")) for url in one.asked if url[:5] != "data:")


def choose(opened, name, by="mouse"):
    """Opens a photograph from the list of all."""
    number = NAMES.index(name)
    link = opened.page.locator("#thumbs a", has_text=name)
    if by == "mouse":
        link.click()
    else:
        link.focus()
        opened.page.keyboard.press("Enter")
    opened.page.wait_for_selector(f"html[data-open='{number}']")
    opened.settle()


def shown(opened, pathway):
    """Name, patch and weight of each connection that is on the page."""
    opened.settle()
    read = """(list) => [...document.querySelectorAll(`#${list} a`)].map((link) => {
        const said = new URLSearchParams(new URL(link.href).hash.slice(1));
        return [said.get("photo"), Number(said.get("patch")), Number(link.textContent.trim().split(" ")[0])];
    })"""
    return [tuple(one) for one in opened.page.evaluate(read, pathway)]


def expected(found, name, patch, pathway):
    facts, marks = photos_of(found)[name], marks_of(index_of(found))
    places, weights = connections_of(facts, pathway, len(marks))
    rows = zip(places[patch], weights[patch], strict=True)
    return [(*marks[place], pytest.approx(weight, abs=0.00051)) for place, weight in rows if place >= 0]


def test_all_photographs_are_there_and_none_is_open(opened, found):
    assert opened.page.locator("#thumbs a").all_text_contents() == NAMES
    assert not opened.page.locator("#one").is_visible()
    assert not [url for url in opened.asked if "/data/" in url]
    assert opened.page.locator("#thumbs img[loading=lazy]").count() == 4
    opened.page.wait_for_function("[...document.querySelectorAll('#thumbs img')].every((one) => one.naturalWidth > 0)")


@pytest.mark.parametrize("by", ["mouse", "keys"])
def test_a_patch_pointed_at_shows_its_connections(opened, found, by):
    choose(opened, FIRST, by)
    assert opened.page.text_content("#name") == FIRST
    assert [url for url in opened.asked if "/data/" in url] == [
        (found / "explore" / "data" / f"{index_of(found)['photos'][2][0]}.js").as_uri()
    ]
    if by == "mouse":
        opened.point("photo", 3, 7)
    else:  # the photograph has the keyboard at once, and begins in the middle
        for key in ("ArrowUp", "ArrowRight"):
            opened.page.keyboard.press(key)
    assert opened.choice()["point"] == 3 * 12 + 7
    for pathway in ("vv", "qk"):
        found_here = shown(opened, pathway)
        assert found_here == expected(found, FIRST, 3 * 12 + 7, pathway)
        assert found_here
        assert FIRST not in {name for name, *_ in found_here}
    opened.page.wait_for_function("[...document.querySelectorAll('.cards img')].every((one) => one.naturalWidth > 0)")
    assert opened.page.text_content("#said").startswith("The patch at row 4, column 8: ")


def test_the_marked_patch_is_where_the_connection_leads(opened, found):
    choose(opened, FIRST)
    card = opened.page.locator("#vv a").first
    name, patch, _ = shown(opened, "vv")[0]
    image, mark = card.locator("img").bounding_box(), card.locator(".mark").bounding_box()
    grid = photos_of(found)[name]["grid"]
    across = (mark["x"] + mark["width"] / 2 - image["x"]) / image["width"]
    down = (mark["y"] + mark["height"] / 2 - image["y"]) / image["height"]
    assert across == pytest.approx((patch % grid[1] + 0.5) / grid[1], abs=0.02)
    assert down == pytest.approx((patch // grid[1] + 0.5) / grid[0], abs=0.02)
    card.click()
    opened.page.wait_for_selector(f"html[data-open='{NAMES.index(name)}']")
    assert opened.choice()["point"] == patch
    opened.page.go_back()
    opened.page.wait_for_selector(f"html[data-open='{NAMES.index(FIRST)}']")


def test_a_patch_is_kept_by_click_button_and_enter(opened):
    choose(opened, FIRST)
    opened.page.mouse.click(*opened.place("photo", 2, 3))
    assert opened.choice()["pins"] == [27]
    kept = shown(opened, "vv")
    opened.point("photo", 6, 9)
    assert shown(opened, "vv") == kept
    opened.page.mouse.click(*opened.place("photo", 5, 5))
    assert opened.choice()["pins"] == [65]
    opened.page.focus("#photo")
    opened.page.keyboard.press("Escape")
    assert opened.choice()["pins"] == []
    opened.page.keyboard.press("Shift+ArrowLeft")
    opened.page.keyboard.press("Enter")
    assert opened.choice()["pins"] == [60]
    opened.page.click("#pin")
    assert opened.choice()["pins"] == []


def test_a_class_leaves_the_photographs_that_have_it(opened, found):
    rows = index_of(found)["photos"]
    buttons = opened.page.locator("#filters button")
    assert buttons.all_text_contents() == ["all", " class 0", " <i>things & more", " class 2"]
    for number in range(3):
        buttons.nth(number + 1).click()
        having = {row[1]: dict(row[4])[number] for row in rows if number in dict(row[4])}
        order = opened.page.locator("#thumbs a").all_text_contents()
        assert set(order) == set(having)
        assert [having[name] for name in order] == sorted(having.values(), reverse=True)
        assert opened.page.text_content("#counted").startswith(f"{len(having)} photograph")
    buttons.first.focus()
    opened.page.keyboard.press("Enter")
    assert opened.page.locator("#thumbs a").all_text_contents() == NAMES
    assert buttons.first.get_attribute("aria-pressed") == "true"


def test_classes_lie_over_the_photograph_in_their_colours(opened, found):
    choose(opened, FIRST)
    facts = photos_of(found)[FIRST]
    width, height = facts["size"]
    labels = labels_of(facts["labels"], (height, width))
    read = "() => Array.from(document.getElementById('overlaid').getContext('2d').getImageData(0, 0, 90, 60).data)"
    pixels = np.array(opened.page.evaluate(read)).reshape(60, 90, 4)[..., :3]
    colours = np.frombuffer(bytes.fromhex(index_of(found)["colours"]), np.uint8).reshape(-1, 3)
    for number in np.unique(labels):  # the photograph in grey shines through by 45 %, as much in each channel
        tint = (pixels[labels == number] - 0.55 * colours[number]).astype(float)
        assert np.ptp(tint, axis=1).max() <= 2
    before = opened.drawn("overlaid")
    opened.page.focus("#overlay")
    opened.page.keyboard.press("Space")
    assert opened.drawn("overlaid") != before
    opened.page.check("#overlay")
    assert opened.drawn("overlaid") == before
    listed = opened.page.locator("#classes li").all_text_contents()
    assert len(listed) == len(index_of(found)["photos"][2][4])
    assert opened.page.locator("#classes li.pointed").count() == 1


def test_one_after_the_other_and_back_to_all(opened):
    choose(opened, FIRST)
    for link, number in (("#next", 3), ("#next", 0), ("#previous", 3)):
        opened.page.focus(link)
        opened.page.keyboard.press("Enter")
        opened.page.wait_for_selector(f"html[data-open='{number}']")
        assert opened.page.text_content("#name") == NAMES[number]
    opened.page.click("text=close")
    opened.page.wait_for_selector("#one", state="hidden")


def test_a_finger_points(browser, found):
    one = Opened(browser, found / "explore" / "index.html", SIZES["narrow"], has_touch=True, is_mobile=True)
    one.page.locator("#thumbs a", has_text=FIRST).tap()
    one.page.wait_for_selector("html[data-open='2']")
    x, y = one.place("photo", 2, 3)
    one.page.touchscreen.tap(x, y)
    assert one.choice()["point"] == 27
    assert one.choice()["pins"] == []
    one.page.touchscreen.tap(x, y)
    assert one.choice()["pins"] == [27]
    assert one.said == []
    one.context.close()


def test_a_file_that_is_gone_is_said(browser, found, tmp_path):
    shutil.copytree(found / "explore", tmp_path / "explore")
    for file in (tmp_path / "explore" / "data").iterdir():
        file.unlink()
    one = Opened(browser, tmp_path / "explore" / "index.html", SIZES["wide"])
    one.page.locator("#thumbs a").first.click()
    one.page.wait_for_selector("#failed", state="visible")
    assert "Expected a file of this photograph beside the page" in one.page.text_content("#failed")
    one.context.close()


def damaged(text):
    return text[: len(text) // 2]


def anothers(text):
    return text.replace('photo("', 'photo("0', 1)


@pytest.mark.parametrize("harm", [damaged, anothers])
def test_a_file_that_is_damaged_is_said_and_others_open(browser, found, tmp_path, harm):
    shutil.copytree(found / "explore", tmp_path / "explore")
    file = tmp_path / "explore" / "data" / f"{index_of(found)['photos'][0][0]}.js"
    file.write_text(harm(file.read_text("utf-8")), "utf-8")
    one = Opened(browser, tmp_path / "explore" / "index.html", SIZES["wide"])
    one.page.locator("#thumbs a").first.click()
    one.page.wait_for_selector("#failed", state="visible")
    assert f"data/{file.name}" in one.page.text_content("#failed")
    choose(one, FIRST)
    assert not one.page.locator("#failed").is_visible()
    one.context.close()


@pytest.mark.parametrize(
    "late",
    [
        "const own = album.file.bind(album); album.file = (key) => asked().then(() => own(key));",
        "const own = createImageBitmap; window.createImageBitmap = (one) => asked().then(() => own(one));",
        "window.createImageBitmap = () => asked().then(() => Promise.reject(new Error('late')));",
    ],
    ids=["file", "picture", "picture-replaced"],
)
def test_what_comes_late_is_not_shown_for_another(opened, late):
    """The first photograph is let go only once the second, which was asked for after it, is open."""
    held = "const asked = () => new Promise((go) => (window.go = go))"  # `late` waits for it, and we for `late`
    opened.page.evaluate(f"() => {{ const {{ album }} = whatwhere; window.made = createImageBitmap; {held}; {late} }}")
    opened.page.locator("#thumbs a").first.click()
    opened.page.wait_for_function("window.go !== undefined")
    assert opened.page.text_content("#name") == NAMES[0]
    opened.page.evaluate("() => { delete whatwhere.album.file; window.createImageBitmap = window.made; }")
    choose(opened, FIRST)
    kept = opened.drawn("overlaid")
    opened.page.evaluate("window.go()")
    opened.page.wait_for_timeout(300)
    assert opened.page.get_attribute("html", "data-open") == "2"
    assert opened.page.text_content("#name") == FIRST
    assert opened.drawn("overlaid") == kept
    assert opened.page.locator("#opened").is_visible()
    assert not opened.page.locator("#failed").is_visible()


@pytest.mark.parametrize("patch", ["1.5", "-1", "96", "x"])
def test_a_patch_that_is_none_is_the_middle_one(opened, patch):
    opened.page.evaluate("(patch) => { location.hash = `#photo=p0&patch=${patch}`; }", patch)
    opened.page.wait_for_selector("html[data-open='2']")
    assert opened.choice()["point"] == 4 * 12 + 6


def test_dark_and_light(opened):
    ground = "getComputedStyle(document.body).backgroundColor"
    before = opened.page.evaluate(ground)
    opened.page.click("#theme")
    assert opened.page.evaluate(ground) != before


def test_the_equation_opens(opened):
    choose(opened, FIRST)
    opened.page.focus("summary")
    opened.page.keyboard.press("Enter")
    assert opened.page.locator("details .eq").is_visible()
