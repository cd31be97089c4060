"""NumPy's protocols: what plain NumPy code does with fad values, and what it is told where that cannot work."""

import math

import numpy as np
import pytest
import scipy.special

import fad
import fad.numpy as fnp
from fad.core.errors import (
    ConcretizationError,
    DTypeError,
    FadError,
    ImmutableArrayError,
    NonDifferentiableError,
    ShapeError,
)
from fad.primitives.object_arrays import Element

X = np.array([0.5, -1.5, 2.0])
MODES = {
    "grad": lambda f: fad.grad(lambda x: fnp.sum(f(x))),
    "jit": lambda f: fad.jit(f),
    "vmap": lambda f: lambda x: fad.vmap(f)(np.stack([x, x])),
}


def gradient(f, x=X):
    return fad.grad(lambda v: np.sum(f(v)))(x)


# --- arrays and lists of traced values -------------------------------------------------------------------------------------


def test_array_of_traced_scalars():
    f = lambda x: np.array([x[0] * x[1], 3.0, np.sin(x[2])])  # noqa: E731
    np.testing.assert_allclose(fad.jit(f)(X), f(X))
    np.testing.assert_allclose(fad.vmap(f)(np.stack([X, 2 * X])), [f(X), f(2 * X)])
    np.testing.assert_allclose(gradient(f), [X[1], X[0], np.cos(X[2])])
    value, slope = fad.jvp(f, (X,), (np.ones(3),))
    np.testing.assert_allclose(value, f(X))
    np.testing.assert_allclose(slope, [X[0] + X[1], 0, np.cos(X[2])])


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.asarray(x) * 2,
        lambda x: np.array(x) ** 2 + 1,
        lambda x: np.asanyarray(x)[::-1] * X,
        lambda x: np.sin(np.asarray(x)),
        lambda x: np.sqrt(np.abs(np.asarray(x))),
        lambda x: np.asarray(x)[1] * x,
        lambda x: np.array([x, 2 * x, x**2]).T,
        lambda x: np.array([[x[0], 1], [0, x[1]]]) @ np.array([x[0], 2.0]),
        lambda x: np.exp(np.array([x[0], 1.0]) * x[1]),
        lambda x: np.concatenate([np.asarray(x), x]),
        lambda x: np.where(np.arange(3) > 1, np.asarray(x), 0.0),
        lambda x: np.full(2, x[0]) + np.full((2, 2), x[1]),
        lambda x: np.sum([x[0], x[1] * x[2]]) * np.ones(1),
        lambda x: np.prod(np.array([x[0], x[2]])),
        lambda x: np.mean(np.array([x, x**2]), axis=0),
        lambda x: np.std(np.asarray(x)),
        lambda x: np.linalg.norm(np.array([x[0], x[1]])),
        lambda x: np.dot(np.array([x[0], x[1]]), np.array([1.0, x[2]])),
        lambda x: np.cumsum(np.asarray(x)),
        lambda x: np.vectorize(lambda v: v * v + 1)(x),
        lambda x: np.stack([np.asarray(x), X]),
        lambda x: np.array([x[0], x[1]])[0] * x,
        lambda x: np.outer(np.array([x[0], 1.0]), x),
        lambda x: (np.array([x[0], x[1]]) > 0) * np.array([2.0, 3.0]) * x[2],
        lambda x: np.array([x[0], x[2]]) % 0.3,
        lambda x: np.mean(np.asarray(x)) * x,
        lambda x: np.maximum(np.asarray(x), 0.1),
        lambda x: np.arctan2(np.array([x[0], x[1]]), 1.0) + np.hypot(np.asarray(x)[:2], 2.0),
        lambda x: np.sort(np.asarray(x)) * X,
        lambda x: np.array([v.sum() for v in (x, x * 2)]),
    ],
)
def test_object_arrays_are_followed(f):
    expected = [np.sum(f(X + h) - f(X - h)) / 2e-6 for h in 1e-6 * np.eye(3)]
    np.testing.assert_allclose(gradient(f), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(fad.jvp(lambda x: np.sum(f(x)), (X,), (np.ones(3),))[1], np.sum(expected), rtol=1e-6)


def test_a_whole_array_costs_no_operation():
    seen = []

    def f(x):
        seen.append(fnp.asarray(np.asarray(x)) is x)
        return fnp.sum(fnp.asarray(np.asarray(x)))

    fad.grad(f)(X)
    assert seen == [True]


def test_elements_look_like_numbers():
    def f(x):
        element = np.asarray(x)[0]
        assert isinstance(element, Element)
        assert (element.shape, element.ndim) == ((), 0)
        assert repr(element) == f"{element}" == "Element<float64>"
        assert element == 0.5 and element < 1 and bool(element) and not isinstance(element < 1, Element)
        with pytest.raises(TypeError):
            len(element)
        with pytest.raises(TypeError):
            hash(element)
        with pytest.raises(AttributeError):
            element.__array__  # noqa: B018
        for convert in (float, int, complex):
            with pytest.raises(ConcretizationError):
                convert(element)
        return (
            element * x[1] + np.logaddexp(element, 1.0) + np.float64(2) * element + round(element, 1) + (-element) ** 2
        )

    np.testing.assert_allclose(fad.grad(f)(X)[0], X[1] + 1 / (1 + np.exp(0.5)) + 2 + 2 * X[0])


def test_elements_return_from_transformed_functions():
    np.testing.assert_allclose(fad.grad(lambda x: np.asarray(x)[1] ** 2)(X), [0, 2 * X[1], 0])
    value, aux = fad.grad(lambda x: (x.sum(), np.asarray(x)), has_aux=True)(X)
    np.testing.assert_array_equal(aux, X)
    assert isinstance(aux, fad.Array)


def test_complex_values_are_refused_because_numpy_would_lose_their_imaginary_part():
    def through_array(x):
        return np.imag(np.array([x[0], x[1]]) * 1j).sum()

    def through_number(x):
        return np.sum(np.array([x[0], x[1]])).imag * np.complex64(1j)

    for f in (
        through_array,
        lambda x: np.real(np.asarray(x * 1j)).sum(),
        lambda x: np.imag(np.array([x[0] * 1j])).sum(),
        lambda x: (np.array([[x[0]], [x[1]]]) + np.array([1j, 2j])).imag.sum(),
        lambda x: np.imag(1j * np.asarray(x)).sum(),
        through_number,
    ):
        for transform in MODES.values():
            with pytest.raises(DTypeError, match="numpy.stack"):
                transform(f)(X)
    # Without object arrays complex numbers are as good as any.
    assert fad.grad(lambda x: (np.exp(1j * x[0]) * (2 + 1j)).imag)(X)[0] == pytest.approx(2 * np.cos(0.5) - np.sin(0.5))


def test_dtype_asked_for_is_refused():
    for f in (
        lambda x: np.asarray(x, dtype=float),
        lambda x: np.array([x[0]], dtype=np.float32),
        lambda x: np.float64(x[0]),
    ):
        for transform in MODES.values():
            with pytest.raises(FadError):
                transform(f)(X)


def test_very_large_arrays_are_not_taken_apart():
    with pytest.raises(ConcretizationError, match="one by one"):
        fad.grad(lambda x: np.asarray(x).sum())(np.ones(20_000))


def test_known_integers_and_masks_become_plain_arrays():
    def f(x):
        order = np.asarray(np.argsort(x))
        assert order.dtype == np.int64
        mask = np.asarray(x > 0)
        assert mask.dtype == bool
        return np.sum(x[order][::2] * X[order][::2]) + np.sum(x[mask])

    assert fad.grad(f)(X).shape == (3,)
    with pytest.raises(ConcretizationError, match=r"numpy.take\(table, x\)"):
        fad.jit(lambda x: X[np.argsort(x)])(X)


def test_mixed_object_arrays():
    def f(x):
        mixed = np.array([x[0], np.float32(2), 3, True], dtype=object)
        return fnp.sum(fnp.asarray(mixed) * np.arange(4.0))

    np.testing.assert_allclose(fad.grad(f)(X + 1), [0, 0, 0])
    with pytest.raises(DTypeError, match="str among traced values"):
        fad.grad(lambda x: fnp.sum(np.array([x[0], "a"], dtype=object)))(X)
    with pytest.raises(ShapeError, match="numpy.stack"):
        held = np.empty(2, object)

        def holds_arrays(x):
            held[0], held[1] = fad.Array(X), x[0]
            return fnp.sum(held)

        fad.grad(holds_arrays)(X)


# --- what NumPy would write into --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "write",
    [
        lambda out, x: np.copyto(out, x),
        lambda out, x: np.put(out, [0], x[:1]),
        lambda out, x: np.place(out, out == 0, x),
        lambda out, x: np.putmask(out, out == 0, x),
        lambda out, x: np.add(x, 1, out=out),
        lambda out, x: np.add.at(out, [0, 1, 2], x),
        lambda out, x: np.cumsum(x, out=out),
        lambda out, x: np.sum(x, out=out[0]),
        lambda out, x: np.concatenate([x], out=out),
        lambda out, x: np.clip(x, 0, 1, out=out),
        lambda out, x: np.matmul(np.eye(3), x, out=out),
        lambda out, x: np.put_along_axis(out, np.array([0]), x[:1], 0),
        lambda out, x: np.fill_diagonal(x[:, None] * x, 0),
        lambda out, x: x.__setitem__(0, 1.0),
        lambda out, x: out.__iadd__(x),
    ],
)
def test_writing_is_refused(write):
    for transform in ("eager", *MODES):
        call = lambda x: write(np.zeros(3), x)  # noqa: E731
        with pytest.raises(ImmutableArrayError):
            call(fad.Array(X)) if transform == "eager" else MODES[transform](call)(X)


