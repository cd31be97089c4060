"""`fad.extend.from_numba`: functions that numba compiled as operations, eagerly and inside native segments."""

import math
import threading

import numba
import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.canonical import program_form
from fad.core.errors import ArgumentError, DTypeError, NonDifferentiableError, ShapeError
from fad.extend import ShapedArray, case, from_numba, samples

X = np.array([0.3, -0.8, 1.7])


@numba.njit
def bump_of_number(x, width):
    if width == 0:
        raise ZeroDivisionError("a bump needs a width")
    if width < 0:
        raise ValueError("negative width")
    return math.exp(-((x / width) ** 2)) if x > 0 else 1.0 - x


@numba.njit
def bump_slope(x, width):
    return -2 * x / width**2 * math.exp(-((x / width) ** 2)) if x > 0 else -1.0


bump = from_numba(
    bump_of_number,
    name="test_bump",
    partials=[
        from_numba(
            bump_slope,
            name="test_bump_slope",
            partials=[
                lambda x, w: fnp.where(x > 0, (4 * x**2 / w**4 - 2 / w**2) * fnp.exp(-((x / w) ** 2)), 0.0),
                lambda x, w: fnp.where(x > 0, (4 * x / w**3 - 4 * x**3 / w**5) * fnp.exp(-((x / w) ** 2)), 0.0),
            ],
        ),
        lambda x, w: fnp.where(x > 0, 2 * x**2 / w**3 * fnp.exp(-((x / w) ** 2)), 0.0),
    ],
    samples=[
        case(samples.f64(2, 3, low=0.2), samples.f64(3, low=0.5)),
        case(samples.f64(low=-2.0, high=-0.2), samples.f64(0, low=0.5)),
        case(samples.f32(3, low=0.2), samples.f32(low=0.5)),
    ],
)


@numba.vectorize
def leaky_of_number(x):
    return x if x > 0 else 0.1 * x


leaky = from_numba(
    leaky_of_number,
    name="test_leaky",
    partials=[lambda x: fnp.where(x > 0, 1.0, 0.1)],
    samples=[case(samples.f64(2, 3, low=0.5)), case(samples.f64(low=-2.0, high=-0.5))],
)


@numba.njit
def smoothed(x, decay):
    out = np.empty_like(x)
    state = np.zeros_like(x[0])
    for i in range(x.shape[0]):
        state = decay * state + x[i]
        out[i] = state
    return out


@numba.njit
def smoothed_back(x, decay, ct):
    out, state = np.empty_like(x), np.zeros_like(x[0])
    slope, tangent, value = 0.0, np.zeros_like(x[0]), np.zeros_like(x[0])
    for i in range(x.shape[0] - 1, -1, -1):
        state = decay * state + ct[i]
        out[i] = state
    for i in range(x.shape[0]):
        tangent = decay * tangent + value
        value = decay * value + x[i]
        slope += np.sum(ct[i] * tangent)
    return out, slope


@numba.njit
def smoothed_ahead(x, decay, dx, ddecay):
    out, state, moved = np.empty_like(x), np.zeros_like(x[0]), np.zeros_like(x[0])
    for i in range(x.shape[0]):
        moved = decay * moved + ddecay * state + dx[i]
        state = decay * state + x[i]
        out[i] = moved
    return out


smooth = from_numba(
    smoothed,
    lambda x, decay: x,
    name="test_smooth",
    jvp=smoothed_ahead,
    vjp=smoothed_back,
    samples=[
        case(samples.f64(4, 2), samples.f64(), check_order=1),
        case(samples.f32(9, 3), samples.f32(), check_order=1),
    ],
)


def fill_outer(x, y, product, total):
    for i in range(x.shape[0]):
        for j in range(y.shape[0]):
            product[i, j] = x[i] * y[j]
            total[0] += x[i] * y[j]


@numba.njit
def fill_outer_forward(x, y, dx, dy):
    moved = np.outer(dx, y) + np.outer(x, dy)
    return moved, moved.sum()


@numba.njit
def fill_outer_back(x, y, ct, ct_total):
    return (ct + ct_total) @ y, (ct + ct_total).T @ x


outer = from_numba(
    numba.njit(fill_outer),
    lambda x, y: [ShapedArray((x.shape[0], y.shape[0]), x.dtype), ShapedArray((), x.dtype)],
    name="test_outer",
    fills=True,
    multiple_results=True,
    jvp=fill_outer_forward,
    vjp=fill_outer_back,
    samples=[case(samples.f64(2), samples.f64(3), check_order=1), case(samples.f64(0), samples.f64(9), check_order=1)],
)


