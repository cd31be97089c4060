"""Compiled functions under an address: SciPy's low-level callables, ctypes, and code that numba compiles."""

import ctypes
import gc
import threading

import numba
import numpy as np
import pytest
from scipy import ndimage
from scipy.integrate import nquad, quad

import fad
import fad.numpy as fnp
from fad.core.errors import ArgumentError

IMAGE = np.random.default_rng(0).uniform(size=(20, 21))


def made(f, *args, signature=None):
    return fad.jit(f).lower(*args).compile().c_function(signature)


def bell(x, height=1.0):
    return height * fnp.exp(-x * x)


def test_quad_of_a_function_and_of_its_gradient():
    value, slope = (made(f, 0.0, signature="double(double)") for f in (bell, fad.grad(bell)))
    assert quad(value.low_level_callable(), 0, 1)[0] == pytest.approx(
        quad(lambda x: np.exp(-x * x), 0, 1)[0], rel=1e-14
    )
    assert quad(slope.low_level_callable(), 0, 1)[0] == pytest.approx(np.exp(-1) - 1, rel=1e-14)
    assert slope.signature == "double (double)"
    assert value.ctypes(0.5) == float(bell(0.5))


def test_further_arguments_come_through_the_void_pointer():
    def f(x, params, shift):
        return fnp.sum(params["w"] * fnp.cos(x)) + fnp.sum(params["b"]) * shift

    params = {"b": np.array([1.0, 2.0]), "w": np.arange(3, dtype=np.float32)}
    c = made(f, 0.0, params, 2, signature="double (double, void *)")
    callback = c.low_level_callable(params["b"], params["w"], 2)
    assert quad(callback, 0, 1)[0] == pytest.approx(3 * np.sin(1) + 6, rel=1e-12)
    assert np.isnan(c.ctypes(1.0, None))
    with pytest.raises(ArgumentError, match="takes 3 further arguments through its void pointer, got 1"):
        c.low_level_callable(params["b"])
    with pytest.raises(ArgumentError, match=r"further argument 1 has shape \(2,\).*compiled for float32\[3\]"):
        c.low_level_callable(params["b"], np.ones(2), 2)


def test_several_variables():
    expected = (np.exp(2) - 1) / 2
    by_vector = made(lambda x: x[0] * fnp.exp(x[1]), np.ones(2), signature="double(int, double*)")
    by_numbers = made(lambda x, y: x * fnp.exp(y), 1.0, 1.0, signature="double(int, double *)")
    scaled = made(lambda x, k: k * x[0] * fnp.exp(x[1]), np.ones(2), 3.0, signature="double(int, double*, void*)")
    for c in (by_vector, by_numbers):
        assert nquad(c.low_level_callable(), [[0, 1], [0, 2]])[0] == pytest.approx(expected, rel=1e-12)
        assert np.isnan(c.ctypes(3, np.ones(3).ctypes.data_as(ctypes.POINTER(ctypes.c_double))))
    assert nquad(scaled.low_level_callable(3.0), [[0, 1], [0, 2]])[0] == pytest.approx(3 * expected, rel=1e-12)
    plain = made(lambda x, y: x - y, 1.0, 1.0, signature="double(double, double)")
    assert plain.ctypes(5.0, 3.0) == 2


def test_filters_of_images():
    median = made(lambda w: fnp.sort(w)[4], np.ones(9), signature="int(double*, intptr_t, double*, void*)")
    found = ndimage.generic_filter(IMAGE, median.low_level_callable(), size=3)
    np.testing.assert_array_equal(found, ndimage.median_filter(IMAGE, size=3))
    with pytest.raises(RuntimeError, match="filter"):
        ndimage.generic_filter(IMAGE, median.low_level_callable(), size=5)
    ahead = made(lambda x: x[2:] - x[:-2], np.ones(23), signature="int(double*, npy_intp, double*, npy_intp, void*)")
    found = ndimage.generic_filter1d(IMAGE, ahead.low_level_callable(), 3)
    np.testing.assert_allclose(found, ndimage.correlate1d(IMAGE, [-1, 0, 1]), atol=1e-15)
    scale = made(lambda i, s: i * s, np.ones(2, int), np.ones(2), signature="int(intptr_t*, double*, int, int, void*)")
    found = ndimage.geometric_transform(IMAGE, scale.low_level_callable(np.array([0.5, 1.0])), order=1)
    np.testing.assert_allclose(found, ndimage.affine_transform(IMAGE, [0.5, 1.0], order=1), atol=1e-12)


