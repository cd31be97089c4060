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
        if type(value) is not ir.Function:  # what is of another kind prints itself
            head.append(str(value))
        elif not value.blocks:
            head.append(writer.declaration(value))
        else:
            prototype: list[str] = []
            value.descr_prototype(prototype)
            head += ["".join(prototype) + "{", *writer.body(value), "}"]
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


class _Writer:
    """Writes instructions, and remembers how types and values are written."""

    def __init__(self) -> None:
        # What has an identity here belongs to the module, which is alive meanwhile.
        self._types: dict[int, str] = {}
        self._values: dict[int, str] = {}
        self._forms: dict[type, Callable[[Any], str]] = {
            ir.Instruction: self._plain,
            ir.AllocaInstr: self._variable,
            ir.CallInstr: self._call,
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

    def declaration(self, function: ir.Function) -> str:
        """The line for a function that stands elsewhere."""
        arguments = ", ".join([f'{self._type(a.type)} %"{a.name}"' for a in function.args])
        attributes = "".join([f" {name}" for name in sorted(function.attributes)])
        result = self._type(function.ftype.return_type)
        return f"declare {result} {function.get_reference()}({arguments}){attributes}\n"

    def body(self, function: ir.Function) -> list[str]:
        """The lines of a function's blocks."""
        values, forms = self._values, self._forms
        # These names have no letters that need care.
        for local in (*function.args, *function.blocks, *[i for b in function.blocks for i in b.instructions]):
            values[id(local)] = f'%"{local.name}"'
        lines = []
        for block in function.blocks:
            lines.append(f"{block.name}:")
            for instruction in block.instructions:
                form = forms.get(type(instruction))
                if form is None:
                    lines.append(f"  {instruction}")
                    continue
                text = form(instruction)
                if instruction.metadata:
                    text += "".join([f", !{kind} {n.get_reference()}" for kind, n in instruction.metadata.items()])
                is_silent = isinstance(instruction.type, ir.VoidType)
                lines.append(f"  {text}" if is_silent else f"  {values[id(instruction)]} = {text}")
        return lines

    # -- parts of a line --------------------------------------------------------------------------------------------------

    def _type(self, kind: ir.Type) -> str:
        found = self._types.get(id(kind))
        if found is None:
            found = self._types[id(kind)] = str(kind)
        return found

    def _value(self, value: Any) -> str:
        found = self._values.get(id(value))
        if found is None:
            found = self._values[id(value)] = value.get_reference()
        return found

    def _typed(self, value: Any) -> str:
        kind = value.type
        return f"{self._types.get(id(kind)) or self._type(kind)} {self._values.get(id(value)) or self._value(value)}"

    def _list(self, values: Any) -> str:
        if len(values) == 1:
            return self._typed(values[0])
        return ", ".join([self._typed(v) for v in values])

    # -- instructions -----------------------------------------------------------------------------------------------------

    def _plain(self, instruction: Any) -> str:
        operands = ", ".join([self._value(o) for o in instruction.operands])
        kind = self._type(instruction.type)
        if not instruction.flags:
            return f"{instruction.opname} {kind} {operands}"
        return " ".join([instruction.opname, *instruction.flags, kind, operands])

    def _comparison(self, instruction: Any) -> str:
        left, right = instruction.operands
        both = f"{self._typed(left)}, {self._value(right)}"
        return " ".join([instruction.opname, *instruction.flags, instruction.op, both])

    def _address(self, instruction: Any) -> str:
        flag = " inbounds" if instruction.inbounds else ""
        return f"getelementptr{flag} {self._type(instruction.source_etype)}, {self._list(instruction.operands)}"

    def _variable(self, instruction: Any) -> str:
        count = f", {self._list(instruction.operands)}" if instruction.operands else ""
        return f"alloca {self._type(instruction.allocated_type)}{count}{_alignment(instruction)}"

    def _call(self, instruction: Any) -> str:
        callee, *arguments = instruction.operands
        kind = callee.function_type
        flags = "".join([f" {flag}" for flag in sorted(instruction.fastmath)])
        attributes = "".join([f" {name}" for name in sorted(instruction.attributes)])
        result = self._type(kind if kind.var_arg else kind.return_type)
        return f"call{flags} {result} {self._value(callee)}({self._list(arguments)}){attributes}"

    def _phi(self, instruction: Any) -> str:
        sources = ", ".join([f"[{self._value(v)}, {self._value(b)}]" for v, b in instruction.incomings])
        return " ".join(["phi", *instruction.flags, self._type(instruction.type), sources])


def _alignment(instruction: Any) -> str:
    return "" if instruction.align is None else f", align {instruction.align}"
