"""Pickles of transformed functions: by name where they have one, else as the transform and what it was given."""

import os
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core.errors import SerializationError
from tests.transforms import pickled_functions as functions

X = np.array([0.3, -1.2, 2.0])
TRANSFORMS = {
    "grad": fad.grad,
    "value_and_grad": fad.value_and_grad,
    "jacfwd": fad.jacfwd,
    "jacrev": fad.jacrev,
    "hessian": fad.hessian,
    "checkpoint": fad.checkpoint,
    "autocast": fad.autocast,
    "jit": fad.jit,
    "make_program": fad.make_program,
    "custom_jvp": fad.custom_jvp,
}


def again(value, protocol=pickle.HIGHEST_PROTOCOL):
    return pickle.loads(pickle.dumps(value, protocol))


def assert_same(found, expected):
    if isinstance(expected, fad.Array | tuple):
        for a, b in zip(fad.tree.leaves(found), fad.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-14)
    else:
        assert str(found) == str(expected)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_jitted_function_is_pickled_by_the_name_of_its_function(protocol):
    f = fad.jit(functions.energy)
    f(X)
    copy = again(f, protocol)
    assert copy is not f
    assert copy.traces == 0
    assert_same(copy(X), f(X))


def test_static_arguments_go_along():
    f = again(fad.jit(functions.scaled, static_argnames="power"))
    assert_same(f(X, power=2), functions.scaled(X, 2))
    assert_same(f(X, 3), functions.scaled(X, 3))
    assert f.traces == 2


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_transforms_on_jit_and_jit_on_transforms(transform):
    for f in (transform(fad.jit(functions.energy)), transform(functions.decorated)):
        assert_same(again(f)(X), f(X))
    if transform is not fad.make_program:
        f = fad.jit(transform(fad.jit(functions.energy)))
        assert_same(again(f)(X), f(X))


def test_vmap_keeps_its_axes():
    f = fad.vmap(fad.jit(functions.scaled), in_axes=(1, None), out_axes=0)
    g = again(f)
    rows = np.arange(6.0).reshape(3, 2)
    assert_same(g(rows, 2.0), f(rows, 2.0))
    assert g(rows, 2.0).shape == (2,)


def test_derivatives_keep_their_arguments():
    f = again(fad.jit(fad.value_and_grad(functions.scaled, argnums=(0, 1))))
    value, (dx, dpower) = f(np.abs(X), 2.0)
    assert_same(dx, 2 * np.abs(X) * fnp.ones(3))
    assert dpower.shape == ()
    checkpointed = fad.checkpoint(functions.energy, policy=fad.save_contractions)
    assert_same(again(fad.grad(checkpointed))(X), fad.grad(checkpointed)(X))


def test_decorated_functions_are_themselves_again():
    for f in (functions.decorated, functions.twice_decorated, functions.clipped):
        assert again(f) is f
    assert_same(again(fad.grad(functions.clipped))(3.0), fad.grad(functions.clipped)(3.0))
    assert float(again(fad.grad(functions.clipped))(3.0)) == 0.5


def test_methods():
    model = functions.Model()
    bound = again(model.predict)
    assert_same(bound(X), model.predict(X))
    assert again(functions.Model.predict) is functions.Model.predict


def test_partial_applications():
    f = again(fad.jit(partial(functions.scaled, power=3)))
    assert_same(f(X), fnp.sum(X**3))


@pytest.mark.parametrize("transform", [fad.jit, fad.grad, fad.vmap, fad.checkpoint, fad.custom_jvp])
def test_functions_without_a_name_are_refused(transform):
    def local(x):
        return x * 2.0

    for f in (transform(lambda x: x * 2.0), transform(local)):
        with pytest.raises(
            SerializationError, match=r"cannot be pickled.*made at line \d+ of .*test_pickling\.py"
        ) as caught:
            pickle.dumps(f)
        assert isinstance(caught.value, pickle.PicklingError)
        assert "cloudpickle" in str(caught.value)


def test_a_shadowed_function_is_refused():
    def energy(x):
        return x

    energy.__qualname__ = "energy"
    energy.__module__ = functions.__name__
    with pytest.raises(SerializationError, match="not the name of this function"):
        pickle.dumps(fad.jit(energy))


def test_names_and_documentation_are_those_of_the_function():
    f = fad.grad(fad.jit(functions.decorated))
    assert f.__name__ == "decorated"
    assert repr(f) == "fad.grad(decorated)"
    assert repr(fad.vmap(functions.energy)) == "fad.vmap(energy)"


def test_transformed_functions_bind_as_methods():
    class Line:
        slope = 3.0

        @partial(fad.grad, argnums=1)
        def value(self, x):
            return self.slope * x**2

    assert float(Line().value(2.0)) == 12.0
    assert isinstance(Line.value, fad.grad(lambda x: x).__class__)


def test_picklers_that_take_functions_apart():
    scale = 3.0
    f = fad.jit(fad.grad(lambda x: fnp.sum(x**2) * scale))
    copy = pickle.loads(cloudpickle.dumps(f))
    assert_same(copy(X), f(X))
    assert pickle.loads(cloudpickle.dumps(functions.decorated)) is functions.decorated


SCRIPT = """
import joblib
import fad
import fad.numpy as fnp

@fad.jit
def f(x):
    return fnp.sum(x**2)

if __name__ == "__main__":
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(fad.grad(f))(float(k)) for k in range(6))
    print([float(v) for v in found])
"""


def test_joblib_runs_functions_of_the_main_program(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[0.0, 2.0, 4.0, 6.0, 8.0, 10.0]"


def test_programs_and_what_was_compiled_of_them():
    lowered = fad.jit(fad.grad(functions.energy)).lower(X)
    compiled = lowered.compile()
    expected = compiled(X)
    for copy in (again(compiled), again(lowered).compile(), cloudpickle.loads(cloudpickle.dumps(compiled))):
        assert_same(copy(X), expected)
        assert copy.native is not None and copy.native is not compiled.native
    assert str(again(lowered.program)) == str(lowered.program)
    donating = fad.jit(functions.scaled, static_argnames="power", donate_argnums=0).lower(X, power=2).compile()
    assert again(donating).program.donated == {0}


def test_a_c_function_belongs_to_its_process():
    made = fad.jit(fnp.sin).lower(1.0).compile().c_function("double(double)")
    with pytest.raises(SerializationError, match=r"double \(double\)\) is an address in this process"):
        pickle.dumps(made)
