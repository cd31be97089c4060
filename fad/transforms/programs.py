"""``make_program`` and ``eval_shape``: look at what a function does without running it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fad.core.avals import ShapedArray, aval_of
from fad.core.errors import FadError
from fad.core.program import Program
from fad.core.pytrees import flatten, unflatten
from fad.transforms.arguments import (
    argument_paths,
    as_function,
    as_operand,
    function_name,
    leaf_operands,
    result_operands,
)
from fad.transforms.staging import stage
from fad.transforms.wrapping import TransformedFunction

__all__ = ["eval_shape", "make_program", "stage_function"]


def stage_function(
    transform: str,
    fun: Callable[..., Any],
    treedef: Any,
    avals: Sequence[ShapedArray],
    call: Callable[..., Any] | None = None,
) -> tuple[Program, list[Any], Any]:
    """Stage a function of pytrees: the Program, the outer tracers it captured (its leading arguments) and the result's structure.

    ``treedef`` is the structure of ``(args, kwargs)``; ``call(fun, args, kwargs)`` may say how the function is called.
    """
    found: dict[str, Any] = {}

    def flat_fun(*xs: Any) -> list[Any]:
        args, kwargs = unflatten(treedef, xs)
        out = call(fun, args, kwargs) if call is not None else fun(*args, **kwargs)
        outs, found["tree"] = result_operands(transform, fun, out)
        return outs

    program, captured = stage(flat_fun, avals, function_name(fun), fun, transform)
    return program, captured, found["tree"]


def make_program(fun: Callable[..., Any]) -> Callable[..., Program]:
    """Function that gives the Program of ``fun`` instead of its result.

    Parameters
    ----------
    fun : callable
        Function of pytrees of arrays.

    Returns
    -------
    callable
        With the arguments of ``fun``; gives the :class:`Program`, whose ``str`` is typed single-assignment code.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> print(fad.make_program(lambda x: fnp.sin(x) * 2.0)(1.0))
    <lambda>(a:float64[]*)
      b:float64[] = sin(a)
      c:float64[] = b * 2.0
      return c
    """
    given, fun = fun, as_function("make_program", fun)

    def program_of(*args: Any, **kwargs: Any) -> Program:
        leaves, treedef = flatten((args, kwargs))
        operands = leaf_operands("make_program", fun, leaves, argument_paths((args, kwargs), "leaf"))
        return stage_function("make_program", fun, treedef, [aval_of(o) for o in operands])[0]

    return TransformedFunction(program_of, make_program, given)


def eval_shape(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Shapes and dtypes of a function's result, without computing it.

    Parameters
    ----------
    fun : callable
        Function of pytrees of arrays.
    *args, **kwargs
        Arrays, or anything with ``shape`` and ``dtype``.

    Returns
    -------
    pytree of ShapedArray
        The type of each result.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> fad.eval_shape(lambda a, b: a @ b, fnp.zeros((2, 3)), fnp.zeros((3, 4)))
    float64[2,4]
    """
    fun = as_function("eval_shape", fun)
    leaves, treedef = flatten((args, kwargs))
    program, _, out_tree = stage_function("eval_shape", fun, treedef, [abstract_leaf(leaf) for leaf in leaves])
    return unflatten(out_tree, [a.update() for a in program.out_avals])


def abstract_leaf(leaf: Any) -> ShapedArray:
    """The type of an array, or of a stand-in that has only ``shape`` and ``dtype``."""
    if isinstance(leaf, ShapedArray):
        return leaf
    try:
        return aval_of(as_operand(leaf))
    except FadError:
        if hasattr(leaf, "shape") and hasattr(leaf, "dtype"):
            return ShapedArray(tuple(leaf.shape), leaf.dtype)
        raise
