"""Clusters: operations over one domain that are connected by the values they read and make, and so profit from a common loop."""

from __future__ import annotations

from fad.compiler.access import domain_of
from fad.compiler.llvm.rules import is_view
from fad.compiler.size_classes import is_small
from fad.core.program import Equation, Program, Var

__all__ = ["Cluster", "clusters_of"]


class Cluster:
    """Connected operations.

    Attributes
    ----------
    arrays : set of Var
        What they read that they do not make, and what others read of them: the arrays that pass through their loop.
    """

    __slots__ = ("_parent", "arrays")

    def __init__(self) -> None:
        self.arrays: set[Var] = set()
        self._parent = self

    def root(self) -> Cluster:
        """The cluster that this one has become a part of."""
        found = self
        while found._parent is not found:
            found._parent = found._parent._parent
            found = found._parent
        return found

    def unite(self, other: Cluster) -> None:
        """Make one of both."""
        first, second = self.root(), other.root()
        if first is not second:
            second._parent = first
            first.arrays |= second.arrays


def clusters_of(program: Program) -> dict[Var, Cluster]:
    """The cluster of each result that a loop makes, by variable."""
    producers = {v: e for e in program.equations for v in e.outputs}
    found: dict[Var, Cluster] = {}
    readers: dict[tuple[Var, tuple[int, ...]], Cluster] = {}
    results = {v for v in program.outputs if isinstance(v, Var)}
    for equation in program.equations:
        domain = domain_of(equation)
        cluster = None if domain is None else Cluster()
        for leaf in _large_leaves(equation, producers):
            made = producers.get(leaf)
            if cluster is not None:
                cluster.unite(readers.setdefault((leaf, domain), cluster))  # type: ignore[arg-type]
                if leaf in found and domain_of(made) == domain:  # type: ignore[arg-type]
                    cluster.unite(found[leaf])
                    continue
                cluster.arrays.add(leaf)
            if leaf in found:
                found[leaf].root().arrays.add(leaf)
        if cluster is not None:
            out = equation.outputs[0]
            found[out] = cluster
            if out in results:
                cluster.root().arrays.add(out)
    return {v: c.root() for v, c in found.items()}


def _large_leaves(equation: Equation, producers: dict[Var, Equation]) -> list[Var]:
    """The arrays that an operation reads, through views."""
    found: dict[Var, None] = {}
    pending = list(equation.inputs)
    while pending:
        atom = pending.pop()
        if not isinstance(atom, Var) or atom in found or is_small(atom.aval.shape):
            continue
        made = producers.get(atom)
        if made is not None and is_view(made):
            pending += made.inputs
        else:
            found[atom] = None
    return list(found)
