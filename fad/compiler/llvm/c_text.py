"""The text of C functions around native segments, see :mod:`fad.compiler.c_functions`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fad.compiler.memory_plan import ALIGNMENT
from fad.core.avals import ShapedArray
from fad.core.errors import ArgumentError

__all__ = ["SIGNATURES", "Form", "entry_text", "form_of"]

_LLVM = {"double": "double", "int": "i32", "intptr_t": "i64", "int64_t": "i64"}
_STACK = 1 << 14
"""Temporary arrays of at most so many bytes lie on the stack."""


class Form(NamedTuple):
    """How a C function takes arguments and gives results.

    Attributes
    ----------
    signature, result, parameters : str, str, tuple of str
        The declaration, and its types.
    inputs, outputs : tuple of str
        Where the elements of each argument and each result are: ``"p2"`` at the address that parameter 2 is, ``"v2"`` in it, ``"u0"`` at address 0
        of the table that the last parameter points to, ``"e1"`` at element 1 of the array that parameter 1 points to, ``"r"`` in the result.
    checks : tuple of (int, int)
        Parameters and the values that they must have.
    failure : str
        What the function gives where the code found an error, and the value for success unless that is the result.
    success : str
    further : tuple of ShapedArray
        The types of what the table holds.
    """

    signature: str
    result: str
    parameters: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    checks: tuple[tuple[int, int], ...] = ()
    failure: str = "0x7FF8000000000000"
    success: str = ""
    further: tuple[ShapedArray, ...] = ()


# -- signatures -------------------------------------------------------------------------------------------------------------


class _Request(NamedTuple):
    """What is asked for: the declaration's types and the function's."""

    signature: str
    result: str
    parameters: tuple[str, ...]
    inputs: Sequence[ShapedArray]
    outputs: Sequence[ShapedArray]
    refuse: Callable[[str], ArgumentError]
    names: Sequence[str]

    @property
    def has_table(self) -> bool:
        """Whether further arguments come through a last parameter."""
        return self.parameters[-1:] == ("void*",)

    def number(self, aval: ShapedArray, what: str) -> None:
        """Raise unless a value is a number of C's type double."""
        if aval.shape or aval.dtype != np.float64:
            raise self.refuse(
                f"{what} is {aval.update()}, where the signature has a double; lower the function for float64[]"
            )

    def vector(self, aval: ShapedArray, what: str, dtype: type = np.float64) -> int:
        """The size of a vector; raise unless it is one."""
        if len(aval.shape) != 1 or aval.dtype != dtype:
            raise self.refuse(
                f"{what} is {aval.update()}, where the signature has an array of {np.dtype(dtype)} with one axis"
            )
        return aval.shape[0]

    def form(self, taken: Sequence[str], outputs: tuple[str, ...], **rest: Any) -> Form:
        """The form, the arguments that are left being in the table."""
        left = self.inputs[len(taken) :]
        if left and not self.has_table:
            raise self.refuse(
                f"there is no place for {', '.join(self.names[len(taken) :])}; a signature that ends with void* takes further arguments"
            )
        table = [f"u{k}" for k in range(len(left))]
        further = tuple([a.update() for a in left])
        return Form(self.signature, self.result, self.parameters, (*taken, *table), outputs, further=further, **rest)


def _pointers(asked: _Request) -> Form:
    places = [f"p{k}" for k in range(len(asked.inputs) + len(asked.outputs))]
    outputs = tuple(places[len(asked.inputs) :])
    return asked.form(places[: len(asked.inputs)], outputs, failure="1", success="0")


def _values(asked: _Request) -> Form:
    """``double(double, ..., void*)``."""
    count = sum(p == "double" for p in asked.parameters)
    if len(asked.inputs) < count:
        raise asked.refuse(f"it takes {len(asked.inputs)} arguments, and the signature has {count} numbers")
    for aval, name in zip(asked.inputs[:count], asked.names, strict=False):
        asked.number(aval, name)
    asked.number(_only_result(asked), "the result")
    return asked.form([f"v{k}" for k in range(count)], ("r",))


