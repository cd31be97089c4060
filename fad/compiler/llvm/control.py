"""``scan``, ``while_loop``, ``cond`` and ``switch`` as native loops and branches.

The body is written where it runs. Small carried values live in registers; each large one has two arrays that change places after every turn,
so that a turn reads the one and writes the other. Slices of stacked inputs and outputs are read and written in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import llvmlite.ir as ir

from fad.compiler.llvm.elements import Memory, Registers
from fad.compiler.llvm.emission import I64, Ix
from fad.compiler.llvm.histories import History, counted, new_history, reserve, stored_history
from fad.compiler.llvm.predicted import Assignment, predicted_choices, write_assignments
from fad.compiler.llvm.scalar import Value
from fad.compiler.llvm.scalar_value import llvm_type, memory_type
from fad.compiler.nested import body_program, renamed
from fad.compiler.size_classes import is_small
from fad.core.program import Atom, Equation, Program, Var

__all__ = ["write_cond", "write_scan", "write_while"]

Positions = list[tuple[int, ...]]


class _Slots(NamedTuple):
    """A small carried value: one variable for each element."""

    aval: Any
    places: dict[tuple[int, ...], ir.Value]


class _Pair(NamedTuple):
    """A large carried value: the variables that hold the addresses of its present and its next elements."""

    aval: Any
    present: ir.Value
    following: ir.Value


Carried = _Slots | _Pair


def _positions(shape: tuple[int, ...]) -> Positions:
    return list(product(*[range(n) for n in shape]))


def bind_atom(lowering: Any, var: Var, atom: Atom) -> None:
    """Let an inner variable stand for an outer atom."""
    elements = lowering.elements
    if isinstance(atom, Var):
        elements.storage[var] = elements.storage[atom]
    else:
        elements.storage[var] = Registers({(): elements.element(atom, ()).value}, 0)


def _start_carry(lowering: Any, var: Var, atom: Atom) -> Carried:
    """Places for a carried value, filled with where it starts."""
    emitter, aval = lowering.emitter, var.aval
    if is_small(aval.shape):
        places = {i: emitter.variable(llvm_type(aval.dtype)) for i in _positions(aval.shape)}
        values = {i: lowering.elements.element(atom, i).value for i in places}
        for i, place in places.items():
            emitter.builder.store(values[i].ir, place)
        return _Slots(aval, places)
    source = lowering.place(atom)
    pointers = [lowering.temporary(aval.shape, aval.dtype) for _ in range(2)]
    lowering.held += [block for _, block in pointers]
    lowering.copy(source, Memory(pointers[0][0], aval.shape, aval.dtype))
    kind = memory_type(aval.dtype).as_pointer()
    pair = _Pair(aval, emitter.variable(kind), emitter.variable(kind))
    emitter.builder.store(pointers[0][0], pair.present)
    emitter.builder.store(pointers[1][0], pair.following)
    return pair


def _read_carry(lowering: Any, var: Var, carried: Carried) -> None:
    """Bind the body's variable to the present value."""
    emitter = lowering.emitter
    if isinstance(carried, _Slots):
        values = {i: Value(emitter.builder.load(p), carried.aval.dtype) for i, p in carried.places.items()}
        lowering.elements.storage[var] = Registers(values, emitter.depth)
    else:
        pointer = emitter.builder.load(carried.present)
        lowering.elements.storage[var] = Memory(pointer, carried.aval.shape, carried.aval.dtype, emitter.depth)


def _write_carry(lowering: Any, body: Program, variables: Sequence[Atom], carried: Sequence[Carried]) -> None:
    """Make the results of a turn of the body the present values."""
    builder = lowering.emitter.builder
    small = [
        Assignment(place, v, i)
        for v, c in zip(variables, carried, strict=True)
        if isinstance(c, _Slots)
        for i, place in c.places.items()
    ]
    write_assignments(lowering, small, predicted_choices(body))
    for c in carried:
        if isinstance(c, _Pair):
            present, following = builder.load(c.present), builder.load(c.following)
            builder.store(following, c.present)
            builder.store(present, c.following)