@pytest.mark.parametrize("mode", MODES)
def test_assignment_of_traced_values_into_numpy_arrays_is_refused(mode):
    def element(x):
        out = np.zeros(3)
        out[0] = x[0]
        return fnp.asarray(out) * x

    def part(x):
        out = np.zeros(3)
        out[:] = x
        return fnp.asarray(out) * x

    for write in (element, part):
        with pytest.raises(ConcretizationError):
            MODES[mode](write)(X)


# --- functions that fad does not have ---------------------------------------------------------------------------------------


def test_unknown_functions_run_on_numpy_where_values_are_concrete():
    assert np.array_repr(fad.Array([1.0])) == "array([1.])"
    assert np.may_share_memory(fad.Array(X), X) is False


@pytest.mark.parametrize("mode", MODES)
def test_unknown_functions_are_refused_by_name_under_transforms(mode):
    with pytest.raises(NonDifferentiableError, match=r"numpy\.shares_memory is not supported"):
        MODES[mode](lambda x: np.shares_memory(x, x) * x[0])(X)
    with pytest.raises(NonDifferentiableError, match="'eval_legendre'"):
        MODES[mode](lambda x: scipy.special.eval_legendre(2, x))(X)


@pytest.mark.parametrize("name", ["erf", "gammaln", "expit", "logit", "i0", "xlogy", "ndtr"])
def test_functions_of_scipy_special_are_followed(name):
    function = getattr(scipy.special, name)
    args = (np.array([0.3, 0.6]),) * (2 if name == "xlogy" else 1)
    np.testing.assert_allclose(fad.jit(function)(*args), function(*args), rtol=1e-12)
    h = 1e-6
    slope = (function(args[0] + h, *args[1:]) - function(args[0] - h, *args[1:])) / (2 * h)
    np.testing.assert_allclose(fad.grad(lambda x: np.sum(function(x, *args[1:])))(args[0]), slope, rtol=1e-6)


