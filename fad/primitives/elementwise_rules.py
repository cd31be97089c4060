"""The builder of elementwise operations: partial derivatives are given once, both derivative rules and batching come from them.

For an operation ``out = f(x, y)`` the declaration gives ``partials=[lambda out, x, y: df/dx, lambda out, x, y: df/dy]``. A partial may be the
number 1 or -1, or ``None`` where the argument carries no derivative. An argument of a partial named ``_`` is not kept for the
backward pass.

Zero stays zero: where a partial is infinite or NaN (``sqrt`` at 0), a cotangent or tangent that is exactly 0 gives 0, unless
``fad.config.strict_derivatives`` is on. Operations whose partials can be non-finite at finite arguments say ``singular=True``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from fad.core.avals import (
    ShapedArray,
    aval_of,
    dtype_of,
    inexact_dtype,
    is_complex,
    result_dtype,
    shape_of,
    weak_operand,
)
from fad.core.config import config
from fad.core.errors import DTypeError, ShapeError
from fad.core.primitive import Primitive
from fad.core.samples import complexes, reals
from fad.primitives.structural import expand_front, match, match_out

__all__ = ["broadcast_shapes", "elementwise", "zero_safe_multiply"]

Partial = Callable[..., Any] | int | None
_resolved: dict[tuple[Any, ...], np.dtype] = {}


def broadcast_shapes(name: str, *avals: ShapedArray) -> tuple[int, ...]:
    """The common shape of the operands."""
    first = avals[0].shape
    if all(a.shape == first for a in avals):
        return first
    try:
        return np.broadcast_shapes(*[a.shape for a in avals])
    except ValueError:
        seen = " and ".join(str(a.shape) for a in avals)
        raise ShapeError(
            f"{name}: shapes {seen} do not broadcast; sizes must be equal or 1, counted from the last axis. "
            "Insert axes with x[:, None] or reshape."
        ) from None


def ufunc_dtype(name: str, ufunc: np.ufunc, avals: Sequence[ShapedArray]) -> np.dtype:
    """What NumPy's type resolution gives, Python scalars being weak."""
    key = (ufunc, *[weak_operand(a) for a in avals])
    if key not in _resolved:
        try:
            # resolve_dtypes knows Python's int, float and complex as weak, but not its bool.
            _resolved[key] = ufunc.resolve_dtypes(
                (*[np.dtype(bool) if d is bool else d for d in key[1:]], *[None] * ufunc.nout)
            )[-1]
        except TypeError:
            seen = ", ".join(str(a) for a in avals)
            raise DTypeError(
                f"{name} is not defined for arguments of types {seen}; convert with x.astype(...)"
            ) from None
    return _resolved[key]


def _dtype_rule(name: str, dtype: Any, ufunc: Any) -> Callable[..., np.dtype]:
    if dtype == "ufunc":
        return lambda *avals: ufunc_dtype(name, ufunc, avals)
    if dtype == "float":
        return lambda *avals: inexact_dtype(result_dtype(*[weak_operand(a) for a in avals]))
    if dtype == "promote":
        return lambda *avals: result_dtype(*[weak_operand(a) for a in avals])
    if dtype == "bool":
        return lambda *avals: np.dtype(bool)
    return dtype


def _needs(partials: Sequence[Partial]) -> tuple[bool, ...]:
    """Which of (out, *args) some partial reads."""
    arity = len(partials)
    needed = [False] * (arity + 1)
    for function in partials:
        if callable(function):
            names = function.__code__.co_varnames[: arity + 1]
            for k, name in enumerate(names):
                needed[k] = needed[k] or not name.startswith("_")
    return tuple(needed)


def _times(factor: Any, slope_of: Partial, values: Sequence[Any], singular: bool) -> Any:
    if slope_of == 1:
        return factor
    if slope_of == -1:
        return -factor
    try:
        slope = slope_of(*values)  # type: ignore[operator,misc]
    except ZeroDivisionError:  # of Python scalars, where arrays give an infinity
        dtype = dtype_of(factor)
        with np.errstate(all="ignore"):
            slope = slope_of(*[dtype.type(v) if type(v) in (int, float) else v for v in values])  # type: ignore[operator,misc]
    if singular and not config.strict_derivatives:
        return zero_safe_multiply.bind(factor, slope)
    return factor * slope


