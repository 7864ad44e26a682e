"""Files made to harm, each with the reader that meets it: run as a program, it says what became of each.

`python -m tests.hostile FOLDER CASE …` writes a JSON line a case: the reader's answer, seconds, and how much memory
its process took beyond what it had.
"""

from __future__ import annotations

import io
import json
import pickle
import resource
import signal
import struct
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path
from time import perf_counter

#: What a case may take, beyond what is imported: of address space, and of a clock's time.
MOST_MB, MOST_S = 700, 10


def png(width, height, rows=b"", name="a.png"):
    """A PNG that claims a size, with compressed rows or without."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return name, b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows or zlib.compress(b"")) + chunk(b"IEND", b"")


def jpeg(width, height):
    frame = struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes((1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1))
    return "a.jpg", b"\xff\xd8\xff\xc0" + frame + b"\xff\xda\x00\x0c\x03\x01\x00\x02\x11\x03\x11\x00\x3f\x00"


def tiff(width, height):
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    tags += [(277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, 0xFFFFFFFF)]
    body = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return "a.tif", b"II*\0" + struct.pack("<IH", 8, len(tags)) + body + bytes(4)


def bmp(width, height):
    return "a.bmp", b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def zeros(width, height):
    """Valid, small, and hundreds of megabytes once it is read."""
    packed = zlib.compressobj(1)
    row = bytes(width + 1)
    return png(width, height, b"".join(packed.compress(row) for _ in range(height)) + packed.flush())


def safetensors(head, tail=b"", size=None):
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return "a.safetensors", struct.pack("<Q", len(text) if size is None else size) + text + tail


def tensor(shape, offsets, kind="F32"):
    return {"cls_token": {"dtype": kind, "shape": shape, "data_offsets": offsets}}


def onnx(dims, raw=b"1234"):
    from onnx import TensorProto, helper

    lying = TensorProto(name="backbone.layernorm.bias", data_type=TensorProto.FLOAT, dims=dims, raw_data=raw)
    return "a.onnx", helper.make_model(helper.make_graph([], "g", [], [], [lying])).SerializeToString()


class _Calls:
    """Its pickle runs a command when a reader builds it."""

    def __reduce__(self):
        import os

        return os.system, ("touch ran",)


def zipped(pickled, data=b""):
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/version", "3\n")
        archive.writestr("a/data/0", data)
    return "a.pth", kept.getvalue()


def storage(elements, size, stride):
    """A tensor's pickle, as torch writes it: of so many numbers in a storage, seen in a shape."""

    class Kept:
        """A storage, by its name in the archive."""

    class Pickler(pickle._Pickler):
        def persistent_id(self, given):
            """What torch writes of a storage."""
            return ("storage", FloatStorage, "0", "cpu", elements) if isinstance(given, Kept) else None

    from torch import FloatStorage
    from torch._utils import _rebuild_tensor_v2

    class Tensor:
        """Built by torch's own function."""

        def __reduce__(self):
            return _rebuild_tensor_v2, (Kept(), 0, size, stride, False, {})

    out = io.BytesIO()
    Pickler(out, 2).dump({"state_dict": {"cls_token": Tensor()}})
    return zipped(out.getvalue(), bytes(16))


def archive_zip(names, size=10, *, deflate=False):
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED) as archive:
        for name in names:
            archive.writestr(name, bytes(size))
    return "a.zip", kept.getvalue()


def archive_tar(entries, *, ending=b"", mode="w"):
    kept = io.BytesIO()
    with tarfile.open(fileobj=kept, mode=mode) as archive:
        for name, kind, target in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.size = kind, target, 0
            archive.addfile(entry)
    return "a.tar", kept.getvalue() + ending


def endless():
    """Half a gigabyte of nothing after the end of an archive, in a few megabytes."""
    packed = zlib.compressobj(1, zlib.DEFLATED, 31)
    out = packed.compress(archive_tar([("a", tarfile.REGTYPE, "")])[1])
    for _ in range(50):
        out += packed.compress(bytes(10 << 20))
    return "a.tar.gz", out + packed.flush()


def heic(width, height):
    """A picture whose container says that it has another size."""
    import pillow_heif
    from PIL import Image

    out = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (64, 64))).save(out)
    size = (64).to_bytes(4, "big") * 2
    return "a.heic", out.getvalue().replace(size, width.to_bytes(4, "big") + height.to_bytes(4, "big"))


def coco(segmentation, height=8, width=8):
    return "a.json", json.dumps([segmentation, height, width]).encode()


def said(changes):
    """Of an array's metadata what is another than it was written."""
    return "a.json", json.dumps(changes).encode()


def chunks(*shape):
    return {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shape}}}