@numba.guvectorize(["(float64[:,:], float64[:], float64, float64[:])"], "(m,n),(n),()->(m)")
def affine_rows(a, x, shift, out):
    for i in range(a.shape[0]):
        out[i] = shift
        for j in range(a.shape[1]):
            out[i] += a[i, j] * x[j]


affine = from_numba(
    affine_rows,
    name="test_affine",
    jvp=lambda p, t: (
        affine(*p),
        fnp.vecdot(t[0], p[1][..., None, :]) + fnp.vecdot(p[0], t[1][..., None, :]) + t[2][..., None],
    ),
    samples=[
        case(samples.f64(2, 3), samples.f64(3), samples.f64()),
        case(samples.f64(4, 2, 3), samples.f64(4, 3), samples.f64(4)),
    ],
)

OPERATIONS = [bump, leaky, smooth, outer, affine]


@pytest.mark.parametrize("op", OPERATIONS, ids=lambda op: op.name)
def test_the_generated_checks(op):
    fad.testing.check_primitive(op)


def runs_natively(f, *args):
    compiled = fad.jit(f).lower(*args).compile()
    return compiled.native.reasons == {} and len(compiled.native.steps) == 1


@pytest.mark.parametrize("op", OPERATIONS, ids=lambda op: op.name)
def test_it_runs_inside_the_native_segment(op):
    for sample in op.core.samples:
        args = sample.make()
        assert runs_natively(lambda *xs: op(*[x * 1 for x in xs]), *args), sample


def test_it_runs_natively_under_transforms_and_in_loops():
    assert runs_natively(fad.grad(lambda x: fnp.sum(smooth(x * 2, 0.5))), np.ones((4, 2)))
    assert runs_natively(fad.vmap(lambda x: smooth(x, 0.5) + 1), np.ones((5, 4, 2)))
    assert runs_natively(lambda x: fad.scan(lambda c, v: (bump(c, 1.0) + v, c), 0.0, x), X)


def test_the_code_serves_all_sizes():
    f = fad.jit(lambda x: smooth(x, 0.5).sum())
    for n in (9, 10, 1000):
        x = np.linspace(0, 1, 2 * n).reshape(n, 2)
        np.testing.assert_allclose(f(x), smoothed(x, 0.5).sum(), rtol=1e-12)


def test_code_with_addresses_of_this_process_is_not_kept_on_disk():
    def looped(x):
        return fad.scan(lambda c, v: (leaky(c) + v, c), 0.0, x)[0]

    for f in (leaky, looped):
        (step,) = fad.jit(f).lower(X).compile().native.steps
        assert not program_form(step.program).is_lasting


def test_functions_of_one_name_have_code_of_their_own():
    for factor in (2.0, 3.0):
        op = from_numba(numba.njit(lambda x, f=factor: f * x), lambda x: x, name="test_scaling")
        np.testing.assert_allclose(fad.jit(lambda x, op=op: op(x * 1))(X), factor * X)


def test_memory_layouts_and_empty_arrays():
    wide = np.arange(24.0).reshape(4, 6)
    for x in (wide[:, ::2], wide.T[::-1], np.asfortranarray(wide), wide[:, :0], wide[:0]):
        for f in (lambda x: smooth(x, 0.5), fad.jit(lambda x: smooth(x, 0.5))):
            if x.shape[0]:
                np.testing.assert_allclose(f(x), smoothed(np.ascontiguousarray(x), 0.5))
        np.testing.assert_allclose(fad.jit(leaky)(x), np.where(x > 0, x, 0.1 * x))
        assert leaky(x).shape == fad.grad(lambda x: leaky(x).sum())(x).shape == x.shape
    special = np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324])
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(fad.jit(leaky)(special), leaky_of_number(special))


def test_elements_broadcast_and_promote_as_in_numpy():
    x32 = X.astype(np.float32)
    scaled = from_numba(numba.njit(lambda x, y: x * y), name="test_scaled")
    assert scaled(x32, 2.0).dtype == fad.jit(scaled)(x32, 2.0).dtype == np.float32
    assert scaled(x32, X).dtype == scaled(np.array([1, 2]), 0.5).dtype == np.float64
    assert leaky(np.array([1, -2])).dtype == np.float64
    assert bump(X[:, None], np.array([1.0, 2.0])).shape == (3, 2)
    np.testing.assert_allclose(fad.jit(bump)(X[:, None], X**2), bump(X[:, None], X**2), rtol=1e-15)
    expected = np.where(X > 0, X, 0.1 * X)
    np.testing.assert_array_equal(leaky(X), expected)
    np.testing.assert_array_equal(leaky([[1.0], [-2.0]]), [[1.0], [-0.2]])
    assert type(leaky(2)) is fad.Array


