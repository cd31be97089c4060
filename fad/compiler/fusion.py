"""Fusion: which operations share a loop.

Equations are placed, in order, into *steps*. A step runs after all earlier steps, so an equation may join any step that is not before one of
its inputs'. A *group* is one loop nest: an outer loop over ``prefix`` and, inside it, loops over what remains of each member's domain.
Inside one turn of the outer loop a reduction over inner axes is known to the members of the next *level*, which is how softmax or a layer
norm become one pass over the rows. A reduction that includes the first axis is known only to later steps.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

from fad.compiler.access import REDUCTIONS, Access, Axis, accesses, domain_of, identity_index
from fad.compiler.clusters import Cluster, clusters_of
from fad.compiler.deferral import CHEAP, deferred_results
from fad.compiler.llvm.families import FAMILIES
from fad.compiler.llvm.rules import is_view, joins_rows, rule_of
from fad.compiler.neighbours import Neighbours, with_neighbours
from fad.compiler.precedence import first_equations, is_unrolled
from fad.compiler.recomputation import Readers, compute_again, is_much_larger
from fad.compiler.size_classes import LONG, is_small, least_size, rows_are_short
from fad.core.program import Atom, Equation, Program, Var

__all__ = ["Group", "Member", "Opaque", "Plan", "Straight", "plan_steps"]

_MOST_MEMBERS = 1000
_MOST_ARRAYS = 8
"""Loops that have nothing to do with each other become one up to so many arrays: equal places in more of them would share one set of a cache."""
_MOST_WRITTEN, _MOST_ALONE = 2000, 600
"""The most elements that one turn of a loop computes one after another, and code without a loop."""


class _OuterLoop(NamedTuple):
    """A group's outer loop."""

    prefix: tuple[int, ...]
    written_out: bool


class Member:
    """An equation in a group: its loop's domain, its level inside one turn of the outer loop, and what its coming makes of that loop."""

    __slots__ = ("domain", "equation", "is_global", "level", "loop")

    def __init__(self, equation: Equation, domain: tuple[int, ...], level: int, is_global: bool, loop: _OuterLoop):
        self.equation, self.domain, self.level, self.is_global, self.loop = equation, domain, level, is_global, loop

    @property
    def is_reduction(self) -> bool:
        """Whether it reduces its input."""
        return self.equation.primitive.kernel in REDUCTIONS

    @property
    def output(self) -> Var:
        """Its result."""
        return self.equation.outputs[0]


class Group:
    """One loop nest.

    Attributes
    ----------
    prefix : tuple of int
        The outer loop's sizes.
    fixed : bool
        Whether some member has a loop of its own inside the outer one; if not, the outer loop is the whole domain of every member.
    written_out : bool
        Whether what is inside the outer loop is written out element by element, so that vectors hold turns of the outer loop.
    scratch : set of Var
        Results that are kept for one turn of the outer loop only: in memory, or in registers where it is written out.
    """

    def __init__(self, prefix: tuple[int, ...]):
        self.prefix = prefix
        self.fixed = False
        self.written_out = False
        self._clusters: set[Cluster] = set()
        self._arrays = 0
        self.members: dict[Var, Member] = {}
        self.reads: set[Var] = set()
        self.scratch: set[Var] = set()
        self._rows: dict[tuple[int, ...], tuple[int, int, bool]] = {}
        self._elements: dict[int, tuple[int, int]] = {}

    @property
    def equations(self) -> list[Equation]:
        """The operations, in order."""
        return [m.equation for m in self.members.values()]

    def takes(self, domain: tuple[int, ...], cluster: Cluster) -> bool:
        """Whether an operation of a cluster may join the loop though it shares nothing with it."""
        if self.written_out:
            return domain[: len(self.prefix)] == self.prefix
        suits = cluster in self._clusters or self._arrays + len(cluster.arrays) <= _MOST_ARRAYS
        return domain == self.prefix and suits

    def take(self, cluster: Cluster) -> None:
        """Note the cluster of a new member."""
        if cluster not in self._clusters:
            self._clusters.add(cluster)
            self._arrays += len(cluster.arrays)

    def rows(self, prefix: tuple[int, ...]) -> tuple[int, bool]:
        """The size of the longest loop inside one over the prefix, and whether a costly operation has no loop there."""
        seen, longest, costly = self._rows.get(prefix, (0, 0, False))
        for member in islice(self.members.values(), seen, None) if seen < len(self.members) else ():
            inner = _inner_size(member.domain, prefix)
            longest = max(longest, inner)
            costly = costly or (inner == 1 and is_costly(member.equation))
        self._rows[prefix] = (len(self.members), longest, costly)
        return longest, costly

    @property
    def is_one_row(self) -> bool:
        """Whether all members run along one long axis, and it is all they have."""
        if self.fixed or len(self.prefix) != 1 or least_size(self.prefix[0]) < LONG:
            return False
        return all(m.domain == self.prefix for m in self.members.values())

    def may_be_written_out(self, lead: int, domain: tuple[int, ...]) -> bool:
        """Whether one turn of a loop over the first axes, with one more domain in it, is a few elements of short rows."""
        if lead > len(self.prefix) or domain[:lead] != self.prefix[:lead] or not rows_are_short(domain, lead):
            return False
        seen, elements = self._elements.get(lead, (0, 0))
        for member in islice(self.members.values(), seen, None):
            elements += math.prod(member.domain[lead:]) if rows_are_short(member.domain, lead) else _MOST_WRITTEN + 1
        self._elements[lead] = (len(self.members), elements)
        return elements + math.prod(domain[lead:]) <= (_MOST_WRITTEN if lead else _MOST_ALONE)


