"""``from_numba``: functions that numba compiled as operations, which run inside native segments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, reduce
from operator import add
from typing import Any

import numpy as np

from fad.core.avals import (
    ShapedArray,
    aval_of,
    dtype_of,
    is_inexact,
    result_dtype,
    shape_of,
    weak_operand,
)
from fad.core.errors import ArgumentError, DTypeError, NonDifferentiableError, ShapeError
from fad.core.primitive import no_rule
from fad.extend.numba_calls import Layout, NumbaCall, NumbaKernel, check_function, numba_dtype
from fad.extend.primitive import Primitive
from fad.numpy.conversion import operands
from fad.numpy.manipulation import broadcast_to
from fad.primitives import structural
from fad.primitives.structural import convert
from fad.transforms.numba_bodies import is_numba_object

__all__ = ["from_numba"]


def from_numba(
    function: Any,
    shape: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    fills: bool = False,
    multiple_results: bool = False,
    partials: Sequence[Any] | None = None,
    jvp: Any = None,
    vjp: Any = None,
    batch: Callable[..., Any] | str | None = None,
    samples: Sequence[Any] = (),
) -> Primitive:
    """Make an operation of a function that numba compiled; inside ``jit`` it runs natively, among fad's own code.

    Without ``shape`` the function is one of numbers (``@njit`` or ``@vectorize``) and the operation applies it to every element, with
    broadcasting, or it is a ``@guvectorize`` function with its own layout. With ``shape`` it takes whole arrays: C-contiguous, read-only
    ones, and numbers in place of arrays of shape ().

    Parameters
    ----------
    function : numba function
        What ``@njit``, ``@vectorize`` or ``@guvectorize`` gives.
    shape : callable, optional
        ``shape(*types, **params)`` gives the type of the result, a :class:`ShapedArray` (a list with ``multiple_results``); a type has
        ``shape`` and ``dtype``.
    name : str, optional
        The operation's name; the function's by default.
    fills : bool
        Whether the function writes its results into further arguments, which come last, full of zeros (one of shape () as an array of
        shape (1,)), in place of returning them.
    multiple_results : bool
        Whether there is a list of results; the function returns a tuple of them, or fills several arrays.
    partials : sequence of callable or None, optional
        For a function of numbers: its derivative by each argument, each a function of the same arguments made of :mod:`fad.numpy`, another
        such operation, or a numba function of numbers; ``None`` for zero.
    jvp, vjp : callable, optional
        Rules as for :class:`Primitive`. One that numba compiled gives only the derivative, ``jvp(*args, *tangents)`` one tangent for each
        floating-point result, ``vjp(*args, *cotangents)`` one cotangent for each floating-point argument (a tuple where there are several).
    batch : callable, optional
        A rule as for :class:`Primitive`. By default functions of numbers and rows take the whole batch, others are called in a loop.
    samples : sequence of Case, optional
        Sample calls for :func:`fad.testing.check_primitive`.

    Returns
    -------
    Primitive
        The operation. An exception that the function raises comes out of it, compiled or not.

    Raises
    ------
    ArgumentError
        If the declaration contradicts itself.

    Notes
    -----
    In native segments the function runs without the interpreter lock, and indices in it are checked only if it was compiled with
    ``boundscheck=True``. A function compiled with ``parallel=True`` runs between segments, since numba's own threads cannot be started
    from several threads at once.

    Examples
    --------
    >>> import math
    >>> import numba
    >>> import fad
    >>> import fad.numpy as fnp
    >>> @numba.njit
    ... def kepler(mean, eccentricity):
    ...     e = mean
    ...     for _ in range(50):
    ...         e = e - (e - eccentricity * math.sin(e) - mean) / (1 - eccentricity * math.cos(e))
    ...     return e
    >>> anomaly = fad.extend.from_numba(
    ...     kepler,
    ...     partials=[
    ...         lambda m, ecc: 1 / (1 - ecc * fnp.cos(anomaly(m, ecc))),
    ...         lambda m, ecc: fnp.sin(anomaly(m, ecc)) / (1 - ecc * fnp.cos(anomaly(m, ecc))),
    ...     ],
    ... )
    >>> fad.jit(fad.vmap(fad.grad(anomaly), in_axes=(0, None)))(fnp.array([0.5, 1.0]), 0.1)
    Array([1.09..., 1.04...])
    """
    check_function(function)
    name = name or str(getattr(function, "__name__", "numba_function"))
    own = _form_of(function, name, shape, fills, multiple_results)
    rules = _Rules(own, partials, jvp, vjp)
    return _NumbaOperation(own, rules, multiple_results, batch, samples)


class _Form:
    """What kind of function it is: its call, its types and its arguments' preparation."""

    def __init__(self, call: NumbaCall, shape: Callable[..., Any], loop_types: Callable[[list[Any]], Any] | None):
        self.call, self.shape = call, shape
        self._loop_types = loop_types

    @property
    def name(self) -> str:
        """The operation's name."""
        return self.call.name

    def prepared(self, args: Sequence[Any]) -> list[Any]:
        """The operands for a call with these array-likes."""
        found = operands(self.name, *args)
        layout = self.call.layout
        if layout is None:
            return [convert(o, dtype_of(o)) for o in found]
        if len(found) != len(layout.inputs):
            raise ArgumentError(f"{self.name} takes {len(layout.inputs)} arguments, got {len(found)}")
        common = result_dtype(*[weak_operand(o) for o in found])
        dtypes = [common if aval_of(o).weak else dtype_of(o) for o in found]
        if self._loop_types is not None:
            dtypes = self._loop_types(dtypes)[0]
        lead = _lead_shape(self.name, [shape_of(o) for o in found], layout)
        return [_spread(convert(o, d), lead, len(c)) for o, d, c in zip(found, dtypes, layout.inputs, strict=True)]


