"""Each bad input has its own exception, which says what is wrong, where, and what to do."""

import dataclasses
import math
import pickle

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core import errors as e

X = fad.Array([1.0, 2.0])


@dataclasses.dataclass
class Unregistered:
    x: float


def assigns(x):
    x[0] = 3.0
    return x.sum()


def writes_out(x):
    y = np.zeros(2)
    np.sin(x, out=y)
    return y.sum()


def adds_in_place(x):
    y = np.zeros(2)
    y += x
    return y.sum()


# name: (call, exception, what the message must say: where or which argument, what was seen, what to do)
RESULTS = {
    "grad of a vector": (
        lambda: fad.grad(lambda x: x * 2)(X),
        e.ShapeError,
        [r"grad\(<lambda>\)", r"float64\[2\]", r"\.sum\(\) or \.mean\(\)", "fad.jacobian", "fad.vjp"],
    ),
    "grad without return": (lambda: fad.grad(lambda x: None)(X), e.ShapeError, ["NoneType", "return statement"]),
    "grad of a pair": (
        lambda: fad.grad(lambda x: (x.sum(), x))(X),
        e.ShapeError,
        ["tuple of length 2", "has_aux=True"],
    ),
    "grad of an integer": (
        lambda: fad.grad(lambda x: fnp.argmax(x))(X),
        e.DTypeError,
        [r"real floating point, got int64"],
    ),
    "hessian of an integer": (
        lambda: fad.hessian(lambda x: fnp.argmax(x))(X),
        e.DTypeError,
        [r"^hessian\(<lambda>\): the result must be real or complex floating point, got int64"],
    ),
    "hessian of complex inputs": (
        lambda: fad.hessian(lambda x: (x * x).real.sum())(X * 1j),
        e.DTypeError,
        [r"^hessian\(<lambda>\): complex inputs need holomorphic=True"],
    ),
    "has_aux without aux": (
        lambda: fad.grad(lambda x: x.sum(), has_aux=True)(X),
        e.TreeError,
        [r"must return a pair \(value, aux\)"],
    ),
    "a string as result": (lambda: fad.vjp(lambda x: "a", X), e.DTypeError, ["vjp: the result of <lambda> is a str"]),
    "jit returns an object": (lambda: fad.jit(lambda x: object())(X), e.DTypeError, ["jit: the result", "is a object"]),
}


class Scaled:
    @fad.jit
    def times(self, x):
        return x * 2.0