class Straight:
    """Operations on small values, written out one after another."""

    def __init__(self) -> None:
        self.equations: list[Equation] = []


class Opaque:
    """An operation with a lowering of its own."""

    def __init__(self, equation: Equation):
        self.equation = equation

    @property
    def equations(self) -> list[Equation]:
        """The only one, as for the other kinds of steps."""
        return [self.equation]


Step = Group | Straight | Opaque


class Plan:
    """The steps of a Program.

    Attributes
    ----------
    steps : list of Step
    producers : dict of Var to Equation
        The equation of every variable.
    stored : set of Var
        Variables that some other step reads, and so are kept.
    virtual : set of Var
        Variables that are computed where they are read: views, and what is :mod:`deferred <fad.compiler.deferral>`.
    again : set of Var
        Results that a loop keeps for one of its turns, and a later step that reads a few of their elements computes again.
    aliases : dict of Var to Var
        Variables that are the same memory as another one, in another shape.
    in_place : dict of Var to Var
        Results that are written into the memory of an input, which nothing else reads.
    neighbours : Neighbours
        What loops read beside its own place; virtual too.
    """

    def __init__(self, program: Program, neighbours: Neighbours):
        self.program = program
        self.neighbours = neighbours
        self.steps: list[Step] = []
        self.producers: dict[Var, Equation] = {v: e for e in program.equations for v in e.outputs}
        self.place: dict[Var, int] = {}
        self.stored: set[Var] = set()
        self.aliases: dict[Var, Var] = {}
        self.virtual: set[Var] = set()
        self.again: set[Var] = set()
        self.in_place: dict[Var, Var] = {}
        self._accesses: dict[int, list[Access]] = {}

    def accesses(self, equation: Equation) -> list[Access]:
        """What an operation of a loop reads from memory at each point of its domain."""
        found = self._accesses.get(id(equation))
        if found is None:
            found = self._accesses[id(equation)] = accesses(equation, self.virtual_producer)
        return found

    def compute_where_read(self, variables: Iterable[Var]) -> None:
        """Make some more variables virtual."""
        self.virtual.update(variables)
        self._accesses.clear()

    def is_computed_by_readers(self, var: Var) -> bool:
        """Whether a step that reads a variable reads what it is computed from instead."""
        return var in self.virtual or var in self.again

    def virtual_producer(self, var: Var) -> Equation | None:
        """What computes a variable where it is read, ``None`` if it is in memory."""
        return self.producers[var] if var in self.virtual else None

    @cached_property
    def updated(self) -> dict[Var, Var]:
        """The result that takes over a variable's memory."""
        return {source: out for out, source in self.in_place.items()}


