"""Operations as formulas: ``a * b``, ``x @ w``, ``sum(y, axes=(0,))``; how Programs and kernels are written for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["ATOM", "Text", "called", "formula", "infix", "shown_parameters"]

ATOM = 100
"""How strongly a name, a number or a call holds together."""


class Text(NamedTuple):
    """A piece of a formula, and how strongly it holds together."""

    text: str
    strength: int = ATOM

    def inside(self, strength: int) -> str:
        """The text as an operand of an operator of the given strength."""
        return self.text if self.strength >= strength else f"({self.text})"


_INFIX = {
    "add": ("+", 50),
    "subtract": ("-", 50),
    "multiply": ("*", 60),
    "divide": ("/", 60),
    "floor_divide": ("//", 60),
    "remainder": ("%", 60),
    "power": ("**", 80),
    "float_power": ("**", 80),
    "equal": ("==", 30),
    "not_equal": ("!=", 30),
    "less": ("<", 30),
    "less_equal": ("<=", 30),
    "greater": (">", 30),
    "greater_equal": (">=", 30),
    "bitwise_and": ("&", 46),
    "bitwise_xor": ("^", 44),
    "bitwise_or": ("|", 42),
    "bitwise_left_shift": ("<<", 48),
    "bitwise_right_shift": (">>", 48),
    "logical_and": ("&", 46),
    "logical_xor": ("^", 44),
    "logical_or": ("|", 42),
}
_PREFIX = {"negative": "-", "positive": "+", "bitwise_invert": "~", "logical_not": "~"}
_NAMES = {
    "absolute": "abs",
    "broadcast_to": "broadcast",
    "reduce_all": "all",
    "reduce_any": "any",
    "reduce_max": "max",
    "reduce_min": "min",
    "reduce_prod": "prod",
    "reduce_sum": "sum",
    "select": "where",
    "static_slice": "slice",
}
# What the result's type says, or what only its rules read.
_UNSAID = {"broadcast_to": ("shape",), "reshape": ("shape",), "full": ("shape", "dtype"), "iota": ("dtype", "size")}


def infix(symbol: str, strength: int, left: Text, right: Text) -> Text:
    """An operation between two operands; operators of the same strength are read from the left, powers from the right."""
    if symbol == "**":
        return Text(f"{left.inside(strength + 1)} ** {right.inside(strength)}", strength)
    # A comparison of comparisons would read as Python's chain.
    first = strength + 1 if strength == 30 else strength
    return Text(f"{left.inside(first)} {symbol} {right.inside(strength + 1)}", strength)


def called(name: str, *parts: str) -> Text:
    """A call."""
    return Text(f"{name}({', '.join(parts)})")


def shown_parameters(equation: Any) -> list[str]:
    """The parameters that a reader needs, as ``name=value``."""
    unsaid = _UNSAID.get(equation.primitive.name, ())
    return [f"{k}={v}" for k, v in equation.params.items() if k not in unsaid and not _is_code(v)]


def _is_code(value: Any) -> bool:
    """Whether a parameter is a function or Program, or several."""
    return (
        callable(value)
        or hasattr(value, "equations")
        or (isinstance(value, tuple) and any(hasattr(p, "equations") for p in value))
    )


def formula(equation: Any, operands: Sequence[Text]) -> Text:
    """An equation's right-hand side, for its inputs written as given."""
    name = equation.primitive.name
    if name in _INFIX:
        return infix(*_INFIX[name], *operands)
    if name in _PREFIX:
        return Text(_PREFIX[name] + operands[0].inside(70), 70)
    if name in ("square", "integer_power"):
        exponent = 2 if name == "square" else equation.params["exponent"]
        return infix("**", 80, operands[0], Text(str(exponent)))
    if name == "reciprocal":
        return infix("/", 60, Text("1"), operands[0])
    if name == "dot_general":
        return _product(equation, operands)
    if name == "convert":
        return called(str(equation.outputs[0].aval.dtype), operands[0].text)
    if name == "full":
        return called("full", str(equation.params["value"]))
    if name == "transpose" and equation.params["axes"] == (1, 0):
        return Text(f"{operands[0].inside(ATOM)}.T")
    return called(_NAMES.get(name, name), *[o.text for o in operands], *shown_parameters(equation))


def _product(equation: Any, operands: Sequence[Text]) -> Text:
    """A contraction: ``@`` for matrices and vectors, else Einstein's notation."""
    (left, right), batch = equation.params["contract"], equation.params["batch"]
    ranks = [len(v.aval.shape) for v in equation.inputs]
    if not batch[0] and len(left) == 1 and max(ranks) <= 2 and min(ranks) >= 1:
        first = operands[0].inside(ATOM) + (".T" if ranks[0] == 2 and left == (0,) else "")
        second = operands[1].inside(ATOM) + (".T" if ranks[1] == 2 and right == (1,) else "")
        return Text(f"{first} @ {second}", 60)
    return called("einsum", repr(_subscripts(ranks, equation.params)), *[o.text for o in operands])


def _subscripts(ranks: Sequence[int], params: dict[str, Any]) -> str:
    (left, right), (left_batch, right_batch) = params["contract"], params["batch"]
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    first = [next(letters) for _ in range(ranks[0])]
    second = [""] * ranks[1]
    for i, j in [*zip(left, right, strict=True), *zip(left_batch, right_batch, strict=True)]:
        second[j] = first[i]
    second = [s or next(letters) for s in second]
    kept = [first[i] for i in left_batch]
    kept += [c for i, c in enumerate(first) if i not in (*left, *left_batch)]
    kept += [c for j, c in enumerate(second) if j not in (*right, *right_batch)]
    return f"{''.join(first)},{''.join(second)}->{''.join(kept)}"
