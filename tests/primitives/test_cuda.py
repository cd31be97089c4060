"""Every operation on arrays of a CUDA device against the same on the CPU, and whole transforms there."""

import warnings

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core.avals import PYTHON_SCALARS
from fad.core.cuda_evaluation import DeviceWarning, is_on_device
from fad.core.primitive import REGISTRY
from fad.testing.numerical import as_host, describe_difference, random_direction
from fad.testing.primitives import Trial
from fad.transforms.forward import jvp_flat
from fad.transforms.reverse import vjp_flat
from tests import cuda_device

pytestmark = cuda_device.marks()
cupy = pytest.importorskip("cupy", reason=cuda_device.REASON)

PRIMITIVES = sorted((p for p in REGISTRY.values() if not p.declared_outside), key=lambda p: p.name)
TRIALS = [(p, k) for p in PRIMITIVES for k in range(len(p.samples))]
FREE_PHASE = ("eigh", "svd")  # their vectors have any sign or phase; magnitudes do not
ELSEWHERE = ("weaken", "place")  # give Python numbers, or arrays on the device that they are told


def on_device(x):
    return x if x is None or type(x) in PYTHON_SCALARS else cupy.asarray(x)


class DeviceTrial(Trial):
    """A primitive on one sample, its arguments on the device."""

    def __init__(self, host):
        self.__dict__.update(host.__dict__)
        self.args = [on_device(a) for a in host.args]


def assert_same(seen, expected, tolerance, phase_free):
    for k, (s, e) in enumerate(zip(seen, expected, strict=True)):
        assert (s is None) == (e is None), k
        if s is not None:
            s, e = (cupy.asnumpy(s) if is_on_device(s) else np.asarray(s)), np.asarray(e)
            assert (s.shape, s.dtype) == (e.shape, e.dtype), k
            s, e = (np.abs(as_host(x)) if phase_free else as_host(x) for x in (s, e))
            problem = describe_difference(s, e, tolerance, tolerance, (f"result {k} on the device", "on the CPU"), True)
            assert not problem, problem


@pytest.mark.parametrize(("primitive", "index"), TRIALS, ids=[f"{p.name}-{k}" for p, k in TRIALS])
def test_values_on_device(primitive, index):
    host = Trial(primitive, primitive.samples[index])
    trial = DeviceTrial(host)
    outs = trial.bind(*trial.args)
    assert_same(outs, host.outs, 100 * host.rounding(), primitive.name in FREE_PHASE)
    if any(is_on_device(a) for a in trial.args) and primitive.name not in ELSEWHERE:
        assert all(is_on_device(o) for o in outs)


DIFFERENTIABLE = [(p, k) for p, k in TRIALS if (p.jvp or p.vjp) and p.name not in FREE_PHASE]


@pytest.mark.parametrize(("primitive", "index"), DIFFERENTIABLE, ids=[f"{p.name}-{k}" for p, k in DIFFERENTIABLE])
def test_derivatives_on_device(primitive, index):
    host = Trial(primitive, primitive.samples[index])
    if not host.differentiable:
        assert host.case.order == 0 or not host.varying or not host.inexact_outs or not (host.jvp or host.vjp)
        return
    trial, tolerance, generator = DeviceTrial(host), 1000 * host.rounding(), host.generator()
    directions = [random_direction(generator, x) for x in host.point]
    cotangents = [random_direction(generator, host.outs[k]) for k in host.inexact_outs]
    if host.jvp is not None:
        expected = jvp_flat(host.of_varying, host.point, directions)[1]
        seen = jvp_flat(trial.of_varying, trial.point, [on_device(d) for d in directions])[1]
        assert_same(seen, expected, tolerance, False)
    if host.vjp is not None or primitive.pullback_from is not None:
        expected = vjp_flat(host.of_varying, host.point)[1](cotangents)
        seen = vjp_flat(trial.of_varying, trial.point)[1]([on_device(c) for c in cotangents])
        assert_same(seen, expected, tolerance, False)


