"""The outline of a compiled Program: its segments and host steps, and the kernels of each segment, with what they compute and cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce

from fad.compiler.execution import donated_inputs
from fad.compiler.fusion import Group, Opaque, Plan, Straight, plan_steps
from fad.compiler.joined_in_place import parts_of
from fad.compiler.nested import body_program, nested_programs
from fad.compiler.report.costs import NOTHING, Cost, arithmetic
from fad.compiler.report.loops import binding_lines
from fad.compiler.report.statements import Line, group_lines, index_letters, whole
from fad.compiler.segments import HostStep, split
from fad.core.formulas import formula
from fad.core.program import Atom, Equation, Program, Var, nested_names, variable_names

__all__ = ["HostOutline", "Kernel", "Outline", "SegmentOutline", "host_cost", "outline_of"]


@dataclass(frozen=True)
class Kernel:
    """One step of native code: a loop nest, an operation with code of its own, or small values in registers.

    Attributes
    ----------
    number : int
        Its place among all kernels of the Program; those inside a loop or branch follow it.
    kind : str
        ``"loops"``, ``"registers"``, ``"product"``, ``"scan"``, ``"while"``, ``"cond"``, or the operation's name.
    equations : tuple of Equation
        What it computes.
    lines : tuple of Line
        The same as text.
    reads, writes : tuple of Var
        Arrays that it reads from memory and leaves in memory.
    cost : Cost
        Of one run, what is inside it included.
    turns : int or None
        For a loop, how often its body runs; ``None`` if only the run will tell.
    inner : tuple of Kernel
        The kernels of its body or its branches.
    names : dict of Var to str
        Names of the variables.
    """

    number: int
    kind: str
    equations: tuple[Equation, ...]
    lines: tuple[Line, ...]
    reads: tuple[Var, ...]
    writes: tuple[Var, ...]
    cost: Cost
    names: dict[Var, str] = field(repr=False)
    turns: int | None = 1
    inner: tuple[Kernel, ...] = ()

    def walk(self) -> Iterator[Kernel]:
        """Itself and all kernels inside it, in order."""
        yield self
        for kernel in self.inner:
            yield from kernel.walk()


@dataclass(frozen=True)
class SegmentOutline:
    """What runs in one native call.

    Attributes
    ----------
    number : int
        Its place among the segments.
    program : Program
        What it computes.
    kernels : tuple of Kernel
        Its kernels, those inside loops and branches inside these.
    aliases : tuple of (Var, Var)
        Variables that are the memory of another one, in another shape.
    donated : tuple of int
        Numbers of its inputs whose memory results may take.
    """

    number: int
    program: Program
    kernels: tuple[Kernel, ...]
    aliases: tuple[tuple[Var, Var], ...]
    donated: tuple[int, ...] = ()

    def all_kernels(self) -> list[Kernel]:
        """Its kernels and those inside them, in order of their numbers."""
        return [k for kernel in self.kernels for k in kernel.walk()]


@dataclass(frozen=True)
class HostOutline:
    """An equation that Python evaluates between segments, and why."""

    equation: Equation
    reason: str


@dataclass(frozen=True)
class Outline:
    """How a Program runs.

    Attributes
    ----------
    program : Program
        After all passes.
    names : dict of Var to str
        Names of its variables.
    letters : str
        Letters of indices, which name no variable.
    steps : tuple of SegmentOutline or HostOutline
        What runs, in order.
    """

    program: Program
    names: dict[Var, str]
    letters: str
    steps: tuple[SegmentOutline | HostOutline, ...]

    @property
    def segments(self) -> list[SegmentOutline]:
        """The native segments."""
        return [s for s in self.steps if isinstance(s, SegmentOutline)]

    def all_kernels(self) -> list[Kernel]:
        """Every kernel of every segment."""
        return [k for s in self.segments for k in s.all_kernels()]

    @property
    def cost(self) -> Cost:
        """Of one run: loops of unknown length count one turn, branches the most costly one."""
        total = reduce(Cost.plus, [k.cost for s in self.segments for k in s.kernels], NOTHING)
        return reduce(Cost.plus, [host_cost(s.equation) for s in self.steps if isinstance(s, HostOutline)], total)


def outline_of(program: Program, input_names: tuple[str, ...] = ()) -> Outline:
    """The outline of a Program, whose inputs may have names."""
    body = body_program(program)
    letters = index_letters(input_names)
    names = variable_names(body, input_names, letters)
    steps: list[SegmentOutline | HostOutline] = []
    writer = _Writer(letters)
    plain = split(body)
    donated = donated_inputs(program, body, plain)
    for step in plain:
        if isinstance(step, HostStep):
            steps.append(HostOutline(step.equation, step.reason))
            continue
        kernels, plan = writer.program(step.program, names, inside=False)
        number = 1 + sum(isinstance(s, SegmentOutline) for s in steps)
        steps.append(SegmentOutline(number, step.program, kernels, tuple(plan.aliases.items()), donated))
    return Outline(body, names, letters, tuple(steps))


def host_cost(equation: Equation) -> Cost:
    """The cost of an equation that Python evaluates, nothing where sizes are known only at run time."""
    sizes = [sum(v.aval.nbytes for v in vs if v.aval.is_sized) for vs in (equation.inputs, equation.outputs)]
    is_known = all(v.aval.is_sized for v in equation.outputs)
    return arithmetic(equation).plus(Cost(0, 0, *sizes)) if is_known else NOTHING


class _Writer:
    """Numbers and describes kernels in the order in which they are written."""

    def __init__(self, letters: str):
        self._letters = letters
        self._count = 0

    def program(self, program: Program, names: dict[Var, str], inside: bool = True) -> tuple[tuple[Kernel, ...], Plan]:
        """The kernels of a Program, which runs inside of another one or by itself."""
        plan = plan_steps(program, has_own_results=not inside)
        return tuple([self._kernel(step, plan, names) for step in plan.steps]), plan

    def _kernel(self, step: Group | Straight | Opaque, plan: Plan, names: dict[Var, str]) -> Kernel:
        self._count += 1
        number = self._count
        if isinstance(step, Group):
            equations = tuple(step.equations)
            lines = group_lines(step, plan, names, self._letters)
            writes = tuple([v for v, m in step.members.items() if v in plan.stored or m.is_global])
            reads = _reads(equations, plan, set(step.members))
            computed = (*equations, *_deferred(equations, plan))
            cost = _cost(computed, reads, writes, max(_size(m.domain) for m in step.members.values()))
            return Kernel(number, "loops", equations, tuple(lines), reads, writes, cost, names)
        if isinstance(step, Straight):
            equations = tuple(step.equations)
            made = {v for e in equations for v in e.outputs}
            writes = tuple([v for v in made if v in plan.program.outputs])
            reads = _reads(equations, plan, made)
            cost = _cost(equations, reads, writes, 1 << 62)
            return Kernel(
                number, "registers", equations, tuple(_plain_lines(equations, plan, names)), reads, writes, cost, names
            )
        return self._opaque(number, step.equation, plan, names)

    def _opaque(self, number: int, equation: Equation, plan: Plan, names: dict[Var, str]) -> Kernel:
        kernel = str(equation.primitive.kernel)
        lines = _plain_lines((equation,), plan, names)
        reads, writes = _reads((equation,), plan, set()), tuple(equation.outputs)
        if kernel not in ("scan", "while", "cond"):
            most = max([v.aval.size for v in writes], default=0) if kernel in _FEW_ELEMENTS else 1 << 62
            cost = _cost((equation, *_deferred((equation,), plan)), reads, writes, most)
            if kernel == "concatenate":
                there = sum(v.aval.nbytes for v, part in parts_of(plan).items() if part.whole is equation.outputs[0])
                cost = cost.plus(Cost(0, 0, -there, -there))
            kind = "product" if kernel == "dot_general" else kernel
            return Kernel(number, kind, (equation,), tuple(lines), reads, writes, cost, names)
        lines += binding_lines(equation, names, self._letters)
        parts = [] if equation.params.get("length") == 0 else [self._body(p, names) for p in nested_programs(equation)]
        costs = [reduce(Cost.plus, [k.cost for k in kernels], NOTHING) for kernels in parts]
        turns = _turns(equation)
        if kernel == "cond":
            cost = max(
                costs, key=lambda c: c.flops + c.transcendentals + c.bytes_read + c.bytes_written, default=NOTHING
            )
        else:
            cost = reduce(Cost.plus, costs, NOTHING).times(1 if turns is None else turns)
        inner = tuple([k for kernels in parts for k in kernels])
        return Kernel(number, kernel, (equation,), tuple(lines), reads, writes, cost, names, turns, inner)

    def _body(self, program: Program, names: dict[Var, str]) -> tuple[Kernel, ...]:
        return self.program(program, nested_names(program, names, self._letters))[0]


def _turns(equation: Equation) -> int | None:
    """How often what is inside runs, ``None`` where only the run itself shows it."""
    if equation.primitive.kernel == "cond":
        return 1
    length = equation.params.get("length")
    return length if isinstance(length, int) else None


_FEW_ELEMENTS = frozenset({"gather", "dynamic_slice", "searchsorted"})
"""Operations that read about as many elements as they write, whatever the size of the array."""


def _size(domain: tuple[int, ...]) -> int:
    size = 1
    for n in domain:
        size *= n
    return size


def _cost(equations: tuple[Equation, ...], reads: tuple[Var, ...], writes: tuple[Var, ...], most: int) -> Cost:
    """The cost of a kernel that reads at most so many elements of each array."""
    total = reduce(Cost.plus, map(arithmetic, equations), NOTHING)
    read = sum(min(v.aval.size, most) * v.aval.dtype.itemsize for v in reads)
    return total.plus(Cost(0, 0, read, sum(v.aval.nbytes for v in writes)))


def _reads(equations: tuple[Equation, ...], plan: Plan, own: set[Var]) -> tuple[Var, ...]:
    """The variables in memory that equations read, through views; each memory once."""
    found: dict[Var, None] = {}
    pending: list[Atom] = [a for e in reversed(equations) for a in reversed(e.inputs)]
    while pending:
        atom = pending.pop()
        if not isinstance(atom, Var) or atom in own:
            continue
        if atom in plan.virtual:
            pending += reversed(plan.producers[atom].inputs)
        else:
            found[atom] = None
    return tuple(found)


def _deferred(equations: tuple[Equation, ...], plan: Plan) -> list[Equation]:
    """What equations compute themselves of their operands."""
    found: dict[Var, Equation] = {}
    pending: list[Atom] = [a for e in equations for a in e.inputs]
    while pending:
        atom = pending.pop()
        if isinstance(atom, Var) and atom in plan.virtual and atom not in found:
            found[atom] = plan.producers[atom]
            pending += found[atom].inputs
    return list(found.values())


def _plain_lines(equations: tuple[Equation, ...], plan: Plan, names: dict[Var, str]) -> list[Line]:
    lines = []
    for equation in equations:
        results = ", ".join(names[v] for v in equation.outputs)
        written = formula(equation, [whole(a, plan, names) for a in equation.inputs]).text
        lines.append(Line(0, f"{results} = {written}", equation.source))
    return lines