def doubling(levels):
    lines = ["m0: &m0 [1, 2]", *(f"m{i}: &m{i} [*m{i - 1}, *m{i - 1}]" for i in range(1, levels))]
    return "a.yaml", "\n".join(lines).encode()


# ------------------------------------------------------------------------------------------- readers


def image(path):
    from whatwhere.datasets.images import read_image

    return read_image(path)


def photo(path):
    """As `segment` and `instances` read it."""
    from whatwhere.app.photos import _read

    return _read(path)


def labels(path):
    from whatwhere.datasets.labels import read_labels

    return read_labels(path)


def checkpoint(path):
    from whatwhere.backbones.weights import read_tensors

    return read_tensors(path)


def pickled(path):
    """As STEGO's file is read, whose pickle torch refuses."""
    from whatwhere.backbones.pickled import read_pickled_tensors

    return read_pickled_tensors(path)


def archive(path):
    from whatwhere.datasets.unpack import unpack

    return unpack(path, path.with_name("out"))


def configuration(path):
    from whatwhere.artifacts.reading import read_yaml

    return read_yaml(path)


def artifact(path):
    from whatwhere.artifacts.store import Store

    return Store(path)


def metadata(path):
    """A store whose array has this metadata, with a manifest that describes it so: as one who writes both would."""
    from whatwhere.artifacts import manifest
    from whatwhere.artifacts.store import Store, create, remove

    described = path.with_name("store.json")
    with create(described, {}, {}, {"image": ["a"]}) as made:
        made.array("regions", (1, 4), "int16", ("image", "token"))[:] = 0
    file = described.with_suffix(".zarr") / "regions" / "zarr.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | json.loads(path.read_bytes())))
    content = json.loads(described.read_text())
    content["files"]["regions/zarr.json"] = (file.stat().st_size, manifest.digest(file))
    described.write_text(json.dumps({**content, manifest.GUARD: manifest._guard(content)}))
    try:
        return Store(described).read("regions")
    finally:
        remove(described)


def outline(path):
    from whatwhere.datasets.coco import _read_as_coco
    from whatwhere.datasets.coco_masks import mask_of

    with _read_as_coco(path):
        return mask_of(*json.loads(path.read_bytes()))


