"""``check_primitive``: everything that a declaration claims, tried on its samples.

Each check is a function of one :class:`Trial`; the work that they share (arguments, results) is done once per sample.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fad.core.avals import PYTHON_SCALARS, aval_of, dtype_of, is_inexact, shape_of
from fad.core.cotangents import as_value
from fad.core.errors import ArgumentError
from fad.core.primitive import Primitive
from fad.core.samples import Case
from fad.testing.gradients import GradientCheck
from fad.testing.numerical import (
    CheckError,
    as_host,
    default_tolerance,
    describe_difference,
    pairing,
    random_direction,
    rounding_tolerance,
)
from fad.transforms.batching import batch_flat
from fad.transforms.calling import call
from fad.transforms.forward import jvp_flat
from fad.transforms.reverse import vjp_flat
from fad.transforms.staging import stage

__all__ = ["CHECKS", "Trial", "check_primitive", "missing_rules"]

BATCH_SIZE = 5  # no sample has an axis of this size, so a mistaken axis shows


class Trial:
    """One primitive on one sample: its arguments and results, and the primitive as a function of what can vary."""

    def __init__(self, primitive: Primitive, case: Case, seed: int = 0):
        self.primitive = primitive
        self.case = case
        self.seed = seed
        self.args = case.make(seed)
        self.params = case.params
        with np.errstate(all="ignore"):
            self.outs = [as_host(np.asarray(o)) for o in self.bind(*self.args)]
        self.varying = [k for k, a in enumerate(self.args) if type(a) not in PYTHON_SCALARS and is_inexact(a.dtype)]
        self.inexact_outs = [k for k, o in enumerate(self.outs) if is_inexact(o.dtype)]

    def bind(self, *args: Any) -> list[Any]:
        """Results as a list."""
        out = self.primitive.bind(*args, **self.params)
        return list(out) if self.primitive.multiple_results else [out]

    def of_varying(self, *xs: Any) -> list[Any]:
        """The floating-point results as a function of the floating-point arguments."""
        given = dict(zip(self.varying, xs, strict=True))
        outs = self.bind(*[given.get(k, a) for k, a in enumerate(self.args)])
        return [outs[k] for k in self.inexact_outs]

    @property
    def point(self) -> list[np.ndarray]:
        """The floating-point arguments."""
        return [self.args[k] for k in self.varying]

    @property
    def differentiable(self) -> bool:
        """Whether derivatives of this sample can be checked."""
        return bool((self.jvp or self.vjp) and self.varying and self.inexact_outs and self.case.order)

    @property
    def jvp(self) -> Any:
        """The forward rule, ``None`` if there is none."""
        return _rule(self.primitive.jvp)

    @property
    def vjp(self) -> Any:
        """The reverse rule, ``None`` if there is none."""
        return _rule(self.primitive.vjp)

    def generator(self) -> np.random.Generator:
        """Random numbers for directions, the same for every check."""
        return np.random.default_rng(self.seed + 1)

    def rounding(self) -> float:
        """Tolerance for results that differ by rounding only."""
        return rounding_tolerance([np.asarray(a).dtype for a in (*self.args, *self.outs)])

    def fail(self, check: str, problem: str) -> CheckError:
        """The error for a problem found."""
        return CheckError(f"{self.primitive.name} {self.case!r}: {check}: {problem}")


def _rule(slot: Any) -> Any:
    return None if getattr(slot, "missing_rule", None) else slot


def check_primitive(
    primitive: Primitive, case: Case | None = None, checks: Sequence[str] | None = None, seed: int = 0
) -> None:
    """Check a primitive's rules against each other, against finite differences and against loops.

    Parameters
    ----------
    primitive : Primitive
        One of fad's, or a ``fad.extend.Primitive``.
    case : Case, optional
        One sample call (``fad.extend.case``); by default every sample of the declaration.
    checks : sequence of str, optional
        Some of ``"shape"`` (shape rule against implementation), ``"inputs"`` (memory layouts, and arguments are left alone),
        ``"jvp"`` and ``"vjp"`` (shapes and dtypes of tangents and cotangents, zero to zero, one argument at a time, the inner
        product), ``"derivatives"`` (finite differences up to the sample's order), ``"batch"`` (against a loop, every combination
        of mapped arguments), ``"jit"`` (staged against eager, derivative included). By default all.
    seed : int
        Seed of the arguments and directions.

    Raises
    ------
    CheckError
        An ``AssertionError`` with every check that failed.

    Examples
    --------
    >>> import fad
    >>> from fad.core.primitive import REGISTRY
    >>> fad.testing.check_primitive(REGISTRY["sin"])
    """
    primitive = getattr(primitive, "core", primitive)
    cases = list(primitive.samples) if case is None else [case]
    if not cases:
        raise ArgumentError(f"check_primitive: {primitive.name} declares no samples, and no case was given")
    unknown = [c for c in checks or () if c not in CHECKS]
    if unknown:
        raise ArgumentError(f"check_primitive: unknown checks {unknown}; there are {', '.join(CHECKS)}")
    problems = []
    for one in cases:
        try:
            trial = Trial(primitive, one, seed)
        except Exception as error:
            problems.append(f"{primitive.name} {one!r}: the call itself: {type(error).__name__}: {error}")
            continue
        for name in checks or CHECKS:
            try:
                CHECKS[name](trial)
            except CheckError as error:
                problems.append(str(error))
            except Exception as error:
                problems.append(f"{primitive.name} {one!r}: {name}: {type(error).__name__}: {error}")
    if problems:
        raise CheckError(f"{len(problems)} checks failed\n" + "\n".join(problems))


def check_shape(trial: Trial) -> None:
    """The shape rule says what the implementation gives."""
    said = trial.primitive.shape(*[aval_of(a) for a in trial.args], **trial.params)
    said = list(said) if trial.primitive.multiple_results else [said]
    if len(said) != len(trial.outs):
        raise trial.fail("shape", f"the shape rule gives {len(said)} results, the implementation {len(trial.outs)}")
    for k, (aval, out) in enumerate(zip(said, trial.outs, strict=True)):
        if aval.shape != out.shape or aval.dtype != out.dtype:
            raise trial.fail(
                "shape", f"the shape rule says {aval} for result {k}, the implementation gives {aval_of(out)}"
            )


def _layouts(x: Any) -> Iterator[tuple[str, Any]]:
    """The same array in other memory layouts."""
    if not isinstance(x, np.ndarray) or not x.ndim or not x.size:
        return
    yield "Fortran order", np.asfortranarray(x)
    spaced = np.empty((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)[..., ::2]
    spaced[...] = x
    yield "strides", spaced
    yield "negative strides", x[..., ::-1].copy()[..., ::-1]


def check_inputs(trial: Trial) -> None:
    """Memory layout does not matter, arguments are not written into, read-only ones are accepted."""
    before = [np.array(a, copy=True) for a in trial.args]
    variants: dict[str, list[Any]] = {}
    for k, arg in enumerate(trial.args):
        for name, other in _layouts(arg):
            variants.setdefault(name, list(trial.args))[k] = other
    read_only = [a.copy() if isinstance(a, np.ndarray) else a for a in trial.args]
    for a in read_only:
        if isinstance(a, np.ndarray):
            a.flags.writeable = False
    for name, args in {**variants, "read-only": read_only}.items():
        with np.errstate(all="ignore"):
            outs = trial.bind(*args)
        for k, (seen, expected) in enumerate(zip(outs, trial.outs, strict=True)):
            tolerance = trial.rounding()
            problem = describe_difference(
                seen, expected, tolerance, tolerance, (f"result {k}", "for contiguous arguments"), True
            )
            if problem:
                raise trial.fail("inputs", f"{name}: {problem}")
    for k, (arg, old) in enumerate(zip(trial.args, before, strict=True)):
        if not np.array_equal(arg, old, equal_nan=old.dtype.kind in "fc"):
            raise trial.fail("inputs", f"the implementation wrote into argument {k}")


def check_jvp(trial: Trial) -> None:
    """Tangents have the result's shape and dtype; a tangent of one argument alone gives its share of the whole."""
    if not trial.differentiable or trial.jvp is None:
        return
    generator = trial.generator()
    directions = [random_direction(generator, x) for x in trial.point]
    with np.errstate(all="ignore"):
        _, whole = jvp_flat(trial.of_varying, trial.point, directions)
        shares = []
        for k in range(len(directions)):
            tangents = [d if i == k else None for i, d in enumerate(directions)]
            everything: list[Any] = [None] * len(trial.args)
            everything[trial.varying[k]] = tangents[k]
            _check_tangent_types(trial, everything)
            shares.append(jvp_flat(trial.of_varying, trial.point, tangents)[1])
    for k, total in enumerate(whole):
        tolerance = 100 * trial.rounding()
        added = sum(_wide(s[k]) for s in shares)
        problem = describe_difference(
            total, added, tolerance, tolerance, ("the tangent", "the sum over single arguments")
        )
        if problem:
            raise trial.fail("jvp", f"result {k}: {problem}")


