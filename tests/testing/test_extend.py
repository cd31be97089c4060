"""`fad.extend`: an operation of one's own under every transform, with missing rules derived."""

import pickle

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.dispatch import CompilerWarning
from fad.core.errors import ArgumentError, DTypeError, NonDifferentiableError, SerializationError, ShapeError
from fad.core.primitive import REGISTRY
from fad.extend import Primitive, ShapedArray, case, linear, no_rule, samples

SAMPLES = [
    case(samples.f64(2, 3), k=3),
    case(samples.f32(3), k=2),
    case(samples.f64(), k=1),
    case(samples.f64(0, 2), k=2),
]


X = np.array([1.0, 2.0])


def power(name, **rules):
    return Primitive(f"test_{name}", impl=lambda xp, x, *, k: x**k, shape=lambda x, *, k: x, samples=SAMPLES, **rules)


forward_only = power(
    "forward_only",
    jvp=lambda primals, tangents, *, k: (
        forward_only(primals[0], k=k),
        k * primals[0] ** (k - 1) * tangents[0],
    ),
)
reverse_only = power(
    "reverse_only",
    vjp=lambda x, *, k: (reverse_only(x, k=k), lambda ct: [ct * k * x ** (k - 1)]),
    batch=lambda size, args, mapped, *, k: (reverse_only(args[0], k=k), True),
)
weighted = Primitive(
    "test_weighted",
    impl=lambda xp, x, y, n: [x * y * n, x + y],
    shape=lambda x, y, n: [ShapedArray(x.shape, x.dtype), ShapedArray(x.shape, x.dtype)],
    jvp=lambda p, t: (weighted(*p), [p[2] * (t[0] * p[1] + p[0] * t[1]), t[0] + t[1]]),
    samples=[case(samples.f64(3), samples.f64(3), samples.i64(3))],
    multiple_results=True,
)
backwards = Primitive(
    "test_backwards",
    impl=lambda xp, x: xp.flip(x),
    shape=lambda x: x,
    jvp=linear,
    vjp=lambda x: (backwards(x), lambda ct: [backwards(ct)]),
    samples=[case(samples.f64(2, 3)), case(samples.c128(4))],
)


@pytest.mark.parametrize("op", [forward_only, reverse_only, weighted, backwards], ids=lambda op: op.name)
def test_rules_pass_the_generated_checks(op):
    fad.testing.check_primitive(op)


@pytest.mark.parametrize("op", [forward_only, reverse_only], ids=lambda op: op.name)
def test_every_transform(op):
    def f(x):
        return op(x, k=3).sum()

    x = np.array([1.0, 2.0])
    np.testing.assert_allclose(op(x, k=3), [1, 8])
    np.testing.assert_allclose(fad.grad(f)(x), 3 * x**2)
    np.testing.assert_allclose(fad.grad(fad.jit(f))(x), 3 * x**2)
    np.testing.assert_allclose(fad.jit(fad.grad(f))(x), 3 * x**2)
    np.testing.assert_allclose(fad.jvp(f, (x,), (x,))[1], 3 * (x**3).sum())
    np.testing.assert_allclose(fad.hessian(f)(x), np.diag(6 * x))
    np.testing.assert_allclose(fad.grad(fad.checkpoint(f))(x), 3 * x**2)
    np.testing.assert_allclose(fad.vmap(fad.grad(f))(np.stack([x, 2 * x])), [3 * x**2, 12 * x**2])
    np.testing.assert_allclose(fad.jit(fad.vmap(lambda x: op(x, k=2)))(np.stack([x, x])), [x**2, x**2])
    np.testing.assert_allclose(fad.linearize(f, x)[1](x), 3 * (x**3).sum())
    assert op.name in str(fad.make_program(f)(x))