def model(params, x):
    return fnp.sum(fnp.tanh(x @ params["w"] + params["b"]) ** 2)


PARAMS = {"b": np.linspace(0, 1, 5), "w": np.linspace(-1, 1, 200).reshape(40, 5)}
INPUT = np.random.default_rng(1).normal(size=(300, 40))


def gradient_function():
    """Arguments b, w, x; results the value and the gradients of b and w; memory for temporaries is larger than the stack should hold."""
    return made(fad.value_and_grad(model), PARAMS, INPUT)


def test_all_leaves_by_address():
    c = gradient_function()
    value, outs = np.zeros(()), [np.zeros_like(PARAMS["b"]), np.zeros_like(PARAMS["w"])]
    arrays = [PARAMS["b"], PARAMS["w"], INPUT, value, *outs]
    assert c.signature.startswith("int64_t (void *, ")
    assert c.ctypes(*[a.ctypes.data for a in arrays]) == 0
    expected, gradient = fad.value_and_grad(model)(PARAMS, INPUT)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    np.testing.assert_allclose(outs[0], gradient["b"], rtol=1e-10)
    np.testing.assert_allclose(outs[1], gradient["w"], rtol=1e-10, atol=1e-10)


def test_from_compiled_code_of_numba():
    call = gradient_function().ctypes
    slope = made(fad.grad(bell), 0.0, signature="double(double)").ctypes

    @numba.njit
    def descend(b, w, x, rate, steps):
        value, db, dw = np.zeros(1), np.zeros_like(b), np.zeros_like(w)
        b, w = b.copy(), w.copy()
        for _ in range(steps):
            if call(b.ctypes, w.ctypes, x.ctypes, value.ctypes, db.ctypes, dw.ctypes) != 0:
                raise ValueError("the gradient failed")
            b -= rate * db
            w -= rate * dw
        return b, w, slope(b[0])

    b, w, at_b = descend(PARAMS["b"], PARAMS["w"], INPUT, 1e-4, 5)
    params = PARAMS
    for _ in range(5):
        gradient = fad.grad(model)(params, INPUT)
        params = fad.tree.map(lambda p, g: p - 1e-4 * g, params, gradient)
    np.testing.assert_allclose(b, params["b"], rtol=1e-9)
    np.testing.assert_allclose(w, params["w"], rtol=1e-9, atol=1e-10)
    assert at_b == pytest.approx(float(fad.grad(bell)(b[0])), rel=1e-12)


def test_from_several_threads_at_once():
    c, failures = gradient_function(), []
    expected = fad.grad(model)(PARAMS, INPUT)["w"] / 7

    def work(k):
        b, w, x = PARAMS["b"].copy(), PARAMS["w"].copy(), INPUT.copy()
        value, db, dw = np.zeros(()), np.zeros_like(b), np.zeros_like(w)
        for _ in range(30):
            dw[:] = 0
            status = c.ctypes(*[a.ctypes.data for a in (b, w, x, value, db, dw)])
            if status or not np.allclose(dw / 7, expected, rtol=1e-9, atol=1e-10):
                failures.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_errors_inside_become_nan_or_a_number():
    def root(a):
        return fnp.linalg.cholesky(a)

    c = made(root, np.eye(3))
    out = np.zeros((3, 3))
    assert c.ctypes((4 * np.eye(3)).ctypes.data, out.ctypes.data) == 0
    assert out.tolist() == (2 * np.eye(3)).tolist()
    assert c.ctypes((-np.eye(3)).ctypes.data, out.ctypes.data) == 1
    first = made(lambda x: root(fnp.diag(fnp.array([x, 1.0])))[0, 0], 1.0, signature="double(double)")
    assert first.ctypes(9.0) == 3
    assert np.isnan(first.ctypes(-1.0))

    @numba.njit
    def refusing(x):
        if x < 0:
            raise ValueError("negative")
        return x

    op = fad.extend.from_numba(refusing, name="test_refusing")
    d = made(lambda x: op(x) * 2, 1.0, signature="double(double)")
    assert d.ctypes(3.0) == 6
    assert np.isnan(d.ctypes(-3.0))