LEAVES = {
    "integer": (
        lambda: fad.grad(lambda x: x * 2.0)(3),
        e.DTypeError,
        [r"grad\(<lambda>\): argument 0 is int64", r"\.astype\(float\)", "argnums"],
    ),
    "integer leaf": (
        lambda: fad.grad(lambda p: p["w"])({"w": 1.0, "n": np.array([1, 2])}),
        e.DTypeError,
        [r"argument 0\['n'\] is int64\[2\]"],
    ),
    "boolean": (lambda: fad.grad(lambda x: x * 2.0)(True), e.DTypeError, ["argument 0 is bool"]),
    "string leaf": (
        lambda: fad.grad(lambda p: p["w"])({"w": 1.0, "name": "text"}),
        e.DTypeError,
        [r"argument 0\['name'\] is a str, which is not an array"],
    ),
    "unregistered dataclass": (
        lambda: fad.grad(lambda d: d.x)(Unregistered(1.0)),
        e.DTypeError,
        ["argument 0 is a Unregistered", "fad.tree.register_dataclass"],
    ),
    "string to vmap": (lambda: fad.vmap(lambda x: x)("abc"), e.DTypeError, ["vmap", "argument 0 is a str"]),
    "string to jit": (
        lambda: fad.jit(lambda x: x)("abc"),
        e.DTypeError,
        [
            r"jit\(<lambda>\)",
            r"is a str.*If it is a plain Python value, make it static: jit\(f, static_argnums=\.\.\.\)\.$",
        ],
    ),
    "self of a jitted method": (
        lambda: Scaled().times(1.0),
        e.DTypeError,
        [r"jit\(times\)", "is a Scaled", "fad.tree.register_node", "static_argnums"],
    ),
    "object array": (
        lambda: fad.grad(lambda x: x)(np.array([None, 1], dtype=object)),
        e.DTypeError,
        ["dtype object", "np.asarray"],
    ),
    "object array to a function": (
        lambda: fnp.sin(np.array([None, 1], dtype=object)),
        e.DTypeError,
        ["sin: .*dtype object", "np.asarray"],
    ),
    "None": (lambda: fnp.sin(None), e.DTypeError, ["sin: got None", "return statement"]),
    "string": (lambda: fnp.exp("1"), e.DTypeError, ["exp: .*<U1"]),
    "dict": (lambda: fnp.exp({}), e.DTypeError, ["exp: got a dict .*where an array is needed"]),
    "dates": (lambda: fad.Array(np.array(["2020"], dtype="M8[D]")), e.DTypeError, [r"datetime64\[D\]"]),
    "masked array": (lambda: fad.Array(np.ma.masked_array([1.0], [1])), e.DTypeError, ["filled", "fad.numpy.where"]),
    "extended precision": (lambda: fad.Array(np.longdouble(1)), e.DTypeError, ["float64 or complex128"]),
    "ragged list": (lambda: fad.Array([[1.0, 2.0], [3.0]]), e.ShapeError, ["ragged", "Pad the rows"]),
    "ragged list to a function": (lambda: fnp.sin([[1.0, 2.0], [3.0]]), e.ShapeError, ["ragged", "Pad the rows"]),
    "ragged list of traced values": (
        lambda: fad.grad(lambda x: fnp.array([x, [x, x]]).sum())(1.0),
        e.ShapeError,
        ["array: .*ragged", r"\(\), \(2,\)"],
    ),
}
TANGENTS = {
    "tangent of another shape": (
        lambda: fad.jvp(fnp.sin, (X,), (np.ones(3),)),
        e.ShapeError,
        [r"jvp: tangent 0 has shape \(3,\)", r"float64\[2\]"],
    ),
    "tangent of another dtype": (
        lambda: fad.jvp(fnp.sin, (X,), (np.ones(2, np.float32),)),
        e.DTypeError,
        [r"tangent 0 has type float32\[2\]", r"\.astype"],
    ),
    "tangent of another structure": (
        lambda: fad.jvp(lambda p: p["a"], ({"a": X},), ({"b": X},)),
        e.TreeError,
        ["'b'", "'a'", "one tangent for each primal leaf"],
    ),
    "too many tangents": (lambda: fad.jvp(fnp.sin, (X,), (X, X)), e.TreeError, ["tangents have structure"]),
    "primals without a tuple": (
        lambda: fad.jvp(fnp.sin, X, X),
        e.ArgumentError,
        ["primals must be a tuple", "got Array"],
    ),
    "complex tangent": (lambda: fad.jvp(fnp.sin, (1.0,), (1j,)), e.DTypeError, ["tangent 0 is complex", "is real"]),
    "cotangent of another shape": (
        lambda: fad.vjp(fnp.sin, X)[1](np.ones(3)),
        e.ShapeError,
        [r"the pullback: cotangent 0 has shape \(3,\)"],
    ),
    "cotangent of another structure": (
        lambda: fad.vjp(lambda x: {"a": x}, X)[1](X),
        e.TreeError,
        ["the cotangents have structure", "'a'"],
    ),
    "tangent of a linearized function": (
        lambda: fad.linearize(fnp.sin, X)[1](np.ones(3)),
        e.ShapeError,
        ["the linearized function: tangent 0"],
    ),
    "direction of hvp": (
        lambda: fad.hvp(lambda x: (x**2).sum(), (X,), (np.ones(3),)),
        e.ShapeError,
        [r"tangent 0 has shape \(3,\)"],
    ),
}
SHAPES = {
    "broadcast": (
        lambda: X + np.ones(3),
        e.ShapeError,
        [r"add: shapes \(2,\) and \(3,\)", "equal or 1", r"x\[:, None\]"],
    ),
    "matmul": (lambda: fnp.ones((2, 3)) @ fnp.ones((2, 3)), e.ShapeError, [r"\(2, 3\) and \(2, 3\)", "contracted"]),
    "reshape": (lambda: X.reshape(3), e.ShapeError, [r"\(2,\) \(2 elements\) into \(3,\)"]),
    "concatenate": (
        lambda: fnp.concatenate([fnp.ones((2, 3)), fnp.ones((3, 2))]),
        e.ShapeError,
        ["concatenate along axis 0", r"\(2, 3\), \(3, 2\)"],
    ),
    "axis": (lambda: fnp.sum(X, axis=3), e.ShapeError, ["sum: axis 3 is out of bounds", "1 axes"]),
    "axis twice": (lambda: fnp.sum(fnp.ones((2, 2)), axis=(0, 0)), e.ShapeError, ["names an axis twice"]),
    "inverse of a rectangle": (lambda: fnp.linalg.inv(fnp.ones((2, 3))), e.ShapeError, [r"square.*\(2, 3\)"]),
    "bits of floats": (lambda: X & X, e.DTypeError, ["integers and booleans", r"\(x > 0\) & \(y > 0\)"]),
    "truth of a vector": (lambda: bool(X), e.ShapeError, [r"shape \(2,\) is ambiguous", "fad.numpy.any"]),
    "item of a vector": (lambda: X.item(), e.ShapeError, ["exactly one element", "tolist"]),
    "length of a scalar": (lambda: len(fad.Array(1.0)), e.ShapeError, ["0-d"]),
    "iterating a scalar": (lambda: list(fad.Array(1.0)), e.ShapeError, ["0-d", "no axis"]),
    "hashing": (lambda: {X: 1}, e.DTypeError, ["not hashable", r"id\(x\)", r"x\.tolist\(\)"]),
    "a traced shape": (
        lambda: fad.jit(lambda n: fnp.zeros(n))(3),
        e.ArgumentError,
        ["zeros: a shape must be", "static_argnums"],
    ),
}
INDICES = {
    "integer": (lambda: X[5], e.IndexOutOfBoundsError, ["index 5 .* axis 0 of size 2", "valid are -2 to 1"]),
    "negative": (lambda: X[-3], e.IndexOutOfBoundsError, ["index -3 .* axis 0 of size 2"]),
    "in grad": (lambda: fad.grad(lambda x: x[5])(X), e.IndexOutOfBoundsError, ["index 5"]),
    "in jit": (lambda: fad.jit(lambda x: x[5])(X), e.IndexOutOfBoundsError, ["index 5"]),
    "array": (lambda: X[np.array([0, 7])], e.IndexOutOfBoundsError, [r"index 7 \(element \[1\]", "out_of_bounds"]),
    "array in jit": (lambda: fad.jit(lambda x, i: x[i])(X, np.array([0, 7])), e.IndexOutOfBoundsError, ["index 7"]),
    "example of vmap": (lambda: fad.vmap(lambda i: X[i])(np.array([0, 9])), e.IndexOutOfBoundsError, ["index 9"]),
    "scatter": (lambda: X.at[9].set(1.0), e.IndexOutOfBoundsError, ["index 9"]),
    "scatter of an array": (lambda: X.at[np.array([9])].add(1.0), e.IndexOutOfBoundsError, ["index 9"]),
    "take": (lambda: fnp.take(X, np.array([3])), e.IndexOutOfBoundsError, ["index 3"]),
}
ARGUMENTS = {
    "argnums too large": (
        lambda: fad.grad(lambda x: x.sum(), argnums=1)(X),
        e.ArgumentError,
        ["argnums=1 asks for argument 1", "1 positional argument", "Keyword arguments are never differentiated"],
    ),
    "argnums by name": (
        lambda: fad.grad(fnp.sum, argnums="x")(X),
        e.ArgumentError,
        ["int or a non-empty tuple", "'x'"],
    ),
    "argnums twice": (lambda: fad.grad(fnp.sum, argnums=(0, 0))(X), e.ArgumentError, ["names an argument twice"]),
    "argnums empty": (lambda: fad.grad(fnp.sum, argnums=())(X), e.ArgumentError, ["non-empty"]),
    "argument by keyword": (
        lambda: fad.grad(lambda x: x.sum())(x=X),
        e.ArgumentError,
        ["0 positional arguments", "pass it by position"],
    ),
    "grad of a value": (lambda: fad.grad(X.sum()), e.ArgumentError, [r"Write grad\(f\)\(x\), not grad\(f\(x\)\)"]),
    "unhashable static argument": (
        lambda: fad.jit(lambda x, n: x, static_argnums=1)(X, [1]),
        e.ArgumentError,
        ["static argument 1 is a list", "not hashable", "tuple"],
    ),
    "unhashable static keyword": (
        lambda: fad.jit(lambda x, n: x, static_argnames="n")(X, n={}),
        e.ArgumentError,
        ["'n' is a dict", "not hashable"],
    ),
    "static argument that is not there": (
        lambda: fad.jit(lambda x: x, static_argnums=4),
        e.ArgumentError,
        ["static_argnums=4", "1 positional argument"],
    ),
    "static name that is not there": (lambda: fad.jit(lambda x: x, static_argnames="n"), e.ArgumentError, ["'n'"]),
    "array as static argument": (
        lambda: fad.jit(lambda x: x, static_argnums=0)(np.ones(2)),
        e.ArgumentError,
        ["static argument 0 is a ndarray", "take it out of static_argnums"],
    ),
    "vmap of different sizes": (
        lambda: fad.vmap(lambda a, b: a + b)(np.ones(2), {"x": np.ones(3)}["x"]),
        e.ShapeError,
        ["size 2: argument 0", "size 3: argument 1"],
    ),
    "vmap of leaves of different sizes": (
        lambda: fad.vmap(lambda p: p["a"])({"a": np.ones(2), "b": np.ones(3)}),
        e.ShapeError,
        [r"size 2: argument 0\['a'\]", r"size 3: argument 0\['b'\]"],
    ),
    "in_axes of another length": (
        lambda: fad.vmap(lambda a: a, in_axes=(0, 1))(X),
        e.ArgumentError,
        ["in_axes has 2 entries, but the call has 1"],
    ),
    "in_axes of another structure": (
        lambda: fad.vmap(lambda p: p["a"], in_axes=({"b": 0},))({"a": X}),
        e.TreeError,
        ["not a prefix of the arguments' structure"],
    ),
    "in_axes of strings": (lambda: fad.vmap(lambda a: a, in_axes="i")(X), e.ArgumentError, ["ints and None, got 'i'"]),
    "vmap of a scalar": (lambda: fad.vmap(lambda a: a)(1.0), e.ShapeError, ["no axis 0 to map", "None in in_axes"]),
    "vmap of nothing": (
        lambda: fad.vmap(lambda a: a, in_axes=None)(X),
        e.ArgumentError,
        ["nothing is mapped", "axis_size"],
    ),
    "vmap result that depends on the example": (
        lambda: fad.vmap(lambda a: a, out_axes=None)(X),
        e.ArgumentError,
        ["out_axes is None for result 0", "depends on the mapped axis"],
    ),
    "out_axes too large": (lambda: fad.vmap(lambda a: a, out_axes=3)(X), e.ShapeError, ["out_axes=3 does not fit"]),
    "unknown setting": (lambda: fad.config.update("nope", 1), e.ArgumentError, ["no setting 'nope'", "check_nans"]),
    "unknown choice of a setting": (
        lambda: fad.config.using(out_of_bounds="wrap").__enter__(),
        e.ArgumentError,
        ["out_of_bounds takes one of 'raise', 'clip', 'drop', got 'wrap'"],
    ),
    "negative setting": (
        lambda: fad.config.update("threads", -1),
        e.ArgumentError,
        ["threads takes a number that is not neg"],
    ),
    "setting of another type": (lambda: fad.config.update("check_nans", 1), e.ArgumentError, ["takes a bool, got 1"]),
    "chunk_size": (
        lambda: fad.jacobian(fnp.sin, chunk_size=0)(X),
        e.ArgumentError,
        ["chunk_size must be a positive int"],
    ),
}
WRITES = {
    "assignment": (lambda: X.__setitem__(0, 1.0), e.ImmutableArrayError, [r"float64\[2\]", r"x\.at\[i\]\.set\(v\)"]),
    "assignment in grad": (lambda: fad.grad(assigns)(X), e.ImmutableArrayError, [r"x\.at\[i\]\.set\(v\)"]),
    "assignment in jit": (lambda: fad.jit(assigns)(X), e.ImmutableArrayError, [r"x\.at\[i\]\.set\(v\)"]),
    "deletion": (lambda: X.__delitem__(0), e.ImmutableArrayError, ["fad.numpy.delete"]),
    "out=": (lambda: fad.grad(writes_out)(X), e.ImmutableArrayError, ["sin: out=", "loses its derivative"]),
    "+= into a NumPy array": (lambda: fad.grad(adds_in_place)(X), e.ImmutableArrayError, ["add: out=", r"a = a \+ x"]),
    "writing into the view": (lambda: np.asarray(X).__setitem__(0, 1.0), ValueError, ["read-only"]),
}
VALUES = {
    "float in grad": (
        lambda: fad.grad(lambda x: float(x) * x)(1.0),
        e.ConcretizationError,
        [r"float\(\)", "reverse-mode differentiation of <lambda>", "test_bad_input.py", "stop_gradient"],
    ),
    "math.sin": (lambda: fad.grad(lambda x: math.sin(x))(1.0), e.ConcretizationError, ["fad.numpy functions"]),
    "int in jit": (
        lambda: fad.jit(lambda x: int(x))(1.0),
        e.ConcretizationError,
        [r"int\(\)", "inside jit of <lambda>", "static_argnums"],
    ),
    "range in jit": (lambda: fad.jit(lambda n: sum(range(n)))(3), e.ConcretizationError, ["index", "static_argnums"]),
    "if in jit": (
        lambda: fad.jit(lambda x: x if x > 0 else -x)(1.0),
        e.ConcretizationError,
        ["fad.numpy.where", "fad.cond"],
    ),
    "while in vmap": (
        lambda: fad.vmap(lambda x: x if not x > 0 else -x)(X),
        e.ConcretizationError,
        ["fad.while_loop", "vmap"],
    ),
    "item in jit": (lambda: fad.jit(lambda x: x.item())(1.0), e.ConcretizationError, ["item"]),
    "tolist in jit": (lambda: fad.jit(lambda x: x.tolist())(X), e.ConcretizationError, ["tolist"]),
    "pickling in grad": (
        lambda: fad.grad(lambda x: pickle.dumps(x))(1.0),
        e.ConcretizationError,
        ["pickling", "Return|return"],
    ),
    "DLPack in jit": (lambda: fad.jit(lambda x: np.from_dlpack(x))(X), e.ConcretizationError, ["__dlpack__"]),
    "bounds of a slice": (
        lambda: fad.jit(lambda x, n: x[:n])(X, 1),
        e.ConcretizationError,
        ["bounds of a slice", "dynamic_slice"],
    ),
}
GROUPS = {
    "result": RESULTS,
    "leaf": LEAVES,
    "tangent": TANGENTS,
    "shape": SHAPES,
    "index": INDICES,
    "argument": ARGUMENTS,
    "write": WRITES,
    "value": VALUES,
}
CASES = {f"{group}: {name}": case for group, cases in GROUPS.items() for name, case in cases.items()}