def _wide(x: Any) -> np.ndarray:
    x = as_host(np.asarray(x))
    return x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)


def _check_tangent_types(trial: Trial, tangents: Sequence[Any]) -> None:
    outs, given = trial.primitive.jvp(list(trial.args), list(tangents), **trial.params)
    outs, given = (outs, given) if trial.primitive.multiple_results else ([outs], [given])
    for k, (out, tangent) in enumerate(zip(outs, given, strict=True)):
        if tangent is None:
            continue
        if not is_inexact(dtype_of(out)):
            raise trial.fail("jvp", f"result {k} is {aval_of(out)}, which can have no tangent; give None")
        if shape_of(tangent) != shape_of(out) or dtype_of(tangent) != dtype_of(out):
            raise trial.fail("jvp", f"result {k} is {aval_of(out)}, its tangent is {aval_of(tangent)}")


def check_vjp(trial: Trial) -> None:
    """Cotangents have the argument's shape and dtype, are linear in a zero, and agree with the forward rule."""
    primitive = trial.primitive
    if not trial.differentiable or trial.vjp is None:
        return
    generator = trial.generator()
    directions = [random_direction(generator, x) for x in trial.point]
    cotangents = [random_direction(generator, trial.outs[k]) for k in trial.inexact_outs]
    full = [np.zeros_like(o) for o in trial.outs]
    for k, ct in zip(trial.inexact_outs, cotangents, strict=True):
        full[k] = ct
    with np.errstate(all="ignore"):
        pullback = _pullback(trial)
        pulled = _pull(trial, pullback, full)
        zero = _pull(trial, pullback, [np.zeros_like(o) for o in trial.outs])
        for k in trial.varying:
            if zero[k] is not None and np.any(as_host(np.asarray(zero[k])) != 0):
                raise trial.fail("vjp", f"a zero cotangent gives {zero[k]!r} for argument {k}")
            alone = _selected(trial, (k,))(full if primitive.multiple_results else full[0])[0]
            _check_selected(trial, k, alone, pulled[k])
        if trial.jvp is None:
            return
        tangents = jvp_flat(trial.of_varying, trial.point, directions)[1]
    active = [(pulled[k], d) for k, d in zip(trial.varying, directions, strict=True) if pulled[k] is not None]
    seen, size = pairing([p for p, _ in active], [d for _, d in active])
    expected, other_size = pairing(cotangents, tangents)
    allowed = (
        1e-9 if trial.rounding() < 1e-9 else default_tolerance([a.dtype for a in (*trial.point, *trial.outs)])
    ) * (1 + max(size, other_size))
    if not abs(seen - expected) <= allowed:
        raise trial.fail(
            "vjp", f"<vjp(c), t> is {seen!r}, <c, jvp(t)> is {expected!r}: they differ by more than {allowed:.2g}"
        )


