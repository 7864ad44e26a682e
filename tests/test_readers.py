"""Whatever bytes a reader meets, it answers, or says in a line what is wrong; never anything else.

A few examples each; `WHATWHERE_EXAMPLES=100000 pytest tests/test_readers.py` looks for longer, by other examples.
"""

import io
import json
import os
import pickle
import warnings
import zipfile

import numpy as np
import pillow_heif
import pytest
import scipy.io
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save

from tests import hostile
from tests.app.test_plan import a_tree
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.manifest import read_json
from whatwhere.artifacts.reading import read_yaml
from whatwhere.artifacts.store import Store, create
from whatwhere.backbones.pickled import read_pickled_tensors
from whatwhere.backbones.weights import read_tensors
from whatwhere.config import parse
from whatwhere.datasets import bsds500, coco
from whatwhere.datasets.images import image_size, read_image
from whatwhere.datasets.labels import read_labels

EXAMPLES = int(os.environ.get("WHATWHERE_EXAMPLES", "25"))
sought = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=EXAMPLES <= 100,  # the same in every run of the tests
    suppress_health_check=list(HealthCheck),
)


def answers(reader, *given_):
    """Whether there is an answer; else a line that says what was expected."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader(*given_)
    except InputError as error:
        line = str(error)
    else:
        return True
    assert "expected" in line
    assert "\n" not in line
    return False


# ------------------------------------------------------------------------------------------- valid files


def picture(format_, **options):
    colours = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    image = Image.fromarray(colours if options.pop("colour", True) else colours[:, :, 0])
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()


def checkpoint(content):
    out = io.BytesIO()
    torch.save(content, out)
    return out.getvalue()


def matlab():
    segments = np.empty((1, 2), object)
    for number in range(2):
        segments[0, number] = {"Segmentation": np.arange(1, 13, dtype=np.uint16).reshape(3, 4)}
    out = io.BytesIO()
    scipy.io.savemat(out, {"groundTruth": segments}, do_compression=True)
    return out.getvalue()


def segmented(path):
    """As BSDS500 reads it, beside a photograph of its size."""
    photograph = path.with_name("photograph.png")
    Image.new("RGB", (4, 3)).save(photograph)
    return bsds500._labels(photograph, path)


def archived():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/b.txt", "some words " * 9)
        archive.writestr("c.bin", bytes(99))
    return out.getvalue()


pillow_heif.register_heif_opener()  # for these tests to write HEIC
TENSORS = {"cls_token": torch.ones(1, 1, 4), "norm.weight": torch.zeros(4)}
#: By a file's name: what it holds, and its readers.
FILES = {
    "a.png": (picture("PNG"), (read_image, image_size, read_labels)),
    "b.png": (picture("PNG", colour=False), (read_image, read_labels)),
    "a.jpg": (picture("JPEG"), (read_image, image_size)),
    "a.gif": (picture("GIF"), (read_image,)),
    "a.bmp": (picture("BMP", colour=False), (read_image, read_labels)),
    "a.tif": (picture("TIFF", compression="tiff_lzw"), (read_image, image_size, read_labels)),
    "a.webp": (picture("WEBP"), (read_image,)),
    "a.ppm": (picture("PPM"), (read_image,)),
    "a.avif": (picture("AVIF"), (read_image, image_size)),
    "a.heic": (picture("HEIF"), (read_image, image_size)),
    "a.safetensors": (save(TENSORS), (read_tensors,)),
    "a.onnx": (hostile.onnx([2], b"12345678")[1], (read_tensors,)),
    "a.pth": (checkpoint({"state_dict": TENSORS}), (read_tensors, read_pickled_tensors)),
    "b.pth": (pickle.dumps({"state_dict": {"a": [1.0, {2: "x"}]}}), (read_tensors, read_pickled_tensors)),
    "a.zip": (archived(), (hostile.archive,)),
    "a.tar": (hostile.archive_tar([("a", b"0", ""), ("d", b"5", "")])[1], (hostile.archive,)),
    "a.tar.gz": (hostile.archive_tar([("a", b"0", "")], mode="w:gz")[1], (hostile.archive,)),
    "a.yaml": (yaml.safe_dump(a_tree()).encode(), (read_yaml,)),
    "a.json": (json.dumps({"files": {}, "shards": {"a": ["x"]}}).encode(), (read_json,)),
    "a.mat": (matlab(), (segmented,)),
}


def changed(content):
    """A file's bytes with a few of them others, a piece missing or twice, or cut."""
    place = st.integers(0, max(len(content) - 1, 0))
    edit = st.tuples(st.sampled_from(["set", "cut", "drop", "twice"]), place, st.integers(0, 255))
    return st.lists(edit, min_size=1, max_size=6).map(lambda edits: _edited(content, edits))