KERNELS = {
    "operators": (
        lambda xp, x, y: (2 * x - y / 4) ** 3 + abs(-x) % (1 + y),
        lambda k, x, y: (2 * x - y / 4) ** 3 + abs(-x) % (1 + y),
    ),
    "functions": (
        lambda xp, x, y: xp.where((x > y) & ~(x == 2), xp.exp(x) * 0.5, xp.arctan2(y, 1.0)),
        lambda k, x, y: k.where((x > y) & ~(x == 2), k.exp(x) * 0.5, k.arctan2(y, 1.0)),
    ),
    "constants": (lambda xp, x, y: 0 * (x + y) + 7.0, lambda k, x, y: 7.0),
    "powers": (lambda xp, x, y: x**0.5 + 2.0**y, lambda k, x, y: x**0.5 + 2.0**y),
}


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_are_fused_with_what_is_around_them(name):
    impl, kernel = KERNELS[name]
    op = Primitive(
        f"test_kernel_{name}",
        impl=impl,
        shape=lambda x, y: ShapedArray(np.broadcast_shapes(x.shape, y.shape), np.result_type(x.dtype, y.dtype)),
        kernel=kernel,
        samples=samples.reals((0.1, 3.0), (0.1, 3.0)),
    )
    fad.testing.check_primitive(op)
    compiled = fad.jit(lambda x, y: fnp.sum(op(x * 2, y))).lower(np.ones((300, 200)), np.ones(200)).compile()
    assert compiled.native.reasons == {}
    assert [k["kind"] for k in compiled.cost_analysis()["kernels"]] == ["loops"]


def test_a_kernel_that_is_declared_again_is_used():
    for factor in (2.0, 3.0):
        op = Primitive("test_anew", impl=lambda xp, x: x, shape=lambda x: x, kernel=lambda k, x, f=factor: f * x)
        assert fad.jit(op)(1.0) == factor


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (lambda k, x: k.nonsense(x), "no function k.nonsense; they have NumPy's elementwise functions"),
        (lambda k, x: x if x > 0 else -x, r"use k.where\(condition, x, y\) in place of `if`"),
        (lambda k, x: [x], "it must give a number, got list"),
        (lambda k: 0.0, "takes 1 positional argument but 2 were given"),
    ],
)
def test_a_kernel_that_cannot_be_used_is_warned_of(kernel, message):
    op = Primitive("test_broken_kernel", impl=lambda xp, x: abs(x), shape=lambda x: x, kernel=kernel)
    with pytest.warns(CompilerWarning, match=f"test_broken_kernel: the kernel cannot be used.*{message}"):
        assert fad.jit(lambda x: op(x) + 1)(-2.0) == 3


def test_array_likes_are_taken():
    assert forward_only([1, 2], k=2).tolist() == [1, 4]
    x = fad.Array([3.0])
    assert fad.grad(lambda x: forward_only([x[0], 2.0], k=2).sum())(x).tolist() == [6.0]


def test_loop_over_an_empty_batch():
    assert fad.vmap(lambda x: forward_only(x, k=2))(np.zeros((0, 3))).shape == (0, 3)


def test_no_rule_says_why():
    op = power("stepwise", jvp=no_rule("the steps of test_stepwise have no slope"))
    assert float(op(2.0, k=2)) == 4.0
    for run in (lambda: fad.grad(lambda x: op(x, k=2))(2.0), lambda: fad.jvp(lambda x: op(x, k=2), (2.0,), (1.0,))):
        with pytest.raises(NonDifferentiableError, match="the steps of test_stepwise have no slope"):
            run()


def test_without_rules_the_result_is_a_constant():
    op = Primitive("test_steps", impl=lambda xp, x: xp.floor(x), shape=lambda x: x)
    assert float(fad.grad(lambda x: op(x) * x)(2.5)) == 2.0


def test_redeclaring_replaces_ones_own_operation():
    first = power("again")
    second = power("again", vjp=lambda x, *, k: (x**k, lambda ct: [ct]))
    assert float(first(2.0, k=2)) == float(second(2.0, k=2)) == 4.0
    with pytest.raises(ArgumentError, match="fad has an operation of that name; choose another, for example 'my_sin'"):
        Primitive("sin", impl=lambda xp, x: x, shape=lambda x: x)


