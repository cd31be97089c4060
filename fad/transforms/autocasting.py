"""``autocast``: matrix products and convolutions of a function in half precision, everything else as it was.

The function is staged and its Program written again with conversions around the contractions. No type of any other value changes, so the Programs inside loops,
branches and jitted functions are written again in the same way. Reverse mode then passes through the conversions: the backward products are in half precision too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any

import numpy as np

from fad.core.avals import aval_of, bfloat16, canonical_dtype
from fad.core.errors import ArgumentError
from fad.core.program import Equation, Program, Var, evaluate
from fad.core.pytrees import flatten
from fad.primitives.structural import convert
from fad.transforms.arguments import argument_paths, as_function, function_name, leaf_operands, wrap_tree
from fad.transforms.programs import stage_function
from fad.transforms.staging import stage
from fad.transforms.wrapping import reduced

__all__ = ["AutocastFunction", "autocast"]

_CONTRACTIONS = frozenset({"dot_general", "convolve", "convolve_input", "convolve_kernel"})
_WIDE = (np.dtype(np.float32), np.dtype(np.float64))
# These hold rules that the user wrote; they run as written.
_AS_WRITTEN = frozenset({"custom_call"})


def _is_cast(equation: Equation) -> bool:
    """Whether an equation is a contraction of wide real numbers."""
    return equation.primitive.name in _CONTRACTIONS and all(v.aval.dtype in _WIDE for v in equation.inputs)


def _nested(params: dict[str, Any]) -> list[Program]:
    """The Programs among an equation's parameters."""
    found = []
    for value in params.values():
        found += [p for p in (value if isinstance(value, tuple) else (value,)) if isinstance(p, Program)]
    return found


def _rewritten(program: Program, dtype: np.dtype) -> Program:
    """The Program of the same types with its contractions in ``dtype``."""
    return program.cached(
        ("autocast", dtype), lambda: stage(lambda *xs: _evaluate(program, dtype, xs), program.in_avals, program.name)[0]
    )