def plan_steps(program: Program, has_own_results: bool = False) -> Plan:
    """Place every equation of a Program, whose results have memory of their own, apart from all that it reads, or perhaps not."""
    program, neighbours = with_neighbours(program, lambda: deferred_results(program, _needed_in_memory(program)))
    planner = _Planner(program, neighbours, has_own_results)
    early = first_equations(program, planner.deferred)
    for equation in [*early.values(), *[e for e in program.equations if id(e) not in early]]:
        planner.place(equation)
    planner.find_in_place()
    planner.find_stored()
    return planner.plan


class _Planner:
    def __init__(self, program: Program, neighbours: Neighbours, has_own_results: bool):
        self.plan = Plan(program, neighbours)
        self.has_own_results = has_own_results
        self.in_memory = _needed_in_memory(program)
        self.deferred = deferred_results(program, self.in_memory, neighbours.copies.keys())
        self.clusters = clusters_of(program)
        self.users: dict[Var, set[int]] = {}
        self.readers: Readers = {}
        # Results of which a later step reads a few elements and computes them itself.
        self.gathered: set[Var] = set()

    # -- placing ----------------------------------------------------------------------------------------------------------

    def place(self, equation: Equation) -> None:
        """Put an equation into a step."""
        plan, kernel = self.plan, equation.primitive.kernel
        out = equation.outputs[0] if equation.outputs else None
        if out is not None and out in self.deferred:
            plan.virtual.add(out)
        elif is_unrolled(equation):
            self._place_straight(equation)
        elif out is not None and is_view(equation) and out not in self.in_memory:
            plan.virtual.add(out)
        elif out is not None and self._is_alias(equation):
            source = equation.inputs[0]
            plan.aliases[out] = source
            self.in_memory.add(source)
            plan.place[out] = plan.place.get(source, -1)
        elif kernel in REDUCTIONS or rule_of(equation) is not None:
            self._place_member(equation)
        else:
            self._append(Opaque(equation), equation)

    def _is_alias(self, equation: Equation) -> bool:
        """Whether the result is its input's memory under another shape."""
        if equation.primitive.kernel not in ("reshape", "identity"):
            return False
        source = equation.inputs[0]
        if not isinstance(source, Var) or source in self.plan.virtual or is_small(source.aval.shape):
            return False
        return equation.outputs[0] not in self.plan.program.outputs or self._is_computed_as_result(source)

    def _is_computed_as_result(self, source: Var) -> bool:
        """Whether an array can be computed in the memory of a result, which has another shape."""
        plan = self.plan
        taken = {*plan.program.outputs, *plan.aliases, *plan.aliases.values()}
        return self.has_own_results and plan.place.get(source, -1) >= 0 and source not in taken

    def _append(self, step: Step, equation: Equation) -> None:
        self.plan.steps.append(step)
        self.plan.place.update(dict.fromkeys(equation.outputs, len(self.plan.steps) - 1))

    def _place_straight(self, equation: Equation) -> None:
        plan = self.plan
        first = 0
        for atom in equation.inputs:
            for access in self._leaves(atom):
                place = plan.place.get(access, -1)
                step = plan.steps[place] if place >= 0 else None
                first = max(first, place if isinstance(step, Straight) else place + 1)
        for number in range(first, len(plan.steps)):
            step = plan.steps[number]
            if isinstance(step, Straight):
                step.equations.append(equation)
                plan.place.update(dict.fromkeys(equation.outputs, number))
                return
        straight = Straight()
        straight.equations.append(equation)
        self._append(straight, equation)

    def _leaves(self, atom: Any) -> list[Var]:
        """The variables behind views."""
        found, pending = [], [atom]
        while pending:
            v = pending.pop()
            if isinstance(v, Var):
                if v in self.plan.virtual:
                    pending += self.plan.producers[v].inputs
                else:
                    found.append(v)
        return found

    def _place_member(self, equation: Equation) -> None:
        plan = self.plan
        domain = domain_of(equation)
        assert domain is not None
        reads = plan.accesses(equation)
        first = 0
        for access in reads:
            place = plan.place.get(access.var, -1)
            is_group = place >= 0 and isinstance(plan.steps[place], Group) and access.var not in plan.aliases
            first = max(first, place if is_group else place + 1)
        read_vars = {a.var for a in reads if not is_small(a.var.aval.shape)}
        number, member = self._best_group(equation, domain, reads, read_vars, first)
        if number == len(plan.steps):
            plan.steps.append(Group(domain))
        group = plan.steps[number]
        assert isinstance(group, Group)
        if member is None:
            member = _fit(group, equation, domain, reads)
            assert member is not None
        _join(group, member, read_vars)
        group.take(self.clusters[member.output])
        plan.place[member.output] = number
        for var in (*read_vars, member.output):
            self.users.setdefault(var, set()).add(number)

    def _best_group(
        self, equation: Equation, domain: tuple[int, ...], reads: list[Access], read_vars: set[Var], first: int
    ) -> tuple[int, Member | None]:
        """The first group that shares a variable with the equation, else the last one over its domain that takes it, else a new one."""
        plan, cluster = self.plan, self.clusters[equation.outputs[0]]
        for number in sorted({n for v in read_vars for n in self.users.get(v, ()) if n >= first}):
            member = _fit(plan.steps[number], equation, domain, reads)  # type: ignore[arg-type]
            if member is not None:
                return number, member
        for number in range(len(plan.steps) - 1, first - 1, -1):
            group = plan.steps[number]
            apart = isinstance(group, Group) and group.takes(domain, cluster)
            member = _fit(group, equation, domain, reads) if apart else None  # type: ignore[arg-type]
            if member is not None:
                return number, member
        return len(plan.steps), None

    # -- what is kept -----------------------------------------------------------------------------------------------------

    def find_stored(self) -> None:
        """Decide which results are kept for other steps, and which for later levels of their own group."""
        plan = self.plan
        whole: set[Var] = set(plan.aliases.values())
        plan.stored |= {v for v in plan.program.outputs if isinstance(v, Var)}
        for number, step in enumerate(plan.steps):
            if isinstance(step, Group):
                step.written_out = step.written_out or (step.fixed and _has_short_rows(step))
                for member in step.members.values():
                    self._store_reads(number, step, member)
            else:
                for equation in step.equations:
                    for atom in equation.inputs:
                        whole.update(self._read_leaves(equation, atom))
        plan.stored |= whole
        whole |= {*self.in_memory, *plan.aliases, *plan.in_place, *plan.in_place.values()}
        compute_again(plan, self.readers, whole)
        self._leave_to_readers()

    def _read_leaves(self, equation: Equation, atom: Atom) -> list[Var]:
        """The variables that an operation reads from memory: a gather of few elements computes what is cheap itself."""
        leaves = self._leaves(atom)
        if equation.primitive.kernel != "gather" or atom is not equation.inputs[0]:
            return leaves
        out, found = equation.outputs[0].aval.shape, []
        while leaves:
            var = leaves.pop()
            producer = self.plan.producers.get(var)
            if producer is None or not is_much_larger(var.aval.shape, out) or not self._is_cheap(producer):
                found.append(var)
                continue
            self.gathered.add(var)
            for source in producer.inputs:
                leaves += self._leaves(source)
        return found

    def _leave_to_readers(self) -> None:
        """Take what is kept for nobody and computed by later steps out of its group: as good as a view."""
        plan = self.plan
        moved = []
        for var in self.gathered - plan.stored - plan.virtual:
            group = plan.steps[plan.place[var]]
            assert isinstance(group, Group)
            if var in group.scratch:
                plan.again.add(var)
            else:
                del group.members[var], plan.place[var]
                moved.append(var)
        plan.compute_where_read(moved)
        kept = [n for n, step in enumerate(plan.steps) if not isinstance(step, Group) or step.members]
        numbers = {old: new for new, old in enumerate(kept)}
        plan.steps = [plan.steps[n] for n in kept]
        plan.place = {v: numbers.get(n, n) for v, n in plan.place.items()}

    def _is_cheap(self, equation: Equation) -> bool:
        """Whether a result is computed in a group and costs little to compute again."""
        place = self.plan.place.get(equation.outputs[0], -1)
        return (
            place >= 0
            and isinstance(self.plan.steps[place], Group)
            and rule_of(equation) is not None
            and equation.primitive.name in CHEAP
        )

    def find_in_place(self) -> None:
        """Let scatters work in the memory of their first operand where it is a temporary array that nothing else reads."""
        plan = self.plan
        uses = Counter(a for e in plan.program.equations for a in e.inputs if isinstance(a, Var))
        kept = {*plan.program.outputs, *plan.aliases.values()}
        for step in plan.steps:
            if not isinstance(step, Opaque) or not str(step.equation.primitive.kernel).startswith("scatter_"):
                continue
            source, out = step.equation.inputs[0], step.equation.outputs[0]
            place = plan.place.get(source, -1)  # type: ignore[arg-type]
            if place < 0 or not isinstance(plan.steps[place], Group) or uses[source] > 1 or source in kept:
                continue
            same = source.aval.shape == out.aval.shape and source.aval.dtype == out.aval.dtype
            if same and source not in plan.aliases and not is_small(out.aval.shape):
                plan.in_place[out] = source  # type: ignore[assignment]

    def _store_reads(self, number: int, group: Group, member: Member) -> None:
        for access in self.plan.accesses(member.equation):
            producer = group.members.get(access.var)
            if producer is None or producer.is_global:
                self.plan.stored.add(access.var)
                own = access.var.aval.shape == member.domain and access.index == identity_index(member.domain)
                numbers = self.readers.setdefault(access.var, {})
                numbers[number] = own and numbers.get(number, True)
            elif producer.level < member.level and not _is_row_scalar(group, producer):
                group.scratch.add(access.var)


