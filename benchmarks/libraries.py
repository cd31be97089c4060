"""One adapter per peer, so that a problem is written once for every library that speaks NumPy's names.

JAX and fad share one text per problem: whatever a row shows, both did the same work.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

PEERS = ("fad", "jax", "torch", "torch-compile", "autograd", "numpy", "numba")


class MissingPeer(Exception):
    """The peer is not installed here."""


@dataclass(frozen=True)
class Library:
    """The calls a problem may use. A field left ``None`` is something the library cannot do."""

    name: str
    np: Any
    array: Callable
    ready: Callable
    jit: Callable
    grad: Callable
    value_and_grad: Callable
    vmap: Callable | None = None
    hessian: Callable | None = None
    jvp: Callable | None = None
    jacfwd: Callable | None = None
    jacrev: Callable | None = None
    scan: Callable | None = None
    while_loop: Callable | None = None
    stop_gradient: Callable = staticmethod(lambda x: x)
    erf: Callable | None = None
    conv: Callable | None = None
    max_pool: Callable | None = None
    fill: Callable | None = None


def _nested(convert: Callable, tree: Any) -> Any:
    """Apply ``convert`` to every array of nested tuples, lists and dicts."""
    if isinstance(tree, dict):
        return {key: _nested(convert, value) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        return type(tree)(_nested(convert, value) for value in tree)
    return convert(tree)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingPeer(f"{name}: {error}") from error


def _fill_at(xp: Any) -> Callable:
    def fill(shape: tuple[int, ...], index: tuple, values: Any) -> Any:
        """Zeros of ``shape`` with ``values`` written at ``index``."""
        return xp.zeros(shape).at[index].set(values)

    return fill


def _identity(function: Callable, **_options: Any) -> Callable:
    return function


def load_jax(compiled: bool = True) -> Library:
    """JAX with 64-bit numbers; ``compiled=False`` leaves every ``jit`` out."""
    jax = _import("jax")
    jax.config.update("jax_enable_x64", True)
    xp, lax = jax.numpy, jax.lax

    def ready(x: Any) -> Any:
        return x.block_until_ready() if isinstance(x, jax.Array) else jax.block_until_ready(x)

    def conv(x: Any, w: Any) -> Any:
        return lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    def max_pool(x: Any) -> Any:
        return lax.reduce_window(x, -np.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    return Library(
        name="jax",
        np=xp,
        array=functools.partial(_nested, xp.asarray),
        ready=ready,
        jit=jax.jit if compiled else _identity,
        grad=jax.grad,
        value_and_grad=jax.value_and_grad,
        vmap=jax.vmap,
        hessian=jax.hessian,
        jvp=jax.jvp,
        jacfwd=jax.jacfwd,
        jacrev=jax.jacrev,
        scan=lax.scan,
        while_loop=lax.while_loop,
        stop_gradient=lax.stop_gradient,
        erf=jax.scipy.special.erf,
        conv=conv,
        max_pool=max_pool,
        fill=_fill_at(xp),
    )


def load_fad(compiled: bool = True) -> Library:
    """fad; ``compiled=False`` leaves every ``jit`` out."""
    fad = _import("fad")
    xp, nn = _import("fad.numpy"), _import("fad.nn")

    def conv(x: Any, w: Any) -> Any:
        return nn.conv(x, w, stride=(1, 1), padding="SAME")

    def max_pool(x: Any) -> Any:
        return nn.max_pool(x, (2, 2), stride=(2, 2), padding="VALID")

    return Library(
        name="fad",
        np=xp,
        array=functools.partial(_nested, xp.asarray),
        ready=fad.block_until_ready,
        jit=fad.jit if compiled else _identity,
        grad=fad.grad,
        value_and_grad=fad.value_and_grad,
        vmap=fad.vmap,
        hessian=fad.hessian,
        jvp=fad.jvp,
        jacfwd=fad.jacfwd,
        jacrev=fad.jacrev,
        scan=fad.scan,
        while_loop=fad.while_loop,
        stop_gradient=fad.stop_gradient,
        erf=_import("fad.scipy.special").erf,
        conv=conv,
        max_pool=max_pool,
        fill=_fill_at(xp),
    )


def load_autograd(compiled: bool = True) -> Library:
    """HIPS autograd: NumPy arrays, no jit, no vmap; loops are Python's."""
    ag = _import("autograd")
    xp = _import("autograd.numpy")
    special = _import("autograd.scipy.special")

    def scan(step: Callable, carry: Any, xs: Any, length: int | None = None) -> tuple[Any, Any]:
        outs = []
        for i in range(length if xs is None else len(xs)):
            carry, out = step(carry, None if xs is None else xs[i])
            outs.append(out)
        return carry, None if outs[0] is None else xp.stack(outs)

    def while_loop(condition: Callable, body: Callable, carry: Any) -> Any:
        while condition(carry):
            carry = body(carry)
        return carry

    def fill(shape: tuple[int, ...], index: tuple, values: Any) -> Any:
        """Autograd has no functional write: gather from the values with one zero put in front."""
        place = np.zeros(shape, dtype=np.int64)
        place[index] = np.arange(1, np.zeros(shape)[index].size + 1).reshape(np.zeros(shape)[index].shape)
        return xp.concatenate([xp.zeros(1), xp.ravel(values)])[place]

    return Library(
        name="autograd",
        np=xp,
        array=functools.partial(_nested, np.asarray),
        ready=lambda x: x,
        jit=_identity,
        grad=lambda f, argnums=0: ag.grad(f, argnums),
        value_and_grad=lambda f, argnums=0: ag.value_and_grad(f, argnums),
        hessian=ag.hessian,
        jacfwd=ag.jacobian,
        jacrev=ag.jacobian,
        scan=scan,
        while_loop=while_loop,
        erf=special.erf,
        fill=fill,
    )


