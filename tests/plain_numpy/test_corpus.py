"""The corpus itself, checked with NumPy alone: distinct functions, smooth where they are tested, and honest tags."""

import ast
from pathlib import Path
from types import CodeType

import numpy as np
import pytest

from tests.plain_numpy.corpus import COMPOSITES, ENTRIES, REFUSED
from tests.plain_numpy.differences import numerical_jacobian

ALL = ENTRIES + REFUSED


def _fingerprint(code):
    constants = tuple(_fingerprint(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts)
    return code.co_code, constants, code.co_names, code.co_varnames


def test_several_hundred_distinct_functions():
    assert len(ENTRIES) >= 800
    assert len(COMPOSITES) >= 140
    names = [entry.name for entry in ALL]
    assert len(names) == len(set(names))
    seen = {}
    for entry in ALL:
        types = tuple((np.shape(a), np.asarray(a).dtype.str) for a in entry.args)
        key = (_fingerprint(entry.function.__code__), types, entry.name if entry.function.__closure__ else "")
        assert key not in seen, f"{entry.name} repeats {seen[key]}"
        seen[key] = entry.name


def test_the_corpus_imports_numpy_alone():
    files = sorted(Path(__file__).parent.glob("corpus_*.py"))
    assert len(files) == 10
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert {alias.name for alias in node.names} <= {"numpy", "math"}, path.name
            elif isinstance(node, ast.ImportFrom):
                assert node.module == "tests.plain_numpy.collection", path.name


def test_few_entries_are_tagged_eager_only():
    tagged = [entry.name for entry in ENTRIES if entry.eager_only]
    assert len(tagged) <= len(ENTRIES) // 50, tagged


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.name)
def test_numpy_alone(entry):
    before = [np.array(a) for a in entry.args]
    jacobian = numerical_jacobian(entry.closed, entry.primals)
    assert jacobian.value.dtype.kind in "fc"
    assert jacobian.value.size > 0
    assert np.isfinite(jacobian.value).all()
    assert jacobian.error < 1e-8, "the differences do not converge: too close to a kink"
    assert jacobian.bend < 1e-3, "the function has a kink at its arguments"
    for was, now in zip(before, entry.args, strict=True):
        np.testing.assert_array_equal(was, now)
    np.testing.assert_array_equal(jacobian.value, np.asarray(entry.closed(*entry.primals)))
    moving = [bool(columns.any()) for columns in jacobian.columns]
    assert moving == [not entry.zero_gradient] * len(moving), "a derivative is zero everywhere, or tagged so wrongly"