def _next_places(lowering: Any, variables: Sequence[Atom], carried: Sequence[Carried]) -> dict[Var, Memory]:
    """Where a turn writes the large carried values."""
    emitter, places = lowering.emitter, {}
    for var, c in zip(variables, carried, strict=True):
        if isinstance(c, _Pair):
            pointer = emitter.builder.load(c.following)
            places[var] = Memory(pointer, c.aval.shape, c.aval.dtype, emitter.depth)
    return places


def _finish_carry(lowering: Any, out: Var, carried: Carried) -> None:
    """Put the last value where the result belongs."""
    emitter, place = lowering.emitter, lowering.elements.storage[out]
    if isinstance(carried, _Pair):
        lowering.copy(Memory(emitter.builder.load(carried.present), carried.aval.shape, carried.aval.dtype), place)
        return
    for i, slot in carried.places.items():
        lowering.elements.store(Value(emitter.builder.load(slot), carried.aval.dtype), place, i)


def row(lowering: Any, place: Memory, number: Ix) -> Memory:
    """One element along the first axis of an array."""
    emitter = lowering.emitter
    offset = emitter.multiply(number, emitter.product(place.shape[1:]))
    pointer = emitter.builder.gep(place.pointer, [emitter.raw(offset)], inbounds=True)
    return Memory(pointer, place.shape[1:], place.dtype, emitter.depth)


def write_scan(lowering: Any, equation: Equation) -> None:
    """Write a scan; its length may be that of the histories it reads."""
    params, emitter, elements = equation.params, lowering.emitter, lowering.elements
    constants, carry = params["constants"], params["carry"]
    body = renamed(body_program(params["program"]), lowering)
    if params["length"] == 0:
        _write_no_turns(lowering, equation, constants, carry)
        return
    for var, atom in zip(body.inputs[:constants], equation.inputs[:constants], strict=True):
        bind_atom(lowering, var, atom)
    state = slice(constants, constants + carry)
    with lowering.holding():
        carried = [
            _start_carry(lowering, v, a) for v, a in zip(body.inputs[state], equation.inputs[state], strict=True)
        ]
        xs = [lowering.place(a) for a in equation.inputs[constants + carry :]]
        count = _scan_length(lowering, equation)
        ys = [elements.storage[v] for v in equation.outputs[carry:]]
        with emitter.loop(0, count, plain=True) as turn:
            number = emitter.subtract(emitter.subtract(count, 1), turn) if params["reverse"] else turn
            for var, c in zip(body.inputs[state], carried, strict=True):
                _read_carry(lowering, var, c)
            for var, x in zip(body.inputs[constants + carry :], xs, strict=True):
                elements.storage[var] = row(lowering, x, number)
            places = _next_places(lowering, body.outputs[:carry], carried)
            places.update({v: row(lowering, y, number) for v, y in zip(body.outputs[carry:], ys, strict=True)})
            lowering.write_program(body, places)
            _write_carry(lowering, body, body.outputs[:carry], carried)
        for out, c in zip(equation.outputs[:carry], carried, strict=True):
            _finish_carry(lowering, out, c)


def _scan_length(lowering: Any, equation: Equation) -> Ix:
    """The number of turns, and where that is known only now, memory for what they stack."""
    params = equation.params
    if isinstance(params["length"], int):
        return lowering.emitter.size(params["length"])
    xs = equation.inputs[params["constants"] + params["carry"] :]
    count = next(lowering.lengths[x] for x in xs if x in lowering.lengths)
    for var in equation.outputs[params["carry"] :]:
        history = new_history(lowering, var.aval)
        reserve(lowering, history, count.value)
        lowering.elements.storage[var], lowering.lengths[var] = stored_history(lowering, history), count
    return count


def _write_no_turns(lowering: Any, equation: Equation, constants: int, carry: int) -> None:
    for atom, out in zip(equation.inputs[constants : constants + carry], equation.outputs[:carry], strict=True):
        place = lowering.elements.storage[out]
        for i in _positions(out.aval.shape) if is_small(out.aval.shape) else ():
            lowering.elements.store(lowering.elements.element(atom, i).value, place, i)
        if not is_small(out.aval.shape):
            lowering.copy(lowering.place(atom), place)