def _counted(asked: _Request) -> Form:
    """``double(int n, double* x, void*)``: a vector, or n numbers."""
    asked.number(_only_result(asked), "the result")
    first = asked.inputs[0] if asked.inputs else ShapedArray((), np.float64)
    if first.shape:
        return asked.form(["p1"], ("r",), checks=((0, asked.vector(first, asked.names[0])),))
    count = next((k for k, a in enumerate(asked.inputs) if a.shape or a.dtype != np.float64), len(asked.inputs))
    return asked.form([f"e{k}" for k in range(count)], ("r",), checks=((0, count),))


def _window(asked: _Request) -> Form:
    """``int(double* window, intptr_t n, double* result, void*)``."""
    asked.number(_only_result(asked), "the result")
    size = asked.vector(_first(asked), asked.names[0])
    return asked.form(["p0"], ("p2",), checks=((1, size),), failure="0", success="1")


def _line(asked: _Request) -> Form:
    """``int(double* line, intptr_t n, double* result, intptr_t m, void*)``."""
    sizes = asked.vector(_first(asked), asked.names[0]), asked.vector(_only_result(asked), "the result")
    return asked.form(["p0"], ("p2",), checks=((1, sizes[0]), (3, sizes[1])), failure="0", success="1")


def _coordinates(asked: _Request) -> Form:
    """``int(intptr_t* output, double* input, int m, int n, void*)``."""
    sizes = (
        asked.vector(_first(asked), asked.names[0], np.int64),
        asked.vector(_only_result(asked), "the result"),
    )
    return asked.form(["p0"], ("p1",), checks=((2, sizes[0]), (3, sizes[1])), failure="0", success="1")


def _first(asked: _Request) -> ShapedArray:
    if not asked.inputs:
        raise asked.refuse("it takes no arguments")
    return asked.inputs[0]


def _only_result(asked: _Request) -> ShapedArray:
    if len(asked.outputs) != 1:
        raise asked.refuse(f"it has {len(asked.outputs)} results, and the signature has one")
    return asked.outputs[0]


SIGNATURES: list[tuple[str, Callable[[_Request], Form]]] = [
    (r"double\(double(,double)*(,void\*)?\)", _values),
    (r"double\(int,double\*(,void\*)?\)", _counted),
    (r"int\(double\*,intptr_t,double\*,void\*\)", _window),
    (r"int\(double\*,intptr_t,double\*,intptr_t,void\*\)", _line),
    (r"int\(intptr_t\*,double\*,int,int,void\*\)", _coordinates),
]
"""The declarations that there are, without spaces, and how each is served."""

_KNOWN = (
    "double(double, ...), double(double, ..., void*), double(int, double*), double(int, double*, void*), "
    "int(double*, intptr_t, double*, void*), int(double*, intptr_t, double*, intptr_t, void*), int(intptr_t*, double*, int, int, void*)"
)


def form_of(
    name: str,
    signature: str | None,
    inputs: Sequence[ShapedArray],
    outputs: Sequence[ShapedArray],
    names: Sequence[str],
) -> Form:
    """How a function with these arguments and results is called from C.

    Raises
    ------
    ArgumentError
        If the signature is unknown or does not fit.
    """

    def refuse(problem: str) -> ArgumentError:
        return ArgumentError(f"c_function({name}, {signature!r}): {problem}")

    if signature is None:
        parameters = ("void*",) * (len(inputs) + len(outputs))
        text = f"int64_t ({', '.join(['void *'] * len(parameters))})"
        return _pointers(_Request(text, "int64_t", parameters, inputs, outputs, refuse, names))
    plain = re.sub(r"\s+|\bconst\b", "", signature).replace("npy_intp", "intptr_t")
    for pattern, serve in SIGNATURES:
        if re.fullmatch(pattern, plain):
            result, _, rest = plain.rstrip(")").partition("(")
            parameters = tuple(rest.split(","))
            text = f"{result} ({', '.join(parameters)})".replace("*", " *")
            return serve(_Request(text, result, parameters, inputs, outputs, refuse, names))
    raise refuse(f"unknown signature. There are {_KNOWN}; and None, for the addresses of all arguments and results")


# -- text -------------------------------------------------------------------------------------------------------------------


