"""``check_grads``: derivatives of a function against finite differences and against each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fad.core.array import wrap
from fad.core.avals import dtype_of, is_inexact
from fad.core.errors import ArgumentError
from fad.core.pytrees import flatten, flatten_with_paths, path_text, unflatten
from fad.testing.numerical import (
    CheckError,
    FlatFunction,
    as_host,
    default_step,
    default_tolerance,
    describe_difference,
    directional_derivative,
    pairing,
    random_direction,
)
from fad.transforms.arguments import argument_paths, as_function, function_name, leaf_operands, result_operands
from fad.transforms.forward import jvp_flat
from fad.transforms.reverse import vjp_flat

__all__ = ["GradientCheck", "check_grads"]


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int = 2,
    modes: Sequence[str] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
    seed: int = 0,
) -> None:
    """Check the derivatives of ``f`` at a point against finite differences, in both modes and to any order.

    Along a random direction ``t`` the forward derivative is compared elementwise with a central difference (two steps, extrapolated).
    For a random cotangent ``c`` the reverse derivative is compared through ``<c, df(t)> = <pullback(c), t>``, and the two modes are
    compared with each other. Order ``n`` repeats this for the derivative functions of order ``n - 1`` of every mode, so that
    differences are taken of first order only and stay accurate.

    Parameters
    ----------
    f : callable
        Function of pytrees, smooth near the point.
    args : tuple or list
        The point, one entry per argument. Integer and boolean leaves are kept fixed.
    order : int
        Highest order of derivative, at least 1.
    modes : sequence of str
        ``"fwd"``, ``"rev"`` or both.
    atol, rtol : float, optional
        Tolerances; by default 1e-6 in double precision, 2e-3 in single and 0.05 in half precision (the least precise value decides).
    eps : float, optional
        Step of the differences; by default 2e-4, in double precision where the function follows. Reduce it near the edge of the function's domain.
    seed : int
        Seed of the random directions.

    Raises
    ------
    CheckError
        An ``AssertionError`` that names the mode, the order, the argument's leaf and the numbers.
    ArgumentError
        If nothing can be differentiated or an option has no meaning.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> fad.testing.check_grads(lambda p, x: fnp.tanh(p["w"] * x).sum(), ({"w": 0.5}, [1.0, 2.0]))
    """
    f = as_function("check_grads", f)
    if not isinstance(args, tuple | list):
        raise ArgumentError(
            f"check_grads({function_name(f)}): args must be a tuple with one entry per argument, got {type(args).__name__}; write (x,)"
        )
    if not modes or any(m not in ("fwd", "rev") for m in modes):
        raise ArgumentError(f"check_grads: modes must be drawn from 'fwd' and 'rev', got {modes!r}")
    if order < 1:
        raise ArgumentError(f"check_grads: order must be at least 1, got {order}")
    args = tuple(args)
    leaves, treedef = flatten(args)
    describe = argument_paths(args)
    operands = [as_host(o) for o in leaf_operands("check_grads", f, leaves, describe)]
    varying = [k for k, o in enumerate(operands) if is_inexact(o.dtype)]
    if not varying:
        raise ArgumentError(
            f"check_grads({function_name(f)}): no argument has floating-point leaves, so there is nothing to check"
        )

    result_names: list[str] = []

    def flat(*xs: Any) -> list[Any]:
        given = dict(zip(varying, xs, strict=True))
        tree = unflatten(treedef, [wrap(given.get(k, o)) for k, o in enumerate(operands)])
        out = f(*tree)
        outs, _ = result_operands("check_grads", f, out)
        kept = [k for k, o in enumerate(outs) if is_inexact(dtype_of(o))]
        if not result_names:
            paths = flatten_with_paths(out)[0]
            result_names.extend(f"result{path_text(paths[k])}" for k in kept)
        return [outs[k] for k in kept]

    point = [operands[k] for k in varying]
    # Points outside the function's domain are reported, with more than NumPy's warning says.
    with np.errstate(all="ignore"):
        check = GradientCheck.of(flat, point, modes, atol, rtol, eps, f"check_grads({function_name(f)})")
        check.argument_names = [describe(k) for k in varying]
        check.run(flat, point, order, result_names, np.random.default_rng(seed), ())


@dataclass
class GradientCheck:
    """Settings of one check, for flat functions.

    With ``widened``, finite differences are taken in double precision, though the point has less: rounding then hides nothing.
    """

    title: str
    modes: Sequence[str]
    atol: float
    rtol: float
    step: float
    widened: bool
    argument_names: list[str]

    @classmethod
    def of(
        cls,
        function: FlatFunction,
        point: Sequence[np.ndarray],
        modes: Sequence[str],
        atol: float | None,
        rtol: float | None,
        eps: float | None,
        title: str,
    ) -> GradientCheck:
        """Settings with the defaults for the dtypes of the point and of the results there."""
        outs = [as_host(o) for o in function(*point)]
        if not outs:
            raise ArgumentError(f"{title}: the function gives no floating-point result, so there is nothing to check")
        for k, out in enumerate(outs):
            if not np.isfinite(out.astype(np.complex128)).all():
                raise CheckError(
                    f"{title}: result {k} is not finite at the given point; check at a point inside the domain"
                )
        dtypes = [x.dtype for x in (*point, *outs)]
        tolerance = default_tolerance(dtypes)
        widened = _can_be_widened(function, point, outs)
        step = default_step([_doubled(x).dtype for x in point] if widened else dtypes)
        return cls(
            title,
            tuple(modes),
            tolerance if atol is None else atol,
            tolerance if rtol is None else rtol,
            step if eps is None else eps,
            widened,
            [f"argument {k}" for k in range(len(point))],
        )

    def run(
        self,
        function: FlatFunction,
        point: Sequence[np.ndarray],
        order: int,
        result_names: Sequence[str],
        generator: np.random.Generator,
        chain: tuple[str, ...],
    ) -> None:
        """Check one flat function and, below it, its derivatives."""
        direction = [random_direction(generator, x) for x in point]
        numeric = self._numeric(function, point, direction, chain)
        tangents = None
        if "fwd" in self.modes:
            tangents = self._forward(function, point, direction, numeric, result_names, chain)
        cotangents = [random_direction(generator, as_host(o)) for o in function(*point)]
        if "rev" in self.modes:
            self._reverse(function, point, direction, cotangents, numeric, tangents, chain)
        if order == 1:
            return
        for mode in self.modes:
            derivative = _forward_of(function, direction) if mode == "fwd" else _reverse_of(function, cotangents)
            names = [f"the derivative of {n}" for n in result_names] if mode == "fwd" else self.argument_names
            self.run(derivative, point, order - 1, names, generator, (*chain, mode))

    def _numeric(self, function: FlatFunction, point: Any, direction: Any, chain: tuple[str, ...]) -> list[np.ndarray]:
        if self.widened:
            point, direction = ([_doubled(x) for x in xs] for xs in (point, direction))
        numeric = directional_derivative(function, point, direction, self.step)
        for k, value in enumerate(numeric):
            if not np.isfinite(value).all():
                raise CheckError(
                    f"{self._where('', chain)}finite differences of result {k} with step {self.step:.1e} are not finite: "
                    "they left the function's domain. Pass a smaller eps or another point."
                )
        return numeric

    def _where(self, mode: str, chain: tuple[str, ...]) -> str:
        order = len(chain) + 1
        history = "" if not chain else f" of {' of '.join(reversed(chain))}"
        return f"{self.title}: {mode}{history} (order {order}): "

    def _forward(
        self,
        function: FlatFunction,
        point: Sequence[np.ndarray],
        direction: Sequence[np.ndarray],
        numeric: Sequence[np.ndarray],
        names: Sequence[str],
        chain: tuple[str, ...],
    ) -> list[Any]:
        _, tangents = jvp_flat(function, point, direction)
        for k, (seen, expected) in enumerate(zip(tangents, numeric, strict=True)):
            problem = describe_difference(seen, expected, self.rtol, self.atol, ("fad's", "the numerical"))
            if problem:
                culprit = self._forward_culprit(function, point, direction, chain)
                raise CheckError(
                    f"{self._where('fwd', chain)}the directional derivative of {names[k] if k < len(names) else f'result {k}'} is wrong: "
                    f"{problem}{culprit}"
                )
        return tangents

    def _forward_culprit(self, function: FlatFunction, point: Any, direction: Any, chain: tuple[str, ...]) -> str:
        """The first argument leaf along which the derivative is wrong by itself."""
        for k, name in enumerate(self.argument_names):
            alone = [d if i == k else np.zeros_like(d) for i, d in enumerate(direction)]
            numeric = self._numeric(function, point, alone, chain)
            _, tangents = jvp_flat(function, point, [d if i == k else None for i, d in enumerate(direction)])
            if any(
                describe_difference(s, e, self.rtol, self.atol, ("", ""))
                for s, e in zip(tangents, numeric, strict=True)
            ):
                return f" [with respect to {name}]"
        return ""

    def _reverse(
        self,
        function: FlatFunction,
        point: Sequence[np.ndarray],
        direction: Sequence[np.ndarray],
        cotangents: Sequence[np.ndarray],
        numeric: Sequence[np.ndarray],
        tangents: Sequence[Any] | None,
        chain: tuple[str, ...],
    ) -> None:
        outs, pullback = vjp_flat(function, point)
        pulled = pullback(cotangents)
        for k, (ct, x) in enumerate(zip(pulled, point, strict=True)):
            if as_host(ct).shape != x.shape or as_host(ct).dtype != x.dtype:
                raise CheckError(
                    f"{self._where('rev', chain)}the cotangent of {self.argument_names[k]} is {as_host(ct).dtype}{list(as_host(ct).shape)}, "
                    f"but the argument is {x.dtype}{list(x.shape)}"
                )
        if tangents is not None:
            self._agree("the forward derivative", pulled, direction, cotangents, tangents, chain, None)
        for k in range(len(point)):
            alone = [d if i == k else np.zeros_like(d) for i, d in enumerate(direction)]
            part = numeric if len(point) == 1 else self._numeric(function, point, alone, chain)
            self._agree("finite differences", pulled, alone, cotangents, part, chain, k)

    def _agree(
        self,
        other: str,
        pulled: Sequence[Any],
        direction: Sequence[Any],
        cotangents: Sequence[Any],
        tangents: Sequence[Any],
        chain: tuple[str, ...],
        leaf: int | None,
    ) -> None:
        """Raise unless <pulled, direction> = <cotangents, tangents>."""
        seen, seen_size = pairing(pulled, direction)
        expected, expected_size = pairing(cotangents, tangents)
        allowed = self.atol + self.rtol * max(seen_size, expected_size)
        if not abs(seen - expected) <= allowed:
            where = "" if leaf is None else f" with respect to {self.argument_names[leaf]}"
            raise CheckError(
                f"{self._where('rev', chain)}the gradient{where} does not agree with {other}: along a random direction it gives {seen!r}, "
                f"{other} give{'s' if leaf is None else ''} {expected!r}; they differ by {abs(seen - expected):.3g}, allowed is {allowed:.3g}"
            )


def _doubled(x: np.ndarray) -> np.ndarray:
    return x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)


def _can_be_widened(function: FlatFunction, point: Sequence[np.ndarray], outs: Sequence[np.ndarray]) -> bool:
    """Whether the function, at a point in double precision, computes in double precision."""
    if all(x.dtype.itemsize == _doubled(x).dtype.itemsize for x in (*point, *outs)):
        return False
    wide = function(*[_doubled(x) for x in point])
    return all(as_host(w).dtype == _doubled(as_host(w)).dtype for w in wide)


def _forward_of(function: FlatFunction, direction: Sequence[np.ndarray]) -> FlatFunction:
    def tangent_of(*xs: Any) -> list[Any]:
        return jvp_flat(function, xs, [_as(d, x) for d, x in zip(direction, xs, strict=True)])[1]

    return tangent_of


def _reverse_of(function: FlatFunction, cotangents: Sequence[np.ndarray]) -> FlatFunction:
    def pulled_back(*xs: Any) -> list[Any]:
        outs, pullback = vjp_flat(function, xs)
        return pullback([_as(c, o) for c, o in zip(cotangents, outs, strict=True)])

    return pulled_back


def _as(value: np.ndarray, like: Any) -> np.ndarray:
    """A constant direction in the precision of the value that it belongs to."""
    return value if value.dtype == dtype_of(like) else value.astype(dtype_of(like))