@dataclass(frozen=True)
class Torch:
    """PyTorch: problems written for it use ``torch`` itself; ``compile`` is the identity for the eager peer."""

    name: str
    torch: Any
    array: Callable
    compile: Callable

    def leaves(self, *arrays: np.ndarray) -> list[Any]:
        """Tensors that collect gradients."""
        return [self.array(a).requires_grad_() for a in arrays]


def load_torch(compiled: bool) -> Torch:
    """PyTorch, eager or with ``torch.compile`` (without its disk cache, so that a first call is one)."""
    torch = _import("torch")
    compile_ = _identity
    if compiled:
        _import("torch._inductor.config").force_disable_caches = True
        compile_ = torch.compile
    return Torch(
        name="torch-compile" if compiled else "torch",
        torch=torch,
        array=functools.partial(_nested, lambda a: torch.tensor(np.asarray(a))),
        compile=compile_,
    )


@dataclass(frozen=True)
class Plain:
    """NumPy or numba by hand: nothing to adapt, ``jit`` is numba's where that is the peer."""

    name: str
    jit: Callable = _identity


def load_numba() -> Plain:
    """numba; its in-memory compilation counts as the first call."""
    return Plain("numba", functools.partial(_import("numba").njit, fastmath=False))


LOADERS: dict[str, Callable[[], Any]] = {
    "fad": load_fad,
    "fad-eager": functools.partial(load_fad, False),
    "jax": load_jax,
    "jax-eager": functools.partial(load_jax, False),
    "torch": functools.partial(load_torch, False),
    "torch-compile": functools.partial(load_torch, True),
    "autograd": load_autograd,
    "numpy": lambda: Plain("numpy"),
    "numba": load_numba,
}


def load(peer: str) -> Any:
    """The adapter of ``peer``; raises `MissingPeer` where it is not installed."""
    return LOADERS[peer]()


def warm_up(library: Any) -> None:
    """Start what a library starts once per process (thread pools, LLVM), so that no row pays for it."""
    if isinstance(library, Library):
        library.ready(library.jit(library.grad(lambda x: library.np.sum(x * x)))(library.array(np.ones(3))))
    elif isinstance(library, Torch):
        (x,) = library.leaves(np.ones(3))
        library.compile(lambda v: (v * v).sum())(x).backward()
    elif library.name == "numba":
        library.jit(lambda x: x + 1.0)(1.0)