def _lead_shape(name: str, shapes: Sequence[tuple[int, ...]], layout: Layout) -> tuple[int, ...]:
    """What the axes broadcast to that the function does not see."""
    for k, (shape, core) in enumerate(zip(shapes, layout.inputs, strict=True)):
        if len(shape) < len(core):
            raise ShapeError(f"{name}: argument {k} needs the axes ({', '.join(core)}), got shape {shape}")
    leads = [s[: len(s) - len(c)] for s, c in zip(shapes, layout.inputs, strict=True)]
    try:
        return np.broadcast_shapes(*leads)
    except ValueError:
        raise ShapeError(f"{name}: shapes {', '.join(map(str, shapes))} do not broadcast") from None


def _spread(operand: Any, lead: tuple[int, ...], core: int) -> Any:
    """An operand broadcast to the common leading axes; a number stays one."""
    shape = shape_of(operand)
    wanted = (*lead, *shape[len(shape) - core :])
    return operand if shape == wanted or (not shape and not core) else structural.broadcast_to(operand, wanted)


# -- kinds of functions -----------------------------------------------------------------------------------------------------


def _form_of(function: Any, name: str, shape: Any, fills: bool, multiple: bool) -> _Form:
    is_rows, is_ufunc = hasattr(function, "gufunc_builder"), hasattr(function, "ufunc")
    if shape is not None:
        if is_rows or is_ufunc:
            raise ArgumentError(
                f"from_numba({name}): {type(function).__name__} objects have shapes of their own; leave shape out"
            )
        return _Form(NumbaCall(name, function, None, fills), shape, None)
    if is_rows:
        return _rows_form(function, name, multiple)
    if fills or multiple:
        what = "fills=True" if fills else "multiple_results=True"
        raise ArgumentError(
            f"from_numba({name}): {what} needs shape=, a function of the arguments' types that gives the results' ShapedArrays"
        )
    return _elements_form(function, name, is_ufunc)


