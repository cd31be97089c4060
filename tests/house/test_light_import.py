"""`import fad`, and eager work with it, stay light: nothing heavy is loaded before it is needed."""

import subprocess
import sys

import pytest

from tests.house.layers import HEAVY

EAGER = """
import numpy as np
import fad.numpy as fnp
x = np.linspace(0.1, 1.0, 4)
loss = lambda x: fnp.sum(fnp.tanh(x @ fnp.outer(x, x)) * fnp.exp(x))
fad.grad(loss)(x)
fad.hessian(loss)(x)
fad.vmap(fad.grad(fnp.sin))(x)
fad.jvp(loss, (x,), (x,))
"""


@pytest.mark.parametrize("code", ["", EAGER], ids=["import", "eager"])
def test_nothing_heavy_is_loaded(code):
    script = f"import sys\nbefore = set(sys.modules)\nimport fad\n{code}\nprint(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = [name for name in done.stdout.split() if any(name == h or name.startswith(f"{h}.") for h in HEAVY)]
    assert not loaded, f"import these inside the function that needs them: {loaded}"


PARTS = ("fad.numpy", "fad.random", "fad.tree", "fad.nn", "fad.optim", "fad.testing", "fad.debug", "fad.extend")


@pytest.mark.parametrize("part", PARTS)
def test_any_part_can_be_imported_first(part):
    done = subprocess.run([sys.executable, "-c", f"import {part}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
