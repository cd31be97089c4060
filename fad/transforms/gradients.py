"""``grad`` and ``value_and_grad``, ``vjp``, ``jvp``, ``linearize`` and ``linear_transpose``: derivatives of functions of pytrees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import ShapedArray, aval_of, dtype_of, is_complex, is_inexact, shape_of
from fad.core.errors import ArgumentError, DTypeError, ShapeError
from fad.core.placement import beside, lies_on_device
from fad.core.program import evaluate
from fad.core.pytrees import flatten, unflatten
from fad.core.trace import CURRENT, EVAL, concrete_value, raise_cause
from fad.primitives.object_arrays import Element, holds_values
from fad.primitives.structural import zeros
from fad.transforms.arguments import (
    argument_paths,
    as_function,
    as_operand,
    check_differentiable,
    check_same_structure,
    function_name,
    leaf_operands,
    normalize_argnums,
    result_operands,
    select_arguments,
    split_aux,
    wrap_tree,
)
from fad.transforms.forward import jvp_flat
from fad.transforms.reverse import Pullback, VJPTrace, VJPTracer, new_tape, scalar_gradient
from fad.transforms.staging import RecordTrace
from fad.transforms.wrapping import TransformedFunction

_new = object.__new__

__all__ = ["grad", "jvp", "linear_transpose", "linearize", "value_and_grad", "vjp"]


def value_and_grad(
    fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """Function that computes both ``fun`` and its gradient, by reverse mode.

    Parameters
    ----------
    fun : callable
        Function whose result is a scalar (shape ``()``), real unless ``holomorphic``.
    argnums : int or tuple of int
        Positional arguments to differentiate with respect to; each may be any pytree of floating-point arrays.
    has_aux : bool
        Whether ``fun`` returns ``(value, aux)``; ``aux`` is passed on and not differentiated.
    holomorphic : bool
        Whether ``fun`` is a holomorphic function of complex inputs.

    Returns
    -------
    callable
        With the arguments of ``fun``; gives ``(value, gradient)`` or ``((value, aux), gradient)``. A gradient has the
        structure, shapes and dtypes of its argument; a tuple of them for a tuple ``argnums``.

    Raises
    ------
    ShapeError
        If the result is not a scalar.
    DTypeError
        If an input is not floating point, or the result is not real (complex for ``holomorphic``).
    ArgumentError
        If ``argnums`` does not fit the call.

    Notes
    -----
    For complex inputs the gradient of a real function of ``z = x + iy`` is ``df/dx - i df/dy``, which is ``f'(z)`` in the
    holomorphic case; its conjugate is the direction of steepest ascent.

    Examples
    --------
    >>> import fad
    >>> value, gradient = fad.value_and_grad(lambda x: (x**2).sum())(fad.Array([1.0, 3.0]))
    >>> value, gradient
    (Array(10.), Array([2., 6.]))
    """
    call = _value_and_grad("value_and_grad", as_function("value_and_grad", fun), argnums, has_aux, holomorphic)
    return TransformedFunction(call, value_and_grad, fun, argnums, has_aux, holomorphic)


def grad(
    fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """Function that computes the gradient of ``fun``, by reverse mode.

    Parameters
    ----------
    fun : callable
        Function whose result is a scalar (shape ``()``), real unless ``holomorphic``.
    argnums : int or tuple of int
        Positional arguments to differentiate with respect to; each may be any pytree of floating-point arrays.
    has_aux : bool
        Whether ``fun`` returns ``(value, aux)``; then the result is ``(gradient, aux)``.
    holomorphic : bool
        Whether ``fun`` is a holomorphic function of complex inputs.

    Returns
    -------
    callable
        With the arguments of ``fun``; gives the gradient, with the structure, shapes and dtypes of the argument.

    Raises
    ------
    ShapeError
        If the result is not a scalar.
    DTypeError
        If an input is not floating point, or the result is not real (complex for ``holomorphic``).
    ArgumentError
        If ``argnums`` does not fit the call.

    See Also
    --------
    value_and_grad : the value too; it also states the convention for complex numbers.

    Examples
    --------
    >>> import fad
    >>> fad.grad(lambda x: x**3)(2.0)
    Array(12.)
    >>> fad.grad(fad.grad(lambda x: x**3))(2.0)
    Array(12.)
    """
    both = _value_and_grad("grad", as_function("grad", fun), argnums, has_aux, holomorphic)

    def gradient_of(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return TransformedFunction(gradient_of, grad, fun, argnums, has_aux, holomorphic)


def _value_and_grad(
    transform: str, fun: Callable[..., Any], argnums: Any, has_aux: bool, holomorphic: bool
) -> Callable[..., Any]:
    def value_and_grad_of(*args: Any, **kwargs: Any) -> Any:
        numbers: tuple[int, ...]
        if type(argnums) is int and 0 <= argnums < len(args):
            numbers, single = (argnums,), True
        else:
            numbers, single = normalize_argnums(transform, fun, argnums, len(args))
        called = list(args)
        trace = new_tape(fun)
        chosen = (args[numbers[0]],) if single else select_arguments(args, numbers)
        operand = _plain_operand(chosen[0]) if type(chosen[0]) in _ONE and single and not holomorphic else None
        arrays: list[Array] = []
        trees = treedef = None
        if operand is not None:
            # One array: nothing to flatten, nothing to name.
            operands: list[Any] = [operand]
            called[numbers[0]] = trace.input(operand)
        else:
            operands = []
            if trace.parent is EVAL and not holomorphic:
                trees = _tracers_and_arrays(chosen, trace, operands, arrays)
            if trees is not None:
                given, gradients = trees
                trace.begin(len(operands))
            else:
                operands, treedef = _flat_operands(transform, fun, chosen, numbers, holomorphic)
                given = unflatten(treedef, trace.inputs(operands))
            for number, tree in zip(numbers, given):
                called[number] = tree
        out, aux = _traced_call(transform, trace, fun, called, kwargs, has_aux)
        value, index = _scalar_and_index(transform, trace, fun, out, holomorphic)
        found = scalar_gradient(trace, index, value, operands)
        if trees is not None:
            for array, buffer in zip(arrays, found):
                array._buffer = buffer if type(buffer) is np.ndarray else wrap(buffer)._buffer
        else:
            gradients = (wrap(found[0]),) if treedef is None else wrap_tree(treedef, found)
        return ((wrap(value), aux) if has_aux else wrap(value)), gradients[0] if single else gradients

    return value_and_grad_of


_ONE = frozenset({Array, np.ndarray})


def _plain_operand(value: Any) -> Any:
    """The operand of one real array, ``None`` for anything else."""
    if type(value) is np.ndarray:
        return as_operand(value) if value.dtype.kind == "f" and value.dtype.itemsize <= 8 else None
    return value._buffer if type(value) is Array and value._buffer.dtype.kind == "f" else None


def _flat_operands(
    transform: str, fun: Any, chosen: tuple[Any, ...], numbers: tuple[int, ...], holomorphic: bool
) -> tuple[list[Any], Any]:
    """Operands of the chosen arguments, checked, and the structure of the arguments."""
    leaves, treedef = flatten(chosen)
    if not holomorphic:
        known = [leaf._buffer for leaf in leaves if type(leaf) is Array and leaf._buffer.dtype.kind == "f"]
        if len(known) == len(leaves):
            return known, treedef
    describe = _numbered(argument_paths(chosen), numbers)
    operands = leaf_operands(transform, fun, leaves, describe)
    check_differentiable(transform, fun, operands, describe, holomorphic)
    return operands, treedef


def _tracers_and_arrays(tree: Any, trace: VJPTrace, operands: list[Any], arrays: list[Array]) -> Any:
    """Two trees like ``tree``, of which all leaves are arrays: one of inputs of the trace, one of arrays that are to get the gradients, in order ``arrays``.

    ``None`` if anything but lists, tuples, dicts and real arrays is inside. It spares ``flatten`` and ``unflatten``, of whose code and data
    large operations of the function leave nothing in the processor's caches.
    """
    kind = type(tree)
    if kind is not list and kind is not tuple and kind is not dict:
        return None
    tracers, gradients = [], []
    for node in tree.values() if kind is dict else tree:
        if type(node) is not Array:
            trees = _tracers_and_arrays(node, trace, operands, arrays)
            if trees is None:
                return None
            tracers.append(trees[0])
            gradients.append(trees[1])
            continue
        buffer = node._buffer
        if buffer.dtype.kind != "f":
            return None
        tracer, array = _new(VJPTracer), _new(Array)
        tracer.interpreter, tracer.primal, tracer.index = trace, buffer, len(operands)
        operands.append(buffer)
        arrays.append(array)
        tracers.append(tracer)
        gradients.append(array)
    if kind is tuple:
        return tuple(tracers), tuple(gradients)
    return (tracers, gradients) if kind is list else (dict(zip(tree, tracers)), dict(zip(tree, gradients)))


def _numbered(describe: Callable[[int], str], numbers: tuple[int, ...]) -> Callable[[int], str]:
    def numbered(k: int) -> str:
        _, number, *rest = describe(k).replace("[", " [", 1).split(" ", 2)
        return f"argument {numbers[int(number)]}{''.join(rest)}"

    return numbered


def _traced_call(
    transform: str, trace: VJPTrace, fun: Callable[..., Any], args: Sequence[Any], kwargs: Any, has_aux: bool
) -> tuple[Any, Any]:
    """Run the function under the trace; auxiliary results leave it without derivatives."""
    before = CURRENT.get()
    try:
        CURRENT.set(trace)
        out = fun(*args, **kwargs)
    except (ValueError, TypeError) as error:
        raise_cause(error, trace)
    finally:
        CURRENT.set(before)
        trace.live = False
    if not has_aux:
        return out, None
    out, aux = split_aux(transform, fun, out)
    leaves, treedef = flatten(aux)
    return out, unflatten(treedef, [_without_trace(trace, leaf) for leaf in leaves])


def _without_trace(trace: Any, leaf: Any) -> Any:
    if type(leaf) is Element or (type(leaf) is np.ndarray and leaf.dtype == object and holds_values(leaf)):
        leaf = as_operand(leaf)
    primal, index = trace.split(leaf)
    return leaf if index is None else wrap(primal)


_SCALARS = (Array, Element, np.ndarray, np.generic, int, float, complex)


def _scalar_and_index(
    transform: str, trace: VJPTrace, fun: Callable[..., Any], out: Any, holomorphic: bool
) -> tuple[Any, int | None]:
    """The primal of a scalar result and its place on the tape, or a teaching error."""
    if type(out) is VJPTracer and out.interpreter is trace and not holomorphic:
        primal = out.primal
        if isinstance(primal, np.floating) or (dtype_of(primal).kind == "f" and shape_of(primal) == ()):
            return primal, out.index
    return trace.split(_scalar_operand(transform, fun, out, holomorphic))


def _scalar_operand(transform: str, fun: Callable[..., Any], out: Any, holomorphic: bool) -> Any:
    """The operand of a scalar result, or a teaching error."""
    if not isinstance(out, _SCALARS):
        raise ShapeError(
            f"{transform}({function_name(fun)}): the function must return one scalar, got {type(out).__name__}"
            + (f" of length {len(out)}; use has_aux=True for (value, aux)" if isinstance(out, tuple) else "")
            + (". Does it lack a return statement?" if out is None else ".")
        )
    # A Python int is a constant that happens to have no point: `total = 0`, and the loop never ran.
    value = as_operand(float(out) if type(out) is int else out)
    if shape_of(value) != ():
        raise ShapeError(
            f"{transform}({function_name(fun)}): the function must return a scalar, got {aval_of(value)}. "
            "Reduce it (for example with .sum() or .mean()), or use fad.jacobian, or fad.vjp for a given cotangent."
        )
    dtype = dtype_of(value)
    if holomorphic != is_complex(dtype) or not is_inexact(dtype):
        wanted = "complex (holomorphic=True)" if holomorphic else "real floating point"
        raise DTypeError(
            f"{transform}({function_name(fun)}): the result must be {wanted}, got {aval_of(value)}. "
            + ("For complex functions pass holomorphic=True, or use fad.vjp." if is_complex(dtype) else "")
        )
    return value


def vjp(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Result of ``fun`` and its pullback, which maps a cotangent of the result to cotangents of the primals.

    Parameters
    ----------
    fun : callable
        Function of pytrees, giving a pytree.
    *primals
        The point; arrays among them that can be written to are copied.
    has_aux : bool
        Whether ``fun`` returns ``(out, aux)``; then ``vjp`` gives ``(out, pullback, aux)``.

    Returns
    -------
    out
        The result.
    pullback : callable
        Takes a cotangent with the structure, shapes and dtypes of ``out``; gives a tuple with one cotangent per primal. It may
        be called many times.

    Raises
    ------
    DTypeError
        If a primal is not floating point.
    TreeError, ShapeError
        From the pullback, if the cotangent does not fit the result.

    Examples
    --------
    >>> import fad
    >>> out, pullback = fad.vjp(lambda x, y: x * y, 2.0, 3.0)
    >>> out, pullback(1.0)
    (Array(6.), (Array(3.), Array(2.)))
    """
    fun = as_function("vjp", fun)
    leaves, treedef = flatten(primals)
    describe = argument_paths(primals)
    operands = [_owned(o) for o in leaf_operands("vjp", fun, leaves, describe)]
    check_differentiable("vjp", fun, operands, describe, False)
    trace = new_tape(fun)
    inputs = unflatten(treedef, trace.inputs(operands))
    out, aux = _traced_call("vjp", trace, fun, inputs, {}, has_aux)
    outs, out_tree = result_operands("vjp", fun, out)
    pairs = [trace.split(o) for o in outs]
    out_avals, places = [aval_of(p) for p, _ in pairs], [lies_on_device(p) for p, _ in pairs]
    flat_pullback = Pullback(trace, [i for _, i in pairs], operands)

    def pullback(cotangent: Any) -> Any:
        cotangents = _fitting("the pullback", "cotangent", cotangent, out_tree, out_avals, places)
        return wrap_tree(treedef, flat_pullback(cotangents))

    out = wrap_tree(out_tree, [p for p, _ in pairs])
    return (out, pullback, aux) if has_aux else (out, pullback)


