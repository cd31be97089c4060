"""``jit``: stage a function once per signature and call the Program."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import update_wrapper
from inspect import Parameter, signature
from operator import itemgetter
from typing import Any

import numpy as np

from fad.compiler.dispatch import compiled_program
from fad.compiler.outcomes import MISS
from fad.core.array import wrap
from fad.core.avals import aval_of
from fad.core.config import config
from fad.core.errors import ArgumentError, FadError
from fad.core.locks import Lock
from fad.core.program import Program
from fad.core.pytrees import flatten, unflatten
from fad.core.trace import CURRENT, EVAL, Tracer
from fad.transforms.ahead_of_time import Lowered, argument_names, leaf_arguments
from fad.transforms.arguments import argument_paths, as_function, function_name, leaf_operands
from fad.transforms.batching import named_axes
from fad.transforms.calling import call
from fad.transforms.donation import call_donating
from fad.transforms.programs import abstract_leaf, stage_function
from fad.transforms.shortcuts import Shortcut, in_c_order, make_shortcut
from fad.transforms.wrapping import reduced

__all__ = ["JittedFunction", "jit"]

_SIGNATURES_KEPT = 256
_SHORTCUTS_KEPT = 4


class JittedFunction:
    """A function that is staged once per signature; what :func:`jit` gives.

    Attributes
    ----------
    traces : int
        How many times the function was traced so far.
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        static_argnums: tuple[int, ...],
        static_argnames: tuple[str, ...],
        donate_argnums: tuple[int, ...] = (),
        donate_argnames: tuple[str, ...] = (),
    ):
        self._fun = fun
        self._static_argnums = static_argnums
        self._static_argnames = frozenset(static_argnames)
        self._static_names = _positional_names(fun) if static_argnums else {}
        self._cache: OrderedDict[Any, tuple[Program, Any]] = OrderedDict()
        self._lock = Lock()
        self._shortcuts: tuple[Any, ...] = ()
        self._donate_argnums = frozenset(donate_argnums)
        self._donate_argnames = frozenset(donate_argnames)
        self.traces = 0
        update_wrapper(self, fun, updated=())

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        return _BoundJittedFunction(self, instance)

    def __repr__(self) -> str:
        return f"fad.jit({function_name(self._fun)})"

    def __reduce__(self) -> Any:
        names = tuple(sorted(self._static_argnames))
        donated = (tuple(sorted(self._donate_argnums)), tuple(sorted(self._donate_argnames)))
        return reduced(self, self._fun, jit, (self._fun, self._static_argnums, names, *donated))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        shortcuts = self._shortcuts
        if shortcuts and CURRENT.get() is EVAL:
            stamp = config.stamp()
            for shortcut in shortcuts:
                if shortcut.stamp is stamp:
                    result = shortcut(args, kwargs)
                    if result is not MISS:
                        return result
            return self._call_in_c_order(args, kwargs)
        return self._call_staged(args, kwargs)

    def _call_in_c_order(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call that no shortcut takes as it is: transposed arrays and slices with steps are copied for them first."""
        moved = in_c_order(args, kwargs)
        if moved is not None:
            for shortcut in self._shortcuts:
                if type(shortcut) is Shortcut and shortcut.stamp is config.stamp():
                    result = shortcut(*moved)
                    if result is not MISS:
                        return result
        return self._call_staged(args, kwargs)

    def _call_staged(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if config.disable_jit:
            return self._fun(*args, **kwargs)
        key, treedef, operands, static = self._signature(args, kwargs, leaf_operands)
        entry = self._entry(key)
        captured: Sequence[Any] = ()
        if entry is None:
            program, captured, out_tree = self._stage(key, treedef, operands, static)
        else:
            program, out_tree = entry
            if CURRENT.get() is EVAL and not (static[0] or static[1]):
                self._add_shortcut(program, treedef, out_tree)
        if program.donated and CURRENT.get() is EVAL:
            return self._call_donating(program, out_tree, operands, *self._split(args, kwargs)[:2])
        return unflatten(out_tree, [wrap(o) for o in call(program, *captured, *operands)])

    def _call_donating(self, program: Program, out_tree: Any, operands: Any, args: Any, kwargs: Any) -> Any:
        """A call of a function with donated arguments, natively from the first one on: a copy of them is what donation is to save."""
        leaves, treedef = flatten((args, kwargs))
        shortcut = None
        if compiled_program(program) is not None:
            key = ("shortcut", config.stamp())
            shortcut = program.cached(key, lambda: make_shortcut(program, treedef, out_tree))
        operands.clear()  # they are references to the memory that is to be taken
        results = MISS if shortcut is None else shortcut(args, kwargs)
        if results is not MISS:
            return results
        return unflatten(out_tree, [wrap(o) for o in call_donating(program, leaves)])

    def _entry(self, key: Any) -> tuple[Program, Any] | None:
        """What is staged for a signature; it becomes the last to be dropped."""
        entry = self._cache.get(key)
        if entry is not None and len(self._cache) > _SIGNATURES_KEPT // 2:
            with self._lock.held:
                if key in self._cache:
                    self._cache.move_to_end(key)
        return entry

    def _add_shortcut(self, program: Program, treedef: Any, out_tree: Any) -> None:
        """From the second call of a signature on, calls like it skip the general way."""
        if any(s.program is program and s.stamp is config.stamp() for s in self._shortcuts):
            return  # it is there, and did not take these arguments
        shortcut = make_shortcut(program, treedef, out_tree)
        if shortcut is not None:
            kept = [s for s in self._shortcuts if s.stamp is shortcut.stamp and s.program is not program]
            self._shortcuts = (shortcut, *kept[: _SHORTCUTS_KEPT - 1])

    def _stage(
        self, key: Any, treedef: Any, operands: Sequence[Any], static: Any
    ) -> tuple[Program, Sequence[Any], Any]:
        with self._lock.held:
            if key in self._cache:
                return (self._cache[key][0], (), self._cache[key][1])
            avals = [aval_of(o) for o in operands]
            program, captured, out_tree = stage_function(
                "jit", self._fun, treedef, avals, lambda fun, args, kwargs: _call_with_static(fun, args, kwargs, static)
            )
            self.traces += 1
            # A Program that captured an outer tracer is valid only inside the transform that owns it.
            if not captured:
                program = self._with_donations(program, treedef, [i for i, _ in static[0]])
                self._cache[key] = (program, out_tree)
                while len(self._cache) > _SIGNATURES_KEPT:
                    self._cache.popitem(last=False)
            return program, captured, out_tree

    def _with_donations(self, program: Program, treedef: Any, static: Sequence[int]) -> Program:
        """The Program whose results may take the memory of the donated arguments."""
        if not (self._donate_argnums or self._donate_argnames):
            return program
        donated = [
            k
            for k, path in enumerate(leaf_arguments(treedef, static))
            if path[0] in self._donate_argnums or path[0] in self._donate_argnames
        ]
        return Program(program.inputs, program.equations, program.outputs, program.constants, program.name, donated)

    def _signature(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], operands_of: Callable[..., list[Any]]
    ) -> tuple[Any, Any, list[Any], Any]:
        """The cache key, the structure of the dynamic arguments, their operands (or types), and the static arguments."""
        dynamic_args, dynamic_kwargs, static = self._split(args, kwargs)
        leaves, treedef = flatten((dynamic_args, dynamic_kwargs))
        operands = operands_of("jit", self._fun, leaves, argument_paths((dynamic_args, dynamic_kwargs), "leaf"))
        types = tuple([aval_of(o) for o in operands])
        # An argument is the same one by position and by name.
        named = [
            *[(self._static_names.get(i, str(i)), _told_apart(v)) for i, v in static[0]],
            *[(k, _told_apart(v)) for k, v in static[1]],
        ]
        values = tuple(sorted(named, key=itemgetter(0)))
        return (treedef, types, values, config.trace_key(), named_axes()), treedef, operands, static

    def _split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
        """The dynamic arguments, those with names, and the static arguments with their numbers and names."""
        count = len(args)
        numbers = sorted({i + count if i < 0 else i for i in self._static_argnums if -count <= i < count})
        static_args = tuple((i, _static(self._fun, f"argument {i}", args[i])) for i in numbers)
        static_kwargs = tuple(
            (k, _static(self._fun, f"argument {k!r}", v))
            for k, v in sorted(kwargs.items())
            if k in self._static_argnames
        )
        dynamic_args = tuple(a for i, a in enumerate(args) if i not in numbers) if numbers else args
        dynamic_kwargs = (
            {k: v for k, v in kwargs.items() if k not in self._static_argnames} if static_kwargs else kwargs
        )
        return dynamic_args, dynamic_kwargs, (static_args, static_kwargs)

    def operands(self, *args: Any, **kwargs: Any) -> list[Any]:
        """The buffers of the arguments that are not static, in the order of the Program's inputs."""
        return self._signature(args, kwargs, leaf_operands)[2]

    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """The function staged for arguments of these types, to look at or to compile ahead of the first call.

        Parameters
        ----------
        *args, **kwargs
            What the function would be called with; :class:`~fad.ShapedArray`, or anything with ``shape`` and ``dtype``, may stand for an
            array. Static arguments are given as in a call.

        Returns
        -------
        Lowered

        Raises
        ------
        FadError
            If the function closes over a value of a transform that is running.

        Examples
        --------
        >>> import fad
        >>> import fad.numpy as fnp
        >>> f = fad.jit(lambda x: fnp.sin(x) * 2.0)
        >>> compiled = f.lower(fad.ShapedArray((3,), "float64")).compile()
        >>> compiled(fnp.zeros(3))
        Array([0., 0., 0.])
        """
        key, treedef, avals, static = self._signature(args, kwargs, _abstract_leaves)
        entry = self._cache.get(key)
        captured: Sequence[Any] = ()
        if entry is None:
            program, captured, out_tree = self._stage(key, treedef, avals, static)
        else:
            program, out_tree = entry
        if captured:
            raise FadError(
                f"jit({function_name(self._fun)}).lower: the function closes over {captured[0]!r}, a value of a transform that is running, "
                "so it has no Program of its own. Pass the value as an argument, or lower the outermost function."
            )
        names = argument_names(self._fun, treedef, [i for i, _ in static[0]])
        return Lowered(self._fun, program, treedef, out_tree, names)

    def clear(self) -> None:
        """Forget every staged Program."""
        with self._lock.held:
            self._cache.clear()
            self._shortcuts = ()


class _BoundJittedFunction:
    """A jitted method bound to its instance, which is its first argument."""

    def __init__(self, jitted: JittedFunction, instance: Any):
        self._jitted, self._instance = jitted, instance
        update_wrapper(self, jitted._fun, updated=())

    def __reduce__(self) -> Any:
        return _BoundJittedFunction, (self._jitted, self._instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._jitted(self._instance, *args, **kwargs)

    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """The method staged for arguments of these types, see :meth:`JittedFunction.lower`."""
        return self._jitted.lower(self._instance, *args, **kwargs)


def _abstract_leaves(transform: str, fun: Any, leaves: Sequence[Any], describe: Callable[[int], str]) -> list[Any]:
    """The types of argument leaves, which may be stand-ins for arrays."""
    types = []
    for k, leaf in enumerate(leaves):
        try:
            types.append(abstract_leaf(leaf))
        except FadError:
            leaf_operands(transform, fun, [leaf], lambda _, k=k: describe(k))  # type: ignore[misc]
            raise
    return types


def _told_apart(value: Any) -> tuple[Any, ...]:
    """A static value as a key: 1 == 1.0 == True and 0.0 == -0.0, but they may lead the function to different Programs."""
    kind = type(value)
    if isinstance(value, tuple) and kind.__hash__ is tuple.__hash__:
        return kind, *map(_told_apart, value)
    if kind is float or kind is complex or isinstance(value, np.inexact):
        return kind, repr(value)
    return kind, value


def _static(fun: Any, what: str, value: Any) -> Any:
    if isinstance(value, Tracer):
        raise ArgumentError(
            f"jit({function_name(fun)}): static {what} is {value!r}, whose value a running transform does not know; a static argument is a plain "
            "Python value. Make it static in the outer function too, or take it out of static_argnums here."
        )
    try:
        hash(value)
    except TypeError:
        raise ArgumentError(
            f"jit({function_name(fun)}): static {what} is a {type(value).__name__}, which is not hashable, so the staged Program cannot be "
            "found again. Pass a tuple for a list, a frozen dataclass for a record, or take it out of static_argnums."
        ) from None
    return value


def _call_with_static(fun: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], static: Any) -> Any:
    static_args, static_kwargs = static
    merged = list(args)
    for i, value in static_args:
        merged.insert(i, value)
    return fun(*merged, **kwargs, **dict(static_kwargs))


def _positional_names(fun: Callable[..., Any]) -> dict[int, str]:
    """The names of the parameters that can be given by position and by name, by position."""
    try:
        parameters = signature(fun).parameters.values()
    except (TypeError, ValueError):
        return {}
    return {i: p.name for i, p in enumerate(parameters) if p.kind is Parameter.POSITIONAL_OR_KEYWORD}


def _positions(
    fun: Callable[..., Any], kind: str, argnums: Any, argnames: Any
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    numbers = () if argnums is None else (argnums,) if isinstance(argnums, int | np.integer) else tuple(argnums)
    names = () if argnames is None else (argnames,) if isinstance(argnames, str) else tuple(argnames)
    if not all(isinstance(i, int | np.integer) and not isinstance(i, bool) for i in numbers):
        raise ArgumentError(
            f"jit({function_name(fun)}): {kind}_argnums must be an int or a sequence of ints, got {argnums!r}"
        )
    if not all(isinstance(n, str) for n in names):
        raise ArgumentError(
            f"jit({function_name(fun)}): {kind}_argnames must be a str or a sequence of them, got {argnames!r}"
        )
    try:
        parameters = list(signature(fun).parameters.values())
    except (TypeError, ValueError):
        return tuple(int(i) for i in numbers), names
    positional = [p.name for p in parameters if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)]
    variadic = any(p.kind is Parameter.VAR_POSITIONAL for p in parameters)
    any_name = any(p.kind is Parameter.VAR_KEYWORD for p in parameters)
    for i in numbers:
        if not variadic and not -len(positional) <= i < len(positional):
            raise ArgumentError(
                f"jit({function_name(fun)}): {kind}_argnums={argnums!r} names argument {i}, but the function has {len(positional)} positional arguments"
            )
    for n in names:
        if not any_name and n not in [p.name for p in parameters]:
            raise ArgumentError(
                f"jit({function_name(fun)}): {kind}_argnames={argnames!r} names {n!r}, which the function does not have"
            )
    # An argument may be passed by position or by name: each way must find it static.
    numbers = tuple(int(i) % len(positional) if i < 0 and not variadic else int(i) for i in numbers)
    both_names = tuple(dict.fromkeys([*names, *[positional[i] for i in numbers if 0 <= i < len(positional)]]))
    both_numbers = tuple(dict.fromkeys([*numbers, *[positional.index(n) for n in names if n in positional]]))
    return both_numbers, both_names


def jit(
    fun: Callable[..., Any] | None = None,
    static_argnums: Any = None,
    static_argnames: Any = None,
    donate_argnums: Any = None,
    donate_argnames: Any = None,
) -> Any:
    """Stage ``fun`` to a Program on first call with a signature, and run the Program from then on.

    Parameters
    ----------
    fun : callable
        A pure function of pytrees of arrays. Without it, ``jit`` gives a decorator.
    static_argnums : int or sequence of int, optional
        Positional arguments that are plain hashable Python values, part of the signature.
    static_argnames : str or sequence of str, optional
        The same, by name.
    donate_argnums : int or sequence of int, optional
        Positional arguments that the caller needs no more: results may be written into their memory.
    donate_argnames : str or sequence of str, optional
        The same, by name.

    Returns
    -------
    JittedFunction
        With the arguments of ``fun``. A signature is the structure, shapes and dtypes of the arguments and the static values. Its method ``lower``
        compiles ahead of the first call, and shows what is compiled.

    Raises
    ------
    ArgumentError
        If static or donated arguments do not exist, static ones are not hashable, or a donated array is passed twice in one call.
    ConcretizationError
        If the function needs the value of an array, as Python's ``if`` does.
    DeletedArrayError
        If an array is used after it was donated.

    Notes
    -----
    Donation saves memory, and the time to touch new memory, where a result has the type of a donated argument, as the new parameters of an
    optimiser's step have. Only memory that belongs to a single ``fad.Array`` is overwritten: an array of NumPy's, or one that a view or another ``Array``
    shares, is copied instead. Under other transforms donated arguments are left alone. No memory is
    saved where part of the function is left to Python, an argument is complex, or the code checks indices and so may fail half-way.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> f = fad.jit(lambda x: fnp.sin(x) ** 2 + fnp.cos(x) ** 2)
    >>> f(1.0)
    Array(1.)
    >>> f.traces
    1
    """
    if fun is None:
        return lambda f: jit(f, static_argnums, static_argnames, donate_argnums, donate_argnames)
    fun = as_function("jit", fun)
    static = _positions(fun, "static", static_argnums, static_argnames)
    donated = _positions(fun, "donate", donate_argnums, donate_argnames)
    both = [*set(static[0]) & set(donated[0]), *set(static[1]) & set(donated[1])]
    if both:
        raise ArgumentError(
            f"jit({function_name(fun)}): argument {both[0]!r} is static, a plain Python value, and so cannot be donated as well"
        )
    return JittedFunction(fun, *static, *donated)
