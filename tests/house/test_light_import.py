"""`import fad`, and eager work with it, stay light: nothing heavy is loaded before it is needed."""

import importlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

import fad
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


def test_the_compiler_is_loaded_by_who_jits():
    script = "import sys, fad\nprint(any(m.startswith('fad.compiler') for m in sys.modules))\nfad.jit(lambda x: x + 1)(1.0)\nprint('fad.compiler.dispatch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False", "True"], done.stdout + done.stderr


def test_trees_are_loaded_when_there_is_one():
    script = "import sys, fad\nfad.grad(fad.numpy.sum)(fad.numpy.ones(3))\nprint('optree' in sys.modules, fad.grad(lambda d: d['x'])({'x': 1.0}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "False {'x': Array(1.)}\n", done.stdout + done.stderr


PARTS = ("fad.numpy", "fad.random", "fad.tree", "fad.nn", "fad.optim", "fad.testing", "fad.debug", "fad.extend")


@pytest.mark.parametrize("part", PARTS)
def test_any_part_can_be_imported_first(part):
    done = subprocess.run([sys.executable, "-c", f"import {part}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", ["fad", "fad.numpy"])
def test_names_on_use_are_public_and_found(package):
    module = importlib.import_module(package)
    for name, source in module._NAMES_ON_USE.items():
        home = importlib.import_module(source if "." in source else f"{package}.{source}")
        assert getattr(module, name) is getattr(home, name)
        assert name in module.__all__


def test_every_function_of_a_module_on_use_has_its_name():
    for module, names in fad.numpy._NAMES_OF.items():
        assert importlib.import_module(f"fad.numpy.{module}").__all__ == names.split()


def test_operations_of_files_not_yet_loaded_can_be_unpickled():
    program = fad.make_program(fad.numpy.linalg.cholesky)(np.eye(2))
    script = "import sys, pickle, fad\nassert 'fad.primitives.linalg_factorizations' not in sys.modules\nprint(pickle.loads(sys.stdin.buffer.read()))"
    data = pickle.dumps([e.primitive for e in program.equations])
    done = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"cholesky" in done.stdout