#: By name: the reader, and what makes the file's name and bytes.
CASES = {
    "png of 10^10 px": (image, lambda: png(100_000, 100_000)),
    "png of 2^62 px": (image, lambda: png(2**31 - 1, 2**31 - 1)),
    "png of 169 million px, valid": (photo, lambda: zeros(13_000, 13_000)),
    "jpeg of 65,535 px": (image, lambda: jpeg(65_535, 65_535)),
    "tiff of 10^10 px": (image, lambda: tiff(100_000, 100_000)),
    "bmp of 10^10 px": (image, lambda: bmp(100_000, 100_000)),
    "heic of 10^10 px": (image, lambda: heic(100_000, 100_000)),
    "bmp of negative width": (image, lambda: bmp(-8, 8)),
    "eps that would start a program": (image, lambda: ("a.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")),
    "label map of 10^10 px": (labels, lambda: png(100_000, 100_000)),
    "safetensors: a header of 2^60 bytes": (checkpoint, lambda: safetensors({}, size=2**60)),
    "safetensors: a header longer than the file": (checkpoint, lambda: safetensors({}, size=90_000_000)),
    "safetensors: 10^18 numbers": (checkpoint, lambda: safetensors(tensor([10**9, 10**9], [0, 4]), b"1234")),
    "safetensors: bytes beyond the end": (checkpoint, lambda: safetensors(tensor([10**8], [0, 4 * 10**8]), b"1234")),
    "safetensors: a header that nests": (checkpoint, lambda: safetensors(b'{"a":' * 100_000)),
    "onnx: 10^18 numbers": (checkpoint, lambda: onnx([10**9, 10**9])),
    "onnx: a negative size": (checkpoint, lambda: onnx([-1, -1])),
    "onnx: noise": (checkpoint, lambda: ("a.onnx", bytes(range(256)) * 40)),
    "pickle that calls": (checkpoint, lambda: ("a.pth", pickle.dumps({"state_dict": _Calls()}))),
    "pickle that calls, in a zip": (checkpoint, lambda: zipped(pickle.dumps({"state_dict": _Calls()}, 2))),
    "pickle: a storage of 10^12 numbers": (checkpoint, lambda: storage(10**12, (4,), (1,))),
    "pickle: a tensor beyond its storage": (checkpoint, lambda: storage(4, (10**6, 10**6), (10**6, 1))),
    "foreign pickle: a storage of 10^12 numbers": (pickled, lambda: storage(10**12, (4,), (1,))),
    "foreign pickle: a tensor beyond its storage": (pickled, lambda: storage(4, (10**6, 10**6), (10**6, 1))),
    "foreign pickle: negative strides": (pickled, lambda: storage(4, (4,), (-1,))),
    "foreign pickle that calls": (pickled, lambda: zipped(pickle.dumps({"state_dict": _Calls()}, 2))),
    "pickle that nests": (checkpoint, lambda: zipped(b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b".")),
    "zip that climbs out": (archive, lambda: archive_zip(["../out/of/it"])),
    "zip of an absolute name": (archive, lambda: archive_zip(["/tmp/out-of-it"])),
    "zip of 1,000 times its size": (archive, lambda: archive_zip(["zeros"], 200_000_000, deflate=True)),
    "tar with a link out": (archive, lambda: archive_tar([("a", tarfile.SYMTYPE, "/etc/passwd")])),
    "tar with a device": (archive, lambda: archive_tar([("a", tarfile.CHRTYPE, "")])),
    "tar.gz that hardly ends": (archive, endless),
    "yaml that doubles": (configuration, lambda: doubling(40)),
    "yaml that nests": (configuration, lambda: ("a.yaml", b"a: " + b"[" * 5000)),
    "yaml in itself": (configuration, lambda: ("a.yaml", b"a: &a [*a]")),
    "yaml that calls": (configuration, lambda: ("a.yaml", b"a: !!python/object/apply:os.system ['touch ran']")),
    "yaml of 5 MB": (configuration, lambda: ("a.yaml", b"a: " + b"x" * 5_000_000)),
    "json that nests": (artifact, lambda: ("a.json", b"[" * 1_000_000)),
    "json of a number without end": (artifact, lambda: ("a.json", b'{"files": ' + b"9" * 1_000_000 + b"}")),
    "manifest that points elsewhere": (
        artifact,
        lambda: ("a.json", b'{"format": 3, "files": {"../../etc/passwd": [1, ""]}, "arrays": {}, "coordinates": {}}'),
    ),
    "array of 10^15 numbers": (metadata, lambda: said({"shape": [10**9, 10**6]})),
    "array of 10^10 numbers in a chunk": (metadata, lambda: said({"shape": [1, 10**10], **chunks(1, 10**10)})),
    "array of negative size": (metadata, lambda: said({"shape": [-1, 4]})),
    "array of chunks without size": (metadata, lambda: said(chunks(0, 0))),
    "array of a codec by path": (metadata, lambda: said({"codecs": [{"name": "os.system", "configuration": {}}]})),
    "array of a type that calls": (metadata, lambda: said({"data_type": "object", "fill_value": "os.system"})),
    "outline of 10^12 px in a run": (outline, lambda: coco({"size": [8, 8], "counts": [10**12]})),
    "outline in runs that overflow": (outline, lambda: coco({"size": [8, 8], "counts": "~~~~~~~~~~~~~~~~"})),
    "outline far outside": (outline, lambda: coco([[0, 0, 1e9, 0, 1e9, 1e9]])),
    "outline of nothing": (outline, lambda: coco([[float("nan")] * 6])),
}


def judge(folder, name):
    """What becomes of a case, in a line of JSON."""
    from whatwhere.artifacts.errors import InputError
    from whatwhere.artifacts.memory import memory_mb

    reader, made = CASES[name]
    folder.mkdir()
    file, content = made()
    path = folder / file
    path.write_bytes(content)
    del content
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, began = memory_mb("self", "VmHWM"), perf_counter()
    signal.alarm(3 * MOST_S)
    try:
        said = ["answer", f"{type(reader(path)).__name__}"]
    except InputError as error:
        said = ["line", str(error)]
    except BaseException as error:
        said = [type(error).__name__, str(error)[:300]]
    signal.alarm(0)
    took = perf_counter() - began
    found = {"case": name, "said": said, "seconds": took, "megabytes": memory_mb("self", "VmHWM") - before}
    found["left"] = sorted(one.name for one in folder.iterdir() if one.name != file)
    return json.dumps(found)


def main(folder, names):
    """All cases in one process, which may not take more than it says."""
    import onnx
    import safetensors.torch
    import torch
    import zarr

    from whatwhere.app import photos
    from whatwhere.artifacts import reading
    from whatwhere.backbones import pickled, weights
    from whatwhere.datasets import coco, unpack

    assert all((onnx, zarr, torch, safetensors, photos, pickled, weights, reading, coco, unpack))
    held = int(Path("/proc/self/status").read_text().partition("VmSize:")[2].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (held + MOST_MB * 1_000_000,) * 2)
    for number, name in enumerate(names):
        sys.stdout.write(judge(Path(folder) / str(number), name) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:] or list(CASES))
