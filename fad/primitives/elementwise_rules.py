"""The builder of elementwise operations: partial derivatives are given once, both derivative rules and batching come from them.

For an operation ``out = f(x, y)`` the declaration gives ``partials=[lambda out, x, y: df/dx, lambda out, x, y: df/dy]``. A partial may be the
number 1 or -1, or ``None`` where the argument carries no derivative. An argument of a partial named ``_`` is not kept for the
backward pass.

Zero stays zero: where a partial is infinite or NaN (``sqrt`` at 0), a cotangent or tangent that is exactly 0 gives 0, unless
``fad.config.strict_derivatives`` is on. Operations whose partials can be non-finite at finite arguments say ``singular=True``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from fad.core.avals import (
    ShapedArray,
    dtype_of,
    inexact_dtype,
    is_inexact,
    result_dtype,
    shape_of,
    weak_operand,
)
from fad.core.config import config
from fad.core.errors import DTypeError, ShapeError
from fad.core.primitive import BinaryPrimitive, Primitive, UnaryPrimitive
from fad.core.samples import complexes, reals
from fad.core.trace import CURRENT, EVAL
from fad.primitives.structural import convert, expand_front, match, match_out

__all__ = ["broadcast_shapes", "elementwise", "zero_safe_multiply"]

Partial = Callable[..., Any] | int | None
Term = Callable[..., Any]
Pull = tuple[Any, ...]  # (function, *values), see fad.core.primitive
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


def _needs(slope_of: Partial, arity: int) -> tuple[bool, ...]:
    """Which of (out, *args) a partial reads."""
    if not callable(slope_of):
        return (False,) * (arity + 1)
    written = getattr(slope_of, "__wrapped__", slope_of)
    return tuple(not name.startswith("_") for name in written.__code__.co_varnames[: arity + 1])


def of_reals(slope_of: Callable[..., Any]) -> Callable[..., Any]:
    """A partial that computes with integers as reals: an unsigned one's negative wraps round, as a narrow one's square does, whose logarithm is a float16."""

    @wraps(slope_of)
    def slope(*values: Any) -> Any:
        return slope_of(*map(_as_real, values))

    return slope


def _as_real(x: Any) -> Any:
    dtype = getattr(x, "dtype", None)
    return x if dtype is None or is_inexact(dtype) else convert(x, inexact_dtype(dtype))


def _times(factor: Any, slope_of: Any, values: Sequence[Any]) -> Any:
    """The product of a tangent or cotangent and a slope that may be infinite: zero stays zero."""
    try:
        slope = slope_of(*values)
    except ZeroDivisionError:  # of Python scalars, where arrays give an infinity
        dtype = dtype_of(factor)
        with np.errstate(all="ignore"):
            slope = slope_of(*[dtype.type(v) if type(v) in (int, float) else v for v in values])
    if type(slope) is float and math.isfinite(slope):
        return factor * slope
    if type(factor) is type(slope) is np.ndarray and CURRENT.get() is EVAL:  # what binding would do
        product = np.multiply(factor, slope)
        return product if _has_no_nan(product) or config.strict_derivatives else _with_zeros(np, factor, product)
    return factor * slope if config.strict_derivatives else zero_safe_multiply.bind(factor, slope)


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

    arity = len(partials) if partials is not None else arity
    terms = None if partials is None else [_term(p, arity, singular) for p in partials]
    needs = [_needs(p, arity) for p in partials or ()]
    rest = {"impl": impl, "shape": shape, "kernel": kernel, "samples": samples, "doc": doc}
    return _from_terms(name, arity, terms, needs, singular, **rest)


def _from_terms(
    name: str, arity: int | None, terms: Sequence[Term | None] | None, needs: Any, singular: bool, **rest: Any
) -> Primitive:
    """The operation whose derivative rules are given by one term per argument; ``None`` where the result carries no derivative."""

    def batch(size: int, args: Sequence[Any], mapped: Sequence[bool]) -> Any:
        ndim = max(len(shape_of(a)) - m for a, m in zip(args, mapped, strict=True))
        return primitive.bind(*[expand_front(a, m, ndim) for a, m in zip(args, mapped, strict=True)]), True

    jvp, vjp = (None, None) if terms is None else (_jvp_rule(terms, singular), _vjp_rule(terms))
    kind = {1: UnaryPrimitive, 2: BinaryPrimitive}.get(arity or 0, Primitive)
    primitive = kind(
        name,
        jvp=jvp and (lambda primals, tangents: jvp(primals, tangents, primitive)),
        vjp=vjp and (lambda *primals: vjp(primals, primitive)),
        batch=batch,
        **rest,
    )
    install_pulls(primitive, terms or [], needs)
    return primitive


def _jvp_rule(terms: Sequence[Term | None], singular: bool) -> Callable[..., Any]:
    def jvp(primals: Sequence[Any], tangents: Sequence[Any], primitive: Primitive) -> Any:
        out = primitive.bind(*primals)
        total = None
        for tangent, term_of in zip(tangents, terms, strict=True):
            if tangent is None or term_of is None:
                continue
            if singular:
                with np.errstate(all="ignore"):
                    term = term_of(tangent, out, *primals)
            else:
                term = term_of(tangent, out, *primals)
            total = term if total is None else total + term
        if total is None:
            return out, None
        return out, match_out(total, shape_of(out), dtype_of(out))

    return jvp


def _vjp_rule(terms: Sequence[Term | None]) -> Callable[..., Any]:
    """The rule of the public slot."""

    def vjp(primals: Sequence[Any], primitive: Primitive) -> Any:
        out = primitive.bind(*primals)
        types = [(shape_of(p), dtype_of(p)) for p in primals]

        def pullback(cotangent: Any) -> list[Any]:
            return [
                None if term is None else match(term(cotangent, out, *primals), *kind)
                for term, kind in zip(terms, types, strict=True)
            ]

        return out, pullback

    return vjp


def _passed(cotangent: Any, *values: Any) -> Any:
    return cotangent


def _negated(cotangent: Any, *values: Any) -> Any:
    return -cotangent


def _term(slope_of: Partial, arity: int, singular: bool) -> Term | None:
    """``f(cotangent or tangent, out, *args)``: its product with the partial."""
    if slope_of is None or slope_of == 1 or slope_of == -1:
        return {None: None, 1: _passed, -1: _negated}[slope_of]
    if singular:
        return lambda cotangent, *values: _times(cotangent, slope_of, values)
    if arity == 1:
        return lambda cotangent, out, x: cotangent * slope_of(out, x)
    if arity == 2:
        return lambda cotangent, out, x, y: cotangent * slope_of(out, x, y)
    return lambda cotangent, *values: cotangent * slope_of(*values)


# --- what the tape keeps ---------------------------------------------------------------------------------------------------------------
# These are the hot lines of eager reverse mode: what can be decided at declaration is decided here, and only the values that a partial reads are
# kept, the others are None.


def install_pulls(primitive: Primitive, terms: Sequence[Term | None], needs: Sequence[tuple[bool, ...]]) -> None:
    """Give an elementwise operation its ``pullback_from``, from its terms and from which of (out, *args) each of them reads."""
    if isinstance(primitive, UnaryPrimitive):
        primitive.pull_first = _unary_pull(terms[0], needs[0]) if terms else _nothing
        pull = primitive.pull_first
        primitive.pullback_from = lambda out, primals, active, params: pull(out, *primals)
    elif isinstance(primitive, BinaryPrimitive):
        pulls = [_binary_pull(k, terms[k], needs[k]) for k in range(2)] if terms else [_nothing] * 2
        primitive.pull_first, primitive.pull_second = pulls
        primitive.pull_both = _both_pull(terms, needs, pulls) if terms else _nothing
        primitive.reads = tuple(needs)
        chosen = {(0,): pulls[0], (1,): pulls[1], (0, 1): primitive.pull_both}
        primitive.pullback_from = lambda out, primals, active, params: chosen[active](out, *primals)
    elif terms:
        primitive.pullback_from = _general_pull(terms, needs)
    if not terms:
        primitive.pullback_from = None


def _nothing(*values: Any) -> None:
    return None


def _unary_pull(term: Term | None, need: tuple[bool, ...]) -> Callable[[Any, Any], Pull | None]:
    if term is None:
        return _nothing
    reads_out, reads_x = need
    if not reads_x:
        return lambda out, x: (term, out if reads_out else None, None)
    return lambda out, x: (term, out if reads_out else None, x)


def _binary_pull(k: int, term: Term | None, need: tuple[bool, ...]) -> Callable[[Any, Any, Any], Pull | None]:
    """For argument ``k``, which may have been broadcast or converted."""
    if term is None:
        return _nothing
    reads_out, reads_x, reads_y = need
    reads_nothing = not any(need)

    def pull(out: Any, x: Any, y: Any) -> Pull:
        kept = (
            (term,)
            if reads_nothing
            else (term, out if reads_out else None, x if reads_x else None, y if reads_y else None)
        )
        primal = y if k else x
        try:
            shape, dtype = primal.shape, primal.dtype
            if shape == out.shape and dtype == out.dtype:
                return kept
        except AttributeError:  # a Python number
            shape, dtype = shape_of(primal), dtype_of(primal)
        if term is _passed:
            return match, shape, dtype
        if term is _negated:
            return _negated_match, shape, dtype
        return _matched, kept, shape, dtype

    return pull


def _matched(cotangent: Any, pull: Pull, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    return match(pull[0](cotangent, *pull[1:]), shape, dtype)


def _negated_match(cotangent: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    return -match(cotangent, shape, dtype)  # after the sum, which is smaller


def _both_pull(
    terms: Sequence[Term | None], needs: Sequence[tuple[bool, ...]], pulls: Sequence[Callable[..., Pull | None]]
) -> Callable[[Any, Any, Any], Pull | None]:
    first, second = terms
    if first is None or second is None:
        return lambda out, x, y: (_each, pulls[0](out, x, y), pulls[1](out, x, y))
    reads_out, reads_x, reads_y = [any(reads) for reads in zip(*needs, strict=True)]
    beside = {_passed: _passed_and_matched, _negated: _passed_and_negated}.get(second) if first is _passed else None
    plain = {_passed: _passed_twice, _negated: _passed_and_opposite}.get(second) if first is _passed else None

    def both(cotangent: Any, out: Any, x: Any, y: Any) -> tuple[Any, Any]:
        return first(cotangent, out, x, y), second(cotangent, out, x, y)

    def pull(out: Any, x: Any, y: Any) -> Pull:
        try:
            dtype, shape, other = out.dtype, out.shape, y.shape
            if x.dtype == dtype == y.dtype and x.shape == shape:
                if other == shape:
                    if plain is not None:
                        return plain, None
                    return both, out if reads_out else None, x if reads_x else None, y if reads_y else None
                if beside is not None:
                    return beside, other, dtype
        except AttributeError:  # a Python number
            pass
        return _two, pulls[0](out, x, y), pulls[1](out, x, y)

    return pull


def _passed_twice(cotangent: Any, _: None) -> tuple[Any, Any]:
    return cotangent, cotangent


def _passed_and_opposite(cotangent: Any, _: None) -> tuple[Any, Any]:
    return cotangent, -cotangent


def _passed_and_matched(cotangent: Any, shape: tuple[int, ...], dtype: np.dtype) -> tuple[Any, Any]:
    return cotangent, match(cotangent, shape, dtype)  # such as a sum with a bias


def _passed_and_negated(cotangent: Any, shape: tuple[int, ...], dtype: np.dtype) -> tuple[Any, Any]:
    return cotangent, -match(cotangent, shape, dtype)  # such as a difference from a mean


def _two(cotangent: Any, first: Pull, second: Pull) -> tuple[Any, Any]:
    return first[0](cotangent, *first[1:]), second[0](cotangent, *second[1:])


def _each(cotangent: Any, *pulls: Pull | None) -> list[Any]:
    return [None if pull is None else pull[0](cotangent, *pull[1:]) for pull in pulls]


def _general_pull(terms: Sequence[Term | None], needs: Sequence[tuple[bool, ...]]) -> Callable[..., Pull | None]:
    def pull_of(k: int, out: Any, primals: Sequence[Any]) -> Pull | None:
        if terms[k] is None:
            return None
        kept = (terms[k], *[v if reads else None for v, reads in zip((out, *primals), needs[k], strict=True)])
        return _matched, kept, shape_of(primals[k]), dtype_of(primals[k])

    def pull(out: Any, primals: Sequence[Any], active: tuple[int, ...], params: Any) -> Pull | None:
        pulls = [pull_of(k, out, primals) for k in active]
        if len(pulls) == 1:
            return pulls[0]
        return (_each, *pulls) if any(pulls) else None

    return pull


def _zero_safe_multiply_impl(xp: Any, factor: Any, slope: Any) -> Any:
    product = xp.multiply(factor, slope)
    return product if _has_no_nan(product) else _with_zeros(xp, factor, product)


def _has_no_nan(x: Any) -> bool:
    flat = x if x.ndim == 1 else x.ravel("K")
    total = flat.dot(flat)  # the cheapest question
    return total == total


def _with_zeros(xp: Any, factor: Any, product: Any) -> Any:
    product = xp.where(xp.equal(factor, 0), xp.zeros((), product.dtype), product)
    return product if product.shape else product[()]


zero_safe_multiply = _from_terms(
    "zero_safe_multiply",
    2,
    [
        lambda cotangent, _, _x, slope: zero_safe_multiply.bind(cotangent, slope),
        lambda cotangent, _, factor, _y: zero_safe_multiply.bind(factor, cotangent),
    ],
    [(False, False, True), (False, True, False)],
    True,
    impl=_zero_safe_multiply_impl,
    shape=lambda x, y: ShapedArray(
        broadcast_shapes("zero_safe_multiply", x, y), ufunc_dtype("multiply", np.multiply, (x, y))
    ),
    kernel=lambda k, x, y: k.select(k.equal(x, k.zero(x)), k.zero_like_product(x, y), k.multiply(x, y)),
    samples=[*reals((-2, 2), (-2, 2)), *complexes((-2, 2), (-2, 2))],
    doc="x * y, and 0 where x is 0 whatever y is: the product of a cotangent and a slope.",
)
