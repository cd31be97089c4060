"""Exported sources run in a process without fad, and agree: every example of the README, and every benchmark that compiles something."""

import dataclasses
import importlib
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fad
import fad.numpy as fnp
import fad.tree as tree
from benchmarks.libraries import load_fad
from fad.core.trace import CURRENT, EVAL
from fad.export import export_source
from fad.transforms.compilation import JittedFunction

FAMILIES = (
    "jit_callbacks jit_derivatives jit_elementwise jit_gradbench jit_gradbench_nested jit_loops jit_networks jit_small jit_training jit_transformer"
).split()

RUN = """
import pickle, sys

class NoFad:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "fad":
            raise ImportError("the exported source imports fad")

sys.meta_path.insert(0, NoFad())
with open(sys.argv[1], "rb") as file:
    cases = pickle.load(file)
results = []
for source, leaves in cases:
    scope = {}
    exec(compile(source, "<exported>", "exec"), scope)
    results.append(scope["exported"](*leaves))
assert "fad" not in sys.modules
with open(sys.argv[2], "wb") as file:
    pickle.dump(results, file)
"""


def check_without_fad(cases, folder):
    """Export ``(function, args)`` pairs, run all sources in one process without fad and compare the results."""
    given = [
        (export_source(f, *args, name="exported"), [np.asarray(leaf) for leaf in tree.leaves(args)])
        for f, args in cases
    ]
    with open(folder / "cases", "wb") as file:
        pickle.dump(given, file)
    command = [sys.executable, "-c", RUN, str(folder / "cases"), str(folder / "results")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={"PATH": ""}, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    with open(folder / "results", "rb") as file:
        results = pickle.load(file)
    for (function, args), found in zip(cases, results, strict=True):
        # Evaluated operation by operation, as the source is: what differs then is the source's fault.
        with fad.config.using(compile=False):
            wanted = tree.leaves(function(*args))
        seen = tree.leaves(found)
        assert len(seen) == len(wanted)
        # What is zero but for rounding, such as the slope of a bias that softmax takes out, is as inexact as the largest result.
        largest = max(
            [np.max(np.abs(b), initial=0.0) for b in map(np.asarray, wanted) if b.dtype.kind in "fc"], default=0.0
        )
        half = "bfloat16" in str(fad.make_program(function)(*args))
        for a, b in zip(seen, wanted, strict=True):
            b = np.asarray(b)
            rounding = (2.0**-8 if half else 100 * np.finfo(b.dtype).eps) if b.dtype.kind in "fc" else 0.0
            np.testing.assert_allclose(np.asarray(a), b, rtol=rounding, atol=rounding * largest)


def readme_functions():
    """The functions that the README's examples make, with their arguments."""
    page = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    scope = {}
    for block in page.split("```python\n")[1:]:
        exec(block.split("```")[0], scope)
    points = np.linspace(0.0, 1.0, 5)
    return {
        "gradient of a loss": (fad.grad(scope["loss_fn"]), (scope["params"], scope["batch"])),
        "force": (fad.grad(scope["spring_energy"]), (points,)),
        "curvature": (fad.hessian(scope["spring_energy"]), (points,)),
        "per example": (scope["per_example"], (fnp.ones(3), fnp.ones((10, 3)))),
        "third derivative": (scope["third"], (0.3,)),
        "square root by Newton": (fad.grad(scope["newton_sqrt"]), (2.0,)),
        "safe square root": (scope["safe"], (0.0,)),
    }


def test_examples_of_the_readme(tmp_path):
    check_without_fad(list(readme_functions().values()), tmp_path)


def compiled_by(problem):
    """What a benchmark compiles: each jitted function and the arguments of its first call."""
    calls = {}

    def jit(function, **options):
        jitted = fad.jit(function, **options)

        def call(*args):
            if CURRENT.get() is EVAL:
                # Copies: a call may take its arguments' memory.
                kept = tree.map(lambda leaf: np.array(leaf) if isinstance(leaf, fad.Array) else leaf, args)
                calls.setdefault(id(jitted), (jitted, kept))
            return jitted(*args)

        return call

    library = dataclasses.replace(load_fad(), jit=jit)
    built = problem.shared(library, *problem.inputs(True))
    (built.step if hasattr(built, "step") else built)()
    return [found for found in calls.values() if isinstance(found[0], JittedFunction)]


def problems():
    """Every benchmark that JAX and fad share."""
    for family in FAMILIES:
        for problem in importlib.import_module(f"benchmarks.{family}").PROBLEMS:
            if problem.shared is not None:
                yield pytest.param(problem, id=problem.name)


@pytest.mark.parametrize("problem", list(problems()))
def test_benchmarks(problem, tmp_path):
    cases = compiled_by(problem)
    assert cases, f"{problem.name} compiles nothing"
    check_without_fad(cases, tmp_path)