def test_unknown_ufuncs_run_where_values_are_concrete():
    np.testing.assert_allclose(scipy.special.eval_legendre(2, fad.Array(X)), 1.5 * X**2 - 0.5)
    with pytest.raises(ImmutableArrayError, match="immutable"):
        scipy.special.eval_legendre(2, X, out=fad.Array(X))
    made = np.frompyfunc(lambda v: v * v, 1, 1)
    with pytest.raises(NonDifferentiableError, match="not known to fad"):
        fad.grad(lambda x: made(x).sum())(X)


def test_python_functions_that_need_numbers_are_refused():
    for f in (
        lambda x: math.sin(x[0]) * x,
        lambda x: x * float(x[0]),
        lambda x: x * x[0].item(),
        lambda x: sum(x.tolist()) * x,
    ):
        for transform in MODES.values():
            with pytest.raises(ConcretizationError, match="concrete value"):
                transform(f)(X)


# --- exchange with others ---------------------------------------------------------------------------------------------------


def test_array_gives_a_read_only_view():
    x = fad.Array(X)
    view = np.asarray(x)
    assert not view.flags.writeable
    assert np.shares_memory(view, np.asarray(x))
    assert np.array(x).flags.writeable
    assert np.asarray(x, dtype="float32").dtype == np.float32
    with pytest.raises(DTypeError, match="without a copy"):
        np.asarray(x, dtype="float32", copy=False)


