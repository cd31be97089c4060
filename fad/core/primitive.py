"""``Primitive``: one operation with all its rules in one place, and ``bind``, the single door to the traces.

Rules
-----
``impl``
    What it computes: ``f(xp, *buffers, **params)`` with ``xp`` the array module, or the name of a function of that module.
``shape``
    ``f(*avals, **params) -> ShapedArray``, a list of them if there are several results.
``jvp``
    ``f(primals, tangents, **params) -> out, tangent_out``; a tangent that is ``None`` is zero. :data:`linear` for an operation that is
    linear in its only array argument. ``None``: the result carries no derivative (integers, steps).
``vjp``
    ``f(*primals, **params) -> out, pullback`` with ``pullback(cotangent) -> [cotangent or None, ...]``, one for each argument.
    A rule may come instead as ``vjp_selected(active, primals, params)``, whose pullback gives only the active arguments' cotangents, or, for
    an operation whose pullback follows from its result, as ``pullback_from(out, primals, active, params)``. That gives what the tape keeps: a tuple
    ``(function, *values)``, where ``function(cotangent, *values)`` is the bare cotangent of the one active argument or a sequence of them; ``None`` if none
    gets any. One tuple is one object to the garbage collector, which visits all of a long tape again and again; a closure is five.
``batch``
    ``f(size, args, mapped, **params) -> out, mapped``: the mapped axis is axis 0 of each argument with ``mapped[k]`` true.
    An operation that is ``higher_order`` (its params hold Programs or functions) also gets ``axis_name``.
``kernel``
    Scalar or loop code for the compiler; ``None`` where the operation has no native lowering.
``samples``
    Cases that feed the generated checks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import Any

import numpy as np

from fad.core.avals import aval_of
from fad.core.errors import FadError, NonDifferentiableError
from fad.core.samples import Case, written_out
from fad.core.trace import CURRENT, Tracer

__all__ = ["REGISTRY", "BinaryPrimitive", "FixedPrimitive", "Primitive", "UnaryPrimitive", "linear", "no_rule"]

REGISTRY: dict[str, Primitive] = {}


class _Linear:
    """Marks an operation that is linear in its only array argument: the tangent goes through the operation itself."""

    def __repr__(self) -> str:
        return "linear"


linear = _Linear()


def no_rule(reason: str) -> Callable[..., Any]:
    """A rule slot that says aloud why there is no rule.

    Parameters
    ----------
    reason : str
        What the :class:`NonDifferentiableError` says when the rule is needed.

    Examples
    --------
    >>> from fad.extend import no_rule
    >>> rule = no_rule("rounding has no useful derivative")
    """

    def missing(*args: Any, **params: Any) -> Any:
        raise NonDifferentiableError(reason)

    missing.missing_rule = reason  # type: ignore[attr-defined]
    return missing


class Primitive:
    """One operation: what it computes and every rule about it. The module's docstring describes the slots."""

    declared_outside = False

    __slots__ = (
        "_declared_in",
        "batch",
        "collective",
        "doc",
        "higher_order",
        "host_impl",
        "impl",
        "inline",
        "jvp",
        "kernel",
        "keeps_missing",
        "multiple_results",
        "name",
        "pullback_from",
        "declared_samples",
        "shape",
        "stage",
        "vjp",
        "vjp_selected",
    )

    def __init__(
        self,
        name: str,
        *,
        impl: str | Callable[..., Any],
        shape: Callable[..., Any],
        jvp: Any,
        vjp: Callable[..., Any] | None,
        batch: Callable[..., Any] | None,
        kernel: Any,
        samples: Any,
        multiple_results: bool = False,
        keeps_missing: bool = False,
        collective: bool = False,
        higher_order: bool = False,
        vjp_selected: Callable[..., Any] | None = None,
        pullback_from: Callable[..., Any] | None = None,
        stage: Callable[..., Any] | None = None,
        inline: Callable[..., Any] | None = None,
        doc: str = "",
        register: bool = True,
    ):
        self.name = name
        self.impl = impl
        self.shape = shape
        self.jvp = self._linear_jvp if jvp is linear else jvp
        self.vjp = vjp
        self.batch = batch
        self.kernel = kernel
        self.declared_samples = samples
        self.multiple_results = multiple_results
        self.keeps_missing = keeps_missing
        self.collective = collective
        self.higher_order = higher_order
        self.stage = stage
        self.inline = inline
        self.doc = doc
        self.pullback_from = pullback_from
        self.vjp_selected = vjp_selected or (None if vjp is None else self._selected)
        self.host_impl = self.impl_for(np)
        if register:
            self._declared_in = _running_module()
            if name in REGISTRY and REGISTRY[name].is_loaded:
                raise FadError(f"a primitive named {name!r} exists already")
            REGISTRY[name] = self

    def __repr__(self) -> str:
        return self.name

    @property
    def is_loaded(self) -> bool:
        """Whether the module that declares it is there; it is not where its import was interrupted, and may be repeated."""
        module = sys.modules.get(self._declared_in["__name__"])
        return module is not None and vars(module) is self._declared_in

    @property
    def samples(self) -> list[Case]:
        """Cases that feed the generated checks."""
        return written_out(self.declared_samples)

    def __reduce__(self) -> tuple[Any, ...]:
        return _lookup, (self.name,)

    def impl_for(self, module: Any) -> Callable[..., Any]:
        """The implementation in one array module."""
        if isinstance(self.impl, str):
            return getattr(module, self.impl)
        return partial(self.impl, module)

    def bind(self, *args: Any, **params: Any) -> Any:
        """Hand buffers and tracers to the current trace; gives buffers or tracers."""
        trace = CURRENT.get()
        base = trace.base
        if trace is base:
            return trace.process(self, args, params)
        for arg in args:
            if isinstance(arg, Tracer):
                return trace.process(self, args, params)
        if self.collective:
            return trace.process(self, args, params)
        return base.process(self, args, params)

    def diagnose(self, args: Any, params: dict[str, Any]) -> FadError | None:
        """The teaching error that the shape rule raises for these arguments, if it does."""
        try:
            self.shape(*[aval_of(a) for a in args], **params)
        except FadError as error:
            return error
        except Exception:
            return None
        return None

    def _linear_jvp(self, primals: Any, tangents: Any, **params: Any) -> Any:
        return self.bind(*primals, **params), self.bind(*tangents, **params)

    def _selected(self, active: tuple[int, ...], primals: Any, params: dict[str, Any]) -> Any:
        """The vjp rule, with a pullback that gives only the cotangents of the active arguments."""
        out, pullback = self.vjp(*primals, **params)  # type: ignore[misc]

        def selected(cotangent: Any) -> list[Any]:
            cotangents = pullback(cotangent)
            return [cotangents[k] for k in active]

        return out, selected