def _selected(trial: Trial, active: tuple[int, ...]) -> Callable[[Any], Any]:
    """The pullback for some arguments, by the rule that reverse mode uses."""
    primitive, args = trial.primitive, list(trial.args)
    if primitive.pullback_from is not None:
        pull = primitive.pullback_from(primitive.bind(*args, **trial.params), args, active, trial.params)
        if pull is None:
            return lambda cotangent: [None] * len(active)
        function, *values = pull
        return lambda cotangent: [as_value(c) for c in _listed(function(cotangent, *values))]
    pullback = primitive.vjp_selected(active, args, trial.params)[1]  # type: ignore[misc]
    return lambda cotangent: [as_value(c) for c in _listed(pullback(cotangent))]


def _listed(cotangents: Any) -> Sequence[Any]:
    """The cotangents of all active arguments; the tape takes a single one as it is."""
    return cotangents if isinstance(cotangents, list | tuple) else [cotangents]


def _pullback(trial: Trial) -> Callable[[Any], Any]:
    """The pullback that gives a cotangent, or ``None``, for every argument."""
    primitive = trial.primitive
    if primitive.pullback_from is None and primitive.vjp_selected == primitive._selected:
        return trial.vjp(*trial.args, **trial.params)[1]
    # A rule of its own for chosen arguments may refuse to be asked for the others.
    selected = _selected(trial, tuple(trial.varying))

    def pullback(cotangent: Any) -> list[Any]:
        given = dict(zip(trial.varying, selected(cotangent), strict=True))
        return [given.get(k) for k in range(len(trial.args))]

    return pullback


