"""Checkpoints that name foreign or hostile classes: their tensors are read, and nothing happens."""

import os
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from types import ModuleType

import pytest
import torch
from torch import nn

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones import pickled
from whatwhere.backbones.pickled import read_pickled_tensors

CALLS = []


class Calling:
    """What unpickling turns into a call."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def tensors(seed=0):
    """Every kind of view and element: shared storage, a transpose, a slice with steps, an offset, none, one number."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(6, 8, generator=generator)
    kinds = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8)
    kinds += (torch.uint8, torch.bool, torch.complex64, torch.complex128)
    made = OrderedDict((str(kind), (9 * base[:2]).to(kind)) for kind in kinds if kind != torch.uint8)
    made[str(torch.uint8)] = (9 * base[:2]).abs().to(torch.uint8)
    made |= {"base": base, "rows": base[2:5], "turned": base.T, "stepped": base[::2, 1::3], "one": base[3, 3]}
    return made | {"spread": base[:1].expand(4, 8), "empty": torch.empty(0, 3), "parameter": nn.Parameter(base[0])}


def write(path, **more):
    torch.save({"epoch": 3, "state_dict": tensors(), **more}, path)
    return path


def rewrite(path, **changed):
    """Replaces files of a zip checkpoint; their names are those in its folder, dots for slashes; None removes one."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    folder = next(iter(files)).split("/")[0]
    files |= {f"{folder}/{name}": content for name, content in changed.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            if content is not None:
                archive.writestr(name, content)
    return path


def same(found, expected):
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
        assert found[name].stride() == tensor.stride(), name
        assert torch.equal(found[name], tensor), name


def refused(path, fault):
    with pytest.raises(InputError, match=fault) as caught:
        read_pickled_tensors(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


# What is read


def test_a_plain_checkpoint_reads_as_torch_reads_it(tmp_path):
    path = write(tmp_path / "plain.ckpt")
    same(read_pickled_tensors(path), torch.load(path, weights_only=True)["state_dict"])


def test_tensors_of_one_storage_share_it_again(tmp_path):
    found = read_pickled_tensors(write(tmp_path / "shared.ckpt"))
    found["base"][3, 3] = 42
    assert found["one"] == found["rows"][1, 3] == found["turned"][3, 3] == 42
    assert found["rows"].storage_offset() == 16


def test_a_modules_state_and_pickles_of_every_protocol_are_read(tmp_path):
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        path = tmp_path / f"protocol{protocol}.ckpt"
        torch.save({"state_dict": network.state_dict()}, path, pickle_protocol=protocol)
        same(read_pickled_tensors(path), network.state_dict())


def foreign(monkeypatch):
    """Objects of every shape that a pickle knows, of a module that is gone when they are read."""
    module = ModuleType("trainer_of_others")
    source = """
from collections import OrderedDict, defaultdict
from enum import Enum
class Plain:
    def __init__(self): self.inside = {'again': [1, 2]}
class Slotted:
    __slots__ = ('a',)
class Stateful(Plain):
    def __getstate__(self): return (1, 2)
    def __setstate__(self, state): raise RuntimeError('executed')
class Sequence(list): pass
class Table(dict): pass
class Ordered(OrderedDict): pass
class Bag(set): pass
class Mode(Enum): FAST = 1
class Named:
    def __new__(cls, *, name): return object.__new__(cls)
    def __getnewargs_ex__(self): return (), {'name': 'x'}