class UnaryPrimitive(Primitive):
    """An operation on one argument, without parameters. ``pull_first(out, x)`` is its ``pullback_from``."""

    __slots__ = ("pull_first",)

    pull_first: Callable[[Any, Any], tuple[Any, ...] | None]
    params = MappingProxyType({})

    @property
    def general(self) -> Primitive:
        """The operation itself, as of a :class:`FixedPrimitive`."""
        return self

    def bind(self, x: Any) -> Any:  # type: ignore[override]
        """Hand the argument to the current trace."""
        return CURRENT.get().unary(self, x)


class BinaryPrimitive(Primitive):
    """An operation on two arguments, without parameters. Its ``pullback_from`` comes in three: for the first argument, the second and both.

    ``reads[k]`` tells which of (result, first, second) the derivative by argument ``k`` reads.
    """

    __slots__ = ("pull_both", "pull_first", "pull_second", "reads")

    pull_first: Callable[[Any, Any, Any], tuple[Any, ...] | None]
    pull_second: Callable[[Any, Any, Any], tuple[Any, ...] | None]
    pull_both: Callable[[Any, Any, Any], tuple[Any, ...] | None]
    reads: tuple[tuple[bool, ...], ...]
    params = MappingProxyType({})

    @property
    def general(self) -> Primitive:
        """The operation itself, as of a :class:`FixedPrimitive`."""
        return self

    def bind(self, x: Any, y: Any) -> Any:  # type: ignore[override]
        """Hand the arguments to the current trace."""
        return CURRENT.get().binary(self, x, y)


class FixedPrimitive:
    """An operation on one or two arguments with its parameters fixed, so that it can take the traces' doors for those (``unary``, ``binary``).

    Parameters
    ----------
    general : Primitive
        The operation.
    params : dict
        Its parameters.
    host_impl : callable
        What it computes with these parameters from NumPy's arrays.
    pull_first, pull_second, pull_both : callable
        As those of :class:`UnaryPrimitive` and :class:`BinaryPrimitive`; the general ``pullback_from`` should be made of them.
    """

    __slots__ = ("general", "host_impl", "params", "pull_both", "pull_first", "pull_second")

    def __init__(
        self,
        general: Primitive,
        params: dict[str, Any],
        host_impl: Callable[..., Any],
        pull_first: Callable[..., tuple[Any, ...]],
        pull_second: Callable[..., tuple[Any, ...]] | None = None,
        pull_both: Callable[..., tuple[Any, ...]] | None = None,
    ):
        self.general, self.params, self.host_impl = general, params, host_impl
        self.pull_first, self.pull_second, self.pull_both = pull_first, pull_second, pull_both


def _running_module() -> dict[str, Any]:
    """The names of the module whose code is running."""
    frame: Any = sys._getframe(1)
    while frame.f_code.co_name != "<module>" and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_globals


def _lookup(name: str) -> Primitive:
    if name not in REGISTRY:  # what declares it has not been needed in this process yet
        from pkgutil import iter_modules

        for package in ("fad.primitives", "fad.transforms", "fad.debug"):
            for module in iter_modules(import_module(package).__path__):
                import_module(f"{package}.{module.name}")
    return REGISTRY[name]