def _edited(content, edits):
    for kind, place, value in edits:
        if kind == "set":
            content = content[:place] + bytes([value]) + content[place + 1 :]
        elif kind == "cut":
            content = content[:place]
        elif kind == "drop":
            content = content[:place] + content[place + value :]
        else:
            content = content[:place] + content[place : place + value] * 2 + content[place + value :]
    return content


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_well_is_read(tmp_path, name):
    content, readers = FILES[name]
    (tmp_path / name).write_bytes(content)
    assert any(answers(reader, tmp_path / name) for reader in readers) or name in ("a.onnx", "b.pth")


@pytest.mark.parametrize("name", FILES)
def test_whatever_a_file_holds_there_is_an_answer_or_a_line(tmp_path_factory, name):
    content, readers = FILES[name]
    folder = tmp_path_factory.mktemp("files")

    @sought
    @given(st.one_of(st.binary(max_size=200), changed(content)))
    def meets(given_):
        """Each reader of the kind of file."""
        (folder / name).write_bytes(given_)
        for reader in readers:
            answers(reader, folder / name)
            assert not (folder / "out.partial").exists()
            if (folder / "out").exists():
                (folder / "out").rename(folder.parent / f"out-{os.urandom(8).hex()}")

    meets()


#: What JSON and YAML can say.
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def replaced(draw, tree):
    """A tree with one of its values another, or a key that it has not."""
    if not isinstance(tree, dict | list) or not tree or draw(st.integers(0, 3)) == 0:
        return draw(TREES)
    if isinstance(tree, list):
        place = draw(st.integers(0, len(tree) - 1))
        return [*tree[:place], draw(replaced(tree[place])), *tree[place + 1 :]]
    if draw(st.integers(0, 5)) == 0:
        return {**tree, draw(st.text(max_size=8)): draw(TREES)}
    key = draw(st.sampled_from(sorted(tree, key=str)))
    return {**tree, key: draw(replaced(tree[key]))}


@sought
@given(replaced(json.loads(json.dumps(a_tree()))))
def test_whatever_a_configuration_says_it_is_one_or_a_line(tree):
    if isinstance(tree, dict):
        answers(parse, tree)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A small store."""
    manifest = tmp_path_factory.mktemp("stores") / "s.json"
    with create(manifest, {"steps": 3}, {}, {"image": ["a", "b"]}) as made:
        made.array("regions", (2, 6), "int16", ("image", "token"))[:] = np.arange(12).reshape(2, 6)
    return manifest


def test_whatever_a_manifest_says_the_store_is_whole_or_a_line(store):
    written = store.read_text()

    @sought
    @given(replaced(json.loads(written)))
    def meets(tree):
        """Opened and read: what is not as it was written is refused."""
        store.write_text(json.dumps(tree))
        if answers(lambda: Store(store).read("regions")):
            assert json.loads(store.read_text()) == json.loads(written)

    meets()
    store.write_text(written)


def test_whatever_a_file_of_a_store_holds_it_is_whole_or_a_line(store):
    files = [file for file in sorted(store.with_suffix(".zarr").rglob("*")) if file.is_file()]
    written = {file: file.read_bytes() for file in files}

    @sought
    @given(st.data())
    def meets(data):
        """A file of the store is another: it is named, or none of what was asked for."""
        file = data.draw(st.sampled_from(files))
        file.write_bytes(data.draw(changed(written[file])))
        same = file.read_bytes() == written[file]
        assert answers(lambda: Store(store).verify()) == same
        answers(lambda: Store(store).read("regions"))
        file.write_bytes(written[file])

    meets()
    for file, content in written.items():
        file.write_bytes(content)
    Store(store).verify()


ANNOTATIONS = {
    "images": [{"id": 1, "height": 8, "width": 8}],
    "annotations": [
        {
            "image_id": 1,
            "category_id": 1,
            "iscrowd": 0,
            "bbox": [0, 0, 3, 3],
            "segmentation": [[0, 0, 4, 0, 4, 4]],
            "caption": "some words",
        },
        {
            "image_id": 1,
            "category_id": 2,
            "iscrowd": 1,
            "bbox": [0, 0, 3, 3],
            "segmentation": {"size": [8, 8], "counts": [3, 5, 56]},
            "caption": "other words",
        },
    ],
}


def test_whatever_annotations_say_there_are_instances_or_a_line(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coco")
    photograph = folder / f"{1:012d}.jpg"
    Image.new("RGB", (8, 8)).save(photograph)

    @sought
    @given(replaced(ANNOTATIONS))
    def meets(tree):
        """Objects and captions of the photograph."""
        path = folder / "annotations.json"
        path.write_text(json.dumps(tree), "utf-8")

        def read():
            """As the data set reads them."""
            return coco._annotated(path, folder, [1])

        answers(coco._instances, path, read, photograph, 1)
        answers(coco._captions, path, read, 1)

    meets()