def _owned(operand: Any) -> Any:
    """The operand, copied if somebody else may write into it."""
    return operand.copy() if isinstance(operand, np.ndarray) and operand.flags.writeable else operand


def _fitting(
    transform: str, what: str, tree: Any, treedef: Any, avals: Sequence[ShapedArray], places: Sequence[bool]
) -> list[Any]:
    """Operands of a tangent or cotangent tree, checked against the types it belongs to; integers have none.

    ``places`` says of each value that one belongs to whether it is on a CUDA device.
    """
    leaves, seen = flatten(tree)
    if seen != treedef:
        check_same_structure(transform, what, seen, treedef)
    operands: list[Any] = []
    for k, (leaf, aval, place) in enumerate(zip(leaves, avals, places, strict=True)):
        operand = as_operand(leaf)
        if shape_of(operand) != aval.shape:
            raise ShapeError(
                f"{transform}: {what} {k} has shape {shape_of(operand)}, but the value it belongs to has type {aval}"
            )
        if not is_inexact(aval.dtype):
            operands.append(None)
            continue
        if is_complex(dtype_of(operand)) and not is_complex(aval.dtype):
            raise DTypeError(
                f"{transform}: {what} {k} is complex ({aval_of(operand)}), but the value it belongs to is real ({aval})"
            )
        if not isinstance(leaf, int | float | complex) and dtype_of(operand) != aval.dtype:
            raise DTypeError(
                f"{transform}: {what} {k} has type {aval_of(operand)}, but the value it belongs to has {aval}; convert it with .astype"
            )
        operand = np.asarray(operand, aval.dtype)[()] if isinstance(leaf, int | float | complex) else operand
        operands.append(beside(operand, place))
    return operands


