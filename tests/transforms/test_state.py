"""Threads, exceptions, leaks: transforms leave nothing behind and do not meet."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core.errors import ConcretizationError, LeakedTracerError
from fad.core.trace import CURRENT, EVAL
from tests.transforms.functions import X, smooth, smooth_gradient

RUNS = {
    "grad": lambda x: fad.grad(smooth)(x),
    "hessian": lambda x: fad.hessian(smooth)(x),
    "jit": lambda x: fad.jit(fad.grad(smooth))(x),
    "vmap": lambda x: fad.vmap(fad.grad(smooth))(np.stack([x, 2 * x])),
    "jvp": lambda x: fad.jvp(smooth, (x,), (x,))[1],
    "scan": lambda x: fad.grad(lambda x: fad.scan(lambda c, a: (fnp.sin(c + a), c), 0.0, x)[0])(x),
    "random": lambda x: fad.random.normal(fad.random.key(int(x[0] * 1000)), (3,)),
}


@pytest.mark.parametrize("run", RUNS)
def test_eight_threads_agree_with_one(run):
    points = [X * (1 + k / 7) for k in range(24)]
    alone = [np.asarray(RUNS[run](x)) for x in points]
    barrier = threading.Barrier(8)

    def work(k):
        barrier.wait()
        return [np.asarray(RUNS[run](x)) for x in points[k::8]]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(work, range(8)))
    for k in range(8):
        np.testing.assert_array_equal(together[k], alone[k::8])


def test_threads_share_one_jitted_function():
    f = fad.jit(fad.grad(smooth))
    barrier = threading.Barrier(8)

    def work(k):
        barrier.wait()
        return np.asarray(f(X * k))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, range(8)))
    for k in range(8):
        np.testing.assert_allclose(found[k], smooth_gradient(X * k), rtol=1e-12, atol=1e-12)
    assert f.traces == 1


def test_a_thread_started_inside_a_transform_is_not_part_of_it():
    found = []

    def f(x):
        def work():
            found.append(CURRENT.get() is EVAL)
            found.append(float(fad.grad(lambda y: y**2)(3.0)))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return x * 2.0

    assert float(fad.grad(f)(1.0)) == 2.0
    assert found == [True, 6.0]


FAILING = {
    "grad": lambda f: fad.grad(f)(1.0),
    "value_and_grad": lambda f: fad.value_and_grad(f)(1.0),
    "vjp": lambda f: fad.vjp(f, 1.0),
    "jvp": lambda f: fad.jvp(f, (1.0,), (1.0,)),
    "linearize": lambda f: fad.linearize(f, 1.0),
    "vmap": lambda f: fad.vmap(f)(np.ones(3)),
    "jit": lambda f: fad.jit(f)(1.0),
    "checkpoint": lambda f: fad.checkpoint(f)(1.0),
    "hessian": lambda f: fad.hessian(f)(np.ones(2)),
    "make_program": lambda f: fad.make_program(f)(1.0),
    "eval_shape": lambda f: fad.eval_shape(f, 1.0),
    "scan": lambda f: fad.scan(lambda c, x: (f(c), x), 1.0, np.ones(3)),
    "while_loop": lambda f: fad.while_loop(lambda x: x < 3.0, f, 1.0),
    "cond": lambda f: fad.cond(True, f, f, 1.0),
    "jit of grad of vmap": lambda f: fad.jit(fad.grad(lambda x: fad.vmap(f)(x).sum()))(np.ones(2)),
    "custom_jvp": lambda f: fad.jit(fad.custom_jvp(f))(1.0),
    "nested": lambda f: fad.grad(lambda x: fad.grad(f)(x) * x)(1.0),
}


@pytest.mark.parametrize("transform", FAILING)
def test_exceptions_leave_no_state(transform):
    class Mine(Exception):
        pass

    def f(x):
        fnp.sin(x)
        raise Mine

    with pytest.raises(Mine):
        FAILING[transform](f)
    assert CURRENT.get() is EVAL
    np.testing.assert_allclose(fad.grad(smooth)(X), smooth_gradient(X), rtol=1e-12)


def test_exceptions_in_a_pullback_leave_no_state():
    def bad(ct):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fad.grad(lambda x: fad.debug.tap_gradient(x, bad) ** 2)(1.0)
    assert CURRENT.get() is EVAL


def test_a_failed_jit_can_be_called_again():
    broken = [True]

    @fad.jit
    def f(x):
        if broken[0]:
            raise RuntimeError("first")
        return x * 2.0

    with pytest.raises(RuntimeError, match="first"):
        f(1.0)
    broken[0] = False
    assert float(f(1.0)) == 2.0


LEAKS = {
    "grad": (lambda f: fad.grad(f)(1.0), "reverse-mode differentiation of"),
    "jvp": (lambda f: fad.jvp(f, (1.0,), (1.0,)), "jvp of"),
    "vmap": (lambda f: fad.vmap(f)(np.ones(2)), "vmap of"),
    "jit": (lambda f: fad.jit(f)(1.0), "jit of leaking"),
    "scan": (lambda f: fad.scan(lambda c, x: (f(c), None), 1.0, np.ones(2)), "scan of"),
}


@pytest.mark.parametrize("transform", LEAKS)
def test_leaked_tracers_say_where_they_came_from(transform):
    run, owner = LEAKS[transform]
    kept = []

    def leaking(x):
        y = fnp.sin(x)
        kept.append(y)
        return y

    run(leaking)
    for use in (lambda: kept[0] + 1.0, lambda: fad.jit(lambda z: z + kept[0])(1.0), lambda: fnp.cos(kept[0])):
        with pytest.raises(LeakedTracerError) as caught:
            use()
        message = str(caught.value)
        assert owner in message
        assert "finished" in message
        assert "test_state.py" in message
        assert "Return values" in message


def test_a_tracer_of_an_inner_transform_leaks_into_the_outer_one():
    kept = []

    def inner(y):
        kept.append(y * 2.0)
        return y * y

    with pytest.raises(LeakedTracerError, match="finished"):
        fad.grad(lambda x: fad.grad(inner)(x) + kept[0])(3.0)


def test_python_control_flow_under_jit_and_vmap_names_the_value_and_the_ways_out():
    def f(x):
        y = fnp.sin(x)
        return y if y > 0 else -y

    assert float(fad.grad(f)(4.0)) == pytest.approx(-np.cos(4.0))
    assert float(fad.jvp(f, (1.0,), (1.0,))[1]) == pytest.approx(np.cos(1.0))
    for run in (lambda: fad.jit(f)(1.0), lambda: fad.vmap(f)(np.ones(2)), lambda: fad.grad(fad.jit(f))(1.0)):
        with pytest.raises(ConcretizationError) as caught:
            run()
        message = str(caught.value)
        assert "bool() (an `if`" in message
        assert "fad.cond" in message
        assert "static_argnums" in message
    with pytest.raises(ConcretizationError, match=r"the result of greater at .*test_state.py:\d+ \(f\)"):
        fad.jit(f)(1.0)