def write_while(lowering: Any, equation: Equation) -> None:
    """Write a loop that runs while a condition holds."""
    params, emitter = equation.params, lowering.emitter
    first, second = params["cond_constants"], params["body_constants"]
    condition = renamed(body_program(params["cond"]), lowering)
    body = renamed(body_program(params["body"]), lowering)
    for var, atom in zip(condition.inputs[:first], equation.inputs[:first], strict=True):
        bind_atom(lowering, var, atom)
    for var, atom in zip(body.inputs[:second], equation.inputs[first : first + second], strict=True):
        bind_atom(lowering, var, atom)
    state = equation.inputs[first + second :]
    histories, turns = _new_histories(lowering, equation, len(state))
    with lowering.holding():
        carried = [_start_carry(lowering, v, a) for v, a in zip(body.inputs[second:], state, strict=True)]
        with emitter.repeat() as leave_unless:
            for var, c in zip(condition.inputs[first:], carried, strict=True):
                _read_carry(lowering, var, c)
            lowering.write_program(condition, {})
            leave_unless(lowering.elements.element(condition.outputs[0], ()).value.ir)
            for var, c in zip(body.inputs[second:], carried, strict=True):
                _read_carry(lowering, var, c)
            _append(lowering, histories, turns, body.inputs[second:])
            lowering.write_program(body, _next_places(lowering, body.outputs, carried))
            _write_carry(lowering, body, body.outputs, carried)
        for out, c in zip(equation.outputs, carried, strict=False):
            _finish_carry(lowering, out, c)
    for number, history in histories.items():
        var = equation.outputs[len(state) + number]
        lowering.elements.storage[var] = stored_history(lowering, history)
        lowering.lengths[var] = counted(lowering, turns)


def _new_histories(lowering: Any, equation: Equation, carry: int) -> tuple[dict[int, History], ir.Value | None]:
    """Places for the carried values before each turn, for those that are read later, and the variable that counts the turns."""
    emitter = lowering.emitter
    wanted = {k: v.aval for k, v in enumerate(equation.outputs[carry:]) if v in lowering.read_histories}
    if not wanted:
        return {}, None
    turns = emitter.variable(I64)
    emitter.builder.store(ir.Constant(I64, 0), turns)
    return {k: new_history(lowering, aval) for k, aval in wanted.items()}, turns


def _append(lowering: Any, histories: dict[int, History], turns: Any, state: Sequence[Var]) -> None:
    """Write the present carried values behind those of the turns before."""
    if not histories:
        return
    emitter, elements = lowering.emitter, lowering.elements
    number = counted(lowering, turns)
    after = emitter.builder.add(number.value, ir.Constant(I64, 1))
    for k, history in histories.items():
        reserve(lowering, history, after)
        target, held = row(lowering, stored_history(lowering, history), number), elements.storage[state[k]]
        if isinstance(held, Registers):
            for index, value in held.values.items():
                elements.store(value, target, index)
        else:
            lowering.copy(held, target)
    emitter.builder.store(after, turns)


def write_cond(lowering: Any, equation: Equation) -> None:
    """Write a choice between Programs by a number."""
    emitter = lowering.emitter
    number = lowering.scalar_value(equation.inputs[0]).ir
    branches = [renamed(body_program(p), lowering) for p in equation.params["branches"]]
    with emitter.choice(number, len(branches)) as enter:
        for k, branch in enumerate(branches):
            with enter(k):
                _write_branch(lowering, branch, equation)


def _write_branch(lowering: Any, branch: Program, equation: Equation) -> None:
    for var, atom in zip(branch.inputs, equation.inputs[1:], strict=True):
        bind_atom(lowering, var, atom)
    places = {v: lowering.elements.storage[out] for v, out in zip(branch.outputs, equation.outputs, strict=True)}
    lowering.write_program(branch, places)
