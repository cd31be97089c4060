"""Arrays in files and as text come back as they were."""

import io

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core.errors import ConcretizationError

X = fad.Array([[1.5, -2.0], [0.25, 4.0]])


def same(got, expected):
    assert isinstance(got, fad.Array)
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


def test_npy_and_npz(tmp_path):
    fnp.save(tmp_path / "x.npy", X)
    same(fnp.load(tmp_path / "x.npy"), X)
    for save in (fnp.savez, fnp.savez_compressed):
        save(tmp_path / "x.npz", X, half=X / 2)
        found = fnp.load(tmp_path / "x.npz")
        assert sorted(found) == ["arr_0", "half"]
        same(found["half"], X / 2)
    np.save(tmp_path / "y.npy", X)
    same(fnp.load(tmp_path / "y.npy"), X)


def test_text():
    text = io.StringIO()
    fnp.savetxt(text, X)
    text.seek(0)
    same(fnp.loadtxt(text), X)
    same(fnp.genfromtxt(io.StringIO("1,,3"), delimiter=","), np.array([1, np.nan, 3]))
    same(fnp.fromstring("1 2 3", dtype=int, sep=" "), np.array([1, 2, 3]))


def test_raw_numbers_and_iterators(tmp_path):
    np.asarray(X).tofile(tmp_path / "raw")
    same(fnp.fromfile(tmp_path / "raw"), np.ravel(X))
    same(fnp.fromiter((k * k for k in range(5)), float, 3), np.array([0.0, 1.0, 4.0]))
    same(fnp.fromiter([], float), np.zeros(0))
    assert fad.grad(lambda x: fnp.fromiter((x * k for k in range(4)), float).sum())(2.0) == 6


def test_as_text():
    assert fnp.array_str(X) == np.array_str(np.asarray(X))
    assert fnp.array_repr(X) == np.array_repr(np.asarray(X))
    assert fnp.array2string(X, precision=1) == np.array2string(np.asarray(X), precision=1)
    with fnp.printoptions(precision=1):
        assert str(fad.Array([1 / 3])) == "[0.3]"
    assert fnp.get_printoptions()["precision"] == 8


def test_enumerate():
    assert [(i, float(v)) for i, v in fnp.ndenumerate(X)] == [
        ((0, 0), 1.5),
        ((0, 1), -2.0),
        ((1, 0), 0.25),
        ((1, 1), 4.0),
    ]
    assert list(fnp.ndindex(1, 2)) == [(0, 0), (0, 1)]


def test_checks_and_layouts():
    same(fnp.asfortranarray(X), X)
    same(fnp.asarray_chkfinite(X), X)
    same(fnp.trim_zeros([0, 1, 0, 2, 0]), np.array([1, 0, 2]))
    same(fnp.trim_zeros([0, 1, 0, 2, 0], "f"), np.trim_zeros(np.array([0, 1, 0, 2, 0]), "f"))
    same(fnp.trim_zeros([0, 0]), np.trim_zeros(np.array([0, 0])))


@pytest.mark.parametrize("function", [fnp.array_str, fnp.array_repr, lambda x: fnp.save(io.BytesIO(), x)])
def test_traced_values_have_nothing_to_show(function):
    with pytest.raises(ConcretizationError, match="fad.debug.print"):
        fad.grad(lambda x: function(x) and x)(1.0)