def _elements_form(function: Any, name: str, is_ufunc: bool) -> _Form:
    """A function of numbers."""
    body = getattr(function, "py_func", None) or function.__wrapped__
    count = body.__code__.co_argcount
    layout = Layout(((),) * count, ((),))
    scalar = _compiled_again(body, function.targetoptions) if is_ufunc else function
    call = NumbaCall(name, scalar, layout, False)
    loop_types = _ufunc_types(function, name) if is_ufunc else None

    def shape(*types: ShapedArray) -> ShapedArray:
        lead = _lead_shape(name, [t.shape for t in types], layout)
        (kind,) = found if len(found := call.result_types(types, {})) == 1 else (None,)
        dtype = numba_dtype(kind)
        if dtype is None:
            raise DTypeError(
                f"{name}: the function gives {', '.join(map(str, found))} for numbers; an operation on elements gives one number for each. "
                "For a function of whole arrays say the type of its result with shape=."
            )
        return ShapedArray(lead, loop_types([t.dtype for t in types])[1][0] if loop_types else dtype)

    return _Form(call, shape, loop_types)


def _rows_form(function: Any, name: str, multiple: bool) -> _Form:
    """A ``guvectorize`` function, which has a layout."""
    from numba.np.ufunc.sigparse import parse_signature

    if function._is_dynamic:
        raise ArgumentError(
            f"from_numba({name}): a guvectorize function without declared types does not know its results' dtypes; declare them, as in "
            'guvectorize(["(float64[:], float64[:])"], "(n)->(n)")'
        )
    inputs, outputs = parse_signature(function.signature)
    layout = Layout(tuple(map(tuple, inputs)), tuple(map(tuple, outputs)))
    if multiple != (len(outputs) > 1):
        raise ArgumentError(
            f"from_numba({name}): {function.signature} has {len(outputs)} results; set multiple_results to match"
        )
    builder = function.gufunc_builder
    call = NumbaCall(name, _compiled_again(builder.py_func, builder.targetoptions), layout, True)
    loop_types = _ufunc_types(function, name)

    def shape(*types: ShapedArray) -> Any:
        lead = _lead_shape(name, [t.shape for t in types], layout)
        sizes: dict[str, int] = {}
        for k, (aval, core) in enumerate(zip(types, layout.inputs, strict=True)):
            for axis, n in zip(core, aval.shape[len(aval.shape) - len(core) :], strict=True):
                if sizes.setdefault(axis, n) != n:
                    raise ShapeError(f"{name}: axis {axis} has size {sizes[axis]}, and {n} in argument {k} ({aval})")
        dtypes = loop_types([t.dtype for t in types])[1]
        made = [
            ShapedArray((*lead, *[sizes[a] for a in core]), d) for core, d in zip(layout.outputs, dtypes, strict=True)
        ]
        return made if multiple else made[0]

    return _Form(call, shape, loop_types)


def _compiled_again(body: Any, options: dict[str, Any]) -> Any:
    """The function behind a ufunc of numba, which computes like one: dividing by zero is no error."""
    import numba

    kept = {k: v for k, v in options.items() if k in ("fastmath", "boundscheck") and v is not None}
    return numba.njit(error_model="numpy", **kept)(body)


def _ufunc_types(function: Any, name: str) -> Callable[[Sequence[Any]], tuple[list[np.dtype], list[np.dtype]]]:
    """The dtypes that a ufunc computes in and gives."""
    known: dict[tuple[Any, ...], tuple[list[np.dtype], list[np.dtype]]] = {}

    def of(dtypes: Sequence[Any]) -> tuple[list[np.dtype], list[np.dtype]]:
        key = tuple([np.dtype(d) for d in dtypes])
        if key not in known:
            try:
                if not hasattr(function, "gufunc_builder"):
                    function(*[np.empty(0, d) for d in key])  # numba compiles the loop that is missing
                found = function.ufunc.resolve_dtypes((*key, *[None] * function.ufunc.nout))
            except TypeError as error:
                raise DTypeError(f"{name}: no compiled loop takes ({', '.join(map(str, key))}): {error}") from None
            known[key] = list(found[: len(key)]), list(found[len(key) :])
        return known[key]

    return of


# -- derivatives ------------------------------------------------------------------------------------------------------------