def _pull(trial: Trial, pullback: Callable[[Any], Any], full: Sequence[Any]) -> list[Any]:
    """Cotangents of all arguments, their types checked."""
    pulled = [as_value(c) for c in pullback(list(full) if trial.primitive.multiple_results else full[0])]
    if len(pulled) != len(trial.args):
        raise trial.fail("vjp", f"the pullback gives {len(pulled)} cotangents for {len(trial.args)} arguments")
    for k, (ct, arg) in enumerate(zip(pulled, trial.args, strict=True)):
        if ct is None:
            continue
        if k not in trial.varying:
            raise trial.fail("vjp", f"argument {k} is {aval_of(arg)}, which can have no cotangent; give None")
        if shape_of(ct) != shape_of(arg) or dtype_of(ct) != dtype_of(arg):
            raise trial.fail("vjp", f"argument {k} is {aval_of(arg)}, its cotangent is {aval_of(ct)}")
    return pulled


def _check_selected(trial: Trial, k: int, alone: Any, whole: Any) -> None:
    if (alone is None) != (whole is None):
        raise trial.fail("vjp", f"argument {k} has a cotangent in only one of vjp and vjp_selected")
    if alone is not None:
        tolerance = trial.rounding()
        problem = describe_difference(alone, whole, tolerance, tolerance, ("the cotangent alone", "among all"), True)
        if problem:
            raise trial.fail("vjp", f"argument {k}: {problem}")


def check_derivatives(trial: Trial) -> None:
    """Finite differences, in both modes, up to the sample's order."""
    if not trial.differentiable:
        return
    if not sum(trial.outs[k].size for k in trial.inexact_outs) and not sum(x.size for x in trial.point):
        return
    rules = {"fwd": trial.jvp, "rev": trial.vjp}
    modes = [m for m, rule in rules.items() if rule is not None]
    title = f"{trial.primitive.name} {trial.case!r}: derivatives"
    tolerance = trial.case.tolerance
    with np.errstate(all="ignore"):
        check = GradientCheck.of(trial.of_varying, trial.point, modes, tolerance, tolerance, None, title)
        check.argument_names = [f"argument {k}" for k in trial.varying]
        names = [f"result {k}" for k in trial.inexact_outs]
        check.run(trial.of_varying, trial.point, trial.case.order, names, trial.generator(), ())


