"""jit(f).lower(*args).compile(): staged and compiled before the first call, for certain types only."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.dispatch import compiled_program
from fad.core.errors import ArgumentError, DTypeError, FadError, TreeError


def predict(params, x, scale=1.0):
    return {"y": fnp.tanh(x @ params["w"]) * scale}


PARAMS = {"w": np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2)}
X = np.ones((4, 3), np.float32)


def test_compiled_gives_what_the_function_gives():
    compiled = fad.jit(predict).lower(PARAMS, X).compile()
    for _ in range(3):
        np.testing.assert_allclose(compiled(PARAMS, X)["y"], np.tanh(X @ PARAMS["w"]), rtol=2e-6)


def test_lowering_needs_types_only():
    def types_only(shape, dtype):
        return fad.ShapedArray(shape, dtype)

    jitted = fad.jit(predict)
    lowered = jitted.lower({"w": types_only((3, 2), np.float32)}, fad.eval_shape(lambda: fnp.ones((4, 3), np.float32)))
    assert lowered.argument_names == ("params['w']", "x")
    assert lowered.in_avals == (types_only((3, 2), np.float32), types_only((4, 3), np.float32))
    assert lowered.out_info == {"y": types_only((4, 2), np.float32)}
    np.testing.assert_allclose(lowered.compile()(PARAMS, X)["y"], np.tanh(X @ PARAMS["w"]), rtol=2e-6)


def test_compiling_ahead_fills_the_jitted_function():
    jitted = fad.jit(predict)
    compiled = jitted.lower(PARAMS, X).compile()
    assert jitted.traces == 1
    jitted(PARAMS, X)
    assert jitted.traces == 1
    assert jitted.lower(PARAMS, X).compile().native is compiled.native


def test_lowering_before_the_first_call_leaves_the_function_compiled():
    function = fad.jit(lambda x: fnp.sin(x) * 2.0)
    program = function.lower(np.ones(3)).program
    for _ in range(3):
        np.testing.assert_allclose(function(np.ones(3)), 2 * np.sin(np.ones(3)))
    assert compiled_program(program) is not None
    assert function._shortcuts


def test_keywords_variadic_and_static_arguments_have_names():
    def f(x, *rest, kind, **options):
        return x * rest[0][1] + options["shift"] if kind == "a" else x

    lowered = fad.jit(f, static_argnames="kind").lower(1.0, (2.0, 3.0), kind="a", shift=4.0)
    assert lowered.argument_names == ("x", "rest[0][0]", "rest[0][1]", "shift")
    assert float(lowered.compile()(1.0, (2.0, 3.0), shift=4.0)) == 7.0
    second = fad.jit(lambda n, x: x * n, static_argnums=0).lower(3, 2.0)
    assert second.argument_names == ("x",)
    assert float(second.compile()(5.0)) == 15.0


def test_other_types_are_refused_by_name():
    compiled = fad.jit(predict).lower(PARAMS, X).compile()
    with pytest.raises(
        ArgumentError, match=r"the compiled predict .* x is float64\[4,3\] where it was compiled for float32\[4,3\]"
    ):
        compiled(PARAMS, X.astype(np.float64))
    with pytest.raises(ArgumentError, match=r"x is float32\[5,3\]"):
        compiled(PARAMS, np.ones((5, 3), np.float32))
    with pytest.raises(
        TreeError, match=r"leaves \(params\['w'\], x\) in the structure \(\(\{'w': \*\}, \*\), \{\}\), and got"
    ):
        compiled(PARAMS)
    with pytest.raises(DTypeError, match="x is a str"):
        compiled(PARAMS, "x")


def test_a_python_scalar_stands_for_an_array_of_its_dtype():
    compiled = fad.jit(lambda x: x * 2).lower(fad.ShapedArray((), np.float64)).compile()
    assert float(compiled(2.0)) == 4.0
    with pytest.raises(ArgumentError, match=r"int64\[\]"):
        compiled(2)


def test_transforms_of_compiled_functions():
    compiled = fad.jit(lambda x: fnp.sin(x) * x).lower(1.0).compile()
    assert float(fad.grad(compiled)(0.5)) == pytest.approx(np.cos(0.5) * 0.5 + np.sin(0.5))


def test_a_function_inside_a_transform_has_no_program_of_its_own():
    def outer(x):
        return fad.jit(lambda y: x * y).lower(2.0)

    with pytest.raises(FadError, match="closes over"):
        fad.grad(outer)(1.0)


def test_lowering_says_what_is_no_array():
    with pytest.raises(DTypeError, match="is a str"):
        fad.jit(predict).lower(PARAMS, "x")


def test_methods_are_lowered_with_their_instance():
    class Model:
        @fad.jit
        def double(self, x):
            return x * 2.0

    fad.tree.register_node(Model, lambda m: ((), None), lambda _, c: Model())
    assert float(Model().double.lower(1.0).compile()(Model(), 4.0)) == 8.0


def test_without_compilation_it_is_evaluated():
    with fad.config.using(compile=False):
        compiled = fad.jit(lambda x: x + 1.0).lower(1.0).compile()
        assert compiled.native is None
        assert float(compiled(1.0)) == 2.0
    assert float(compiled(1.0)) == 2.0


def test_equal_static_values_that_compute_something_else_are_different_signatures():
    f = fad.jit(lambda x, n: x * n[0], static_argnums=1)
    assert [str(f(2, (n,)).dtype) for n in (1, 1.0, True, 1j)] == ["int64", "float64", "int64", "complex128"]
    g = fad.jit(lambda x, n: x * n, static_argnums=1)
    assert [bool(np.signbit(g(2.0, n))) for n in (0.0, -0.0)] == [False, True]
    assert [bool(np.signbit(f(2.0, (n,)))) for n in (np.float64(0.0), np.float64(-0.0))] == [False, True]
    for _ in range(2):
        assert np.isnan(g(2.0, float("nan")))
    assert g.traces == 3  # NaN is not equal to itself, and yet one value


def test_a_static_argument_whose_value_is_traced():
    inner = fad.jit(lambda x, n: x * n, static_argnums=1)
    with pytest.raises(ArgumentError, match=r"static argument 1 is Tracer<float64\[\]\*, staged>, whose value"):
        fad.jit(lambda n: inner(1.0, n))(2.0)


def test_a_static_argument_by_name_and_by_position_is_one_signature():
    for options in ({"static_argnames": "n"}, {"static_argnums": 1}, {"static_argnums": -1}):
        f = fad.jit(lambda x, n: x**n, **options)
        assert f(2.0, 3) == f(2.0, n=3) == 8.0
        assert f.traces == 1
        assert f(2.0, n=2) == 4.0
        assert f(2.0, n=3.0) == 8.0  # an equal value of another type is another signature
        assert f.traces == 3
    keywords = fad.jit(lambda x, /, n, **more: x * n * more["m"], static_argnames=("n", "m"))
    assert keywords(2.0, 3, m=1) == keywords(2.0, m=1, n=3) == 6.0
    assert keywords(2.0, 1, m=3) == 6.0
    assert keywords.traces == 2