class _Rules:
    """The derivative rules in the form that :class:`Primitive` takes."""

    def __init__(self, form: _Form, partials: Any, jvp: Any, vjp: Any):
        self._form = form
        self.operation: Any = None
        self.jvp, self.vjp = jvp, vjp
        if partials is not None:
            self.jvp = self._by_partials(partials, jvp or vjp)
        elif jvp is None and vjp is None:
            self.jvp, self.vjp = self._missing()
        if is_numba_object(jvp):
            self.jvp = self._compiled_jvp(jvp)
            self.vjp = vjp or no_rule(self._not_transposed("jvp", "reverse", "vjp"))
        if is_numba_object(vjp):
            self.vjp = self._compiled_vjp(vjp)
            self.jvp = self.jvp or no_rule(self._not_transposed("vjp", "forward", "jvp"))

    def _not_transposed(self, mode: str, direction: str, missing: str) -> str:
        return (
            f"{self._form.name} has a {mode} rule that numba compiled, which fad cannot transpose: {direction} mode needs {missing}= as well, "
            f"or a {mode} rule written with fad.numpy"
        )

    def _by_partials(self, partials: Sequence[Any], other: Any) -> Callable[..., Any]:
        name, layout = self._form.name, self._form.call.layout
        if layout is None or any(layout.inputs) or any(layout.outputs):
            raise ArgumentError(f"from_numba({name}): partials are for functions of numbers; give jvp or vjp")
        if other is not None:
            raise ArgumentError(f"from_numba({name}): partials and jvp or vjp say the same thing; give one of them")
        if len(partials) != len(layout.inputs):
            raise ArgumentError(
                f"from_numba({name}): partials must have one entry for each of the {len(layout.inputs)} arguments, got {len(partials)}"
            )
        slopes = [from_numba(p, name=f"{name}_partial{k}") if is_numba_object(p) else p for k, p in enumerate(partials)]

        def jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
            out = self.operation(*primals)
            pairs = [(s, t) for s, t in zip(slopes, tangents, strict=True) if s is not None and t is not None]
            if not pairs or not is_inexact(dtype_of(out)):
                return out, None
            return out, broadcast_to(reduce(add, [slope(*primals) * t for slope, t in pairs]), out.shape)

        return jvp

    def _missing(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Rules for an operation without any, which raise where there is something to differentiate."""
        name = self._form.name
        how = "partials=[...], jvp= or vjp=" if self._form.call.layout is not None else "jvp= or vjp="
        reason = (
            f"{name} is a function that numba compiled, whose derivative fad does not know. Give it one, from_numba({name}, ..., {how}), "
            f"or let fad trace the Python body in its place, fad.jit({name}), where that has no branches on values and no writing in place."
        )

        def value(primals: Sequence[Any], params: dict[str, Any]) -> Any:
            outs = self.operation._types([aval_of(p) for p in primals], params)
            if any(is_inexact(o.dtype) for o in outs):
                raise NonDifferentiableError(reason)
            return self.operation.core.bind(*primals, **params)

        def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
            out = value(primals, params)
            return out, [None] * len(out) if isinstance(out, list) else None

        def vjp(*primals: Any, **params: Any) -> Any:
            return value(primals, params), lambda cotangent: [None] * len(primals)

        jvp.missing_rule = vjp.missing_rule = reason  # type: ignore[attr-defined]
        return jvp, vjp

    def _compiled_vjp(self, function: Any) -> Callable[..., Any]:
        """The rule that a numba function ``vjp(*args, *cotangents)`` stands for."""

        def shape(arity: int, *types: ShapedArray, **params: Any) -> list[ShapedArray]:
            return [t.update() for t in types[:arity] if is_inexact(t.dtype)]

        backward = self._by_arity(function, "vjp", shape)

        def vjp(*primals: Any, **params: Any) -> Any:
            def pullback(cotangents: Any) -> list[Any]:
                listed = cotangents if isinstance(cotangents, list) else [cotangents]
                given = [c for c in listed if is_inexact(dtype_of(c))]
                found = iter(backward(len(primals))(*primals, *given, **params))
                return [next(found) if is_inexact(dtype_of(p)) else None for p in primals]

            return self.operation(*primals, **params), pullback

        return vjp

    def _compiled_jvp(self, function: Any) -> Callable[..., Any]:
        """The rule that a numba function ``jvp(*args, *tangents)`` stands for."""

        def shape(arity: int, *types: ShapedArray, **params: Any) -> list[ShapedArray]:
            return [o for o in self.operation._types(types[:arity], params) if is_inexact(o.dtype)]

        forward = self._by_arity(function, "jvp", shape)

        def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
            outs = self.operation(*primals, **params)
            given = [t for t in tangents if t is not None]
            found = iter(forward(len(primals))(*primals, *given, **params))
            if not isinstance(outs, list):
                return outs, next(found, None)
            return outs, [next(found) if is_inexact(dtype_of(o)) else None for o in outs]

        return jvp

    def _by_arity(self, function: Any, mode: str, shape: Callable[..., Any]) -> Callable[[int], Primitive]:
        """The operation that a rule compiled by numba stands for, by the number of arguments that are not derivatives."""
        if self._form.call.layout is not None:
            raise ArgumentError(
                f"from_numba({self._form.name}): a {mode} rule compiled by numba is for functions of whole arrays; "
                "give partials, which may be numba functions, or write the rule with fad.numpy"
            )

        rule = no_rule(
            f"the {mode} rule of {self._form.name} was compiled by numba, so fad cannot differentiate it again; "
            "for higher derivatives write the rule with fad.numpy and operations that have rules"
        )

        call = NumbaCall(f"{self._form.name}_{mode}", function, None, False)

        @lru_cache
        def of(arity: int) -> Primitive:
            def typed(*types: ShapedArray, **params: Any) -> list[ShapedArray]:
                said, seen = shape(arity, *types, **params), call.result_types(types, params)
                if len(said) != len(seen):
                    each = "argument" if mode == "vjp" else "result"
                    raise ArgumentError(
                        f"{call.name}: the rule must give one array for each floating-point {each}, {len(said)} in all, got {len(seen)}"
                    )
                # Code for float64 does as a rule of float32 arrays: what it gives is converted.
                dtypes = [numba_dtype(getattr(kind, "dtype", kind)) for kind in seen]
                return [s if d is None else ShapedArray(s.shape, d) for s, d in zip(said, dtypes, strict=True)]

            form = _Form(call, typed, None)
            return _NumbaOperation(form, _Rules(form, None, rule, rule), True, None, ())

        return of


# -- the operation ----------------------------------------------------------------------------------------------------------


class _NumbaOperation(Primitive):
    """An operation made from a function that numba compiled."""

    def __init__(self, form: _Form, rules: _Rules, multiple: bool, batch: Any, samples: Sequence[Any]):
        self._form = form
        rules.operation = self
        by_rows = form.call.layout is not None
        super().__init__(
            form.name,
            impl=self._compute,
            shape=form.shape,
            jvp=rules.jvp,
            vjp=rules.vjp,
            batch=batch or (self._batch_rows if by_rows else "loop"),
            kernel=NumbaKernel(form.call),
            samples=samples,
            multiple_results=multiple,
        )

    def __repr__(self) -> str:
        return f"fad.extend.from_numba({self.name!r})"

    def _prepared(self, args: Sequence[Any]) -> list[Any]:
        return self._form.prepared(args)

    def _compute(self, xp: Any, *args: Any, **params: Any) -> Any:
        if xp is not np:
            raise DTypeError(f"{self.name} was compiled by numba for the CPU; it does not take arrays of {xp.__name__}")
        call = self._form.call
        known = self._types([aval_of(a) for a in args], params) if call.fills or call.layout is not None else ()
        outs = call.run(args, known, params)
        if len(outs) > 1 and not self._multiple:
            raise ShapeError(
                f"{self.name}: the function gives {len(outs)} results where the shape rule says one. For several say multiple_results=True, and "
                "let shape= give a list of their types."
            )
        return self._unlisted(outs)

    def _batch_rows(self, size: int, args: Sequence[Any], mapped: Sequence[bool], **params: Any) -> Any:
        """Functions of elements and rows take further leading axes as they are."""
        layout = self._form.call.layout
        assert layout is not None
        leads = [len(shape_of(a)) - m - len(c) for a, m, c in zip(args, mapped, layout.inputs, strict=True)]
        args = [
            a.reshape((size, *[1] * (max(leads) - lead), *a.shape[1:])) if m else a
            for a, m, lead in zip(args, mapped, leads, strict=True)
        ]
        out = self(*args, **params)
        return out, [True] * len(out) if self._multiple else True