def jvp(fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False) -> Any:
    """Result of ``fun`` and its directional derivative, by forward mode.

    Parameters
    ----------
    fun : callable
        Function of pytrees, giving a pytree.
    primals, tangents : tuple or list
        The point and the direction: the same structure, shapes and dtypes.
    has_aux : bool
        Whether ``fun`` returns ``(out, aux)``; then ``jvp`` gives ``(out, tangent_out, aux)``.

    Raises
    ------
    TreeError, ShapeError, DTypeError
        If tangents do not fit the primals.

    Examples
    --------
    >>> import fad
    >>> fad.jvp(lambda x: x * x, (3.0,), (1.0,))
    (Array(9.), Array(6.))
    """
    fun = as_function("jvp", fun)
    for name, value in (("primals", primals), ("tangents", tangents)):
        if not isinstance(value, tuple | list):
            raise ArgumentError(
                f"jvp({function_name(fun)}): {name} must be a tuple with one entry per argument, got {type(value).__name__}"
            )
    primals, tangents = tuple(primals), tuple(tangents)
    leaves, treedef = flatten(primals)
    describe = argument_paths(primals)
    operands = leaf_operands("jvp", fun, leaves, describe)
    check_differentiable("jvp", fun, operands, describe, False)
    places = [lies_on_device(o) for o in operands]
    flat_tangents = _fitting("jvp", "tangent", tangents, treedef, [aval_of(o) for o in operands], places)
    found: dict[str, Any] = {}

    def flat_fun(*xs: Any) -> list[Any]:
        out = fun(*unflatten(treedef, xs))
        if has_aux:
            out, found["aux"] = split_aux("jvp", fun, out)
        outs, found["tree"] = result_operands("jvp", fun, out)
        aux_leaves, found["aux_tree"] = flatten(found.get("aux"))
        found["count"] = len(outs)
        return [*outs, *aux_leaves]

    outs, out_tangents = jvp_flat(flat_fun, operands, flat_tangents, instantiate=False, owner=fun)
    count = found["count"]
    out_tangents = [
        beside(zeros(aval_of(o)), lies_on_device(o)) if t is None else t
        for o, t in zip(outs[:count], out_tangents[:count], strict=True)
    ]
    result = wrap_tree(found["tree"], outs[:count]), wrap_tree(found["tree"], out_tangents)
    if has_aux:
        return (*result, unflatten(found["aux_tree"], outs[count:]))
    return result


