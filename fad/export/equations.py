"""Lines of NumPy for the equations of a Program that a person would write as one or two lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fad.core.avals import is_bfloat16
from fad.core.program import Equation
from fad.primitives.slicing import padded_places

__all__ = ["equation_lines"]

_INFIX = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "equal": "==", "not_equal": "!=", "less": "<",
    "less_equal": "<=", "greater": ">", "greater_equal": ">=", "floor_divide": "//", "remainder": "%", "bitwise_and": "&",
    "bitwise_or": "|", "bitwise_xor": "^",
}  # fmt: skip
_CALLS = {
    "reshape": "np.reshape({0}, {shape})",
    "transpose": "np.transpose({0}, {axes})",
    "broadcast_to": "np.broadcast_to({0}, {shape})",
    "reduce_max": "np.max({0}, axis={axes})",
    "reduce_min": "np.min({0}, axis={axes})",
    "concatenate": "np.concatenate([{all}], axis={axis})",
    "select": "np.where({0}, {1}, {2})",
    "flip": "np.flip({0}, {axes})",
    "negative": "-{0}",
    "stop_gradient": "{0}",
    "checkpoint_name": "{0}",
    "weaken": "{0}",
    "full": "np.full({shape}, {value}, dtype={dtype})",
    "iota": "np.arange({size}, dtype={dtype})",
}


def equation_lines(writer: Any, equation: Equation, args: list[str], outputs: list[str]) -> list[str] | None:
    """Lines that compute the outputs from the arguments; ``None`` where the operation's implementation has to come along.

    ``writer`` gives literals and the names of nested functions.
    """
    name = equation.primitive.name
    if name in _NESTED:
        return _NESTED[name](writer, equation.params, args, outputs)
    if name in _WRITTEN:
        return _WRITTEN[name](writer, equation, args, outputs[0])
    if name in _INFIX:
        return [f"{outputs[0]} = {args[0]} {_INFIX[name]} {args[1]}"]
    if name in _CALLS:
        shown = {k: writer.literal(v) for k, v in equation.params.items()}
        return [f"{outputs[0]} = " + _CALLS[name].format(*args, all=", ".join(args), **shown)]
    return None


# --- single operations -------------------------------------------------------------------------------------------------------------------


def _convert_lines(writer: Any, equation: Equation, args: list[str], out: str) -> list[str] | None:
    dtype = equation.params["dtype"]
    if equation.inputs[0].aval.dtype.kind == "c" and dtype.kind != "c":
        return None
    return [f"{out} = np.asarray({args[0]}).astype({writer.literal(dtype)})"]


def _power_lines(writer: Any, equation: Equation, args: list[str], out: str) -> list[str]:
    exponent = args[1] if len(args) == 2 else writer.literal(equation.params["exponent"])
    if equation.inputs[0].aval.dtype.kind == "b":  # of which NumPy's operator makes int8
        return [f"{out} = np.power({args[0]}, {exponent})"]
    return [f"{out} = {args[0]} ** {exponent}"]


def _keeps_dtype(equation: Equation) -> bool:
    """Whether NumPy's sums keep the dtype and are as exact as fad's."""
    dtype = equation.inputs[0].aval.dtype
    return not is_bfloat16(dtype) and (dtype.kind in "fc" or (dtype.kind in "iu" and dtype.itemsize == 8))


def _sum_lines(writer: Any, equation: Equation, args: list[str], out: str) -> list[str] | None:
    if not _keeps_dtype(equation):
        return None
    dtype, axes = equation.inputs[0].aval.dtype, writer.literal(equation.params["axes"])
    if dtype.itemsize == 2:  # float16, which NumPy would round after each addition
        return [f"{out} = np.sum({args[0]}, axis={axes}, dtype=np.float32).astype({writer.literal(dtype)})"]
    return [f"{out} = np.sum({args[0]}, axis={axes})"]


def _running_sum_lines(writer: Any, equation: Equation, args: list[str], out: str) -> list[str] | None:
    if equation.params["reverse"] or not _keeps_dtype(equation):
        return None
    return [f"{out} = np.cumsum({args[0]}, axis={equation.params['axis']})"]


def _product_lines(writer: Any, equation: Equation, args: list[str], out: str) -> list[str]:
    """A contraction as the shortest NumPy expression that says it."""
    text = _product(equation, args)
    if is_bfloat16(equation.outputs[0].aval.dtype):
        text = f"({text}).astype({writer.literal(equation.outputs[0].aval.dtype)})"
    return [f"{out} = {text}"]


def _product(equation: Equation, args: list[str]) -> str:
    (first, second), (first_batch, second_batch) = equation.params["contract"], equation.params["batch"]
    ranks = [v.aval.ndim for v in equation.inputs]
    if not first_batch:
        if ranks == [2, 2] and (first, second) == ((1,), (0,)):
            return f"{args[0]} @ {args[1]}"
        return f"np.tensordot({args[0]}, {args[1]}, axes=({list(first)}, {list(second)}))"
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    left, right = [next(letters) for _ in range(ranks[0])], [""] * ranks[1]
    for i, j in [*zip(first, second, strict=True), *zip(first_batch, second_batch, strict=True)]:
        right[j] = left[i]
    right = [r or next(letters) for r in right]
    kept = [left[i] for i in first_batch] + [x for i, x in enumerate(left) if i not in (*first, *first_batch)]
    kept += [x for j, x in enumerate(right) if j not in (*second, *second_batch)]
    text = f"{''.join(left)},{''.join(right)}->{''.join(kept)}"
    return f"np.einsum({text!r}, {args[0]}, {args[1]}, optimize=True)"


# --- reading and writing elements --------------------------------------------------------------------------------------------------------


def _slice_text(start: int, stop: int, step: int, size: int) -> str:
    first, last = start or "", "" if stop == size else stop
    return f"{first}:{last}" + (f":{step}" if step != 1 else "")


def _places_text(places: Sequence[slice], sizes: Sequence[int]) -> str:
    """Slices as they stand in brackets."""
    texts = [_slice_text(s.start, s.stop, s.step or 1, n) for s, n in zip(places, sizes, strict=True)]
    while len(texts) > 1 and texts[-1] == ":":
        del texts[-1]
    return ", ".join(texts) or "..."


def _slice_lines(writer: Any, equation: Equation, args: list[str], out: str) -> list[str]:
    params = equation.params
    places = [slice(*bounds) for bounds in zip(params["starts"], params["stops"], params["steps"], strict=True)]
    return [f"{out} = {args[0]}[{_places_text(places, equation.inputs[0].aval.shape)}]"]


def _pad_lines(writer: Any, equation: Equation, args: list[str], out: str) -> list[str] | None:
    widths, before, after = equation.params["widths"], equation.inputs[0].aval, equation.outputs[0].aval
    if not (before.is_sized and after.is_sized):
        return None
    into, taken = padded_places(before.shape, after.shape, widths)
    source = args[0]
    if any(t != slice(0, n) for t, n in zip(taken, before.shape, strict=True)):
        source = f"{args[0]}[{_places_text(taken, before.shape)}]"
    return [*_zeros_lines(writer, equation, out), f"{out}[{_places_text(into, after.shape)}] = {source}"]


def _zeros_lines(writer: Any, equation: Equation, out: str) -> list[str]:
    aval = equation.outputs[0].aval
    return [f"{out} = np.zeros({writer.literal(aval.shape)}, dtype={writer.literal(aval.dtype)})"]


def _index_text(equation: Equation, indices: list[str]) -> str | None:
    """Integer arrays in the places of the axes that they index, as in ``:, i``; ``None`` where outside indices are no errors."""
    axes, mode = equation.params["axes"], equation.params["mode"]
    if mode != "raise":
        return None
    at = dict(zip(axes, indices, strict=True))
    return ", ".join([at.get(axis, ":") for axis in range(axes[-1] + 1)])


def _gather_lines(writer: Any, equation: Equation, args: list[str], out: str) -> list[str] | None:
    index = _index_text(equation, args[1:])
    return None if index is None else [f"{out} = {args[0]}[{index}]"]


def _gather_transpose_lines(writer: Any, equation: Equation, args: list[str], out: str) -> list[str] | None:
    index = _index_text(equation, args[1:])
    if index is None:
        return None
    operation = "set" if _writes_once(equation, equation.inputs[1:]) else "add"
    written = _written(operation, equation, equation.inputs[1:], out, index, args[0])
    return None if written is None else [*_zeros_lines(writer, equation, out), written]


_COMBINED = {"add": "add", "mul": "multiply", "min": "minimum", "max": "maximum"}


def _scatter_lines(writer: Any, equation: Equation, args: list[str], out: str) -> list[str] | None:
    index = _index_text(equation, args[2:])
    operation = equation.primitive.name.removeprefix("scatter_")
    if index is None:
        return None
    written = _written(operation, equation, equation.inputs[2:], out, index, args[1])
    return None if written is None else [f"{out} = np.array({args[0]})", written]


def _writes_once(equation: Equation, indices: Sequence[Any]) -> bool:
    """Whether no element is written twice."""
    return equation.params["unique"] or all(i.aval.ndim == 0 for i in indices)


def _written(
    operation: str, equation: Equation, indices: Sequence[Any], out: str, index: str, updates: str
) -> str | None:
    """The line that writes elements in place; ``None`` where NumPy may write repeated ones in another order."""
    single = _writes_once(equation, indices)
    if operation == "set":
        return f"{out}[{index}] = {updates}" if single or max(i.aval.ndim for i in indices) == 1 else None
    if operation == "add" and single:
        return f"{out}[{index}] += {updates}"
    places = f"np.s_[{index}]" if "," in index else index
    return f"np.{_COMBINED[operation]}.at({out}, {places}, {updates})"


_WRITTEN: dict[str, Callable[..., list[str] | None]] = {
    "convert": _convert_lines,
    "cumsum": _running_sum_lines,
    "dot_general": _product_lines,
    "gather": _gather_lines,
    "gather_transpose": _gather_transpose_lines,
    "integer_power": _power_lines,
    "power": _power_lines,
    "pad": _pad_lines,
    "reduce_sum": _sum_lines,
    "static_slice": _slice_lines,
    **{f"scatter_{operation}": _scatter_lines for operation in ("set", *_COMBINED)},
}


# --- operations that hold Programs --------------------------------------------------------------------------------------------------------


def _unpacked(names: list[str]) -> str:
    return "[" + ", ".join(names) + "]"


def _call_lines(writer: Any, params: dict[str, Any], args: list[str], outputs: list[str]) -> list[str]:
    program = params.get("program") or params["function"]
    return [f"{_unpacked(outputs)} = {writer.nested(program)}({', '.join(args)})"]


def _scan_lines(writer: Any, params: dict[str, Any], args: list[str], outputs: list[str]) -> list[str]:
    program, fixed, carry = params["program"], params["constants"], params["carry"]
    step = writer.nested(program)
    xs, state, ys = args[fixed + carry :], outputs[:carry], outputs[carry:]
    length = params["length"] if isinstance(params["length"], int) else f"len({xs[0]})"
    order = f"range({length})" + ("[::-1]" if params["reverse"] else "")
    lines = [f"{s} = {a}" for s, a in zip(state, args[fixed : fixed + carry], strict=True)]
    for y, aval in zip(ys, program.out_avals[carry:], strict=True):
        sizes = "".join(f", {n}" for n in aval.shape)
        lines.append(f"{y} = np.empty(({length}{sizes},), dtype={writer.literal(aval.dtype)})")
    targets = [*state, *[f"{y}[turn]" for y in ys]]
    call = f"{step}({', '.join([*args[:fixed], *state, *[f'{x}[turn]' for x in xs]])})"
    return [*lines, f"for turn in {order}:", f"    {_unpacked(targets)} = {call}"]


def _while_lines(writer: Any, params: dict[str, Any], args: list[str], outputs: list[str]) -> list[str]:
    first, second = params["cond_constants"], params["body_constants"]
    condition, body = writer.nested(params["cond"]), writer.nested(params["body"])
    start, carry = args[first + second :], len(args) - first - second
    state, stacks = outputs[:carry], outputs[carry:]
    lines = [f"{s} = {a}" for s, a in zip(state, start, strict=True)] + [f"{s} = []" for s in stacks]
    lines.append(f"while {condition}({', '.join([*args[:first], *state])})[0]:")
    lines += [f"    {stack}.append({s})" for stack, s in zip(stacks, state, strict=False)]
    lines.append(f"    {_unpacked(state)} = {body}({', '.join([*args[first : first + second], *state])})")
    for stack, aval in zip(stacks, params["body"].out_avals, strict=False):
        lines.append(
            f"{stack} = np.reshape(np.asarray({stack}, dtype={writer.literal(aval.dtype)}), (-1, {''.join(f'{n}, ' for n in aval.shape)}))"
        )
    return lines


def _cond_lines(writer: Any, params: dict[str, Any], args: list[str], outputs: list[str]) -> list[str]:
    branches = ", ".join(writer.nested(b) for b in params["branches"])
    return [f"{_unpacked(outputs)} = [{branches}][int({args[0]})]({', '.join(args[1:])})"]


_NESTED: dict[str, Callable[..., list[str]]] = {
    "call": _call_lines,
    "checkpoint": _call_lines,
    "custom_call": _call_lines,
    "scan": _scan_lines,
    "while": _while_lines,
    "cond": _cond_lines,
}