def entry_text(symbol: str, form: Form, segment: Any, positions: Sequence[int]) -> str:
    """LLVM assembly of the function ``symbol`` around a segment; ``positions`` are the numbers of its inputs among the segment's, or -1."""
    kinds = [_LLVM.get(p, "ptr") for p in form.parameters]
    result = _LLVM[form.result]
    parameters = ", ".join(f"{kind} %a{k}" for k, kind in enumerate(kinds))
    count = len(segment.program.inputs)
    first_out = count + len(segment.constants)
    body = [f"  %buffers = alloca ptr, i64 {max(first_out + len(form.outputs), 1)}", "  %result = alloca double"]
    body += _checks(form, kinds)
    for place, position in zip(form.inputs, positions, strict=True):
        if position >= 0:
            body += _address(form, place, position)
    for k, constant in enumerate(segment.constants):
        body += [f"  %c{k} = inttoptr i64 {constant.ctypes.data} to ptr", *_store(f"%c{k}", count + k)]
    for k, place in enumerate(form.outputs):
        pointer = "%result" if place == "r" else f"%a{place[1:]}"
        body += _store(pointer, first_out + k)
    body += _call(segment)
    given = (
        [f"  ret {result} {form.success}"]
        if form.success
        else ["  %given = load double, ptr %result", "  ret double %given"]
    )
    return "\n".join(
        [
            "declare ptr @malloc(i64)",
            "declare void @free(ptr)",
            f"define {result} @{symbol}({parameters}) {{",
            "entry:",
            *body,
            "good:",
            *given,
            "bad:",
            f"  ret {result} {form.failure}",
            "}",
        ]
    )


def _checks(form: Form, kinds: Sequence[str]) -> list[str]:
    """Leave with the value of failure unless sizes are as compiled and there is a table where one is needed."""
    conditions = [f"icmp eq {kinds[k]} %a{k}, {value}" for k, value in form.checks]
    if form.further:
        conditions.append(f"icmp ne ptr %a{len(kinds) - 1}, null")
    lines = []
    for k, condition in enumerate(conditions):
        lines += [f"  %check{k} = {condition}", f"  br i1 %check{k}, label %checked{k}, label %bad", f"checked{k}:"]
    return lines


def _address(form: Form, place: str, position: int) -> list[str]:
    """Store the address of one argument's elements."""
    kind, number = place[0], int(place[1:])
    name = f"%i{position}"
    if kind == "p":
        return _store(f"%a{number}", position)
    if kind == "v":
        return [f"  {name} = alloca double", f"  store double %a{number}, ptr {name}", *_store(name, position)]
    if kind == "e":
        return [f"  {name} = getelementptr double, ptr %a1, i64 {number}", *_store(name, position)]
    table = f"%a{len(form.parameters) - 1}"
    return [
        f"  {name}.at = getelementptr ptr, ptr {table}, i64 {number}",
        f"  {name} = load ptr, ptr {name}.at",
        *_store(name, position),
    ]


def _store(pointer: str, number: int) -> list[str]:
    at = f"%at{number}"
    return [f"  {at} = getelementptr ptr, ptr %buffers, i64 {number}", f"  store ptr {pointer}, ptr {at}"]


def _call(segment: Any) -> list[str]:
    """Find memory for the arena and run the code."""
    size = segment.arena_size
    lines = [
        f"  %code = inttoptr i64 {segment.code.address} to ptr",
        f"  %sizes = inttoptr i64 {segment.sizes.ctypes.data} to ptr",
    ]
    if size <= _STACK:
        lines.append(f"  %arena = alloca i8, i64 {max(size, 1)}, align {ALIGNMENT}")
    else:
        lines += [
            f"  %memory = call ptr @malloc(i64 {size + ALIGNMENT})",
            "  %short = icmp eq ptr %memory, null",
            "  br i1 %short, label %bad, label %found",
            "found:",
            "  %number = ptrtoint ptr %memory to i64",
            f"  %up = add i64 %number, {ALIGNMENT - 1}",
            f"  %aligned = and i64 %up, {-ALIGNMENT}",
            "  %arena = inttoptr i64 %aligned to ptr",
        ]
    lines.append("  %error = call i64 %code(ptr %buffers, ptr %sizes, ptr %arena)")
    if size > _STACK:
        lines.append("  call void @free(ptr %memory)")
    return [*lines, "  %failed = icmp ne i64 %error, 0", "  br i1 %failed, label %bad, label %good"]
