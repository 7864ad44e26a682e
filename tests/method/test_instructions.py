"""What another processor would change: the method with the plainest instructions in place of this one's own."""

import os
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.slow
#: What libraries read at their start, before they choose instructions by the processor.
PLAINEST = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
CODE = """
import sys
import numpy as np
import torch
from whatwhere.datasets import load_dataset
from whatwhere.steps import *

torch.set_num_threads(1)
found = {}
for name in ("zoo-dino", "untrained-vits16"):
    backbone = load_backbone(name)
    for record in load_dataset("scenes", kind="scenes", images=2, size_px=128, first_seed=0).records:
        features = capture(backbone, record.image())
        solution = solve(random_walk(features), vectors=10)
        place = f"{name} {record.id} "
        found[place + "features"], found[place + "values"] = features.final.numpy(), solution.values.numpy()
        found[place + "regions"] = cluster(orthogonalise(solution.vectors)).labels
        found[place + "regions of features"] = cluster(features.final[0]).labels
np.savez(sys.argv[1], **found)
"""


@pytest.fixture(scope="module")
def by(tmp_path_factory):
    """What there is with one choice of instructions, with it again, and with the plainest."""
    folder = tmp_path_factory.mktemp("instructions")
    found = {}
    for name, more in {"own": {}, "again": {}, "plainest": PLAINEST}.items():
        environment = {**os.environ, **more, "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-c", CODE, str(folder / f"{name}.npz")], env=environment, check=True)
        with np.load(folder / f"{name}.npz") as arrays:
            found[name] = dict(arrays)
    return found


def test_on_one_machine_it_is_the_same_to_the_byte(by):
    assert len(by["own"]) == 16
    for name, array in by["own"].items():
        assert array.tobytes() == by["again"][name].tobytes(), name


def test_with_other_instructions_regions_are_the_same_and_numbers_to_five_digits(by):
    for name, array in by["own"].items():
        if "regions" in name:
            np.testing.assert_array_equal(by["plainest"][name], array, name)
        else:
            np.testing.assert_allclose(
                by["plainest"][name], array, rtol=0, atol=1e-5 * np.abs(array).max(), err_msg=name
            )