def check_batch(trial: Trial) -> None:
    """The batch rule against a loop, for every combination of mapped and unmapped arguments."""
    if _rule(trial.primitive.batch) is None:
        return
    can_be_mapped = [k for k, a in enumerate(trial.args) if type(a) not in PYTHON_SCALARS]
    others = [trial.case.make(trial.seed + i) for i in range(BATCH_SIZE)]
    for mapped in _combinations(can_be_mapped, len(trial.args)):
        values = [
            np.stack([o[k] for o in others]) if m else a
            for k, (a, m) in enumerate(zip(trial.args, mapped, strict=True))
        ]
        with np.errstate(all="ignore"):
            outs, flags = batch_flat(trial.bind, BATCH_SIZE, values, mapped)
            rows = [
                trial.bind(*[o[k] if m else a for k, (a, m) in enumerate(zip(trial.args, mapped, strict=True))])
                for o in others
            ]
        for k, (out, flag) in enumerate(zip(outs, flags, strict=True)):
            expected = np.stack([as_host(np.asarray(r[k])) for r in rows]) if flag else as_host(np.asarray(rows[0][k]))
            tolerance = 10 * trial.rounding()
            problem = describe_difference(out, expected, tolerance, tolerance, (f"result {k}", "the loop's"), True)
            if problem:
                raise trial.fail("batch", f"mapped={list(mapped)}: {problem}")
            if not flag and any(describe_difference(r[k], rows[0][k], tolerance, tolerance, ("", "")) for r in rows):
                raise trial.fail(
                    "batch", f"mapped={list(mapped)}: result {k} is said to be unmapped, but depends on the batch"
                )


def _combinations(can_be_mapped: Sequence[int], count: int) -> list[tuple[bool, ...]]:
    """Every non-empty set of mapped arguments; for many arguments single ones, all but one, and all."""
    if len(can_be_mapped) <= 3:
        chosen = [set(c) for n in range(1, len(can_be_mapped) + 1) for c in itertools.combinations(can_be_mapped, n)]
    else:
        everything = set(can_be_mapped)
        chosen = [*({k} for k in can_be_mapped), *(everything - {k} for k in can_be_mapped), everything]
    return [tuple(k in c for k in range(count)) for c in chosen]


def check_jit(trial: Trial) -> None:
    """The staged call gives what the eager one gives, and so does the staged derivative."""
    program, _ = stage(trial.bind, [aval_of(a) for a in trial.args], trial.primitive.name)
    with np.errstate(all="ignore"):
        outs = call(program, *trial.args)
    _check_staged(trial, outs, trial.outs, "result")
    if not trial.differentiable or trial.vjp is None:
        return
    generator = trial.generator()
    cotangents = [random_direction(generator, trial.outs[k]) for k in trial.inexact_outs]

    def pulled(*xs: Any) -> list[Any]:
        return vjp_flat(trial.of_varying, xs[: len(trial.varying)])[1](xs[len(trial.varying) :])

    values = [*trial.point, *cotangents]
    program, _ = stage(pulled, [aval_of(v) for v in values], f"vjp_{trial.primitive.name}")
    with np.errstate(all="ignore"):
        _check_staged(trial, call(program, *values), pulled(*values), "cotangent")


def _check_staged(trial: Trial, staged: Sequence[Any], eager: Sequence[Any], what: str) -> None:
    tolerance = 10 * trial.rounding()
    for k, (seen, expected) in enumerate(zip(staged, eager, strict=True)):
        problem = describe_difference(
            np.asarray(seen), np.asarray(expected), tolerance, tolerance, (f"staged {what} {k}", "the eager one"), True
        )
        if problem:
            raise trial.fail("jit", problem)


CHECKS: dict[str, Callable[[Trial], None]] = {
    "shape": check_shape,
    "inputs": check_inputs,
    "jvp": check_jvp,
    "vjp": check_vjp,
    "derivatives": check_derivatives,
    "batch": check_batch,
    "jit": check_jit,
}


def missing_rules(primitive: Primitive) -> list[str]:
    """Rule slots that contradict each other or are empty without a reason.

    ``jvp`` and ``vjp`` are both ``None`` for a result without derivative; one of them alone must say why with ``no_rule``.
    """
    problems = []
    if (primitive.jvp is None) != (primitive.vjp is None):
        problems.append("only one of jvp and vjp is None; write no_rule('why') for a rule that is missing")
    if primitive.batch is None:
        problems.append("batch is None; write no_rule('why')")
    return problems
