"""Bad input to fad.numpy: each case has its own exception, a fad type and the built-in one that NumPy users expect, and says what to do."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core.errors import (
    ArgumentError,
    ConcretizationError,
    DTypeError,
    FadError,
    ImmutableArrayError,
    IndexOutOfBoundsError,
    ShapeError,
)

V = fnp.array([1.0, 2.0, 3.0])
M = fnp.array([[1.0, 2.0], [3.0, 4.0]])

CASES = [
    (lambda: fnp.array([[1, 2], [3]]), ShapeError, "ragged"),
    (lambda: fnp.array("text"), DTypeError, "Convert first"),
    (lambda: fnp.array(np.array([None, 1], dtype=object)), DTypeError, "not supported"),
    (lambda: fnp.array(np.ma.masked_array([1.0], [True])), DTypeError, "filled"),
    (lambda: fnp.array(1.0, device="gpu"), ArgumentError, "device must be 'cpu'"),
    (lambda: fnp.zeros((2, -1)), ShapeError, "negative sizes"),
    (lambda: fnp.zeros(2.5), ArgumentError, "a shape must be an int"),
    (lambda: fnp.linspace(0, 1, -1), ArgumentError, "num must not be negative"),
    (lambda: fnp.meshgrid(V, indexing="yx"), ArgumentError, "'xy' or 'ij'"),
    (lambda: fnp.reshape(V, (2, 2)), ShapeError, r"\(3,\) \(3 elements\) into \(2, 2\)"),
    (lambda: fnp.reshape(V, (-1, -1)), ShapeError, "cannot reshape"),
    (lambda: fnp.reshape(V, "ab"), ArgumentError, "tuple of ints"),
    (lambda: fnp.reshape(V, 3, order="Z"), ArgumentError, "order must be"),
    (lambda: V.reshape(), ArgumentError, "needs a shape"),
    (lambda: fnp.transpose(M, (0, 0)), ShapeError, "names an axis twice"),
    (lambda: fnp.transpose(M, (0,)), ShapeError, "do not name each"),
    (lambda: V.mT, ShapeError, "at least two axes"),
    (lambda: fnp.squeeze(M, 0), ShapeError, "has size 2, not 1"),
    (lambda: fnp.expand_dims(V, 5), ShapeError, "out of bounds"),
    (lambda: fnp.swapaxes(V, 0, 1), ShapeError, "axis 1 is out of bounds"),
    (lambda: fnp.moveaxis(M, (0, 1), 0), ShapeError, "2 source axes but 1"),
    (lambda: fnp.broadcast_to(V, (2,)), ShapeError, "broadcast"),
    (lambda: fnp.broadcast_shapes((2,), (3,)), ShapeError, "do not broadcast"),
    (lambda: fnp.fliplr(V), ShapeError, "at least two axes"),
    (lambda: fnp.roll(M, (1, 2, 3), (0, 1)), ShapeError, "3 shifts but 2 axes"),
    (lambda: fnp.repeat(V, [1, 2]), ShapeError, "2 repeats do not fit"),
    (lambda: fnp.repeat(V, -1), ShapeError, "must not be negative"),
    (lambda: fnp.repeat(V, 1.5), DTypeError, "repeats must be integers"),
    (lambda: fnp.concatenate([]), ArgumentError, "at least one array"),
    (lambda: fnp.concatenate([1.0, 2.0]), ShapeError, "use stack"),
    (lambda: fnp.concatenate([V, M]), ShapeError, "differ outside that axis"),
    (lambda: fnp.concatenate(3), ArgumentError, "sequence of arrays"),
    (lambda: fnp.stack([V, V[:2]]), ShapeError, r"one shape, got \(3,\), \(2,\)"),
    (lambda: fnp.block([[V], V]), ArgumentError, "nested evenly"),
    (lambda: fnp.block([]), ArgumentError, "empty"),
    (lambda: fnp.split(V, 2), ShapeError, "use array_split"),
    (lambda: fnp.array_split(V, 0), ArgumentError, "must be positive"),
    (lambda: fnp.vsplit(V, 1), ShapeError, "at least two axes"),
    (lambda: fnp.dsplit(M, 1), ShapeError, "three axes"),
    (lambda: fnp.unstack(1.0), ShapeError, "0-d"),
    (lambda: fnp.delete(V, 7), IndexOutOfBoundsError, "index 7 is out of bounds"),
    (lambda: fnp.insert(V, -9, 1.0), IndexOutOfBoundsError, "index -9"),
    (lambda: fnp.delete(V, [True, False]), ShapeError, "mask of shape"),
    (lambda: fnp.pad(V, 1, mode="wonder"), ArgumentError, "'wonder' is not supported"),
    (lambda: fnp.pad(V, -1), ShapeError, "must not be negative"),
    (lambda: fnp.pad(V, 1, mode="edge", constant_values=3), ArgumentError, "does not take constant_values"),
    (lambda: fnp.pad(V, ((1, 1), (2, 2))), ShapeError, "does not fit 1 axes"),
    (lambda: fnp.diag(fnp.zeros((1, 1, 1))), ShapeError, "linalg.diagonal"),
    (lambda: fnp.trace(V), ShapeError, "at least two axes"),
    (lambda: fnp.tril(1.0), ShapeError, "at least one axis"),
    (lambda: fnp.vander(M), ShapeError, "takes a vector"),
    (lambda: fnp.tril_indices_from(V), ShapeError, "takes a matrix"),
    (lambda: fnp.diag_indices_from(V), ShapeError, "two axes"),
    (lambda: fnp.where(V > 0, V), ArgumentError, "two choices"),
    (lambda: fnp.select([V > 0], []), ArgumentError, "1 conditions and 0 choices"),
    (lambda: fnp.select([V], [V]), DTypeError, "must be boolean"),
    (lambda: fnp.piecewise(V, [V > 0], [1, 2, 3]), ArgumentError, "1 or 2 functions, got 3"),
    (lambda: fnp.clip(V, 0, 1, min=0), ArgumentError, "not both"),
    (lambda: fnp.clip(V, 0, 1, out=np.zeros(3)), ImmutableArrayError, "out="),
    (lambda: fnp.diff(V, -1), ArgumentError, "must not be negative"),
    (lambda: fnp.diff(1.0), ShapeError, "0-d"),
    (lambda: fnp.gradient(V[:1]), ShapeError, "too short"),
    (lambda: fnp.gradient(V, 1.0, 2.0), ArgumentError, "2 spacings but 1 axes"),
    (lambda: fnp.gradient(V, edge_order=3), ArgumentError, "1 or 2"),
    (lambda: fnp.gradient(V, V[:2]), ShapeError, "do not fit axis 0"),
    (lambda: fnp.interp(1.0, V, V[:2]), ShapeError, "vectors of one positive length"),
    (lambda: fnp.convolve(M, V), ShapeError, "two vectors"),
    (lambda: fnp.convolve(V, V, mode="half"), ArgumentError, "'full', 'same' or 'valid'"),
    (lambda: fnp.polyval(M, 1.0), ShapeError, "must be a vector"),
    (lambda: fnp.polyder(V, -1), ArgumentError, "negative"),
    (lambda: fnp.polyint(V, 3, [1, 2]), ShapeError, "2 integration constants but order 3"),
    (lambda: fnp.poly(fnp.zeros((2, 3))), ShapeError, "square matrix"),
    (lambda: fnp.polyfit(V, M, 1), ShapeError, "do not fit values"),
    (lambda: fnp.average(M, 0, weights=V), ShapeError, "weights of shape"),
    (lambda: fnp.cov(fnp.zeros((1, 1, 1))), ShapeError, "vectors and matrices"),
    (lambda: fnp.cov(M, fweights=[1, 2, 3]), ShapeError, "do not fit 2 observations"),
    (lambda: fnp.quantile(V, 1.5), ArgumentError, "between 0 and 1"),
    (lambda: fnp.percentile(V, -5), ArgumentError, "between 0 and 100"),
    (lambda: fnp.quantile(V, 0.5, method="guess"), ArgumentError, "'guess' is not one of"),
    (lambda: fnp.quantile(V, 0.5, weights=np.abs(V)), ArgumentError, 'method="inverted_cdf", as in NumPy, got'),
    (lambda: fnp.quantile(V, 0.5, weights=-np.ones_like(V), method="inverted_cdf"), ArgumentError, "not negative"),
    (
        lambda: fnp.quantile(M, 0.5, 0, weights=np.ones(9), method="inverted_cdf"),
        ShapeError,
        r"weights have shape \(9,\)",
    ),
    (
        lambda: fad.jit(lambda x: np.vectorize(lambda a: a.sum(), signature="(n)->()")(x))(M),
        ImmutableArrayError,
        r"NumPy itself \(_vectorize_call_with_signature\).*fad.numpy.vectorize",
    ),
    (lambda: fnp.median(V + 1j), DTypeError, "no order"),
    (lambda: fnp.ravel(M, "K"), ArgumentError, "how the array lies in memory"),
    (lambda: fnp.asarray(M).T.reshape(-1, order="A"), ArgumentError, "rows first"),
    (lambda: np.matmul(fnp.asarray(M), M, axes=[(0, 1), (1, 0), (0, 1)]), ArgumentError, r"fad.numpy.matmul\(x1, x2"),
    (lambda: fnp.median(fnp.zeros(0)), ShapeError, "no elements"),
    (lambda: fnp.sliding_window_view(V, 4), ShapeError, "size 4 does not fit"),
    (lambda: fnp.sliding_window_view(M, 2), ShapeError, "1 sizes does not fit 2 axes"),
    (lambda: fnp.apply_along_axis(fnp.sum, 0, fnp.zeros((2, 0))), ShapeError, "no vector"),
    (lambda: fnp.apply_over_axes(lambda a, axis: 1.0, M, 0), ShapeError, "keep the axes or drop one"),
    (lambda: fnp.vectorize(lambda a: a, signature="(n)->()")(V, V), ArgumentError, "has 1 arguments, the call 2"),
    (lambda: fnp.isdtype(np.float32, "wonder"), ArgumentError, "isdtype"),
    (lambda: fnp.packbits(V), DTypeError, "booleans or integers, got float64"),
    (lambda: fnp.unpackbits([1, 2]), DTypeError, "must be uint8, got int64"),
    (lambda: fnp.unpackbits(np.zeros(1, "uint8"), count=-9), ArgumentError, "leaves out more than the 8 bits"),
    (lambda: fnp.packbits([1], bitorder="middle"), ArgumentError, "'big' or 'little', got 'middle'"),
    (lambda: fnp.result_type(), ArgumentError, "at least one"),
    (lambda: fnp.asarray_chkfinite([np.inf]), ArgumentError, "infinities"),
    (lambda: fnp.r_["-1", V], ArgumentError, "directives"),
    (lambda: fnp.sum(V, axis="0"), ArgumentError, "axis must be an int"),
]


@pytest.mark.parametrize(("call", "kind", "words"), CASES)
def test_bad_input(call, kind, words):
    with pytest.raises(kind, match=words) as caught:
        call()
    assert isinstance(caught.value, FadError)
    assert isinstance(caught.value, IndexError if kind is IndexOutOfBoundsError else ValueError | TypeError)


STAGED_CASES = [
    (lambda x: fnp.arange(x), "linspace"),
    (lambda x: fnp.linspace(0, 1, x), "decides the size"),
    (lambda x: fnp.zeros(fnp.asarray(x, int)), "a shape must be an int"),
    (lambda x: fnp.repeat(V, fnp.asarray(x, int)), "decides the shape"),
    (lambda x: fnp.trim_zeros(V * x), "depends on the values"),
    (lambda x: fnp.real_if_close(x + 0j), "depends on the values"),
    (lambda x: fnp.roots(V * x), "depends on the values"),
    (lambda x: fnp.emath.sqrt(x), "depends on the values"),
    (lambda x: fnp.where(V > x), "depends on the values"),
    (lambda x: fnp.array2string(x), "fad.debug.print"),
    (lambda x: fnp.save("never.npy", x), "needs the values"),
    (lambda x: np.zeros(3)[fnp.asarray(x, int)], "np.take|numpy.take|concrete value"),
]


@pytest.mark.parametrize(("call", "words"), STAGED_CASES)
def test_what_needs_values_says_so_under_jit(call, words):
    with pytest.raises((ConcretizationError, ArgumentError), match=words):
        fad.jit(call)(2.0)