@pytest.mark.parametrize("name", CASES)
def test_the_exception_says_what_where_and_what_to_do(name):
    call, exception, parts = CASES[name]
    with pytest.raises(exception) as caught:
        call()
    for part in parts:
        assert caught.match(part)


def test_writing_a_traced_value_into_a_numpy_array_names_the_way_out():
    def f(x):
        y = np.zeros(2)
        y[0] = x[0]
        return y.sum()

    # NumPy raises its own error here; ours is its cause, and Python shows both.
    with pytest.raises((ValueError, TypeError)) as caught:
        fad.grad(f)(X)
    cause = caught.value if isinstance(caught.value, e.FadError) else caught.value.__cause__
    assert isinstance(cause, e.ConcretizationError)
    assert ".at[i].set(x)" in str(cause)


BUILT_IN = {
    e.ShapeError: ValueError,
    e.DTypeError: TypeError,
    e.ArgumentError: ValueError,
    e.TreeError: ValueError,
    e.ConcretizationError: TypeError,
    e.IndexOutOfBoundsError: IndexError,
    e.ImmutableArrayError: TypeError,
    e.NonDifferentiableError: TypeError,
    e.LeakedTracerError: RuntimeError,
    e.NonFiniteError: FloatingPointError,
    e.MissingPackageError: ImportError,
}