def _needed_in_memory(program: Program) -> set[Var]:
    """Variables that an operation reads as a whole, not element by element, and outputs."""
    found = {v for v in program.outputs if isinstance(v, Var)}
    for equation in program.equations:
        kernel = equation.primitive.kernel
        by_element = kernel in REDUCTIONS or (kernel in FAMILIES and not FAMILIES[kernel].whole)
        if rule_of(equation) is None and not by_element:
            found.update(a for a in equation.inputs if isinstance(a, Var))
    return found


def _has_short_rows(group: Group) -> bool:
    """Whether the loops inside of the outer one are all short."""
    lead = len(group.prefix)
    return group.may_be_written_out(lead, group.prefix) and any(
        math.prod(m.domain[lead:]) > 1 for m in group.members.values()
    )


def _is_row_scalar(group: Group, member: Member) -> bool:
    shape = member.output.aval.shape
    return all(n == 1 for n in shape[len(group.prefix) :])


def _fit(group: Group, equation: Equation, domain: tuple[int, ...], reads: list[Access]) -> Member | None:
    """The equation as a member of the group, if it can be one."""
    if len(group.members) >= _MOST_MEMBERS:
        return None
    reduction = equation.primitive.kernel in REDUCTIONS
    axes = sorted(equation.params["axes"]) if reduction else []
    is_global = bool(axes) and axes[0] == 0 or (reduction and not axes)
    loop = _new_loop(group, equation, domain, axes, is_global)
    level = None if loop is None else _level_in(group, loop, domain, reads)
    if level is None and _may_stand_alone(group, equation, domain):
        loop = _OuterLoop((), True)
        level = _level_in(group, loop, domain, reads)
    return None if loop is None or level is None else Member(equation, domain, level, is_global, loop)


