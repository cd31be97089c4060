"""Calls of functions that numba compiled: eagerly, and from native segments through C functions that numba compiles as well."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from fad.compiler.foreign import ForeignKernel
from fad.core.avals import ShapedArray
from fad.core.errors import ArgumentError, DTypeError
from fad.core.program import Equation

__all__ = ["Layout", "NumbaCall", "NumbaKernel"]


class Layout(NamedTuple):
    """For a function that is called once per element or row: how many axes of each array it sees.

    Attributes
    ----------
    inputs, outputs : tuple of tuple of str
        The names of these axes, as in ``"(m,n),(n)->(m)"``.
    """

    inputs: tuple[tuple[str, ...], ...]
    outputs: tuple[tuple[str, ...], ...]


class NumbaCall:
    """How arrays are computed from arrays by a function that numba compiled.

    Parameters
    ----------
    name : str
        The operation's name.
    function : numba dispatcher
        What is called.
    layout : Layout or None
        ``None`` if it is called once with all arrays.
    fills : bool
        Whether it writes its results into its last arguments.
    """

    def __init__(self, name: str, function: Any, layout: Layout | None, fills: bool):
        self.name, self.function, self.layout, self.fills = name, function, layout, fills
        # A declared signature speaks of arrays that can be written: the function gets copies.
        self._copies = layout is None and not getattr(function, "_can_compile", True)
        self._compiled: dict[Any, Any] = {}

    # -- eager calls ----------------------------------------------------------------------------------------------------

    def run(self, args: Sequence[np.ndarray], outs: Sequence[ShapedArray], params: dict[str, Any]) -> list[Any]:
        """The results for NumPy arrays, whose types are known if the function fills them."""
        arrays = [_plain(a, self._copies) for a in args]
        if self.layout is None and not self.fills:
            found = self._checked(self.function, arrays, params)
            return list(found) if isinstance(found, tuple) else [found]
        made = [np.zeros(o.shape or (1,), o.dtype) for o in outs]
        if self.layout is None:
            self._checked(self.function, [*arrays, *made], params)
        else:
            self._checked(self._rows(tuple([a.ndim for a in args])), self._as_rows(arrays, made, outs), params)
        return [m.reshape(o.shape) for m, o in zip(made, outs, strict=True)]

    def _as_rows(self, arrays: Sequence[Any], made: Sequence[np.ndarray], outs: Sequence[ShapedArray]) -> list[Any]:
        """The arrays with one axis in place of those that the function does not see."""
        assert self.layout is not None
        lead = outs[0].shape[: len(outs[0].shape) - len(self.layout.outputs[0])]
        rows: list[Any] = []
        for array, core in zip(arrays, self.layout.inputs, strict=True):
            own = array.shape[array.ndim - len(core) :]
            # A function of elements takes a 0-d operand as it is.
            whole = not array.shape and not core
            rows.append(
                array if whole else _plain(np.broadcast_to(array, (*lead, *own))).reshape(math.prod(lead), *own)
            )
        return [*rows, *[m.reshape(math.prod(lead), *o.shape[len(lead) :]) for m, o in zip(made, outs, strict=True)]]

    def _checked(self, function: Callable[..., Any], arguments: Sequence[Any], params: dict[str, Any]) -> Any:
        """Call it; what numba says of code that it cannot compile is put into words."""
        try:
            return function(*arguments, **params)
        except Exception as error:
            if not _is_of_numba(error) and "No matching definition" not in str(error):
                raise
            raise self.explained(error, [_type_text(a) for a in arguments]) from error

    def explained(self, error: Exception, types: Sequence[str]) -> DTypeError:
        """What numba could not compile, and how its arguments came."""
        text = [line.strip() for line in str(error).splitlines() if line.strip()]
        shown = " ".join(text[:6])[:400]
        hint = "Arrays come as C-contiguous NumPy arrays, arrays of shape () as numbers."
        if "readonly" in str(error).replace("_", "").lower():
            hint = (
                "Its array arguments are read-only: an operation must not write into them. Copy one first (x = x.copy()), or let the function "
                "fill its results, which come after them (fills=True)."
            )
        return DTypeError(f"{self.name}: numba cannot compile the function for ({', '.join(types)}): {shown}\n{hint}")

    # -- types ----------------------------------------------------------------------------------------------------------

    def result_types(self, inputs: Sequence[ShapedArray], params: dict[str, Any]) -> list[Any]:
        """Numba's types of the function's results, as it infers them.

        Raises
        ------
        DTypeError
            If numba cannot compile it for these arguments.
        """
        key = ("types", *[(len(a.shape), a.dtype.str) for a in inputs], *_typed(params))
        if key not in self._compiled:
            self._compiled[key] = self._inferred(inputs, params)
        return self._compiled[key]

    def _inferred(self, inputs: Sequence[ShapedArray], params: dict[str, Any]) -> list[Any]:
        import numba

        cores = inputs if self.layout is None else [a.update(shape=()) for a in inputs]
        types = tuple([_numba_type(a, self._copies) for a in cores])
        try:
            compiled = self._with_these_arguments(len(inputs), params)
            compiled.compile(types)
        except Exception as error:
            raise self.explained(error, [str(t) for t in types]) from error
        found: Any = compiled.overloads[types].signature.return_type
        several = isinstance(found, numba.types.BaseTuple)
        return list(found) if several else [found]

    def _with_these_arguments(self, count: int, params: dict[str, Any]) -> Any:
        """The function itself where it has exactly these arguments and may be compiled for any types, else one that calls it."""
        import numba

        if getattr(self.function, "_can_compile", False) and not params:
            if self.function.py_func.__code__.co_argcount == count:
                return self.function
        names = [f"x{k}" for k in range(count)]
        text = [f"return f({_call_text(names, params)})"]
        return numba.njit(_define(f"probe({', '.join(names)})", text, self._scope(params)))

    def _scope(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"f": self.function, **{f"param_{k}": v for k, v in params.items()}}

    # -- C functions ----------------------------------------------------------------------------------------------------

    def _rows(self, ranks: tuple[int, ...]) -> Callable[..., Any]:
        """A compiled loop over elements or rows: ``rows(x0, x1, ..., out0, ...)``; where a rank is 0 it takes a number."""
        assert self.layout is not None
        key = ("rows", *[not r and not c for r, c in zip(ranks, self.layout.inputs, strict=True)])
        if key not in self._compiled:
            import numba

            inputs, outputs = range(len(self.layout.inputs)), range(len(self.layout.outputs))
            reads = [f"x{k}" if whole else f"x{k}[i]" for k, whole in zip(inputs, key[1:], strict=True)]
            if self.fills:
                places = [f"o{k}[i]" if self.layout.outputs[k] else f"o{k}[i:i + 1]" for k in outputs]
                body = f"f({', '.join([*reads, *places])})"
            else:
                body = f"o0[i] = f({', '.join(reads)})"
            names = ", ".join([*[f"x{k}" for k in inputs], *[f"o{k}" for k in outputs]])
            rows = _define(f"rows({names})", ["for i in range(o0.shape[0]):", f"    {body}"], self._scope({}))
            self._compiled[key] = numba.njit(rows)
        return self._compiled[key]

    def entry(self, inputs: Sequence[ShapedArray], outputs: Sequence[ShapedArray], params: dict[str, Any]) -> Any:
        """A C function for these types and any sizes, see :class:`~fad.compiler.foreign.ForeignKernel`; else why there is none."""
        if self.layout is not None and (reason := self._uneven(inputs, outputs)) is not None:
            return reason
        key = ("entry", *[(len(a.shape), a.dtype.str) for a in (*inputs, *outputs)], *_typed(params))
        if key not in self._compiled:
            try:
                reason = self._refusal(inputs, outputs, params)
                made = reason or self._make_entry(inputs, outputs, params)
            except DTypeError as error:
                made = str(error).split("\n", 1)[0]
            self._compiled.setdefault(key, made)
        return self._compiled[key]

    def _refusal(
        self, inputs: Sequence[ShapedArray], outputs: Sequence[ShapedArray], params: dict[str, Any]
    ) -> str | None:
        if getattr(self.function, "targetoptions", {}).get("parallel"):
            return "numba's own threads must not be started from several threads at once"
        if self.layout is not None or self.fills:
            return None
        seen, said = self.result_types(inputs, params), [_numba_type(o) for o in outputs]
        same = [getattr(s, "dtype", s) == getattr(w, "dtype", w) for s, w in zip(seen, said, strict=False)]
        ranks = [getattr(s, "ndim", 0) == getattr(w, "ndim", 0) for s, w in zip(seen, said, strict=False)]
        if len(seen) != len(said) or not all(same) or not all(ranks):
            return f"it gives ({', '.join(map(str, seen))}) where the shape rule says ({', '.join(map(str, said))})"
        return None

    def _uneven(self, inputs: Sequence[ShapedArray], outputs: Sequence[ShapedArray]) -> str | None:
        """Loops run over operands of one shape; calls of the operation broadcast them before."""
        assert self.layout is not None
        lead = outputs[0].shape[: len(outputs[0].shape) - len(self.layout.outputs[0])]
        for aval, core in zip(inputs, self.layout.inputs, strict=True):
            if aval.shape[: len(aval.shape) - len(core)] != lead and (aval.shape or core):
                return "its operands have different shapes"
        return None

    def _make_entry(self, inputs: Sequence[ShapedArray], outputs: Sequence[ShapedArray], params: dict[str, Any]) -> Any:
        import numba

        names = [*[f"x{k}" for k in range(len(inputs))], *[f"o{k}" for k in range(len(outputs))]]
        shapes = self._shape_texts(inputs, outputs)
        call = self._call_lines(names, shapes, inputs, params)
        body = ["status = 0", "try:", *[f"    {line}" for line in call], "except Exception:", "    status = 1"]
        scope = {**self._scope(params), "carray": numba.carray, "fill": _fill(), "frozen": _frozen()}
        if self.layout is not None:
            scope["f"] = self._rows(tuple([len(a.shape) for a in inputs]))
        entry = _define(f"entry({', '.join(names)}, sizes)", [*body, "return status"], scope)
        types = [numba.types.CPointer(_numba_type(a.update(shape=()))) for a in (*inputs, *outputs)]
        signature = numba.types.int64(*types, numba.types.CPointer(numba.types.int64))
        try:
            return numba.cfunc(signature)(entry)
        except Exception as error:
            raise self.explained(error, [str(a) for a in inputs]) from error

    def _shape_texts(self, inputs: Sequence[ShapedArray], outputs: Sequence[ShapedArray]) -> list[str]:
        """The shape of each array as the function or the loop gets it; empty for a number."""
        texts, first = [], 0
        for k, aval in enumerate((*inputs, *outputs)):
            sizes = [f"sizes[{first + j}]" for j in range(len(aval.shape))]
            first += len(sizes)
            if not sizes and k < len(inputs):
                texts.append("")
                continue
            if self.layout is not None:
                lead = len(sizes) - len((self.layout.inputs + self.layout.outputs)[k])
                sizes = [" * ".join(sizes[:lead]), *sizes[lead:]]
            texts.append(f"({', '.join([n or '1' for n in sizes] or ['1'])},)")
        return texts

    def _call_lines(
        self, names: list[str], shapes: list[str], inputs: Sequence[ShapedArray], params: dict[str, Any]
    ) -> list[str]:
        """The call and, where the function gives its results, the copies into their places."""
        count = len(inputs)
        arrays = [
            f"carray({name}, {shape})" if shape else f"{name}[0]" for name, shape in zip(names, shapes, strict=True)
        ]
        for k, shape in enumerate(shapes[:count]):
            if shape:
                arrays[k] = f"{arrays[k]}.copy()" if self._copies else f"frozen({arrays[k]})"
        if self.layout is not None or self.fills:
            places = [f"r{k}" for k in range(len(names) - count)]
            lines = [f"{r} = {array}" for r, array in zip(places, arrays[count:], strict=True)]
            lines += [f"{r}[...] = 0" for r in places if self.fills]
            return [*lines, f"f({_call_text([*arrays[:count], *places], params)})"]
        lines = [f"r = f({_call_text(arrays[:count], params)})"]
        for k, (array, shape) in enumerate(zip(arrays[count:], shapes[count:], strict=True)):
            result = "r" if len(names) == count + 1 else f"r[{k}]"
            if shape == "(1,)":
                lines.append(f"{array}[0] = {result}")
            else:
                lines += [f"if {result}.shape == {shape}:", f"    fill({array}, {result})", "else:", "    status = 2"]
        return lines


class NumbaKernel(ForeignKernel):
    """The kernel slot of an operation made from a function that numba compiled."""

    __slots__ = ("_call",)

    def __init__(self, call: NumbaCall):
        self._call = call

    def __repr__(self) -> str:
        return f"numba's code of {self._call.name}"

    def _entry(self, equation: Equation) -> Any:
        inputs, outputs = [a.aval for a in equation.inputs], [v.aval for v in equation.outputs]
        return self._call.entry(inputs, outputs, equation.params)

    def refusal(self, equation: Equation) -> str | None:
        """``None`` if numba compiles the function for these types, else the reason why not."""
        entry = self._entry(equation)
        return entry if isinstance(entry, str) else None

    def address(self, equation: Equation) -> int:
        """The address of the C function."""
        return self._entry(equation).address


def _define(signature: str, body: Sequence[str], scope: dict[str, Any]) -> Callable[..., Any]:
    """A Python function from its text."""
    text = f"def {signature}:\n" + "\n".join(f"    {line}" for line in body)
    exec(compile(text, f"<fad {signature}>", "exec"), scope)
    return scope[signature.partition("(")[0]]


def _typed(params: dict[str, Any]) -> list[Any]:
    """Parameters for a key, in which 1, 1.0 and True differ."""
    return [(k, type(v), v) for k, v in params.items()]


def _call_text(arguments: Sequence[str], params: dict[str, Any]) -> str:
    return ", ".join([*arguments, *[f"{k}=param_{k}" for k in params]])


def _plain(array: np.ndarray, writable: bool = False) -> Any:
    """The array as numba functions get it: contiguous, and read-only unless it is a copy; a number where the shape is ()."""
    if not array.shape:
        return array[()]
    if writable:
        return array.copy()
    array = np.ascontiguousarray(array).view()
    array.flags.writeable = False
    return array


def _is_of_numba(error: Exception) -> bool:
    return type(error).__module__.startswith("numba.")


def _type_text(value: Any) -> str:
    return str(ShapedArray(np.shape(value), np.asarray(value).dtype))


def _numba_type(aval: ShapedArray, mutable: bool = False) -> Any:
    """Numba's type of an array, or of a number where the shape is ().

    Raises
    ------
    DTypeError
        For a dtype that numba does not have.
    """
    import numba
    from numba.np.numpy_support import from_dtype

    try:
        scalar = from_dtype(np.dtype(aval.dtype))
    except numba.errors.NumbaError:
        raise DTypeError(f"numba has no type for {aval.dtype}") from None
    return numba.types.Array(scalar, len(aval.shape), "C", readonly=not mutable) if aval.shape else scalar


@lru_cache(maxsize=1)
def _frozen() -> Any:
    """A function of compiled code that gives an array which cannot be written, with the same elements."""
    from numba.extending import intrinsic

    @intrinsic
    def frozen(typing_context: Any, array: Any) -> Any:
        return array.copy(readonly=True)(array), lambda context, builder, signature, args: args[0]

    return frozen


@lru_cache(maxsize=1)
def _fill() -> Any:
    """``target[...] = source`` for arrays of one shape and dtype, in little code: numba's own finds shapes, and takes a second to compile."""
    from numba.core import cgutils
    from numba.core.types import intp, void
    from numba.extending import intrinsic
    from numba.np.arrayobj import load_item, make_array, store_item

    @intrinsic
    def fill(typing_context: Any, target: Any, source: Any) -> Any:
        def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            to, given = [make_array(t)(context, builder, a) for t, a in zip(signature.args, args, strict=True)]
            if source.is_c_contig:
                cgutils.raw_memcpy(builder, to.data, given.data, to.nitems, to.itemsize)
                return context.get_dummy_value()
            shape = cgutils.unpack_tuple(builder, to.shape)
            with cgutils.loop_nest(builder, shape, context.get_value_type(intp)) as indices:
                places = [
                    cgutils.get_item_pointer(context, builder, t, a, indices)
                    for t, a in zip(signature.args, (to, given), strict=True)
                ]
                store_item(context, builder, target, load_item(context, builder, source, places[1]), places[0])
            return context.get_dummy_value()

        return void(target, source), write

    return fill


def numba_dtype(kind: Any) -> np.dtype | None:
    """The dtype of a number of numba's type, ``None`` for anything else."""
    import numba
    from numba.np.numpy_support import as_dtype

    return as_dtype(kind) if isinstance(kind, numba.types.Number | numba.types.Boolean) else None


def check_function(function: Any) -> None:
    """Raise unless numba compiled a function, or can when it is called."""
    if type(function).__module__.partition(".")[0] != "numba":
        raise ArgumentError(
            f"from_numba: the function must be one that numba compiled (@njit, @vectorize or @guvectorize), got {type(function).__name__}. "
            "Decorate it with @numba.njit, or declare it with fad.extend.Primitive."
        )