def test_impl_cannot_write_into_its_arguments():
    def impl(xp, x):
        x += 1
        return x

    op = Primitive("test_writing", impl=impl, shape=lambda x: x)
    x = np.zeros(3)
    with pytest.raises(ValueError, match="read-only") as caught:
        op(x)
    assert caught.value.__notes__[0].startswith("test_writing, an operation declared outside fad, raised this")
    assert not x.any()


def test_pickling_goes_by_name():
    assert pickle.loads(pickle.dumps(forward_only)) is forward_only
    f = pickle.loads(pickle.dumps(fad.jit(weighted)))
    assert float(f(2.0, 3.0, 2)[0]) == 12
    lost = Primitive("test_lost", impl=lambda xp, x: x, shape=lambda x: x)
    data = pickle.dumps(lost)
    del REGISTRY["test_lost"]
    with pytest.raises(SerializationError, match="importing .*test_extend does not declare it here"):
        pickle.loads(data)


MISTAKES = [
    (lambda: Primitive("test_m", impl="sin", shape=lambda x: x), "impl must be a function, got str"),
    (lambda: Primitive("test_m", impl=abs, shape=abs, jvp=linear), "a linear operation needs a vjp rule"),
    (lambda: Primitive("test_m", impl=abs, shape=abs, vjp=linear), "linear belongs in the jvp slot"),
    (lambda: Primitive("test_m", impl=abs, shape=abs, jvp=3), "jvp must be a function or None, got int"),
    (lambda: Primitive("test_m", impl=abs, shape=abs, batch="rows"), "batch must be a function or 'loop', got 'rows'"),
    (lambda: Primitive("test_m", impl=abs, shape=abs, kernel="exp"), "kernel must be a function k, .*got 'exp'"),
    (
        lambda: Primitive("test_m", impl=abs, shape=abs, kernel=abs, multiple_results=True),
        "a kernel computes one result",
    ),
    (
        lambda: Primitive("test_m", impl=abs, shape=abs, samples=[np.ones(2)]),
        "must be made by fad.extend.case.*got ndarray",
    ),
    (
        lambda: Primitive("test_m", impl=lambda xp, x: x, shape=lambda x: ShapedArray((), "f8"), kernel=abs)(
            np.ones(3)
        ),
        r"a kernel is scalar code for elementwise operations.*these broadcast to \(3,\), and the shape rule says float64\[\]",
    ),
    (
        lambda: Primitive("test_m", impl=lambda xp, x: [x], shape=lambda x: x, multiple_results=True)(1.0),
        "with multiple_results the shape rule must give a list of ShapedArrays, got ShapedArray",
    ),
    (
        lambda: fad.jvp(
            Primitive(
                "test_m",
                impl=lambda xp, x: [x, x],
                shape=lambda x: [x, x],
                multiple_results=True,
                jvp=lambda p, t: ([p[0]] * 2, t),
            ),
            (1.0,),
            (1.0,),
        ),
        "the jvp rule gives 2 results and 1 tangents",
    ),
    (
        lambda: fad.vmap(Primitive("test_m", impl=lambda xp, x: x, shape=lambda x: x, batch=lambda n, a, m: a[0]))(
            np.ones(3)
        ),
        r"the batch rule must give a pair \(out, mapped\)",
    ),
    (lambda: forward_only(1.0, k=[1]), r"the parameter k=\[1\] is a list, which is not hashable"),
    (lambda: forward_only(1.0, k=np.ones(2)), "the parameter k=.*not hashable"),
    (
        lambda: Primitive("test_m", impl=lambda xp, x: x, shape=lambda x: x.shape)(1.0),
        "must give fad.extend.ShapedArray",
    ),
    (
        lambda: fad.grad(Primitive("test_m", impl=lambda xp, x: x, shape=lambda x: x, vjp=lambda x: x))(1.0),
        r"the vjp rule must give a pair \(out, pullback\)",
    ),
    (
        lambda: fad.grad(
            Primitive("test_m", impl=lambda xp, x: x, shape=lambda x: x, vjp=lambda x: (x, lambda ct: [ct, ct]))
        )(1.0),
        "one cotangent for each of the 1 arguments, got 2",
    ),
    (
        lambda: fad.jvp(
            Primitive("test_m", impl=lambda xp, x: x, shape=lambda x: x, jvp=lambda p, t: p[0]), (1.0,), (1.0,)
        ),
        r"the jvp rule must give a pair \(out, tangent_out\)",
    ),
]


