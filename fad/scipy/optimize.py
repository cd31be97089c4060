"""``scipy.optimize`` with fad's derivatives: minima and roots, which are differentiable themselves.

``minimize(..., method="BFGS")`` and ``root(..., method="newton")`` are fad functions and run under ``jit`` and ``vmap``. The other methods are SciPy's own, given exact
gradients, Jacobians and Hessian products; they run where values are known, under ``grad`` too. The derivative of a solution by ``args`` is that of the implicit
function theorem, whatever method found it.

Examples
--------
>>> import fad
>>> from fad.scipy import optimize
>>> nearest = lambda a: optimize.minimize(lambda x, a: ((x - a) ** 2).sum(), [0.0, 0.0], (a,)).x.sum()
>>> fad.grad(nearest)(fad.numpy.array([1.0, 2.0]))
Array([1., 1.])
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

import fad.numpy as fnp
from fad.core.array import Array, wrap
from fad.core.avals import dtype_of, is_inexact
from fad.core.errors import ArgumentError, ConcretizationError, DTypeError, NonDifferentiableError, ShapeError
from fad.core.pytrees import flatten, unflatten
from fad.core.trace import Tracer, concrete_value
from fad.numpy.conversion import float_operand, operand
from fad.numpy.linalg_systems import solve
from fad.primitives.special import held_constant
from fad.scipy.descent import bfgs, newton
from fad.transforms.custom_rules import custom_jvp, stop_gradient
from fad.transforms.gradients import grad, jvp
from fad.transforms.jacobians import hessian, hvp, jacfwd

__all__ = ["OptimizeResult", "minimize", "root"]

_WITHOUT_GRADIENT = ("Nelder-Mead", "Powell", "COBYLA", "COBYQA")
_WITH_GRADIENT = ("CG", "L-BFGS-B", "TNC", "SLSQP")
_WITH_PRODUCTS = ("Newton-CG", "trust-ncg", "trust-krylov", "trust-constr")
_WITH_HESSIAN = ("dogleg", "trust-exact")
_MINIMIZERS = ("BFGS", *_WITHOUT_GRADIENT, *_WITH_GRADIENT, *_WITH_PRODUCTS, *_WITH_HESSIAN)
_ROOTS = ("newton", "hybr", "lm", "broyden1", "broyden2", "anderson", "krylov", "df-sane")
_MESSAGES = {
    0: "Converged.",
    1: "The number of iterations reached its limit.",
    2: "No step made progress: the precision is exhausted, or the function is not smooth.",
    3: "A value is not finite.",
    9: "SciPy's method stopped without success.",
}

_CLOSED_OVER = (
    "fad.scipy.optimize: the function closes over a value that is being differentiated, and the solution's derivative knows only of args. "
    "Pass it as an argument: args=(value,)."
)


class OptimizeResult(NamedTuple):
    """What an optimisation found.

    Attributes
    ----------
    x : Array
        The solution, in the shape of the start; differentiable in ``args``.
    fun : Array
        The function there.
    jac : Array
        The gradient there; the Jacobian for a root.
    success : Array
        Whether the method converged.
    status : Array
        0 converged, 1 too many iterations, 2 no progress, 3 not finite, 9 a method of SciPy stopped otherwise.
    nit, nfev : Array
        Iterations and function evaluations; -1 where SciPy does not count them.

    Examples
    --------
    >>> from fad.scipy import optimize
    >>> optimize.minimize(lambda x: ((x - 3.0) ** 2).sum(), [0.0]).message
    'Converged.'
    """

    x: Any
    fun: Any
    jac: Any
    success: Any
    status: Any
    nit: Any
    nfev: Any

    @property
    def message(self) -> str:
        """The status in words."""
        return _MESSAGES[int(self.status)]


def _arguments(
    function: str, x0: Any, args: Any
) -> tuple[Array, list[Any], Callable[[Sequence[Any]], tuple[Any, ...]]]:
    """The start, the floating-point leaves of the arguments, and how to put them back."""
    if not isinstance(args, tuple):
        raise ArgumentError(
            f"fad.scipy.optimize.{function}: args must be a tuple of further arguments, got {type(args).__name__}; write (a,)"
        )
    start = stop_gradient(wrap(float_operand(x0, f"fad.scipy.optimize.{function}")))
    if start.dtype.kind == "c":
        raise DTypeError(
            f"fad.scipy.optimize.{function}: x0 must be real, got {start.dtype}; use real and imaginary parts"
        )
    leaves, tree = flatten(args)
    found = [operand(leaf, f"fad.scipy.optimize.{function}") for leaf in leaves]
    smooth = [k for k, leaf in enumerate(found) if is_inexact(dtype_of(leaf))]

    def restored(values: Sequence[Any]) -> tuple[Any, ...]:
        given = dict(zip(smooth, values))
        return unflatten(tree, [given.get(k, leaf) for k, leaf in enumerate(leaves)])

    return start, [wrap(found[k]) for k in smooth], restored


def _implicit(find: Callable[..., Any], residual: Callable[..., Any], refusal: str) -> Callable[..., Any]:
    """``find(*leaves) -> (x, counts)`` with the derivative of the x at which ``residual(x, *leaves)`` vanishes."""

    @custom_jvp
    def solution(*leaves: Any) -> Any:
        x, counts = find(*leaves)
        # reached by a derivative only past the rule below: the function closes over the variable
        return wrap(held_constant.bind(operand(x), reason=_CLOSED_OVER)), counts

    @solution.defjvp
    def solution_jvp(primals: Any, tangents: Any) -> Any:
        if refusal:
            raise NonDifferentiableError(refusal)
        x, counts = solution(*primals)
        matrix = jacfwd(lambda x: residual(x, *primals))(x)
        drift = jvp(lambda *leaves: residual(x, *leaves), primals, tangents)[1]
        return (x, counts), (-solve(matrix, drift), fnp.zeros_like(counts))

    return solution


def _known(method: str, function: str, *values: Any) -> list[np.ndarray]:
    """Values for a method of SciPy; raises where they are traced."""
    found = []
    for value in values:
        known = concrete_value(value) if isinstance(value, Tracer) else np.asarray(value)
        if known is None:
            raise ConcretizationError(
                f"fad.scipy.optimize.{function}: method {method!r} is SciPy's and needs known values, but it runs inside jit or vmap. Use "
                f"method={'newton' if function == 'root' else 'BFGS'!r}, which is fad's own."
            )
        found.append(known)
    return found


def _checked_method(function: str, method: str, known: Sequence[str]) -> None:
    if method not in known:
        raise ArgumentError(f"fad.scipy.optimize.{function}: unknown method {method!r}; there are {', '.join(known)}")


def minimize(
    fun: Callable[..., Any],
    x0: Any,
    args: tuple[Any, ...] = (),
    method: str = "BFGS",
    tol: float | None = None,
    bounds: Any = None,
    constraints: Any = (),
    options: dict[str, Any] | None = None,
) -> OptimizeResult:
    """A local minimum of a scalar function of an array.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` gives a real scalar.
    x0 : array_like
        The start, real, of any shape.
    args : tuple
        Further arguments, pytrees; the solution is differentiable in them, not in values that ``fun`` closes over.
    method : str
        ``"BFGS"`` is fad's own, for ``jit`` and ``vmap`` too. SciPy's: ``"Nelder-Mead"``, ``"Powell"``, ``"COBYLA"``, ``"COBYQA"``, ``"CG"``, ``"L-BFGS-B"``, ``"TNC"``,
        ``"SLSQP"``, ``"Newton-CG"``, ``"trust-ncg"``, ``"trust-krylov"``, ``"trust-constr"``, ``"dogleg"``, ``"trust-exact"``; they get exact derivatives.
    tol : float, optional
        For BFGS, the largest element of the gradient at which to stop; 1e-5 by default.
    bounds, constraints
        As in SciPy, for its methods. There is no derivative of a solution that they restrict.
    options : dict, optional
        For BFGS ``maxiter`` (200 per variable by default) and ``gtol``; otherwise SciPy's.

    Returns
    -------
    OptimizeResult

    Raises
    ------
    ArgumentError
        For an unknown method or option.
    ShapeError
        If ``fun`` does not give a scalar.
    ConcretizationError
        If a method of SciPy is used inside ``jit`` or ``vmap``.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> from fad.scipy import optimize
    >>> rosenbrock = lambda x: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2
    >>> found = optimize.minimize(rosenbrock, [-1.0, 2.0], tol=1e-9)
    >>> bool(found.success), bool(fnp.abs(found.x - 1).max() < 1e-6)
    (True, True)
    """
    _checked_method("minimize", method, _MINIMIZERS)
    restricted = bounds is not None or bool(constraints)
    if restricted and method == "BFGS":
        raise ArgumentError(
            "fad.scipy.optimize.minimize: BFGS takes no bounds or constraints; use L-BFGS-B, SLSQP or trust-constr"
        )
    start, leaves, restored = _arguments("minimize", x0, args)

    def objective(x: Any, *values: Any) -> Any:
        value = fnp.asarray(fun(x.reshape(start.shape), *restored(values)))
        if value.shape:
            raise ShapeError(f"fad.scipy.optimize.minimize: the function must give a scalar, got shape {value.shape}")
        return value

    def find(*values: Any) -> Any:
        at = start.reshape(-1)
        if method == "BFGS":
            return bfgs(lambda x: objective(x, *values), at, _limits(tol, options, at.size))
        known = _known(method, "minimize", at, *values)
        return _by_scipy(lambda x: objective(x, *known[1:]), known[0], method, tol, bounds, constraints, options)

    refusal = (
        "the solution is restricted by bounds or constraints, and fad has no derivative rule for those"
        if restricted
        else ""
    )
    x, counts = _implicit(find, grad(objective), refusal)(*leaves)
    value, slope = objective(x, *leaves), grad(objective)(x, *leaves)
    return _result(x, value, slope, counts, start.shape)


def _limits(tol: float | None, options: dict[str, Any] | None, size: int) -> tuple[float, int]:
    given = dict(options or {})
    gtol, maxiter = given.pop("gtol", 1e-5 if tol is None else tol), given.pop("maxiter", max(200 * size, 200))
    if given:
        raise ArgumentError(f"fad.scipy.optimize.minimize: BFGS has the options maxiter and gtol, got {sorted(given)}")
    return gtol, maxiter


def _result(x: Any, value: Any, slope: Any, counts: Any, shape: tuple[int, ...]) -> OptimizeResult:
    status, turns, calls = (counts[k].astype(np.int64) for k in range(3))
    return OptimizeResult(x.reshape(shape), value, slope, status == 0, status, turns, calls)


def _by_scipy(
    objective: Callable[..., Any],
    start: np.ndarray,
    method: str,
    tol: float | None,
    bounds: Any,
    constraints: Any,
    options: dict[str, Any] | None,
) -> Any:
    from scipy.optimize import minimize as scipy_minimize

    derivatives: dict[str, Any] = {}
    if method not in _WITHOUT_GRADIENT:
        slope = grad(objective)
        derivatives["jac"] = lambda x: np.asarray(slope(x))
    if method in _WITH_PRODUCTS:
        derivatives["hessp"] = lambda x, p: np.asarray(hvp(objective, (x,), (p.astype(x.dtype),)))
    if method in _WITH_HESSIAN:
        curvature = hessian(objective)
        derivatives["hess"] = lambda x: np.asarray(curvature(x))
    found = scipy_minimize(
        lambda x: float(_untraced(objective(x))), start, method=method, tol=tol, bounds=bounds, constraints=constraints, options=options, **derivatives
    )  # fmt: skip
    return _found(found, start)


def _untraced(value: Any) -> Any:
    """The value, of which SciPy would lose the derivative."""
    if isinstance(value, Tracer):
        raise NonDifferentiableError(_CLOSED_OVER)
    return value


def _found(found: Any, start: np.ndarray) -> Any:
    """What SciPy found, as the solution and its counts."""
    finite = np.all(np.isfinite(found.x))
    status = 0 if found.success and finite else 3 if not finite else 9
    counts = np.array([status, found.get("nit", -1), found.get("nfev", -1)], float)
    return wrap(np.asarray(found.x, start.dtype)), wrap(counts)


def root(
    fun: Callable[..., Any],
    x0: Any,
    args: tuple[Any, ...] = (),
    method: str = "newton",
    tol: float | None = None,
    options: dict[str, Any] | None = None,
) -> OptimizeResult:
    """A root of as many equations as unknowns.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` gives an array with as many elements as x.
    x0 : array_like
        The start, real, of any shape.
    args : tuple
        Further arguments, pytrees; the root is differentiable in them, not in values that ``fun`` closes over.
    method : str
        ``"newton"`` is fad's own, with shortened steps where full ones lead away, for ``jit`` and ``vmap`` too. SciPy's: ``"hybr"``, ``"lm"``, ``"broyden1"``,
        ``"broyden2"``, ``"anderson"``, ``"krylov"``, ``"df-sane"``; the first two get exact Jacobians.
    tol : float, optional
        For Newton's method, the largest residual at which to stop; 1e-10 by default (1e-4 in float32).
    options : dict, optional
        For Newton's method ``maxiter`` (100 by default); otherwise SciPy's.

    Returns
    -------
    OptimizeResult
        ``fun`` holds the residuals and ``jac`` the Jacobian of shape (n, n).

    Raises
    ------
    ArgumentError
        For an unknown method or option.
    ShapeError
        If the numbers of equations and unknowns differ.
    ConcretizationError
        If a method of SciPy is used inside ``jit`` or ``vmap``.

    Examples
    --------
    >>> import fad
    >>> from fad.scipy import optimize
    >>> square_root = lambda a: optimize.root(lambda x, a: x * x - a, 1.0, (a,)).x
    >>> square_root(2.0), fad.grad(square_root)(2.0)
    (Array(1.41421356), Array(0.35355339))
    """
    _checked_method("root", method, _ROOTS)
    start, leaves, restored = _arguments("root", x0, args)

    def residual(x: Any, *values: Any) -> Any:
        found = fnp.asarray(fun(x.reshape(start.shape), *restored(values)))
        if math.prod(found.shape) != math.prod(start.shape):
            raise ShapeError(
                f"fad.scipy.optimize.root: {math.prod(found.shape)} equations (shape {found.shape}) for {math.prod(start.shape)} unknowns "
                f"(shape {start.shape})"
            )
        return found.reshape(-1)

    def find(*values: Any) -> Any:
        at = start.reshape(-1)
        if method == "newton":
            given = dict(options or {})
            limit = given.pop("maxiter", 100)
            if given:
                raise ArgumentError(f"fad.scipy.optimize.root: newton has the option maxiter, got {sorted(given)}")
            level = tol if tol is not None else 1e-10 if at.dtype.itemsize == 8 else 1e-4
            return newton(lambda x: residual(x, *values), at, level, limit)
        known = _known(method, "root", at, *values)
        return _root_by_scipy(lambda x: residual(x, *known[1:]), known[0], method, tol, options)

    x, counts = _implicit(find, residual, "")(*leaves)
    value, slope = residual(x, *leaves), jacfwd(residual)(x, *leaves)
    return _result(x, value.reshape(start.shape), slope, counts, start.shape)


def _root_by_scipy(residual: Any, start: np.ndarray, method: str, tol: float | None, options: Any) -> Any:
    from scipy.optimize import root as scipy_root

    jacobian = jacfwd(residual)
    derivative = {"jac": lambda x: np.asarray(jacobian(x))} if method in ("hybr", "lm") else {}
    found = scipy_root(
        lambda x: np.asarray(_untraced(residual(x))), start, method=method, tol=tol, options=options, **derivative
    )
    return _found(found, start)
