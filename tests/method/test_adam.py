"""Adam by torch's function is torch's class, bit for bit, without torch's compiler."""

import subprocess
import sys
from textwrap import dedent

import pytest
import torch

from whatwhere.method.solve.adam import Adam


def start():
    """Two parameters and what is minimised over them."""
    generator = torch.Generator().manual_seed(0)
    parameters = [torch.randn(5, 3, generator=generator).requires_grad_(True) for _ in range(2)]
    return parameters, lambda a, b: (a.square() * (1 + b) + b.abs()).sum()


def descended(optimiser, parameters, loss, steps):
    """The parameters after so many steps."""
    for _ in range(steps):
        optimiser.zero_grad()
        loss(*parameters).backward()
        optimiser.step()
    return [parameter.detach().clone() for parameter in parameters]


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_steps_are_those_of_torchs_class(fused, decay):
    mine, loss = start()
    found = descended(Adam(mine, learning_rate=1e-2, weight_decay=decay, fused=fused), mine, loss, 20)
    theirs, loss = start()
    kind = torch.optim.AdamW if decay else torch.optim.Adam
    expected = descended(kind(theirs, lr=1e-2, weight_decay=decay, fused=fused), theirs, loss, 20)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_moments_carry_on_where_they_stand():
    whole, loss = start()
    descended(Adam(whole, learning_rate=1e-2), whole, loss, 9)
    parts, loss = start()
    first = Adam(parts, learning_rate=1e-2)
    descended(first, parts, loss, 4)
    moments = dict(zip(("exp_avg", "exp_avg_sq"), first.moments, strict=True))
    descended(Adam(parts, learning_rate=1e-2, moments=moments, taken=4), parts, loss, 5)
    assert all(torch.equal(one, other) for one, other in zip(whole, parts, strict=True))


def test_a_descent_does_not_import_the_compiler():
    code = """
        import sys
        from tests.planted import walks
        from whatwhere.method.solve import solve
        for solver in ("gradient", "released"):
            solve(walks(), vectors=3, solver=solver, steps=2)
        print("torch._dynamo" in sys.modules)
    """
    said = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True)
    assert said.stdout.strip() == "False", said.stderr