def test_a_function_for_declared_types_converts_numbers_and_takes_copies():
    halved = from_numba(numba.vectorize(["float64(float64)"])(lambda x: x / 2), name="test_halved")
    assert halved(np.array([1, 2])).tolist() == [0.5, 1.0]
    assert fad.jit(halved)(np.array([1, 2])).tolist() == [0.5, 1.0]

    @numba.njit("float64[:](float64[:])")
    def shifting(x):
        x[0] += 1
        return x

    shift = from_numba(shifting, lambda x: x, name="test_shift")
    for f in (shift, fad.jit(shift), fad.jit(lambda x: shift(x * 1) + x)):
        x = np.zeros(3)
        f(x)
        assert not x.any()
    assert shift(np.zeros(3)).tolist() == fad.jit(shift)(np.zeros(3)).tolist() == [1, 0, 0]


def test_parameters_are_constants_of_the_code():
    power = numba.njit(lambda x, order=2, mode="plain": x**order if mode == "plain" else -(x**order))
    op = from_numba(power, lambda x, **_: x, name="test_power")
    np.testing.assert_allclose(op(X, order=3), X**3, rtol=1e-15)
    for params in ({"order": 3}, {"order": 2, "mode": "negative"}, {}):
        f = fad.jit(lambda x, params=params: op(x, **params) * 1)
        np.testing.assert_allclose(f(X), power(X, **params), rtol=1e-15)
        assert runs_natively(lambda x, params=params: op(x, **params), X)


def test_parameters_of_one_value_and_several_types_differ():
    flipped = from_numba(numba.njit(lambda x, by=0: x * ~by), lambda x, **_: x, name="test_flipped")
    for by, factor in ((1, -2), (True, 0), (0, -1)):
        np.testing.assert_allclose(fad.jit(lambda x, by=by: flipped(x * 1, by=by))(X), factor * X)
    with pytest.raises(DTypeError, match="test_flipped: numba cannot compile"):
        fad.jit(lambda x: flipped(x * 1, by=1.0))(X)


# -- exceptions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [bump, fad.jit(bump), fad.jit(lambda x, w: bump(x * 1, w) + 1)])
def test_exceptions_come_out(f):
    assert f(X, 1.0).shape == (3,)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError, match="a bump needs a width"):
            f(X, 0.0)
        with pytest.raises(ValueError, match="negative width") as caught:
            f(X, -1.0)
        assert type(caught.value) is ValueError
    assert f(X, 1.0).shape == (3,)


