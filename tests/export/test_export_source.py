"""Exported sources run without fad and agree with the Programs that they were written from."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
import fad.tree as tree
from fad.core.array import wrap
from fad.core.primitive import REGISTRY
from fad.export import export_source
from fad.scipy import special


def run_exported(function, *args):
    """The exported function's result for these arguments, and its source."""
    source = export_source(function, *args, name="exported")
    assert "import fad" not in source and "from fad" not in source
    scope = {}
    exec(compile(source, "<exported>", "exec"), scope)
    return scope["exported"](*[np.asarray(leaf) for leaf in tree.leaves(args)]), source


def check_exported(function, *args):
    """Assert that the exported function gives what the function gives; returns the source."""
    found, source = run_exported(function, *args)
    wanted = function(*args)
    assert tree.structure(found) == tree.structure(tree.map(np.asarray, wanted))
    for a, b in zip(tree.leaves(found), tree.leaves(wanted)):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-12, atol=1e-12)
    return source


def sampled():
    """The first sample of every primitive that has one, but for those that call a function of the user's own."""
    calls_back = {"debug_callback", "tap_gradient"}
    return [
        pytest.param(p, p.samples[0], id=name)
        for name, p in REGISTRY.items()
        if p.samples and name not in calls_back and not p.declared_outside
    ]


@pytest.mark.parametrize(("primitive", "case"), sampled())
def test_every_primitive_is_exported(primitive, case):
    args = case.make()

    def function(*values):
        out = primitive.bind(*[v if isinstance(v, fad.Array) else np.asarray(v) for v in values], **case.params)
        return [wrap(o) for o in out] if primitive.multiple_results else wrap(out)

    with np.errstate(all="ignore"):
        check_exported(fad.jit(function), *args)


def test_a_gradient_reads_like_the_formula():
    source = check_exported(fad.grad(lambda x: fnp.sum(fnp.tanh(x) ** 2)), np.ones(3))
    assert "np.tanh(x0)" in source
    assert "import numpy as np" in source


def test_results_keep_their_structure():
    check_exported(lambda p: {"a": p["w"] @ p["w"], "b": (fnp.max(p["w"], axis=0), [p["w"][0]])}, {"w": np.eye(2)})


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "complex64"])
def test_numbers_of_every_dtype(dtype):
    x = fnp.asarray([0.5, -2.0], dtype)

    def function(x):
        limits = np.array([-np.inf, np.nan])
        return fnp.sin(x) / 2, fnp.where(fnp.real(x) > 0, x, -fnp.inf), x * -0.25, limits, limits + 2j

    check_exported(function, x)


def test_sums_of_half_precision_are_as_exact_as_the_program_s():
    x, namespace = np.ones((4800, 3), np.float16), {}
    exec(export_source(lambda x: fnp.sum(x, axis=0), x, name="total"), namespace)
    np.testing.assert_array_equal(namespace["total"](x), np.full(3, 4800.0, np.float16))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "bfloat16", "float16", "float32", "complex64"])
def test_results_have_the_dtypes_of_the_program(dtype):
    x = fnp.asarray([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]]).astype(dtype)

    def function(x):
        products = x @ x.T, fnp.einsum("ij,ij->i", x, x), fnp.linalg.norm(x)
        return products, x.sum(), fnp.cumsum(x, axis=1), x**2, fnp.packbits(x != 0), fnp.where(x == 1, x, 0), x * 0.1

    check_exported(fad.jit(function), x)


def test_elements_are_read_and_written_as_numpy_does():
    rows, columns = np.array([2, 0, 2]), np.array([[1, -1, 0]])

    def function(x):
        picked = x[1:, ::2].sum() + x[rows].max() + (x[:, columns] ** 2).sum() + x[-1, 0]
        y = x.at[rows].add(x[:3]).at[:, columns[0]].mul(2.0).at[rows, columns[0]].set(x[0]).at[rows].max(0.1)
        return picked + (y**3).sum() + (fnp.pad(x, ((1, 2), (0, 1))) ** 2).sum()

    x = np.linspace(0.5, 1.5, 12).reshape(3, 4)[:, :3]
    source = check_exported(fad.grad(function), x)
    assert "def _" not in source
    for line in ["[1:, ::2] = ", "x0[constant_", "x0[:, constant_", "np.add.at(", "np.multiply.at(", "np.maximum.at("]:
        assert line in source


@pytest.mark.parametrize("mode", ["clip", "drop"])
def test_indices_outside_that_are_no_errors(mode):
    with fad.config.using(out_of_bounds=mode):
        check_exported(
            lambda x, i: (x[i], x.at[i].add(1.0), x.at[i].set(2.0)), fad.Array(np.ones(3)), np.array([1, 5, -9, 1])
        )


def test_loops_and_branches():
    def recurrence(w):
        carry, ys = fad.scan(lambda c, x: (fnp.tanh(c * w + x), c), 0.0, np.arange(4.0))
        return carry + ys.sum()

    assert "for turn in range(4)[::-1]" in check_exported(fad.grad(recurrence), 0.5)
    assert "while " in check_exported(fad.grad(lambda x: fad.while_loop(lambda v: v > 1.0, lambda v: v * 0.5, x)), 9.0)
    check_exported(
        fad.grad(lambda x: fad.cond(x.sum() > 0, lambda v: fnp.sin(v).sum(), lambda v: v.sum(), x)), np.ones(2)
    )


def test_second_derivatives_checkpoints_and_custom_rules():
    check_exported(
        fad.hessian(lambda x: fnp.sum(x[1:] * x[:-1] ** 2) + fnp.linalg.det(fnp.outer(x, x) + fnp.eye(3))),
        np.arange(1.0, 4),
    )
    check_exported(fad.grad(fad.checkpoint(lambda x: fnp.sum(fnp.sin(fnp.sin(x))))), np.arange(3.0))

    @fad.custom_jvp
    def twice(x):
        return x * 2.0

    twice.defjvp(lambda primals, tangents: (twice(*primals), tangents[0] * 3.0))
    check_exported(lambda x: twice(x) + fad.grad(twice)(x), 1.5)


def test_a_captured_tracer_is_refused():
    with pytest.raises(fad.errors.FadError, match="closes over a value of another transform"):
        fad.grad(lambda x: len(export_source(lambda y: y * x, 1.0)) * x)(2.0)


def test_an_operation_from_outside_is_refused():
    op = fad.extend.Primitive("test_exported", impl=lambda xp, x: x + 1, shape=lambda x: x)
    with pytest.raises(fad.errors.FadError, match="test_exported was declared outside fad.*Export the parts"):
        export_source(lambda x: op(x) * 2, 1.0)


def test_choices_that_a_closed_over_name_decides_are_not_exported():
    source = check_exported(fad.scipy.special.erf, np.ones(3, np.float16))
    assert "getattr(module, 'erf')(*arrays)\n" in source
    compile(source, "<exported>", "exec")  # a warning, as of calling a string, is an error here


def test_what_was_computed_before_is_not_exported():
    def f(a):
        return special.gammainc(a, 2.0)

    fad.grad(f)(3.0)  # keeps the points of its quadrature
    check_exported(fad.grad(f), 3.0)