def elementwise(
    name: str,
    *,
    impl: Any,
    partials: Sequence[Partial] | None,
    kernel: Any,
    samples: Any,
    arity: int | None = None,
    dtype: Any = "ufunc",
    singular: bool = False,
    doc: str = "",
) -> Primitive:
    """Declare an elementwise operation.

    Parameters
    ----------
    name : str
        Name of the primitive.
    impl : str or callable
        Name of the ufunc in the array module, or ``f(xp, *args)``.
    partials : sequence or None
        One partial derivative per argument; ``None`` where the result carries no derivative (then give ``arity``).
    kernel : callable
        ``f(k, *args)`` in terms of the scalar builder ``k``.
    samples : list of Case
        Cases for the generated checks.
    dtype : str or callable
        ``"ufunc"`` (NumPy's resolution), ``"float"`` (promoted, integers to float64), ``"promote"``, ``"bool"`` or ``f(*avals)``.
    singular : bool
        Whether a partial may be infinite or NaN at a finite argument.
    """
    ufunc = getattr(np, impl) if isinstance(impl, str) else None
    dtype_of_result = _dtype_rule(name, dtype, ufunc)

    def shape(*avals: ShapedArray) -> ShapedArray:
        return ShapedArray(broadcast_shapes(name, *avals), dtype_of_result(*avals))

    def batch(size: int, args: Sequence[Any], mapped: Sequence[bool]) -> Any:
        ndim = max(len(shape_of(a)) - m for a, m in zip(args, mapped, strict=True))
        return primitive.bind(*[expand_front(a, m, ndim) for a, m in zip(args, mapped, strict=True)]), True

    factory = None if partials is None else _pullback_factory(partials, singular)
    jvp, vjp = (None, None) if partials is None else (_jvp_rule(partials, singular), _vjp_rule(partials))
    primitive = Primitive(
        name,
        impl=impl,
        shape=shape,
        jvp=jvp and (lambda primals, tangents: jvp(primals, tangents, primitive)),
        vjp=vjp and (lambda *primals: vjp(primals, primitive)),
        pullback_from=factory,
        batch=batch,
        kernel=kernel,
        samples=samples,
        doc=doc,
    )
    return primitive


def _jvp_rule(partials: Sequence[Partial], singular: bool) -> Callable[..., Any]:
    def jvp(primals: Sequence[Any], tangents: Sequence[Any], primitive: Primitive) -> Any:
        out = primitive.bind(*primals)
        total = None
        for tangent, slope_of in zip(tangents, partials, strict=True):
            if tangent is None or slope_of is None:
                continue
            if singular:
                with np.errstate(all="ignore"):
                    term = _times(tangent, slope_of, (out, *primals), singular)
            else:
                term = _times(tangent, slope_of, (out, *primals), singular)
            total = term if total is None else total + term
        if total is None:
            return out, None
        return out, match_out(total, shape_of(out), dtype_of(out))

    return jvp


def _vjp_rule(partials: Sequence[Partial]) -> Callable[..., Any]:
    """The rule of the public slot, from the pullback factory."""
    active = tuple(k for k, p in enumerate(partials) if p is not None)

    def vjp(primals: Sequence[Any], primitive: Primitive) -> Any:
        out = primitive.bind(*primals)
        selected = primitive.pullback_from(out, primals, active, {})  # type: ignore[misc]

        def pullback(cotangent: Any) -> list[Any]:
            found = selected(cotangent)
            given = dict(zip(active, [found] if len(active) == 1 else found, strict=True))
            return [given.get(k) for k in range(len(primals))]

        return out, pullback

    return vjp


def _identity(kept: Any, cotangent: Any) -> Any:
    return cotangent


def _negated(kept: Any, cotangent: Any) -> Any:
    return -cotangent


def _term(slope_of: Partial, singular: bool) -> Callable[[Sequence[Any], Any], Any]:
    """``f((out, *args), cotangent)``: the cotangent times the partial."""
    if slope_of == 1:
        return _identity
    if slope_of == -1:
        return _negated
    if singular:
        return lambda kept, cotangent: _times(cotangent, slope_of, kept, True)
    return lambda kept, cotangent: cotangent * slope_of(*kept)  # type: ignore[operator,misc]


def _matched(pull: Callable[[Any], Any], shape: tuple[int, ...], dtype: np.dtype, cotangent: Any) -> Any:
    return match(pull(cotangent), shape, dtype)


def _both(first: Callable[[Any], Any], second: Callable[[Any], Any], cotangent: Any) -> tuple[Any, Any]:
    return first(cotangent), second(cotangent)


