"""``print`` and ``breakpoint``: look at values from inside transformed functions.

Both bind an operation without results whose only meaning is its effect. Derivatives pass it by, so it runs once, on primals, in the forward pass;
``vmap`` runs it once per example, in order; ``jit`` keeps it although nothing depends on it.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fad.core.array import host_buffer
from fad.core.errors import ArgumentError, FadError
from fad.core.primitive import Primitive
from fad.core.pytrees import flatten, unflatten
from fad.core.samples import case, f64
from fad.transforms.arguments import as_operand

__all__ = ["breakpoint", "callback_p", "print"]

Level = tuple[int, tuple[bool, ...]]


def _examples(args: Sequence[Any], levels: tuple[Level, ...]) -> Iterator[list[Any]]:
    """The arguments of every example, outermost batch first."""
    if not levels:
        yield list(args)
        return
    (size, mapped), *inner = levels
    for i in range(size):
        yield from _examples([a[i] if m else a for a, m in zip(args, mapped, strict=True)], tuple(inner))


def _callback_impl(
    xp: Any, *args: Any, function: Callable[..., None], levels: tuple[Level, ...], effect: bool
) -> list[Any]:
    for example in _examples([host_buffer(a) for a in args], levels):
        function(*example)
    return []


def _callback_batch(
    size: int, args: Sequence[Any], mapped: Sequence[bool], *, levels: tuple[Level, ...], **params: Any
) -> Any:
    # The new axis is in front of those that inner vmaps added before.
    return callback_p.bind(*args, levels=((size, tuple(mapped)), *levels), **params), []


def _ignore(*args: Any) -> None:
    """Do nothing with a sample."""


callback_p = Primitive(
    "debug_callback",
    impl=_callback_impl,
    shape=lambda *avals, function, levels, effect: [],
    jvp=None,
    vjp=None,
    batch=_callback_batch,
    kernel=None,
    samples=[case(f64(2, 3), function=_ignore, levels=(), effect=True)],
    multiple_results=True,
    doc="Calls a Python function with the values, for its effect.",
)


class _Shown:
    """An array as a format string shows it: a format for numbers applies to every element."""

    def __init__(self, value: np.ndarray):
        self._value = value

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self._value)
        if not self._value.ndim:
            return format(self._value.item(), spec)
        return np.array2string(self._value, formatter={"all": lambda element: format(element, spec)})

    def __repr__(self) -> str:
        return repr(self._value)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._value, name)

    def __getitem__(self, index: Any) -> Any:
        return self._value[index]


def _bind(values: Any, function: Callable[[Any], None]) -> None:
    """Have ``function`` called with the tree ``values``, arrays in place of fad's values; other leaves stay as they are."""
    leaves, treedef = flatten(values)
    operands, places = [], []
    for k, leaf in enumerate(leaves):
        try:
            operand = as_operand(leaf)
        except FadError:
            continue
        operands.append(operand)
        places.append(k)

    def with_values(*arrays: np.ndarray) -> None:
        filled = list(leaves)
        for k, array in zip(places, arrays, strict=True):
            filled[k] = array
        function(unflatten(treedef, filled))

    # What is no array is held by the closure; tracers are not, they are arguments.
    leaves = [None if k in places else leaf for k, leaf in enumerate(leaves)]
    callback_p.bind(*operands, function=with_values, levels=(), effect=True)


def print(fmt: Any, *args: Any, **kwargs: Any) -> None:
    """Print values when they are computed, under every transform.

    Parameters
    ----------
    fmt : str
        Format string: ``{}`` stands for the next value, ``{name}`` for a keyword; ``{:.3f}`` formats every element. A ``fmt`` that is not a
        string is printed as it is.
    *args, **kwargs
        Pytrees of arrays, and any other Python values.

    Raises
    ------
    ArgumentError
        If the format string does not fit the values; at the call, also under ``jit``.

    Notes
    -----
    Under ``grad`` and ``jvp`` primals are printed, once, in the forward pass; to see cotangents use :func:`tap_gradient`. Under ``vmap`` one line
    is printed per example, or one in all if no value depends on the example; a ``cond`` on the example runs, and prints, both branches. Under
    ``jit`` every call of the compiled function prints, in the order of the code. A ``checkpoint`` prints again when it computes again.

    Examples
    --------
    >>> import fad
    >>> def f(x):
    ...     y = x**2
    ...     fad.debug.print("y = {:.2f}", y)
    ...     return y
    >>> _ = fad.grad(f)(3.0)
    y = 9.00
    >>> _ = fad.jit(fad.vmap(f))(fad.Array([1.0, 2.0]))
    y = 1.00
    y = 4.00
    """
    if not isinstance(fmt, str):
        fmt, args = "{}", (fmt, *args)

    def show(values: Any) -> None:
        positional, named = _shown(values)
        builtins.print(fmt.format(*positional, **named))

    _check_format(fmt, args, kwargs)
    _bind((args, kwargs), show)


def _shown(tree: Any) -> Any:
    leaves, treedef = flatten(tree)
    return unflatten(treedef, [_Shown(x) if isinstance(x, np.ndarray) else x for x in leaves])


class _Anything:
    """Stands for a value whose format cannot be tried yet."""

    def __format__(self, spec: str) -> str:
        return ""

    def __getattr__(self, name: str) -> Any:
        return self

    def __getitem__(self, index: Any) -> Any:
        return self


def _check_format(fmt: str, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    try:
        fmt.format(*[_Anything()] * len(args), **dict.fromkeys(kwargs, _Anything()))
    except (IndexError, KeyError, ValueError) as error:
        raise ArgumentError(
            f"fad.debug.print: the format string {fmt!r} does not fit {len(args)} values and the names {sorted(kwargs)}: "
            f"{type(error).__name__}: {error}. Write {{{{ and }}}} for braces."
        ) from None


def breakpoint(*args: Any, **kwargs: Any) -> None:
    """Stop in the debugger when the given values are computed, under every transform.

    Parameters
    ----------
    *args, **kwargs
        Pytrees of arrays to look at; the debugger finds them, as NumPy arrays, in the variables ``args`` and ``kwargs``.

    Notes
    -----
    It calls :func:`sys.breakpointhook`, so ``PYTHONBREAKPOINT`` chooses the debugger. In eager code the frames above are the user's own; under
    ``jit`` they are those of the call. Under ``vmap`` it stops once per example.

    Examples
    --------
    >>> import fad
    >>> def f(x):
    ...     fad.debug.breakpoint(x)
    ...     return x**2
    >>> import sys
    >>> hook, sys.breakpointhook = sys.breakpointhook, lambda: print("stopped")
    >>> fad.grad(f)(3.0)
    stopped
    Array(6.)
    >>> sys.breakpointhook = hook
    """
    _bind((args, kwargs), _stop)


def _stop(values: Any) -> None:
    args, kwargs = values  # for the person in the debugger
    sys.breakpointhook()