def test_dlpack_both_ways():
    np.testing.assert_array_equal(np.from_dlpack(fad.Array(X)), X)
    np.testing.assert_array_equal(fnp.from_dlpack(X), X)
    with pytest.raises(ConcretizationError, match="__dlpack__"):
        fad.grad(lambda x: np.from_dlpack(x).sum())(X)


def test_numpy_operators_defer_to_fad():
    assert isinstance(X + fad.Array(X), fad.Array)
    assert isinstance(np.float64(2) * fad.Array(X), fad.Array)
    assert isinstance(np.stack([X, fad.Array(X)]), fad.Array)
    assert isinstance(np.linalg.solve(np.eye(3), fad.Array(X)), fad.Array)
    assert isinstance(np.fft.fft(fad.Array(X)), fad.Array)
    assert isinstance(np.einsum("i,i", X, fad.Array(X)), fad.Array)


def test_lists_stand_for_arrays():
    x = fad.Array(X)
    np.testing.assert_array_equal(x + [1, 2, 3], X + [1, 2, 3])
    np.testing.assert_array_equal([1, 2, 3] * x, X * [1, 2, 3])
    np.testing.assert_array_equal(fnp.array([x, [1, 2, 3]]), [X, [1, 2, 3]])
    with pytest.raises(ShapeError, match="ragged"):
        fnp.array([x, x[:2]])
    with pytest.raises(ShapeError, match="ragged"):
        fnp.array([[1, 2], [3]])
    with pytest.raises(DTypeError, match="not supported"):
        fnp.array(["a"])
    with pytest.raises(DTypeError, match="lack its return"):
        fnp.sin(None)


def test_array_api_namespace_has_every_name_of_the_standard():
    names = (
        "abs acos acosh add all any arange argmax argmin argsort asarray asin asinh astype atan atan2 atanh bitwise_and "
        "bitwise_invert bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor bool broadcast_arrays broadcast_to can_cast "
        "ceil clip complex128 complex64 concat conj copysign cos cosh count_nonzero cumulative_prod cumulative_sum diff divide e "
        "empty empty_like equal exp expand_dims expm1 eye finfo flip float32 float64 floor floor_divide from_dlpack full full_like "
        "greater greater_equal hypot iinfo imag inf int16 int32 int64 int8 isdtype isfinite isinf isnan less less_equal linspace "
        "log log10 log1p log2 logaddexp logical_and logical_not logical_or logical_xor matmul matrix_transpose max maximum mean "
        "meshgrid min minimum moveaxis multiply nan negative newaxis nextafter nonzero not_equal ones ones_like permute_dims pi "
        "positive pow prod real reciprocal remainder repeat reshape result_type roll round searchsorted sign signbit sin sinh sort "
        "sqrt square squeeze stack std subtract sum take take_along_axis tan tanh tensordot tile tril triu trunc uint16 uint32 "
        "uint64 uint8 unique_all unique_counts unique_inverse unique_values unstack var vecdot where zeros zeros_like "
        "__array_namespace_info__"
    ).split()
    space = fad.Array(X).__array_namespace__()
    assert [name for name in names if not hasattr(space, name)] == []
    linalg = (
        "cholesky cross det diagonal eigh eigvalsh inv matmul matrix_norm matrix_power matrix_rank matrix_transpose outer pinv qr "
        "slogdet solve svd svdvals tensordot trace vecdot vector_norm"
    ).split()
    assert [name for name in linalg if not hasattr(space.linalg, name)] == []
    fft = "fft ifft fftn ifftn rfft irfft rfftn irfftn hfft ihfft fftfreq rfftfreq fftshift ifftshift".split()
    assert [name for name in fft if not hasattr(space.fft, name)] == []
    info = space.__array_namespace_info__()
    assert info.capabilities()["boolean indexing"] is True
    assert info.default_device() == "cpu"
    assert info.default_dtypes()["real floating"] == np.float64
    assert info.dtypes(kind="integral")["int8"] == np.int8
    assert info.devices() == ["cpu"]