def linearize(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Result of ``fun`` and its linear approximation there: a function of tangents that repeats none of the nonlinear work.

    Parameters
    ----------
    fun : callable
        Function of pytrees, giving a pytree.
    *primals
        The point.
    has_aux : bool
        Whether ``fun`` returns ``(out, aux)``; then the result is ``(out, pushforward, aux)``.

    Returns
    -------
    out
        The result.
    pushforward : callable
        Takes one tangent per primal, gives the tangent of the result.

    Examples
    --------
    >>> import fad
    >>> out, pushforward = fad.linearize(lambda x: x**3, 2.0)
    >>> out, pushforward(1.0), pushforward(10.0)
    (Array(8.), Array(12.), Array(120.))
    """
    fun = as_function("linearize", fun)
    leaves, treedef = flatten(primals)
    describe = argument_paths(primals)
    operands = [_owned(o) for o in leaf_operands("linearize", fun, leaves, describe)]
    check_differentiable("linearize", fun, operands, describe, False)
    avals = [aval_of(o).update() for o in operands]
    record = RecordTrace(CURRENT.get(), fun)
    places = [lies_on_device(o) for o in operands]
    tangents = [record.input(a) for a in avals]
    before = CURRENT.get()
    try:
        CURRENT.set(record)
        out, out_tangents, *aux = jvp_with(fun, treedef, operands, tangents, has_aux)
        out_tree = flatten(out)[1]
        program, captured = record.program(
            tangents, [as_operand(t) for t in flatten(out_tangents)[0]], f"linear_{function_name(fun)}"
        )
    finally:
        CURRENT.set(before)
        record.live = False

    def pushforward(*given: Any) -> Any:
        flat = _fitting("the linearized function", "tangent", given, treedef, avals, places)
        return wrap_tree(out_tree, evaluate(program, *captured, *flat))

    return (out, pushforward, *aux)


def jvp_with(
    fun: Callable[..., Any], treedef: Any, operands: Sequence[Any], tangents: Sequence[Any], has_aux: bool
) -> Any:
    """``jvp`` of a function whose primals and tangents are given as flat operands."""
    primal_tree, tangent_tree = unflatten(treedef, [wrap(o) for o in operands]), unflatten(treedef, tangents)
    return jvp(fun, primal_tree, tangent_tree, has_aux)


def linear_transpose(fun: Callable[..., Any], *primals: Any) -> Callable[..., Any]:
    """Transpose of a linear function.

    Parameters
    ----------
    fun : callable
        A linear function of pytrees.
    *primals
        Arrays, or anything with ``shape`` and ``dtype``, that give the types of the arguments.

    Returns
    -------
    callable
        Takes a cotangent of the result, gives a tuple of cotangents of the arguments.

    Raises
    ------
    ArgumentError
        If the function is not linear: its value at one point is compared with its derivative at zero in that direction (but not inside ``jit`` or ``vmap``, where
        values are not known).

    Notes
    -----
    The check takes two evaluations of the function. Without it, and of the linear part of any function: ``vjp(fun, *primals)[1]``.

    Examples
    --------
    >>> import fad
    >>> fad.linear_transpose(lambda x: 3.0 * x, 1.0)(2.0)
    (Array(6.),)
    """
    fun = as_function("linear_transpose", fun)
    leaves, tree = flatten(primals)
    avals = [_aval_of_leaf(leaf) for leaf in leaves]
    at_zero = unflatten(tree, [wrap(zeros(aval)) for aval in avals])
    pullback = vjp(fun, *at_zero)[1]
    _require_linear(fun, at_zero, unflatten(tree, [wrap(_scattered(aval)) for aval in avals]))
    return pullback


def _scattered(aval: ShapedArray) -> np.ndarray:
    """Numbers between -2 and 2 that have nothing to do with each other."""
    numbers = np.arange(1.0, aval.size + 1)
    values = 2 * np.sin(7 * numbers) + (2j * np.cos(5 * numbers) if is_complex(aval.dtype) else 0)
    return values.reshape(aval.shape).astype(aval.dtype)


def _require_linear(fun: Callable[..., Any], at_zero: Any, point: Any) -> None:
    """A linear function is its own derivative at zero. What rounds badly is linear still, so that one part in a hundred is granted."""
    derivative, values = [flatten(r)[0] for r in (jvp(fun, tuple(at_zero), tuple(point))[1], fun(*point))]
    for number, pair in enumerate(zip(derivative, values, strict=True)):
        expected, value = [concrete_value(as_operand(x)) for x in pair]
        if expected is None or value is None or not is_inexact(value.dtype):
            continue
        expected, value = expected.astype(np.complex128), value.astype(np.complex128)
        with np.errstate(invalid="ignore", over="ignore"):
            error, size = np.linalg.norm(expected - value), np.linalg.norm(value)
        if not error <= 0.01 * size and np.isfinite(value).all():
            raise ArgumentError(
                f"linear_transpose({function_name(fun)}): the function is not linear: its output {number} at a point differs from its derivative at zero "
                f"along the same direction by {error / (size or 1):.2g} of its norm. Use fad.vjp, or fad.linearize and the transpose of what that gives"
            )


def _aval_of_leaf(leaf: Any) -> ShapedArray:
    if hasattr(leaf, "shape") and hasattr(leaf, "dtype"):
        return ShapedArray(tuple(leaf.shape), leaf.dtype)
    return aval_of(as_operand(leaf)).update()