def _pullback_factory(partials: Sequence[Partial], singular: bool) -> Callable[..., Any]:
    """``f(out, primals, active, params)`` gives the pullback for the active arguments, or ``None`` if no cotangent reaches them.

    This is the hot path of eager reverse mode: what can be decided at declaration is decided here, and a pullback keeps only the values
    that its partials read. Pullbacks are ``functools.partial`` objects, not closures: a closure is five objects to the garbage
    collector, which visits all of a long tape again and again.
    """
    terms = [None if p is None else _term(p, singular) for p in partials]
    needs = [_needs([p if k == j else None for j, p in enumerate(partials)]) for k in range(len(partials))]
    if len(partials) == 1:
        return _unary_factory(terms[0], needs[0])
    no_none = None not in terms

    def one(k: int, out: Any, primals: Sequence[Any]) -> Callable[[Any], Any]:
        term, need, primal = terms[k], needs[k], primals[k]
        if len(need) == 3:
            reads_out, reads_x, reads_y = need
            x, y = primals
            kept: Sequence[Any] = (out if reads_out else None, x if reads_x else None, y if reads_y else None)
        else:
            kept = tuple([v if n else None for v, n in zip((out, *primals), need)])
        pull = partial(term, kept)  # type: ignore[arg-type]
        shape, dtype = shape_of(primal), dtype_of(primal)
        return pull if shape == out.shape and dtype == out.dtype else partial(_matched, pull, shape, dtype)

    def factory(out: Any, primals: Sequence[Any], active: tuple[int, ...], params: Any) -> Callable[[Any], Any] | None:
        if len(active) == 1:
            return None if terms[active[0]] is None else one(active[0], out, primals)
        if len(active) == 2 and no_none:
            return partial(_both, one(active[0], out, primals), one(active[1], out, primals))
        pulls = [None if terms[k] is None else one(k, out, primals) for k in active]
        if not any(pulls):
            return None
        return lambda cotangent: [None if pull is None else pull(cotangent) for pull in pulls]

    return factory


def _unary_factory(term: Any, need: tuple[bool, ...]) -> Callable[..., Any]:
    needs_out, needs_x = need
    if term is None:
        return lambda out, primals, active, params: None

    def factory(out: Any, primals: Sequence[Any], active: tuple[int, ...], params: Any) -> Callable[[Any], Any]:
        return partial(term, (out if needs_out else None, primals[0] if needs_x else None))

    return factory


def _zero_safe_multiply_impl(xp: Any, factor: Any, slope: Any) -> Any:
    product = xp.multiply(factor, slope)
    total = xp.vdot(product, product)  # the cheapest question whether there is any NaN
    if total != total:
        product = xp.where(xp.equal(factor, 0), xp.zeros((), product.dtype), product)
        return product if product.shape else product[()]
    return product


def _zero_safe_jvp(primals: Any, tangents: Any) -> Any:
    factor, slope = primals
    out = zero_safe_multiply.bind(factor, slope)
    terms = [zero_safe_multiply.bind(tangents[0], slope)] if tangents[0] is not None else []
    if tangents[1] is not None:
        terms.append(zero_safe_multiply.bind(factor, tangents[1]))
    total = terms[0] if len(terms) == 1 else terms[0] + terms[1]
    return out, match_out(total, shape_of(out), dtype_of(out))


def _zero_safe_vjp(factor: Any, slope: Any) -> Any:
    types = [(shape_of(a), dtype_of(a)) for a in (factor, slope)]

    def pullback(cotangent: Any) -> list[Any]:
        terms = zero_safe_multiply.bind(cotangent, slope), zero_safe_multiply.bind(factor, cotangent)
        return [match(t, *kind) for t, kind in zip(terms, types, strict=True)]

    return zero_safe_multiply.bind(factor, slope), pullback


def _zero_safe_batch(size: int, args: Sequence[Any], mapped: Sequence[bool]) -> Any:
    ndim = max(len(shape_of(a)) - m for a, m in zip(args, mapped, strict=True))
    return zero_safe_multiply.bind(*[expand_front(a, m, ndim) for a, m in zip(args, mapped, strict=True)]), True


zero_safe_multiply = Primitive(
    "zero_safe_multiply",
    impl=_zero_safe_multiply_impl,
    shape=lambda x, y: ShapedArray(
        broadcast_shapes("zero_safe_multiply", x, y), ufunc_dtype("multiply", np.multiply, (x, y))
    ),
    jvp=_zero_safe_jvp,
    vjp=_zero_safe_vjp,
    batch=_zero_safe_batch,
    kernel=lambda k, x, y: k.select(k.equal(x, k.zero(x)), k.zero_like_product(x, y), k.multiply(x, y)),
    samples=[*reals((-2, 2), (-2, 2)), *complexes((-2, 2), (-2, 2))],
    doc="x * y, and 0 where x is 0 whatever y is: the product of a cotangent and a slope.",
)


def conjugate_if_complex(x: Any, conj: Callable[[Any], Any]) -> Any:
    """``conj(x)`` for complex values, ``x`` itself otherwise."""
    return conj(x) if is_complex(aval_of(x).dtype) else x
