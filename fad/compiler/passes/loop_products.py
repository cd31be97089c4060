"""Matrix products taken out of scans: one large product before or after the loop instead of a small one in each turn.

A product of a stacked input and a matrix that does not change is done for all turns beforehand, one that is only stacked is done for all turns
afterwards, and products that are only added up are one product, whose contracted axes include the turns. BLAS needs large matrices to be fast.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from fad.compiler.matrices import as_matrix, free_axes
from fad.compiler.passes.inlining import inline, separate_scopes
from fad.compiler.passes.layouts import fold_transposes
from fad.compiler.passes.redundancy import remove_dead, replaced, rewired, substituted
from fad.core.avals import ShapedArray
from fad.core.primitive import REGISTRY
from fad.core.program import Atom, Equation, Literal, Program, Var, has_effect

__all__ = ["separate_products"]

_FEWEST_TURNS = 4
_MOST_WORK = 1 << 21
_NARROW = 16
"""Products of more multiplications, none of whose three sizes is below that, are as fast in the loop."""
_LEAST_WORK = 16
"""How many multiplications pay for an element that is written in one loop and read in another."""
_MOST_MEMORY, _LITTLE_MEMORY = 2, 1 << 20
"""How many times the bytes that a loop stacks anyway may be stacked besides; so many bytes always."""
_NO_AXES: Any = ((), ())


def separate_products(program: Program) -> Program:
    """Take matrix products out of every scan of known length."""
    return replaced(program, _may_gain, lambda scan: _Separation(scan).equations())


def _may_gain(equation: Equation) -> bool:
    if equation.primitive.name != "scan":
        return False
    length, body = equation.params["length"], equation.params["program"]
    if type(length) is not int or length < _FEWEST_TURNS:
        return False
    return body.cached("has_products", lambda: any(map(_is_product, inline(body).equations)))


def _is_product(equation: Equation) -> bool:
    if equation.primitive.name != "dot_general" or equation.params["batch"] != _NO_AXES:
        return False
    dtype = equation.outputs[0].aval.dtype
    return dtype.char in "fd" and all(a.aval.dtype == dtype and not a.aval.weak for a in equation.inputs)


def _sizes(equation: Equation) -> tuple[int, int, int]:
    """The numbers of rows, of columns, and of products that are added up for each element."""
    x, y = (a.aval.shape for a in equation.inputs)
    rows, columns = (math.prod(s[a] for a in free_axes(equation, k)) for k, s in enumerate((x, y)))
    return rows, columns, math.prod(x[a] for a in equation.params["contract"][0])


def _bytes(aval: ShapedArray) -> int:
    return aval.size * aval.dtype.itemsize


class _Separation:
    """One scan whose products are taken out."""

    def __init__(self, equation: Equation):
        self._equation, self._length = equation, equation.params["length"]
        body = fold_transposes(remove_dead(inline(equation.params["program"])))
        count, carry = equation.params["constants"], equation.params["carry"]
        self._body, self._inner = body, list(body.equations)
        # What variables of the body are outside: those that do not change, and those that are rows of something.
        self._outer: dict[Var, Atom] = dict(zip(body.inputs[:count], equation.inputs[:count], strict=True))
        self._state = list(zip(body.inputs[count : count + carry], equation.inputs[count : count + carry], strict=True))
        self._rows: dict[Var, Atom] = dict(
            zip(body.inputs[count + carry :], equation.inputs[count + carry :], strict=True)
        )
        self._fixed: set[Var] = set(self._outer)
        self._constants = list(self._outer.items())
        self._before: list[Equation] = []
        self._after: list[Equation] = []
        # What the loop stacks, by the results of the new scan, and the other way round.
        self._stacks: list[tuple[Var, Atom]] = []
        self._stacked: dict[Atom, Var] = {}
        stacks = [*self._rows.values(), *equation.outputs[carry:]]
        self._memory = max(_MOST_MEMORY * sum(_bytes(a.aval) for a in stacks), _LITTLE_MEMORY)

    def equations(self) -> list[Equation]:
        """What takes the scan's place."""
        equation, body, carry = self._equation, self._body, len(self._state)
        env = self._multiply_before()
        outputs = [substituted(a, env) for a in body.outputs]
        self._made = {v: e for e in self._inner for v in e.outputs}
        self._uses = Counter(a for e in self._inner for a in e.inputs if isinstance(a, Var))
        self._uses.update(a for a in outputs if isinstance(a, Var))
        self._multiply_after(list(zip(equation.outputs[carry:], outputs[carry:], strict=True)))
        state = [
            (var, start, *kept)
            for (var, start), out, result in zip(self._state, outputs, equation.outputs, strict=False)
            if (kept := self._add_up_after(var, start, out, result)) is not None
        ]
        new_body = Program(
            [*[v for v, _ in self._constants], *[s[0] for s in state], *self._rows],
            self._inner,
            [*[s[2] for s in state], *[a for _, a in self._stacks]],
            body.constants,
            body.name,
        )
        new_body.cached("separate_scopes", lambda: separate_scopes(body))
        params = {**equation.params, "program": remove_dead(new_body), "carry": len(state)}
        inputs = [*[a for _, a in self._constants], *[s[1] for s in state], *self._rows.values()]
        results = [*[s[3] for s in state], *[v for v, _ in self._stacks]]
        scan = Equation(equation.primitive, inputs, params, results, equation.source)
        return [*self._before, scan, *self._after]

    # -- before the loop ----------------------------------------------------------------------------------------------------

    def _multiply_before(self) -> dict[Var, Atom]:
        """Do products of rows and fixed matrices beforehand; gives what stands for their results in the body."""
        env: dict[Var, Atom] = {}
        kept: list[Equation] = []
        for equation in self._inner:
            equation = rewired(equation, env)
            kept.append(equation)
            if all(self._is_fixed(a) for a in equation.inputs) and not equation.primitive.higher_order:
                if equation.outputs and not has_effect(equation):
                    self._fixed.update(equation.outputs)
                    self._made_fixed(equation)
                continue
            position = self._changing(equation)
            if position is None or equation.inputs[position] not in self._rows:
                continue
            out = equation.outputs[0]
            if _lies_well(equation, position, False) and self._pays(equation, [out.aval]):
                stack = self._rows[equation.inputs[position]]  # type: ignore[index]
                row = env[out] = Var(out.aval)
                self._rows[row] = self._all_turns(equation, position, stack, self._before)
                kept.pop()
        self._inner = kept
        return env

    def _is_fixed(self, atom: Atom) -> bool:
        return isinstance(atom, Literal) or atom in self._fixed

    def _made_fixed(self, equation: Equation) -> None:
        """Let what is computed of fixed values be computed outside as well; what is not needed there is dead code."""
        outputs = [Var(v.aval) for v in equation.outputs]
        inputs = [self._outside(a) for a in equation.inputs]
        self._before.append(Equation(equation.primitive, inputs, equation.params, outputs, equation.source))
        self._outer.update(zip(equation.outputs, outputs, strict=True))

    def _outside(self, atom: Atom) -> Atom:
        return self._outer[atom] if isinstance(atom, Var) else atom

    def _changing(self, equation: Equation) -> int | None:
        """The number of the only factor of a product that changes from turn to turn."""
        if not _is_product(equation):
            return None
        changing = [k for k, a in enumerate(equation.inputs) if not self._is_fixed(a)]
        return changing[0] if len(changing) == 1 else None

    def _all_turns(
        self, equation: Equation, position: int, stack: Atom, where: list[Equation], out: Var | None = None
    ) -> Var:
        """The product of all rows of a stack with what does not change."""
        matrix, contract = self._outside(equation.inputs[1 - position]), equation.params["contract"]
        lead = (self._length, *[stack.aval.shape[a + 1] for a in free_axes(equation, position)])
        shape = (*lead, *[matrix.aval.shape[a] for a in free_axes(equation, 1 - position)])
        params = {"contract": (_moved(contract[position]), contract[1 - position]), "batch": _NO_AXES}
        dtype, swapped = equation.outputs[0].aval.dtype, position == 1 and 1 < len(lead) < len(shape)
        product = Var(ShapedArray(shape, dtype)) if swapped or out is None else out
        where.append(Equation(equation.primitive, [stack, matrix], params, [product], equation.source))
        if not swapped:
            return product
        axes = (0, *range(len(lead), len(shape)), *range(1, len(lead)))
        turned = Var(ShapedArray(tuple(shape[a] for a in axes), dtype)) if out is None else out
        where.append(Equation(REGISTRY["transpose"], [product], {"axes": axes}, [turned], equation.source))
        return turned

    def _pays(self, product: Equation, written: list[ShapedArray]) -> bool:
        """Whether a product is better done for all turns at once, though values of these types must be stacked for it; then they will be."""
        sizes = _sizes(product)
        work, added = math.prod(sizes), self._length * sum(map(_bytes, written))
        if (work > _MOST_WORK and min(sizes) >= _NARROW) or added > self._memory:
            return False
        if work < _LEAST_WORK * sum(a.size for a in written):
            return False
        self._memory -= added
        return True

    # -- after the loop -----------------------------------------------------------------------------------------------------

    def _multiply_after(self, stacks: list[tuple[Var, Atom]]) -> None:
        """Do products afterwards that the loop only stacks."""
        waiting = []
        for var, atom in stacks:
            product = self._made.get(atom) if isinstance(atom, Var) else None
            position = None if product is None or self._uses[atom] > 1 else self._changing(product)
            if product is None or position is None:
                self._keep_stack(var, atom)
            else:
                waiting.append((var, atom, product, position))
        for var, atom, product, position in waiting:
            factor = product.inputs[position]
            if _lies_well(product, position, False) and self._pays(product, self._unstacked([factor])):
                self._all_turns(product, position, self._stack(factor), self._after, var)
            else:
                self._keep_stack(var, atom)

    def _keep_stack(self, var: Var, atom: Atom) -> None:
        self._stacks.append((var, atom))
        self._stacked.setdefault(atom, var)

    def _unstacked(self, atoms: list[Atom]) -> list[ShapedArray]:
        """The types of those that are not stacked yet."""
        return [a.aval for a in dict.fromkeys(atoms) if a not in self._rows and a not in self._stacked]

    def _stack(self, atom: Atom) -> Atom:
        """All values that an inner variable takes."""
        if isinstance(atom, Var) and atom in self._rows:
            return self._rows[atom]
        if atom not in self._stacked:
            self._keep_stack(Var(ShapedArray((self._length, *atom.aval.shape), atom.aval.dtype)), atom)
        return self._stacked[atom]

    def _add_up_after(self, var: Var, start: Atom, out: Atom, result: Var) -> tuple[Atom, Var] | None:
        """Take products that are only added to a carried value out of the loop.

        Gives what the value is after a turn then, and the result of the scan for it; ``None`` if nothing is left to carry.
        """
        terms = self._terms(out, out.aval)
        if var not in terms or self._uses[var] != 1 or len(terms) == 1:
            return out, result
        terms.remove(var)
        later = [chain for t in terms if (chain := self._summed(t))]
        waiting = {chain[-1].outputs[0] for chain in later}
        if not later:
            return out, result
        source, aval = self._equation.source, out.aval.update()
        inner: Atom = var
        for term in terms:
            if term not in waiting:
                added, inner = [inner, term], Var(aval)
                self._inner.append(Equation(REGISTRY["add"], added, {}, [inner], source))
        total = start if inner is var else Var(aval)
        carried = None if inner is var else (inner, total)
        for number, chain in enumerate(later):
            added = [total, self._sum_of_all(chain)]
            total = result if number == len(later) - 1 else Var(aval)
            self._after.append(Equation(REGISTRY["add"], added, {}, [total], source))  # type: ignore[list-item]
        return carried  # type: ignore[return-value]

    def _terms(self, atom: Atom, aval: ShapedArray) -> list[Atom]:
        """What a value is the sum of, if nothing else reads the sums between."""
        made = self._made.get(atom) if isinstance(atom, Var) and self._uses[atom] == 1 else None
        if made is None or made.primitive.name != "add":
            return [atom]
        if any(a.aval.shape != aval.shape or a.aval.dtype != aval.dtype for a in made.inputs):
            return [atom]
        return [t for a in made.inputs for t in self._terms(a, aval)]

    def _summed(self, term: Atom) -> list[Equation]:
        """A product that can be done for all turns at once, and the transposes behind it; nothing if there is none or it does not pay."""
        chain: list[Equation] = []
        while isinstance(term, Var) and self._uses[term] == 1 and term in self._made:
            chain.insert(0, self._made[term])
            if chain[0].primitive.name != "transpose":
                break
            term = chain[0].inputs[0]
        if not chain or not _is_product(chain[0]) or any(self._is_fixed(a) for a in chain[0].inputs):
            return []
        product = chain[0]
        written = self._unstacked(product.inputs)
        if not all(_lies_well(product, k, True) for k in (0, 1)) or not self._pays(product, written):
            return []
        for factor in product.inputs:
            self._stack(factor)
        return chain

    def _sum_of_all(self, chain: list[Equation]) -> Var:
        """The sum of the products of all turns."""
        product, *transposes = chain
        contract: Any = tuple((0, *_moved(axes)) for axes in product.params["contract"])
        factors = [self._stack(a) for a in product.inputs]
        total = Var(product.outputs[0].aval)
        params = {"contract": contract, "batch": _NO_AXES}
        self._after.append(Equation(product.primitive, factors, params, [total], product.source))
        for equation in transposes:
            turned = Var(equation.outputs[0].aval)
            self._after.append(Equation(equation.primitive, [total], equation.params, [turned], equation.source))
            total = turned
        return total


def _moved(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + 1 for a in axes)


def _lies_well(product: Equation, position: int, added_up: bool) -> bool:
    """Whether BLAS can read all values of a factor as they are stacked, with the turns among its contracted axes or its free ones."""
    shape = (2, *product.inputs[position].aval.shape)
    free, contracted = _moved(free_axes(product, position)), _moved(product.params["contract"][position])
    axes = (free, (0, *contracted)) if added_up else ((0, *free), contracted)
    return as_matrix(shape, (), *axes) is not None
