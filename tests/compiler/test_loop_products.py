"""Products taken out of loops, and pieces of gradients that are joined: the same values, with fewer and larger products."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.passes.joined_pads import join_pads
from fad.compiler.passes.loop_products import separate_products
from fad.compiler.passes.pipeline import simplified
from fad.compiler.passes.verifier import verify
from fad.core.program import evaluate
from tests.compiler.compiled_programs import check_compiled

RNG = np.random.default_rng(0)
XS = RNG.normal(size=(6, 3, 17))
W, U, OUT = RNG.normal(size=(17, 18)) / 4, RNG.normal(size=(18, 18)) / 4, RNG.normal(size=(18, 19))
H = np.zeros((3, 18))


def cell(h, x, w, u):
    return fnp.tanh(x @ w + h @ u)


def last(w, u, xs):
    """The state after all turns."""
    return fad.scan(lambda h, x: (cell(h, x, w, u), None), H.astype(xs.dtype), xs)[0]


def outputs(w, u, xs):
    """A product of the state in each turn, which the loop only stacks."""

    def turn(h, x):
        h = cell(h, x, w, u)
        return h, h @ OUT.astype(xs.dtype)

    return fad.scan(turn, H.astype(xs.dtype), xs)[1]


def backwards_and_twice(w, u, xs):
    """Weights used by two products of a turn, from the last turn to the first."""

    def turn(h, x):
        return cell(cell(h, x, w, u), x, w, u), fnp.sum(h)

    return fad.scan(turn, H.astype(xs.dtype), xs, reverse=True)


def transposed(w, u, xs):
    def turn(h, x):
        return fnp.tanh(w.T @ x.T + u.T @ h), x @ w

    return fad.scan(turn, H.T.astype(xs.dtype), xs)


def single(w, u, xs):
    """One vector in each turn: products with it are sums in the loop, and outer products on the way back."""
    return fad.scan(lambda h, x: (fnp.tanh(x @ w + u @ h), h), H[0].astype(xs.dtype), xs[:, 0])


def again(w, u, xs):
    body = fad.checkpoint(lambda h, x: (cell(h, x, w, u), None))
    return fad.scan(body, H.astype(xs.dtype), xs)[0]


def squares(function):
    return lambda *args: sum(fnp.sum(leaf**2) for leaf in fad.tree.leaves(function(*args)))


LOOPS = [last, outputs, backwards_and_twice, transposed, single, again]


def products(program):
    """How many products of matrices or vectors stand outside of the loops of a Program, and in them."""
    inside = sum(
        sum(e.primitive.name == "dot_general" for e in equation.params["program"].equations)
        for equation in program.equations
        if equation.primitive.name == "scan"
    )
    return sum(e.primitive.name == "dot_general" for e in program.equations), inside


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("function", LOOPS)
def test_values_and_derivatives_are_those_of_the_loop(function, dtype):
    args, tolerance = [a.astype(dtype) for a in (W, U, XS)], 200 * np.finfo(dtype).eps
    check_compiled(function, *args, tolerance=tolerance)
    check_compiled(fad.grad(squares(function), argnums=(0, 1, 2)), *args, tolerance=tolerance)


@pytest.mark.parametrize("function", LOOPS)
def test_second_derivatives_and_batches(function):
    loss = squares(function)
    tangents = tuple(fnp.cos(a) for a in (W, U, XS))
    check_compiled(lambda *args: fad.jvp(fad.grad(loss, argnums=(0, 1)), args, tangents), W, U, XS)
    many = np.stack([XS, -XS])
    check_compiled(fad.vmap(fad.grad(loss, argnums=(0, 1)), in_axes=(None, None, 0)), W, U, many)


@pytest.mark.parametrize("function", LOOPS)
def test_the_pass_keeps_the_meaning(function):
    program = fad.make_program(fad.grad(squares(function), argnums=(0, 1, 2)))(W, U, XS)
    found = verify(separate_products(program), "separate_products")
    assert products(found)[0] > products(program)[0]
    for seen, expected in zip(evaluate(found, W, U, XS), evaluate(program, W, U, XS), strict=True):
        np.testing.assert_allclose(seen, expected, rtol=1e-12, atol=1e-12)


def test_a_loop_keeps_the_products_with_its_state():
    program = simplified(fad.make_program(last)(W, U, XS))
    assert products(program) == (1, 1)
    program = simplified(fad.make_program(fad.grad(squares(last), argnums=(0, 1, 2)))(W, U, XS))
    # Forwards x @ w; backwards the gradients by w, u and xs.
    assert products(program) == (4, 2)


def test_a_sum_that_is_read_stays():
    def f(w, u, xs):
        def turn(total, x):
            total = total + x.T @ fnp.tanh(x)
            return total, fnp.sum(total)

        return fad.scan(turn, fnp.zeros((17, 17)), xs)

    assert products(simplified(fad.make_program(f)(W, U, XS))) == (0, 1)
    check_compiled(f, W, U, XS)


def test_a_sum_that_only_grows_is_one_product():
    def f(start, xs):
        def turn(carry, x):
            total, other = carry
            return (total + fnp.tanh(x).T @ x, other + fnp.sum(x)), None

        return fad.scan(turn, (start, 0.0), xs)[0]

    start = np.ones((17, 17))
    program = simplified(fad.make_program(f)(start, XS))
    assert products(program) == (1, 0)
    (loop,) = [e for e in program.equations if e.primitive.name == "scan"]
    assert loop.params["carry"] == 1
    check_compiled(f, start, XS)
    np.testing.assert_allclose(fad.jit(f)(start, XS)[0], start + np.einsum("tbi,tbj->ij", np.tanh(XS), XS))


@pytest.mark.parametrize("turns", [1, 3])
def test_loops_of_few_turns_stay_as_they_are(turns):
    assert products(simplified(fad.make_program(last)(W, U, XS[:turns]))) == (0, 2)


def test_large_products_and_those_that_make_much_of_little_stay():
    def f(w, xs):
        return fad.scan(lambda h, x: (h + fnp.sum(fnp.sin(x @ w)), None), 0.0, xs)[0]

    large = np.zeros((4, 256, 128)), np.zeros((128, 128))
    assert products(simplified(fad.make_program(f)(large[1], large[0]))) == (0, 1)
    wide = np.zeros((400, 4, 16)), np.zeros((16, 4000))
    assert products(simplified(fad.make_program(f)(wide[1], wide[0]))) == (0, 1)


PIECES = [
    lambda x: (x[:, :10], x[:, 10:20], x[:, 20:]),
    lambda x: (x[:, 20:], x[:, :10], x[:, 10:20]),
    lambda x: (x[:20], x[20:]),
    lambda x: (x[:, :10], x[:, 10:]),
]


@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_gradients_by_the_pieces_of_an_array_are_joined(pieces, dtype):
    x = RNG.normal(size=(30, 30)).astype(dtype)

    def f(x):
        return sum(fnp.sum(fnp.sin(p) * (k + 1)) for k, p in enumerate(pieces(fnp.cos(x))))

    program = verify(join_pads(fad.make_program(fad.grad(f))(x)), "join_pads")
    names = [e.primitive.name for e in program.equations]
    assert "pad" not in names and names.count("concatenate") == 1
    np.testing.assert_array_equal(evaluate(program, x)[0], fad.grad(f)(x))
    tolerance = 200 * np.finfo(dtype).eps
    check_compiled(fad.grad(f), x, tolerance=tolerance)
    check_compiled(fad.grad(fad.grad(lambda s: f(s * x))), dtype(0.5), tolerance=tolerance)


@pytest.mark.parametrize(
    "pieces",
    [
        lambda x: (x[:, :10], x[:, 11:]),
        lambda x: (x[:, :10], x[:, 9:]),
        lambda x: (x[:, :1], x[:, 1:]),
        lambda x: (x[:, :10], x[10:]),
        lambda x: (x[:, ::2], x[:, 1::2]),
    ],
)
def test_pieces_that_leave_gaps_or_overlap_are_not_joined(pieces):
    x = RNG.normal(size=(30, 30))

    def f(x):
        return sum(fnp.sum(fnp.sin(p)) for p in pieces(fnp.cos(x)))

    program = join_pads(fad.make_program(fad.grad(f))(x))
    assert not any(e.primitive.name == "concatenate" for e in program.equations)
    check_compiled(fad.grad(f), x)


def test_joined_pieces_have_no_negative_zeros():
    def f(x):
        y = x * 1.0
        return fnp.sum(y[:10] * -0.0) + fnp.sum(y[10:] * -0.0)

    x = np.ones(20)
    program = fad.make_program(fad.grad(f))(x)
    joined = join_pads(program)
    assert [e.primitive.name for e in joined.equations].count("concatenate") == 1
    assert not np.signbit(evaluate(program, x)[0]).any()
    assert not np.signbit(evaluate(joined, x)[0]).any()