@pytest.mark.parametrize(("run", "message"), MISTAKES, ids=[m for _, m in MISTAKES])
def test_mistakes_are_explained(run, message):
    with pytest.raises(ArgumentError, match=message):
        run()


def test_a_rule_that_needs_its_own_transpose_says_so():
    product = Primitive(
        "test_product",
        impl=lambda xp, x, y: x @ y,
        shape=lambda x, y: ShapedArray((x.shape[0], y.shape[1]), x.dtype),
        jvp=lambda p, t: (product(*p), product(t[0], p[1]) + product(p[0], t[1])),
    )
    x = np.eye(2)
    assert fad.jvp(product, (x, x), (x, x))[1].tolist() == (2 * x).tolist()
    with pytest.raises(NonDifferentiableError, match="test_product itself to tangents.*Give both rules, jvp= and vjp="):
        fad.grad(lambda x: product(x, x).sum())(x)
    mirrored = Primitive(
        "test_mirrored",
        impl=lambda xp, x: xp.flip(x),
        shape=lambda x: x,
        vjp=lambda x: (mirrored(x), lambda ct: [mirrored(ct)]),
    )
    assert fad.jvp(mirrored, (X,), (X,))[1].tolist() == [2, 1]
    fourth = fad.grad(fad.grad(fad.grad(fad.grad(lambda x: forward_only(x, k=5)))))
    np.testing.assert_allclose(fourth(2.0), 240.0)


def test_a_batch_is_one_loop_inside_compiled_code():
    program = fad.make_program(fad.vmap(lambda x: forward_only(x, k=2)))(np.ones((1000, 3)))
    assert len(program.equations) < 5


def test_results_of_impl_are_counted():
    several = {"shape": lambda x: [x, x], "multiple_results": True}
    for impl, message in (
        (lambda xp, x: [x], "impl gives 1 results where the shape rule says 2"),
        (lambda xp, x: x, "impl gives a ndarray where the shape rule says 2"),
    ):
        with pytest.raises(ShapeError, match=message):
            Primitive("test_m", impl=impl, **several)(np.ones(3))
    with pytest.raises(ShapeError, match="impl gives None; does it lack its return statement"):
        Primitive("test_m", impl=lambda xp, x: None, shape=lambda x: x)(1.0)


def test_shapes_and_dtypes_of_rules_are_checked():
    wrong = Primitive(
        "test_wrong",
        impl=lambda xp, x: x,
        shape=lambda x: ShapedArray((), x.dtype),
        vjp=lambda x: (x, lambda ct: [fnp.ones(3)]),
    )
    with pytest.raises(ShapeError, match=r"impl gives float64\[2\] where the shape rule says float64\[\]"):
        wrong(np.ones(2))
    with pytest.raises(ShapeError, match=r"a cotangent float64\[3\] for argument 0, which is float64\[\]"):
        fad.grad(wrong)(1.0)
    twisted = Primitive("test_twisted", impl=lambda xp, x: x, shape=lambda x: x, jvp=lambda p, t: (p[0], t[0] * 1j))
    with pytest.raises(DTypeError, match="take its real part"):
        fad.jvp(twisted, (1.0,), (1.0,))
