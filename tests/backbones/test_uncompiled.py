"""timm without torch's compiler, which is there all the same for whoever asks for it."""

import subprocess
import sys

TRIED = """
import sys
from whatwhere.backbones.repository import unwritten
from whatwhere.backbones.uncompiled import COMPILER, timm

network = unwritten(lambda: timm.create_model("vit_tiny_patch16_224", img_size=32))
assert network is not None
assert COMPILER not in sys.modules, "the compiler was imported"
import torch

double = torch.compile(lambda x: 2 * x, backend="eager")
assert sys.modules[COMPILER].__file__, "a stand-in was left behind"
assert torch.equal(double(torch.ones(3)), torch.full((3,), 2.0))
"""


def test_timm_needs_no_compiler_and_leaves_it_to_others():
    done = subprocess.run([sys.executable, "-c", TRIED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