def call(): pass
"""
    exec(source, module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    slotted = module.Slotted()
    slotted.a = 1
    filled = [module.Sequence([1]), module.Table(a=1), module.Ordered(a=1), module.Bag({1}), slotted]
    callbacks = [module.Plain(), module.Stateful(), module.Named(name="x"), module.Mode.FAST, module.call, module.Plain]
    other = [torch.Size([2]), torch.device("cpu"), torch.float16, torch.optim.SGD, {module.Plain(): module.Mode}]
    return {"hyper_parameters": filled, "callbacks": callbacks, "others": other}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol 4")  # torch's own reader, which refuses it
@pytest.mark.parametrize("protocol", [2, 4])
def test_foreign_classes_do_not_stand_in_the_way(tmp_path, monkeypatch, protocol):
    path = tmp_path / "foreign.ckpt"
    around = foreign(monkeypatch)
    state = tensors() | {"not a tensor": around["callbacks"][0], "words": "x"}
    torch.save({**around, "state_dict": state}, path, pickle_protocol=protocol)
    monkeypatch.delitem(sys.modules, "trainer_of_others")
    monkeypatch.syspath_prepend(tmp_path)  # importing it would be running it
    (tmp_path / "trainer_of_others.py").write_text("raise SystemExit")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    same(read_pickled_tensors(path), tensors())


# What is not run


def record(*arguments):
    CALLS.append(arguments)


def hostile(tmp_path):
    made = tmp_path / "executed"
    return {
        "system": Calling(os.system, f"touch {made}"),
        "eval": Calling(eval, f"open({str(made)!r}, 'w')"),
        "exec": Calling(exec, f"open({str(made)!r}, 'w')"),
        "open": Calling(open, str(made), "w"),
        "getattr": Calling(getattr, Calling(__import__, "os"), "system"),
        "own function": Calling(record, "called"),
        "load": Calling(pickle.loads, pickle.dumps(Calling(open, str(made), "w"))),
        "torch": Calling(torch.save, {}, str(made)),
        "delete": Calling(os.remove, str(tmp_path / "kept")),
    }


def test_the_hostile_objects_would_act_if_they_were_run(tmp_path):
    (tmp_path / "kept").touch()
    for name, thing in hostile(tmp_path).items():
        pickle.loads(pickle.dumps(thing))
        if name not in ("getattr", "own function", "delete"):
            (tmp_path / "executed").unlink()
    assert not (tmp_path / "kept").exists()
    assert CALLS.pop() == ("called",)


@pytest.mark.parametrize(
    "kind", ["system", "eval", "exec", "open", "getattr", "own function", "load", "torch", "delete"]
)
def test_nothing_of_a_file_is_executed(tmp_path, kind):
    (tmp_path / "kept").touch()
    path = tmp_path / "hostile.ckpt"
    thing = hostile(tmp_path)[kind]
    torch.save({"first": thing, "state_dict": tensors() | {"inside": thing}, "last": [thing, {1: thing}]}, path)
    same(read_pickled_tensors(path), tensors())
    torch.save({"state_dict": thing}, path)
    refused(path, "expected a training checkpoint with tensors under `state_dict`, got 'state_dict'")
    torch.save(thing, path)
    refused(path, "got nothing that is named")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hostile.ckpt", "kept"]
    assert not CALLS


#: Programs that set the state of what the reader itself offers.
ON_CLASSES = {
    "tensor": b"ctorch._utils\n_rebuild_tensor_v2\n",
    "parameter": b"ctorch._utils\n_rebuild_parameter\n",
    "mapping": b"ccollections\nOrderedDict\n",
    "foreign": b"cbuiltins\neval\n",
    "number": b"ctorch\nFloatStorage\n",
}


@pytest.mark.parametrize("kind", ON_CLASSES)
def test_no_file_can_change_the_reader_for_the_next(tmp_path, kind):
    offered = [getattr(pickled, name) for name in ("_Inert", "_Mapping", "_Dense", "_Parameter")]
    before = [dict(vars(one)) for one in offered]
    planted = b"\x80\x02" + ON_CLASSES[kind] + b"N}X\x06\x00\x00\x00tensorNs\x86b."
    path = rewrite(write(tmp_path / "changing.ckpt"), **{"data.pkl": planted})
    refused(path, "expected a readable checkpoint of tensors, got")
    assert [dict(vars(one)) for one in offered] == before
    same(read_pickled_tensors(write(tmp_path / "next.ckpt")), tensors())


# What is refused


def described(offset, size, stride, elements=4, key="0", storage=b"ctorch\nFloatStorage\n"):
    """A pickle of one tensor in a storage of as many float32 numbers as it says."""

    def number(value):
        return b"J" + struct.pack("<i", value)

    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def numbers(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    kept = b"(" + text("storage") + storage + text(key) + text("cpu") + number(elements) + b"tQ"
    rest = number(offset) + numbers(size) + numbers(stride) + b"\x89N"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + kept + rest + b"tR"
    return b"\x80\x02}" + text("state_dict") + b"}" + text("a") + tensor + b"ss."


def one_storage(path, **given):
    torch.save({"state_dict": {"a": torch.arange(4.0)}}, path)
    return rewrite(path, **{"data.pkl": described(**given)})


def test_views_within_their_storage_are_read(tmp_path):
    found = read_pickled_tensors(one_storage(tmp_path / "w.ckpt", offset=1, size=[3], stride=[1]))
    assert found["a"].tolist() == [1, 2, 3]
    found = read_pickled_tensors(one_storage(tmp_path / "w.ckpt", offset=3, size=[2, 2], stride=[0, 0]))
    assert found["a"].tolist() == [[3, 3], [3, 3]]
    found = read_pickled_tensors(one_storage(tmp_path / "w.ckpt", offset=9, size=[0, 2], stride=[2, 1]))
    assert found["a"].shape == (0, 2)


OUTSIDE = {
    "too long": ({"offset": 0, "size": [5], "stride": [1]}, "ends at 4 of a storage of 4"),
    "too far": ({"offset": 2, "size": [3], "stride": [1]}, "ends at 4 of a storage of 4"),
    "strides": ({"offset": 0, "size": [2, 2], "stride": [3, 1]}, "ends at 4 of a storage of 4"),
    "before": ({"offset": -1, "size": [2], "stride": [1]}, "a tensor at"),
    "backwards": ({"offset": 3, "size": [2], "stride": [-1]}, "a tensor at"),
    "negative size": ({"offset": 0, "size": [-1], "stride": [1]}, "a tensor at"),
    "axes": ({"offset": 0, "size": [2, 2], "stride": [1]}, "ValueError"),
    "elements": ({"offset": 0, "size": [4], "stride": [1], "elements": 5}, r"16 bytes in data/0 instead of 5 torch\.f"),
    "no such file": ({"offset": 0, "size": [4], "stride": [1], "key": "7"}, "KeyError .*data/7"),
    "out of its folder": ({"offset": 0, "size": [4], "stride": [1], "key": "../../x"}, "KeyError"),
    "unknown numbers": ({"offset": 0, "size": [4], "stride": [1], "storage": b"ctorch\nQInt8Storage\n"}, "readable"),
}


@pytest.mark.parametrize("kind", OUTSIDE)
def test_no_tensor_leaves_its_storage(tmp_path, kind):
    given, fault = OUTSIDE[kind]
    refused(one_storage(tmp_path / "w.ckpt", **given), fault)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    """Changes one byte of a number."""
    content = bytearray(path.read_bytes())
    content[content.index(struct.pack("<f", tensors()["base"][0, 0].item()))] ^= 1
    path.write_bytes(content)


def compress(path):
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def old(path):
    torch.save({"state_dict": tensors()}, path, _use_new_zipfile_serialization=False)


def twice(path):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("another/data.pkl", b"N.")


DAMAGED = {
    "missing": (lambda path: path.unlink(), "expected a checkpoint file, found none; correct the path"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "expected a checkpoint file, found none"),
    "cut": (cut, r"expected a torch zip checkpoint, got none; the file is damaged \(fetch it again\)"),
    "empty": (lambda path: path.write_bytes(b""), "expected a torch zip checkpoint, got none"),
    "a page": (lambda path: path.write_text("<html>"), "expected a torch zip checkpoint, got none"),
    "old": (old, r"of a torch before 1\.6 \(save it again with a newer one\)"),
    "one byte": (flip, "BadZipFile .*Bad CRC-32"),
    "compressed": (compress, "compressed, which torch never does"),
    "two checkpoints": (twice, "2 files data.pkl instead of one"),
    "no pickle": (lambda path: rewrite(path, **{"data.pkl": None}), "0 files data.pkl instead of one"),
    "cut pickle": (lambda path: rewrite(path, **{"data.pkl": b"\x80\x02}X"}), "readable checkpoint"),
    "no program": (lambda path: rewrite(path, **{"data.pkl": b"hello"}), "readable checkpoint"),
    "big end first": (lambda path: rewrite(path, byteorder=b"big"), "big-endian numbers, which this machine"),
    "a storage gone": (lambda path: rewrite(path, **{"data/0": None}), "KeyError"),
    "a storage short": (lambda path: rewrite(path, **{"data/0": b"123"}), "3 bytes in data/0 instead of"),
    "no state": (
        lambda path: torch.save({"epoch": 3, "a\nb": 1}, path),
        r"under `state_dict`, got 'epoch', 'a\\nb'; g",
    ),
    "no tensors": (lambda path: torch.save({"state_dict": {"a": 1}}, path), "with tensors under `state_dict`"),
    "a list": (lambda path: torch.save({"state_dict": [torch.ones(2)]}, path), "with tensors under `state_dict`"),
    "bare": (lambda path: torch.save([torch.ones(2)], path), "got nothing that is named"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damage_is_refused_in_one_line(tmp_path, kind):
    spoil, fault = DAMAGED[kind]
    path = write(tmp_path / "w.ckpt")
    spoil(path)
    refused(path, fault)


def test_a_checkpoint_from_before_byte_orders_were_noted_is_read(tmp_path):
    path = rewrite(write(tmp_path / "w.ckpt"), byteorder=None)
    same(read_pickled_tensors(path), tensors())


def test_a_zip_said_to_span_disks_is_one_line(tmp_path):
    """As a flipped bit may have it: found by changing bytes at random."""
    torch.save({"state_dict": {"a": torch.ones(3)}}, tmp_path / "a.pth")
    content = bytearray((tmp_path / "a.pth").read_bytes())
    content[content.rindex(b"PK\x06\x07") + 16] = 9  # how many disks there are
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(InputError, match="expected"):
        read_pickled_tensors(tmp_path / "a.pth")