def test_constants_and_loops_are_part_of_the_function():
    table = np.linspace(0, 1, 5000)

    def f(x):
        return fad.fori_loop(0, 10, lambda i, t: t + fnp.mean(table * fnp.sin(t)), x)

    c = made(f, 0.1, signature="double(double)")
    expected = 0.1
    for _ in range(10):
        expected += np.mean(table * np.sin(expected))
    gc.collect()
    assert c.ctypes(0.1) == pytest.approx(expected, rel=1e-10)


def test_what_is_given_away_keeps_the_code():
    pointer = made(bell, 0.0, signature="double(double)").ctypes
    callback = made(
        lambda x, t: fnp.sum(t) * x, 0.0, np.ones(50), signature="double(double, void*)"
    ).low_level_callable(np.ones(50))
    gc.collect()
    assert pointer(0.0) == 1
    assert quad(callback, 0, 1)[0] == pytest.approx(25)


def test_arguments_that_are_not_read_and_results_that_are_arguments():
    c = made(lambda x, y: (x, fnp.ones(2)), 1.0, np.ones(3))
    x, y, out, ones = np.array(7.0), np.ones(3), np.zeros(()), np.zeros(2)
    assert c.ctypes(*[a.ctypes.data for a in (x, y, out, ones)]) == 0
    assert out == 7
    assert ones.tolist() == [1, 1]


def test_donated_arguments_are_left_alone():
    f = fad.jit(lambda x, y: x * 2 + y, donate_argnums=0)
    compiled = f.lower(np.ones(1000), np.ones(1000)).compile()
    assert compiled.native.overwritten == (0,)
    x, y, out = np.full(1000, 3.0), np.ones(1000), np.zeros(1000)
    assert compiled.c_function().ctypes(*[a.ctypes.data for a in (x, y, out)]) == 0
    assert out.tolist() == [7.0] * 1000
    assert x.tolist() == [3.0] * 1000


MISTAKES = [
    (
        (bell, 0.0),
        "float(float)",
        r"c_function\(bell, 'float\(float\)'\): unknown signature. There are double\(double, ...\)",
    ),
    (
        (bell, np.float32(0)),
        "double(double)",
        r"x is float32\[\], where the signature has a double; lower the function for float64",
    ),
    ((bell, 0.0, 1.0), "double(double)", "there is no place for height; a signature that ends with void"),
    ((bell, 0.0), "double(double, double)", "it takes 1 arguments, and the signature has 2 numbers"),
    ((lambda x: (x, x), 0.0), "double(double)", "it has 2 results, and the signature has one"),
    (
        (lambda x: x * fnp.ones(2), 0.0),
        "double(double)",
        r"the result is float64\[2\], where the signature has a double",
    ),
    (
        (bell, 0.0),
        "int(double*, intptr_t, double*, void*)",
        r"x is float64\[\], where the signature has an array of float64 with one axis",
    ),
    ((lambda: fnp.ones(2)[0],), "int(double*, intptr_t, double*, void*)", "it takes no arguments"),
    (
        (lambda x: fnp.linalg.svd(fnp.outer(x, x))[1], np.ones(3)),
        None,
        r"a part of it runs in Python, which C cannot call \(svd: it has no native",
    ),
]


@pytest.mark.parametrize(("call", "signature", "message"), MISTAKES, ids=[m for *_, m in MISTAKES])
def test_mistakes_are_explained(call, signature, message):
    with pytest.raises(ArgumentError, match=message):
        made(*call, signature=signature)


def test_without_native_code_it_says_why():
    with (
        fad.config.using(compile=False),
        pytest.raises(ArgumentError, match="there is no native code; fad.config.compile is off"),
    ):
        made(bell, 0.0)