def test_exceptions_in_loops_and_threads_come_out():
    f = fad.jit(lambda xs: fad.scan(lambda c, x: (c + bump(x, x), c), 0.0, xs)[0])
    bad, good, errors = np.ones(50), np.ones(50), []
    bad[49] = 0
    f(good)

    def work(x):
        for _ in range(10):
            try:
                f(x)
            except ZeroDivisionError as error:
                errors.append(error)

    threads = [threading.Thread(target=work, args=(x,)) for x in (bad, good, bad, good)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 20


def test_a_result_of_another_shape_is_explained():
    first = from_numba(numba.njit(lambda x: x[:2].copy()), lambda x: x, name="test_first")
    for f in (first, fad.jit(first), fad.jit(lambda x: first(x * 1))):
        assert f(np.ones(2)).shape == (2,)
        with pytest.raises(ShapeError, match=r"impl gives float64\[2\] where the shape rule says float64\[3\]"):
            f(X)


def test_a_result_of_another_dtype_is_explained():
    op = from_numba(numba.njit(lambda x: x > 0), lambda x: x, name="test_positive")
    for f in (op, fad.jit(op)):
        with pytest.raises(ShapeError, match=r"impl gives bool\[3\] where the shape rule says float64\[3\]"):
            f(X)


def test_what_numba_cannot_compile_is_explained():
    unknown = from_numba(numba.njit(lambda x: np.apply_over_axes(np.sum, x, 0)), lambda x: x, name="test_unknown")
    for f in (unknown, fad.jit(unknown)):
        with pytest.raises(
            DTypeError, match=r"test_unknown: numba cannot compile the function for \(float64\[3\]\).*apply_over_axes"
        ):
            f(X)
    number = from_numba(numba.njit(lambda x: x.no_such_method()), name="test_number")
    with pytest.raises(DTypeError, match="test_number: numba cannot compile the function for"):
        number(1.0)


def test_writing_into_an_argument_is_refused():
    @numba.njit
    def writing(x):
        x[0] = 1.0
        return x

    op = from_numba(writing, lambda x: x, name="test_writing_argument")
    x = np.zeros(3)
    for f in (op, fad.jit(op), fad.jit(lambda x: op(x * 1))):
        with pytest.raises(DTypeError, match=r"must not write into them. Copy one first"):
            f(x)
    assert not x.any()


def test_dtypes_that_native_code_does_not_hold_run_in_between():
    twice = from_numba(numba.njit(lambda z: z * 2), partials=[lambda z: 2.0], name="test_twice")
    z = X + 1j
    assert not runs_natively(lambda z: twice(z * 1), z)
    np.testing.assert_array_equal(fad.jit(lambda z: twice(z * 1))(z), 2 * z)
    assert fad.grad(lambda z: fnp.sum(fnp.real(twice(z))))(z).tolist() == [2, 2, 2]


def test_functions_with_threads_of_their_own_run_between_segments():
    @numba.njit(parallel=True)
    def rows(x):
        out = np.zeros(x.shape[0])
        for i in numba.prange(x.shape[0]):
            out[i] = x[i].sum()
        return out

    op = from_numba(rows, lambda x: ShapedArray(x.shape[:1], x.dtype), name="test_parallel")
    compiled = fad.jit(lambda x: op(x * 2)).lower(np.ones((3, 2))).compile()
    assert "threads must not be started from several threads" in compiled.native.reasons["test_parallel"]
    assert compiled(np.ones((3, 2))).tolist() == [4, 4, 4]


# -- derivatives ----------------------------------------------------------------------------------------------------------


def test_without_rules_it_says_what_to_give():
    op = from_numba(numba.njit(lambda x: x * x), name="test_bare")
    for run in (lambda: fad.grad(op)(2.0), lambda: fad.jvp(fad.jit(op), (2.0,), (1.0,))):
        with pytest.raises(
            NonDifferentiableError, match=r"from_numba\(test_bare, ..., partials=\[...\], jvp= or vjp="
        ) as caught:
            run()
        assert "fad.jit(test_bare)" in str(caught.value)
    assert float(fad.vmap(op)(X)[0]) == 0.09
    counting = from_numba(
        numba.njit(lambda x: int(np.sum(x > 0))), lambda x: ShapedArray((), "int64"), name="test_counts"
    )
    assert fad.grad(lambda x: fnp.sum(x) * counting(x))(X).tolist() == [2, 2, 2]


def test_rules_that_numba_compiled_go_one_way_and_once():
    def shape(x):
        return x

    square = numba.njit(lambda x: x * x)
    backward = numba.njit(lambda x, ct: 2 * x * ct)
    back = from_numba(square, shape, name="test_back", vjp=backward)
    ahead = from_numba(square, shape, name="test_ahead", jvp=backward)
    assert fad.grad(lambda x: back(x).sum())(X).tolist() == fad.jvp(ahead, (X,), (np.ones(3),))[1].tolist()
    with pytest.raises(
        NonDifferentiableError, match="test_back has a vjp rule that numba compiled.*forward mode needs jvp="
    ):
        fad.jvp(back, (X,), (X,))
    with pytest.raises(
        NonDifferentiableError, match="test_ahead has a jvp rule that numba compiled.*reverse mode needs vjp="
    ):
        fad.grad(lambda x: ahead(x).sum())(X)
    with pytest.raises(
        NonDifferentiableError, match="the vjp rule of test_back was compiled by numba.*higher derivatives"
    ):
        fad.grad(lambda x: fad.grad(lambda x: back(x).sum())(x).sum())(X)


def test_all_transforms_stack():
    def loss(x):
        return fnp.sum(bump(x, 0.7) * leaky(x)) + fnp.sum(affine(fnp.outer(x, x), x, 1.0))

    expected = [(loss(X + d) - loss(X - d)) / 2e-6 for d in 1e-6 * np.eye(3)]
    for gradient in (fad.grad(loss), fad.jit(fad.grad(loss)), fad.grad(fad.jit(loss)), fad.grad(fad.checkpoint(loss))):
        np.testing.assert_allclose(gradient(X), expected, rtol=1e-7)
    np.testing.assert_allclose(fad.vmap(fad.grad(loss))(X[None])[0], expected, rtol=1e-7)
    np.testing.assert_allclose(fad.jacfwd(loss)(X), expected, rtol=1e-7)
    hessian = fad.hessian(lambda x: fnp.sum(bump(x, 0.7)))(X)
    slopes = np.array([(bump_slope(x + 1e-6, 0.7) - bump_slope(x - 1e-6, 0.7)) / 2e-6 for x in X])
    np.testing.assert_allclose(hessian, np.diag(slopes), atol=1e-8)
    assert runs_natively(fad.grad(loss), X)


def test_a_batch_rule_of_ones_own():
    calls = []

    def batch(size, args, mapped):
        calls.append(size)
        return fnp.cumsum(args[0], axis=1), True

    op = from_numba(numba.njit(lambda x: np.cumsum(x)), lambda x: x, name="test_cumsum", batch=batch)
    np.testing.assert_allclose(fad.vmap(op)(np.stack([X, X])), [np.cumsum(X)] * 2)
    assert calls == [2]


# -- declarations ---------------------------------------------------------------------------------------------------------

number = numba.njit(lambda x: x)
dynamic = numba.guvectorize("(n)->(n)")(lambda x, out: None)
MISTAKES = [
    (
        lambda: from_numba(math.sin),
        "must be one that numba compiled.*got builtin_function_or_method.*Decorate it with @numba.njit",
    ),
    (lambda: from_numba(leaky_of_number, lambda x: x), "have shapes of their own; leave shape out"),
    (lambda: from_numba(number, fills=True), "fills=True needs shape="),
    (lambda: from_numba(number, multiple_results=True), "multiple_results=True needs shape="),
    (lambda: from_numba(number, partials=[None, None]), "one entry for each of the 1 arguments, got 2"),
    (lambda: from_numba(number, partials=[None], vjp=number), "give one of them"),
    (lambda: from_numba(number, lambda x: x, partials=[None]), "partials are for functions of numbers"),
    (lambda: from_numba(number, vjp=number), "a vjp rule compiled by numba is for functions of whole arrays"),
    (lambda: from_numba(dynamic), "declare them, as in"),
    (lambda: from_numba(affine_rows, multiple_results=True), "has 1 results; set multiple_results to match"),
    (lambda: from_numba(number, name="sin"), "fad has an operation of that name"),
    (lambda: bump(1.0), "test_bump takes 2 arguments, got 1"),
]


@pytest.mark.parametrize(("run", "message"), MISTAKES, ids=[m for _, m in MISTAKES])
def test_mistakes_are_explained(run, message):
    with pytest.raises(ArgumentError, match=message):
        run()


@pytest.mark.parametrize("dtype", ["float32", "bool"])
def test_results_may_lie_in_memory_in_any_order(dtype):
    @numba.njit
    def parts(x):
        return x.transpose(2, 0, 1), x[::-1, 1, ::2]

    def shapes(x):
        a, b, c = x.shape
        return [ShapedArray((c, a, b), x.dtype), ShapedArray((a, -(-c // 2)), x.dtype)]

    operation = from_numba(parts, shapes, name=f"test_parts_{dtype}", multiple_results=True)
    compiled = fad.jit(operation)
    for sizes in ((2, 3, 5), (2, 3, 0)):
        x = np.random.default_rng(0).integers(0, 2, sizes).astype(dtype)
        assert compiled.lower(x).compile().native.reasons == {}
        for found, expected in zip(compiled(x), parts.py_func(x), strict=True):
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)


def test_shapes_that_do_not_fit_are_explained():
    with pytest.raises(ShapeError, match=r"test_bump: shapes \(3,\), \(2,\) do not broadcast"):
        bump(X, np.ones(2))
    with pytest.raises(ShapeError, match=r"test_affine: argument 1 needs the axes \(n\), got shape \(\)"):
        affine(np.ones((2, 3)), 1.0, 1.0)
    with pytest.raises(ShapeError, match=r"axis n has size 3, and 2 in argument 1 \(float64\[2\]\)"):
        affine(np.ones((2, 3)), np.ones(2), 1.0)
    with pytest.raises(DTypeError, match="one number for each"):
        from_numba(numba.njit(lambda x: (x, x)), name="test_pair")(1.0)


def test_several_results_where_the_shape_rule_says_one():
    twice = from_numba(numba.njit(lambda x: (x, 2.0 * x)), lambda x: x, name="test_twice")
    for call in (twice, fad.jit(twice), fad.vmap(twice)):
        with pytest.raises(ShapeError, match=r"test_twice: the function gives 2 results .* multiple_results=True"):
            call(np.ones((2, 3)))