def _level_in(group: Group, loop: _OuterLoop, domain: tuple[int, ...], reads: list[Access]) -> int | None:
    """The level of a member that reads this, ``None`` if the group has not what it reads when it needs it."""
    level = 0
    fixed = group.fixed or loop.written_out or loop.prefix != group.prefix
    for access in reads:
        producer = group.members.get(access.var)
        if producer is None:
            continue
        needed = _needed_level(loop.prefix, producer, access, domain, fixed)
        if needed is None:
            return None
        level = max(level, needed)
    return level


def _may_stand_alone(group: Group, equation: Equation, domain: tuple[int, ...]) -> bool:
    """Whether all of a group is so little that it can be written out without any loop, so that its members read each other anywhere."""
    if is_costly(equation) or not group.may_be_written_out(0, domain):
        return False
    return not any(is_costly(m.equation) for m in group.members.values())


def _new_loop(
    group: Group, equation: Equation, domain: tuple[int, ...], axes: list[int], is_global: bool
) -> _OuterLoop | None:
    """The group's outer loop after the equation joined, ``None`` if it cannot join."""
    prefix = None if group.written_out else _new_prefix(group, domain, axes, is_global)
    joins = equation.primitive.kernel == "concatenate" and joins_rows(equation)
    if prefix is not None and not joins and not _would_be_scalar(group, equation, domain, prefix):
        return _OuterLoop(prefix, False)
    if prefix is None or joins:
        lead = next((k for k, (n, m) in enumerate(zip(group.prefix, domain, strict=False)) if n != m), None)
        lead = min(len(group.prefix), len(domain)) if lead is None else lead
        if joins:
            lead = min(lead, equation.params["axis"])
        elif axes and not is_global:
            lead = min(lead, axes[0])
        prefix = domain[:lead]
    return _OuterLoop(prefix, True) if group.may_be_written_out(len(prefix), domain) else None


