"""The assembly of a module. It is what llvmlite writes, without looking at every type and operand of every instruction anew: a quarter of the
time that Python takes for a compilation went into that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.ir as ir

__all__ = ["dismantle", "module_text"]


def module_text(module: ir.Module) -> str:
    """The assembly of a module without named types and named metadata."""
    writer = _Writer()
    head = [
        f'; ModuleID = "{module.name}"',
        f'target triple = "{module.triple}"',
        f'target datalayout = "{module.data_layout}"',
        "",
    ]
    for value in module.globals.values():
        if isinstance(value, ir.Function) and value.blocks:
            prototype: list[str] = []
            value.descr_prototype(prototype)
            head += ["".join(prototype) + "{", *writer.body(value), "}"]
        else:
            head.append(str(value))
    return "\n".join([*head, *map(str, module.metadata), ""])


def dismantle(module: ir.Module) -> None:
    """Undo the circles of references in a module that nobody needs any more: Python's cycle collector takes as long as writing its text did."""
    for function in module.functions:
        for block in function.blocks:
            for instruction in block.instructions:
                if not isinstance(instruction, ir.PhiInstr):
                    break
                instruction.incomings.clear()
            block.instructions.clear()
            block.terminator = None
        function.blocks.clear()
        function.args = ()
    for node in module.metadata:
        node.operands = ()
    module.globals.clear()
    module.metadata.clear()


_LOCAL = (ir.Instruction, ir.Argument, ir.Block)
"""What has a name in its function; names here have no letters that need care."""


class _Writer:
    """Writes instructions, and remembers how types and values are written."""

    def __init__(self) -> None:
        self._types: dict[int, str] = {}
        self._values: dict[int, str] = {}
        self._forms: dict[type, Callable[[Any], str]] = {
            ir.Instruction: self._plain,
            ir.CastInstr: lambda i: f"{i.opname} {self._typed(i.operands[0])} to {self._type(i.type)}",
            ir.ICMPInstr: self._comparison,
            ir.FCMPInstr: self._comparison,
            ir.SelectInstr: lambda i: " ".join(["select", *i.flags, self._list(i.operands)]),
            ir.LoadInstr: lambda i: f"load {self._type(i.type)}, {self._typed(i.operands[0])}{_alignment(i)}",
            ir.StoreInstr: lambda i: f"store {self._list(i.operands)}{_alignment(i)}",
            ir.GEPInstr: self._address,
            ir.PhiInstr: self._phi,
            ir.Branch: lambda i: f"br {self._list(i.operands)}",
            ir.ConditionalBranch: lambda i: f"br {self._list(i.operands)}",
            ir.ExtractElement: lambda i: f"extractelement {self._list(i.operands)}",
            ir.InsertElement: lambda i: f"insertelement {self._list(i.operands)}",
            ir.ShuffleVector: lambda i: f"shufflevector {self._list(i.operands)}",
        }

    def body(self, function: ir.Function) -> list[str]:
        """The lines of a function's blocks."""
        lines = []
        for block in function.blocks:
            lines.append(f"{block.name}:")
            lines += [self._line(i) for i in block.instructions]
        return lines

    def _line(self, instruction: Any) -> str:
        form = self._forms.get(type(instruction))
        if form is None:
            return f"  {instruction}"
        text = form(instruction)
        if instruction.metadata:
            text += "".join(f", !{kind} {node.get_reference()}" for kind, node in instruction.metadata.items())
        return f"  {text}" if isinstance(instruction.type, ir.VoidType) else f"  {self._value(instruction)} = {text}"

    # -- parts of a line --------------------------------------------------------------------------------------------------

    def _type(self, kind: ir.Type) -> str:
        # What has an identity here belongs to the module, which is alive meanwhile.
        found = self._types.get(id(kind))
        if found is None:
            found = self._types[id(kind)] = str(kind)
        return found

    def _value(self, value: Any) -> str:
        found = self._values.get(id(value))
        if found is None:
            found = f'%"{value.name}"' if isinstance(value, _LOCAL) else value.get_reference()
            self._values[id(value)] = found
        return found

    def _typed(self, value: Any) -> str:
        return f"{self._type(value.type)} {self._value(value)}"

    def _list(self, values: Any) -> str:
        return ", ".join([self._typed(v) for v in values])

    # -- instructions -----------------------------------------------------------------------------------------------------

    def _plain(self, instruction: Any) -> str:
        operands = ", ".join([self._value(o) for o in instruction.operands])
        return " ".join([instruction.opname, *instruction.flags, self._type(instruction.type), operands])

    def _comparison(self, instruction: Any) -> str:
        left, right = instruction.operands
        return " ".join(
            [instruction.opname, *instruction.flags, instruction.op, f"{self._typed(left)}, {self._value(right)}"]
        )

    def _address(self, instruction: Any) -> str:
        flag = " inbounds" if instruction.inbounds else ""
        return f"getelementptr{flag} {self._type(instruction.source_etype)}, {self._list(instruction.operands)}"

    def _phi(self, instruction: Any) -> str:
        sources = ", ".join([f"[{self._value(v)}, {self._value(b)}]" for v, b in instruction.incomings])
        return " ".join(["phi", *instruction.flags, self._type(instruction.type), sources])


def _alignment(instruction: Any) -> str:
    return "" if instruction.align is None else f", align {instruction.align}"