def _rewritten_params(params: dict[str, Any], dtype: np.dtype) -> dict[str, Any]:
    def one(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(one(v) for v in value)
        return _rewritten(value, dtype) if isinstance(value, Program) else value

    return {name: one(value) for name, value in params.items()}


def _evaluate(program: Program, dtype: np.dtype, args: Sequence[Any]) -> list[Any]:
    env: dict[Var, Any] = {**program.constants, **dict(zip(program.inputs, args, strict=True))}
    for equation in program.equations:
        values = [env[v] if isinstance(v, Var) else v.value for v in equation.inputs]
        params = equation.params
        if _is_cast(equation):
            product = equation.primitive.bind(*[convert(v, dtype) for v in values], **params)
            env[equation.outputs[0]] = convert(product, equation.outputs[0].aval.dtype)
            continue
        if _nested(params) and equation.primitive.name not in _AS_WRITTEN:
            params = _rewritten_params(params, dtype)
        outs = equation.primitive.bind(*values, **params)
        env.update(zip(equation.outputs, outs if equation.primitive.multiple_results else [outs], strict=True))
    return [env[v] if isinstance(v, Var) else v.value for v in program.outputs]


def _counted(program: Program, cast: list[tuple[str, str]], left: dict[str, int]) -> None:
    """Collect the contractions that are cast, with their places, and the numbers of the other operations by dtype."""
    for equation in program.equations:
        if _is_cast(equation):
            shapes = " x ".join(str(v.aval.update()) for v in equation.inputs)
            cast.append((f"{equation.primitive.name} {shapes}", str(equation.source or "unknown place")))
            continue
        nested = [] if equation.primitive.name in _AS_WRITTEN else _nested(equation.params)
        for inner in nested:
            _counted(inner, cast, left)
        if not nested:
            for v in equation.outputs[:1]:
                left[str(v.aval.dtype)] = left.get(str(v.aval.dtype), 0) + 1


class AutocastFunction:
    """A function with its contractions in half precision; made by ``fad.autocast``.

    Call it like the function. ``report(*args)`` says what runs in which precision.
    """

    def __init__(self, fun: Callable[..., Any], dtype: np.dtype):
        update_wrapper(self, fun, updated=())
        self._fun, self.dtype = fun, dtype

    def _staged(self, args: Any, kwargs: Any) -> tuple[Program, list[Any], list[Any], Any]:
        leaves, treedef = flatten((args, kwargs))
        operands = leaf_operands("autocast", self._fun, leaves, argument_paths((args, kwargs), "leaf"))
        program, captured, out_tree = stage_function("autocast", self._fun, treedef, [aval_of(o) for o in operands])
        return program, captured, operands, out_tree

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        program, captured, operands, out_tree = self._staged(args, kwargs)
        return wrap_tree(out_tree, evaluate(_rewritten(program, self.dtype), *captured, *operands))

    def report(self, *args: Any, **kwargs: Any) -> str:
        """What runs in half precision for such arguments, and how much does not."""
        cast: list[tuple[str, str]] = []
        left: dict[str, int] = {}
        _counted(self._staged(args, kwargs)[0], cast, left)
        name = function_name(self._fun)
        lines = [f"autocast({name}): {len(cast)} contraction{'' if len(cast) == 1 else 's'} in {self.dtype}"]
        lines += [f"  {what}   {where}" for what, where in cast]
        others = ", ".join(f"{count} in {dtype}" for dtype, count in sorted(left.items()))
        lines.append(f"other operations as they were: {others or 'none'}")
        return "\n".join(lines)

    def __reduce__(self) -> Any:
        return reduced(self, self._fun, autocast, (self._fun, self.dtype))

    def __repr__(self) -> str:
        return f"autocast({function_name(self._fun)}, dtype={self.dtype})"


def autocast(fun: Callable[..., Any] | None = None, dtype: Any = bfloat16) -> Any:
    """Run a function's matrix products and convolutions in half precision and the rest as written (Micikevicius et al., arXiv:1710.03740).

    Parameters
    ----------
    fun : callable
        A function of pytrees of arrays. Without it, ``autocast`` gives a decorator.
    dtype : dtype
        ``bfloat16`` (the range of float32, 8 bits of precision) or ``float16`` (11 bits, largest value 65504).

    Returns
    -------
    AutocastFunction
        With the arguments, result types and transforms of ``fun``. Factors of float32 and float64 are rounded to ``dtype``, multiplied, summed in float32 and
        rounded to ``dtype`` once, then converted back. Sums, exponentials, normalisations, parameters and their updates keep their precision. The products of the
        backward pass are in ``dtype`` too, so float16 wants ``fad.optim.dynamic_loss_scaling``. Functions with custom derivatives run as written.

    Raises
    ------
    ArgumentError
        If ``dtype`` is not a half precision.
    ConcretizationError
        If the function needs the value of an array, as Python's ``if`` does: the function is staged.

    Notes
    -----
    It helps where there is hardware for half precision; a CPU without it computes the same numbers more slowly, which shows what they will be. Every call
    stages the function, so put ``fad.jit`` around it.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> f = fad.autocast(lambda w, x: fnp.sum(x @ w), dtype="float16")
    >>> w, x = fnp.full((2, 1), 0.1, dtype="float32"), fnp.ones((3, 2), dtype="float32")
    >>> f(w, x)
    Array(0.5998535, dtype=float32)
    >>> fad.grad(f)(w, x).dtype
    dtype('float32')
    >>> print(f.report(w, x))
    autocast(<lambda>): 1 contraction in float16
      dot_general float32[3,2] x float32[2,1]   ...
    other operations as they were: 1 in float32
    """
    if fun is None:
        return lambda f: autocast(f, dtype)
    fun = as_function("autocast", fun)
    found = canonical_dtype(dtype)
    if found not in (np.dtype(np.float16), bfloat16):
        raise ArgumentError(
            f"autocast: dtype must be float16 or bfloat16, got {found}; without autocast f computes in its own precision"
        )
    return AutocastFunction(fun, found)