@pytest.mark.parametrize("own", BUILT_IN, ids=lambda c: c.__name__)
def test_every_exception_is_also_the_one_a_numpy_user_expects(own):
    assert issubclass(own, BUILT_IN[own])
    assert issubclass(own, e.FadError)


def test_every_exception_is_public_and_listed():
    assert set(BUILT_IN) <= {getattr(fad.errors, name) for name in fad.errors.__all__}


def test_side_effects_run_once_per_trace_and_leave_tracers_that_say_so():
    calls = []

    def f(x):
        calls.append(x)
        return x * 2.0

    jitted = fad.jit(f)
    jitted(1.0)
    jitted(2.0)
    assert len(calls) == 1
    with pytest.raises(
        e.LeakedTracerError, match="Return values from the transformed function instead of storing them"
    ):
        calls[0] + 1.0


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**80])
def test_integers_that_no_dtype_holds(number):
    with pytest.raises(e.DTypeError, match=r"int64, which does not hold .*float\(value\)"):
        fad.jit(lambda n: n + 1)(number)
    assert fad.jit(lambda n: n)(2**63 - 1) == 2**63 - 1


@pytest.mark.parametrize("operation", [np.add, np.multiply, np.subtract, np.maximum, np.floor_divide, np.power])
@pytest.mark.parametrize(
    ("dtype", "number"), [("int8", 128), ("uint8", -1), ("uint8", 256), ("int32", 2**31), ("uint64", -1)]
)
def test_traced_python_integers_beyond_the_dtype_raise_as_in_numpy(operation, dtype, number):
    x = np.array([1, 2], dtype)
    f = fad.jit(lambda x, n: operation(x, n))
    with pytest.raises(OverflowError) as expected:
        operation(x, number)
    np.testing.assert_array_equal(f(x, 3), operation(x, 3))
    for _ in range(3):  # evaluated, compiled, by the shortest way
        with pytest.raises(OverflowError, match=str(expected.value)):
            f(x, number)
    assert f(x, 3).dtype == dtype
    with pytest.raises(OverflowError, match=f"{number} out of bounds"):
        fad.jit(lambda x, n: operation(x, n * 2 + 1))(x, (number - 1) // 2) if number % 2 else f(x, number)


@pytest.mark.parametrize("size", [0, 2])
def test_python_integers_beyond_the_dtype_raise_while_a_function_is_traced(size):
    x = np.zeros(size, np.int8)
    for call in (lambda x: x + 300, fad.jit(lambda x: x + 300), fad.jit(lambda x: -200 * x)):
        with pytest.raises(OverflowError, match="out of bounds for int8"):
            call(x)
    assert fad.jit(lambda x: x < 300)(x).tolist() == [True] * size


def test_clip_takes_bounds_that_the_dtype_cannot_reach():
    x = np.array([0, 3, 200], "uint8")
    for low, high in ((-5, 300), (1, 300), (-5, 4), (300, 400), (-5, -1)):
        wanted = np.clip(x.astype(int), max(low, 0), min(high, 255)) if low <= 255 and high >= 0 else None
        for f in (fnp.clip, fad.jit(lambda x, low=low, high=high: fnp.clip(x, low, high))):
            found = f(x, low, high) if f is fnp.clip else f(x)
            assert found.dtype == x.dtype
            if wanted is not None:
                np.testing.assert_array_equal(found, wanted)


def _adds_a_vector_of_another_length(w, x):
    return x @ w + fnp.ones(7)


@pytest.mark.parametrize(
    "transform",
    [
        fad.jit,
        fad.make_program,
        lambda f: lambda *args: fad.eval_shape(f, *args),
        lambda f: fad.jit(fad.grad(f)),
        lambda f: fad.jit(fad.vmap(f, (None, 0))),
    ],
)
def test_errors_while_a_function_is_traced_name_the_users_line(transform):
    w, x = np.ones((3, 4)), np.ones((2, 3))
    with pytest.raises(
        fad.errors.ShapeError,
        match=r"do not broadcast(.|\n)*test_bad_input.py:\d+ \(_adds_a_vector_of_another_length\):  return x @ w",
    ):
        transform(_adds_a_vector_of_another_length)(w, x)


@pytest.mark.parametrize(
    "value", [np.array([1.0, 2.0], dtype=object), np.array(["a"]), np.array([1, 2]), np.array([1.0], "g")]
)
def test_an_array_of_a_wrong_dtype_is_named_as_an_argument(value):
    with pytest.raises(e.DTypeError, match=r"grad\(total\): argument 1"):
        fad.grad(total, argnums=1)(1.0, value)


def total(scale, x):
    return scale * x.sum()
