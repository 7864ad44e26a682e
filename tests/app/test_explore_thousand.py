"""A folder of a thousand photographs in a real browser: the page is there at once, and takes little memory."""

import numpy as np
import pytest

from tests.app.test_discover import picture
from tests.app.test_explore_folder import ABOUT
from tests.browsing import SIZES, Opened
from whatwhere.app.discover.names import plain
from whatwhere.app.explore.album import Marked, Shown, data_file, write_album, write_photo
from whatwhere.method.joint.connections import Connections

PHOTOS, CLASSES, GRID, SIZE = 1000, 12, (24, 32), (90, 120)
#: As large as the page shows them, some more than stay in memory.
LARGE, LARGE_SIZE = 60, (480, 640)
#: Photographs of the sample, and landmarks of each.
SAMPLE, MARKS = 40, 50
#: Of the browser's process.
MOST_MB = 150


def written(out, photos, size):
    """As `explore_found` writes it: an index, and two files for each photograph; no two patches are connected alike."""
    rng = np.random.default_rng(0)
    images = [picture(*size, seed) for seed in range(8)]
    labels = np.repeat(np.arange(CLASSES, dtype=np.uint8), size[0] * size[1] // CLASSES).reshape(size)
    shown = []
    for number in range(photos):
        key, shape = f"{number:024x}", (GRID[0] * GRID[1], 6)
        found = {
            pathway: Connections(rng.integers(0, SAMPLE * MARKS, shape), -np.sort(-rng.random(shape)))
            for pathway in ("vv", "qk")
        }
        image = images[number % len(images)]
        write_photo(out, key, image, data_file(key, image, labels, GRID, found, SAMPLE * MARKS))
        shares = [(int(c), 0.2) for c in rng.choice(CLASSES, 5, replace=False)]
        shown.append(Shown(key, f"holidays/IMG_{number:04}", size, shares))
    places = range(0, photos, photos // SAMPLE)
    marks = [Marked(photo, GRID, list(range(MARKS)), [photo % CLASSES] * MARKS) for photo in places]
    return write_album(out, shown, marks, plain(CLASSES), title="holidays", about=ABOUT)


@pytest.fixture(scope="module")
def thousand(tmp_path_factory):
    return written(tmp_path_factory.mktemp("thousand"), PHOTOS, SIZE)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_a_thousand_photographs_stay_usable(browser, thousand, size, record_property):
    one = Opened(browser, thousand, SIZES[size])
    found = {"paint ms": one.painted_ms(), "opened": one.memory()}
    ready = one.page.evaluate("performance.getEntriesByType('navigation')[0].domComplete")
    assert one.painted_ms() < 1000
    assert one.page.locator("#thumbs a").count() == PHOTOS
    seen = [url for url in one.asked if "/thumbs/" in url]
    assert 0 < len(seen) < PHOTOS / 4  # those in view, and what is near
    assert not [url for url in one.asked if "/data/" in url]
    one.page.locator("#filters button").nth(3).click()
    assert 0.3 * PHOTOS < one.page.locator("#thumbs a").count() < 0.6 * PHOTOS
    one.page.locator("#filters button").first.click()
    look_at(one, range(0, PHOTOS, 20))  # twice as many as stay in memory
    assert len([url for url in one.asked if "/data/" in url]) == 50
    one.point("photo", 3, 7)
    one.settle()
    assert one.page.locator("#vv a").count() == 6
    found |= {"fifty seen": one.memory(), "complete ms": ready, "thumbs": len(seen)}
    record_property("memory", found)
    print(found)
    assert found["opened"]["nodes"] < 6 * PHOTOS
    assert found["fifty seen"]["nodes"] < found["opened"]["nodes"] + 1000
    assert found["fifty seen"]["process"] < MOST_MB
    one.close(f"thousand-{size}")


@pytest.mark.slow
def test_pictures_that_were_looked_at_do_not_stay(browser, tmp_path, record_property):
    """Decoded, each takes more than a megabyte, which a browser that is not short of memory gives back only if told."""
    one = Opened(browser, written(tmp_path, LARGE, LARGE_SIZE), SIZES["wide"])
    look_at(one, range(5))
    few = one.memory()["process"]
    look_at(one, range(5, LARGE))
    many = one.memory()["process"]
    record_property("memory", {"five": few, "sixty": many})
    print(few, many)
    assert many < few + LARGE * 0.6
    one.close("pictures")


def look_at(one, numbers):
    """Opens these photographs one after the other."""
    for number in numbers:
        one.page.evaluate(f"location.hash = '#photo=' + encodeURIComponent('holidays/IMG_{number:04}')")
        one.page.wait_for_selector(f"html[data-open='{number}']")