def test_decompositions_give_their_matrix_on_device():
    a = np.random.default_rng(0).normal(size=(2, 4, 3))
    u, s, vh = fnp.linalg.svd(fad.device_put(a, "cuda:0"), full_matrices=False)
    np.testing.assert_allclose((u * s[:, None]) @ vh, a, atol=1e-12)
    symmetric = a @ a.transpose(0, 2, 1)
    values, vectors = fnp.linalg.eigh(fad.device_put(symmetric, "cuda:0"))
    np.testing.assert_allclose((vectors * values[:, None]) @ vectors.mT, symmetric, atol=1e-12)


def test_what_cupy_lacks_is_computed_on_the_host_with_a_warning():
    x = fad.device_put(np.array([0.3, 0.6]), "cuda:0")
    from fad.core import cuda_evaluation

    cuda_evaluation._warn_once.cache_clear()
    with pytest.warns(DeviceWarning, match="dawsn is computed on the CPU"):
        y = fad.scipy.special.dawsn(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = fad.scipy.special.dawsn(x)  # told once
    assert y.device == again.device == x.device
    np.testing.assert_allclose(y, fad.scipy.special.dawsn(np.asarray(x)))


def loss(params, x, y):
    hidden = fnp.tanh(x @ params["first"] + params["bias"])
    return fnp.mean((hidden @ params["second"] - y) ** 2) + 0.01 * fnp.sum(params["second"] ** 2)


def network():
    generator = np.random.default_rng(0)
    sizes = {"first": (4, 8), "bias": (8,), "second": (8, 2), "unused": (3,)}
    params = {name: generator.normal(size=size) for name, size in sizes.items()}
    return params, generator.normal(size=(16, 4)), generator.normal(size=(16, 2))


TRANSFORMS = {
    "grad": lambda f: fad.grad(f),
    "jit(grad)": lambda f: fad.jit(fad.grad(f)),
    "grad(jit)": lambda f: fad.grad(fad.jit(f)),
    "jit": lambda f: fad.jit(f),
    "vmap": lambda f: fad.vmap(lambda p, x, y: f(p, x[None], y[None]), (None, 0, 0)),
    "vmap(grad)": lambda f: fad.vmap(fad.grad(lambda p, x, y: f(p, x[None], y[None])), (None, 0, 0)),
    "hvp": lambda f: lambda p, x, y: fad.jvp(fad.grad(lambda q: f(q, x, y)), (p,), (p,))[1],
    "checkpoint": lambda f: fad.grad(fad.checkpoint(f)),
    "jacfwd": lambda f: lambda p, x, y: fad.jacfwd(lambda b: f({**p, "bias": b}, x, y))(p["bias"]),
    "hessian": lambda f: lambda p, x, y: fad.hessian(lambda b: f({**p, "bias": b}, x, y))(p["bias"]),
    "jacrev": lambda f: lambda p, x, y: fad.jacrev(lambda b: fnp.tanh(x @ p["first"] + b)[:3])(p["bias"]),
    "vjp": lambda f: lambda p, x, y: fad.vjp(lambda b: fnp.tanh(x @ p["first"] + b), p["bias"])[1](np.ones((16, 8)))[0],
    "linearize": lambda f: lambda p, x, y: fad.linearize(lambda q: f(q, x, y), p)[1](p),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_on_device(name):
    arguments = network()
    moved = fad.device_put(arguments, "cuda:0")
    seen, expected = TRANSFORMS[name](loss)(*moved), TRANSFORMS[name](loss)(*arguments)
    for s, e in zip(fad.tree.leaves(seen), fad.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(s, e, rtol=1e-10, atol=1e-12)
        assert s.device == moved[1].device


def test_training_on_device():
    params, x, y = network()
    seen, expected = (fad.device_put(params, "cuda:0"), params)
    optimizer = fad.optim.adam(0.05)
    states = optimizer.init(seen), optimizer.init(expected)
    for _ in range(5):
        steps = []
        for p, state in zip((seen, expected), states, strict=True):
            value, gradient = fad.value_and_grad(loss)(p, x, y)
            updates, state = optimizer.update(gradient, state, p)
            steps.append((fad.optim.apply_updates(p, updates), state, value))
        (seen, first, value), (expected, second, reference) = steps
        states = first, second
        np.testing.assert_allclose(value, reference, rtol=1e-10)
    for name in params:
        np.testing.assert_allclose(seen[name], expected[name], rtol=1e-9)
        assert seen[name].device != "cpu"


def test_control_flow_on_device():
    def program(x):
        total, steps = fad.scan(lambda c, row: (fnp.sin(c) + row, c * row), x[0], x)
        doubled = fad.while_loop(lambda c: fnp.sum(c) < 50.0, lambda c: 2.0 * c, 1.0 + total**2)
        chosen = fad.cond(fnp.sum(total) > 0.0, fnp.cos, fnp.exp, total)
        return fnp.sum(steps) + fnp.sum(chosen) + fnp.sum(fad.fori_loop(0, 3, lambda i, c: c * 0.5 + i, doubled))

    x = np.random.default_rng(0).normal(size=(5, 3))
    moved = fad.device_put(x, "cuda:0")
    for transform in (lambda f: f, fad.grad, lambda f: fad.jit(fad.grad(f))):
        seen = transform(program)(moved)
        np.testing.assert_allclose(seen, transform(program)(x), rtol=1e-10)
        assert seen.device == moved.device


def test_custom_rules_and_constants_on_device():
    x = np.random.default_rng(0).normal(size=(4, 3))
    moved = fad.device_put(x, "cuda:0")

    def program(x, rate):
        hidden = fad.nn.softmax(x * np.arange(3.0)) + rate * np.ones(3)  # rate lives on the host
        return fnp.sum(fad.nn.logsumexp(hidden, axis=1) * fnp.arange(4.0))

    seen, expected = (fad.grad(program, argnums=(0, 1))(a, fnp.array([0.1, 0.2, 0.3])) for a in (moved, x))
    for s, e in zip(seen, expected, strict=True):
        np.testing.assert_allclose(s, e, rtol=1e-12)
    assert (seen[0].device, seen[1].device) == (moved.device, "cpu")


def test_indexing_on_device():
    x = fad.device_put(np.arange(12.0).reshape(3, 4), "cuda:0")
    host = np.arange(12.0).reshape(3, 4)
    np.testing.assert_allclose(x[[2, 0]], host[[2, 0]])
    np.testing.assert_allclose(x[x > 5.0], host[host > 5.0])
    np.testing.assert_allclose(x.at[[1, 1], 2].add(1.0)[1, 2], host[1, 2] + 2.0)
    np.testing.assert_allclose(x.at[0].set(-1.0)[0], -np.ones(4))
    with pytest.raises(IndexError, match="out of bounds"):
        x[fnp.array([0, 3])]


def test_wrong_calls_on_device_are_explained():
    x = fad.device_put(np.ones((2, 3)), "cuda:0")
    with pytest.raises(fad.errors.ShapeError, match=r"\(2, 3\)"):
        x @ x
    with pytest.raises(fad.errors.ShapeError, match="broadcast"):
        x + fnp.ones(4)


def test_arrays_leave_and_enter_the_device():
    x = fad.device_put(np.array([1.0, 2.0]), "cuda:0")
    assert "1., 2." in repr(x)
    np.testing.assert_array_equal(np.asarray(x), [1.0, 2.0])
    assert fad.device_put(x).device == "cpu"
    assert isinstance(cupy.from_dlpack(x), cupy.ndarray)
    torch = pytest.importorskip("torch", reason="exchange with PyTorch needs it")
    tensor = torch.arange(3.0, device="cuda")
    np.testing.assert_array_equal(fad.grad(lambda t: fnp.sum(t**2))(tensor), [0.0, 2.0, 4.0])