def _would_be_scalar(group: Group, equation: Equation, domain: tuple[int, ...], prefix: tuple[int, ...]) -> bool:
    """Whether costly functions of one value per row would run between short inner loops, where they cannot be vectorised."""
    longest, costly = group.rows(prefix)
    inner = _inner_size(domain, prefix)
    return 1 < max(longest, inner) < LONG and (costly or (inner == 1 and is_costly(equation)))


def _inner_size(domain: tuple[int, ...], prefix: tuple[int, ...]) -> int:
    """The least size of what is left of a domain."""
    return math.prod(map(least_size, domain[len(prefix) :]))


def is_costly(equation: Equation) -> bool:
    """Whether an elementwise operation calls a function of the math library."""
    return callable(equation.primitive.kernel) and equation.primitive.name not in CHEAP


def _new_prefix(group: Group, domain: tuple[int, ...], axes: list[int], is_global: bool) -> tuple[int, ...] | None:
    """The group's prefix after the equation joined, ``None`` if it cannot."""
    prefix = group.prefix
    if group.fixed:
        if domain[: len(prefix)] != prefix:
            return None
        if axes and not is_global and axes[0] < len(prefix):
            return None
        return prefix
    if domain == prefix:
        return prefix if is_global or not axes else prefix[: axes[0]]
    longer = len(domain) > len(prefix) > 0 and domain[: len(prefix)] == prefix and prefix[-1] != 1
    if longer and (is_global or not axes or axes[0] >= len(prefix)):
        return prefix
    return None


def _needed_level(
    prefix: tuple[int, ...], producer: Member, access: Access, domain: tuple[int, ...], fixed: bool
) -> int | None:
    """The level at which a member of the group may read another one's result, ``None`` if it may not at all."""
    if producer.is_global:
        return None
    outer = len(prefix)
    own = identity_index(access.var.aval.shape)
    if producer.is_reduction:
        wanted = [0 if n == 1 else Axis(k) for k, n in enumerate(prefix)]
        return producer.level + 1 if list(access.index[:outer]) == wanted else None
    if access.index == own and access.var.aval.shape == domain:
        return producer.level
    if not fixed or access.index[:outer] != own[:outer]:
        return None
    inner = access.var.aval.shape[outer:]
    return producer.level if all(n == 1 for n in inner) else producer.level + 1


def _join(group: Group, member: Member, reads: set[Var]) -> None:
    prefix, group.written_out = member.loop
    group.fixed = group.fixed or group.written_out or prefix != group.prefix or member.domain != prefix
    group.prefix = prefix
    group.members[member.output] = member
    group.reads |= reads
