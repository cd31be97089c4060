"""What all distributions of :mod:`fad.scipy.stats` share: arguments, location and scale, supports, frozen parameters.

Outside its support a distribution has density 0, and what lies there gets derivative 0 and never NaN: formulas see a point inside instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import dtype_of, result_dtype, weak_operand
from fad.core.errors import ArgumentError, DTypeError
from fad.numpy.conversion import float_operand, operand
from fad.primitives.arithmetic import (
    equal,
    floor,
    greater,
    greater_equal,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_or,
    select,
)
from fad.primitives.math_functions import exp, log
from fad.primitives.placing import together
from fad.primitives.structural import convert

__all__ = ["Continuous", "Discrete", "Frozen"]

Formula = Callable[..., Any]
_NOWHERE = (-math.inf, -math.inf)  # the logarithm of the density on either side of the support


def _usable(scale: Any) -> Any:
    """The scale, and 1 where it is none; what is computed there is not used."""
    return scale if _is_one(scale) else select.bind(greater.bind(scale, 0), scale, 1.0)


def _is_one(scale: Any) -> bool:
    """Whether it is known that nothing is scaled."""
    return isinstance(scale, np.generic) and bool(scale == 1)


class Frozen:
    """A distribution with given parameters: its methods take the remaining argument only."""

    def __init__(self, distribution: Distribution, args: Sequence[Any], keywords: dict[str, Any]):
        self.dist, self.args, self.kwds = distribution, tuple(args), dict(keywords)

    def __repr__(self) -> str:
        return f"<{self.dist.name} with given parameters>"

    def __getattr__(self, name: str) -> Callable[..., Array]:
        if name not in self.dist.methods:
            raise AttributeError(f"{self.dist.name} has no method {name!r}; it has {', '.join(self.dist.methods)}")
        method = getattr(self.dist, name)
        return lambda x: method(x, *self.args, **self.kwds)


class Distribution:
    """A family of distributions with shape parameters, ``loc``, and ``scale`` where it is continuous."""

    methods: tuple[str, ...] = ()
    defaults: dict[str, float] = {}

    def __init__(self, name: str, shapes: str, text: str, example: str, valid: Formula | None):
        self.name = self.__name__ = name
        self.shapes = shapes.split(", ") if shapes else []
        self.valid = valid
        names = [*self.shapes, *self.defaults]
        self.__doc__ = (
            f"{text}\n\nMethods take ``x`` (or a probability ``q``), then {', '.join(f'``{n}``' for n in names)}, all array_like: "
            f"{', '.join(self.methods)}. Calling it with the parameters alone freezes them.\n\nExamples\n--------\n"
            f">>> from fad.scipy import stats\n>>> y = {example}\n"
        )

    def __repr__(self) -> str:
        return f"<fad.scipy.stats.{self.name}>"

    def __call__(self, *args: Any, **keywords: Any) -> Frozen:
        """The distribution with these parameters."""
        self._parameters("__call__", args, keywords)
        return Frozen(self, args, keywords)

    def _parameters(self, method: str, args: Sequence[Any], keywords: dict[str, Any]) -> list[Any]:
        names = [*self.shapes, *self.defaults]
        given = {**self.defaults, **dict(zip(names, args)), **keywords}
        twice = [n for n in names[: len(args)] if n in keywords]
        if len(args) > len(names) or given.keys() != set(names) or twice:
            raise ArgumentError(
                f"fad.scipy.stats.{self.name}.{method} takes the parameters {', '.join(names)}; got {len(args)} by position and "
                f"{sorted(keywords)} by name"
            )
        return [given[n] for n in names]

    def _operands(self, method: str, x: Any, args: Sequence[Any], keywords: dict[str, Any]) -> list[Any]:
        """The argument and all parameters in one floating dtype."""
        function = f"fad.scipy.stats.{self.name}.{method}"
        given = [float(v) if type(v) is int else v for v in (x, *self._parameters(method, args, keywords))]
        found = [float_operand(v, function) for v in given]
        dtype = result_dtype(*[weak_operand(f) for f in found])
        if dtype.kind == "c":
            raise DTypeError(f"{function} is for real arguments, got {', '.join(str(dtype_of(f)) for f in found)}")
        return together([convert(f, dtype) for f in found])

    def _checked(self, value: Any, at: Any, shapes: Sequence[Any], scale: Any = None) -> Array:
        """NaN where the argument is NaN or the parameters make no sense."""
        out = select.bind(isnan.bind(at), math.nan, convert(value, dtype_of(at)))
        conditions = [] if self.valid is None else [self.valid(*shapes)]
        conditions += [] if scale is None or _is_one(scale) else [greater.bind(scale, 0)]
        for condition in conditions:
            out = select.bind(condition, out, math.nan)
        return wrap(out)


def inside(x: Any, low: float, high: float) -> Any:
    """Whether x lies in [low, high]."""
    return logical_and.bind(greater_equal.bind(x, low), less_equal.bind(x, high))


class Continuous(Distribution):
    """A continuous distribution, from formulas at ``loc = 0`` and ``scale = 1``.

    Parameters
    ----------
    name, shapes : str
        Its name and its shape parameters.
    support : tuple of float
        Where the density is positive.
    logpdf, cdf, ppf : callable
        ``f(x, *shapes)``.
    sf, logcdf, logsf, isf : callable, optional
        Where they are known better than from the others.
    valid : callable, optional
        ``f(*shapes)``: which shape parameters make sense.
    """

    methods = ("logpdf", "pdf", "cdf", "logcdf", "sf", "logsf", "ppf", "isf")
    defaults = {"loc": 0.0, "scale": 1.0}

    def __init__(
        self,
        name: str,
        shapes: str,
        text: str,
        example: str,
        *,
        support: tuple[float, float],
        logpdf: Formula,
        cdf: Formula,
        ppf: Formula,
        valid: Formula | None = None,
        **better: Formula,
    ):
        super().__init__(name, shapes, text, example, valid)
        self.support = support
        low, high = support
        self.middle = 0.5 * (low + high) if math.isfinite(low + high) else low + 1.0 if math.isfinite(low) else 0.0
        self.formulas: dict[str, Formula] = {
            "logpdf": logpdf,
            "cdf": cdf,
            "ppf": ppf,
            "sf": lambda x, *s: 1 - cdf(x, *s),
            "isf": lambda q, *s: ppf(1 - q, *s),
            **better,
        }
        self.formulas.setdefault("logcdf", lambda x, *s: log.bind(self.formulas["cdf"](x, *s)))
        self.formulas.setdefault("logsf", lambda x, *s: log.bind(self.formulas["sf"](x, *s)))

    def _at(self, method: str, ends: tuple[float, float], x: Any, args: Any, keywords: Any, called: str = "") -> Array:
        point, *shapes, loc, scale = self._operands(called or method, x, args, keywords)
        below, above = ends
        used = _usable(scale)
        point = (point - loc) / used
        low, high = self.support
        # the formulas do not see infinities: the values there are known
        beneath = less.bind(point, low) if math.isfinite(low) else equal.bind(point, low)
        beyond = greater.bind(point, high) if math.isfinite(high) else equal.bind(point, high)
        outside = logical_or.bind(beneath, beyond)
        value = self.formulas[method](select.bind(outside, self.middle, point), *shapes)
        value = value if method != "logpdf" or _is_one(scale) else value - log.bind(used)
        value = select.bind(beneath, below, select.bind(beyond, above, value))
        return self._checked(value, point, shapes, scale)

    def logpdf(self, x: Any, *args: Any, **keywords: Any) -> Array:
        """The logarithm of the density, -inf outside the support."""
        return self._at("logpdf", _NOWHERE, x, args, keywords)

    def pdf(self, x: Any, *args: Any, **keywords: Any) -> Array:
        """The density."""
        return wrap(exp.bind(operand(self._at("logpdf", _NOWHERE, x, args, keywords, "pdf"))))

    def cdf(self, x: Any, *args: Any, **keywords: Any) -> Array:
        """The probability of at most x."""
        return self._at("cdf", (0.0, 1.0), x, args, keywords)

    def logcdf(self, x: Any, *args: Any, **keywords: Any) -> Array:
        """The logarithm of the probability of at most x."""
        return self._at("logcdf", (-math.inf, 0.0), x, args, keywords)

    def sf(self, x: Any, *args: Any, **keywords: Any) -> Array:
        """The probability of more than x."""
        return self._at("sf", (1.0, 0.0), x, args, keywords)

    def logsf(self, x: Any, *args: Any, **keywords: Any) -> Array:
        """The logarithm of the probability of more than x."""
        return self._at("logsf", (0.0, -math.inf), x, args, keywords)

    def _quantile(self, method: str, ends: tuple[float, float], q: Any, args: Any, keywords: Any) -> Array:
        level, *shapes, loc, scale = self._operands(method, q, args, keywords)
        within = logical_and.bind(greater.bind(level, 0), less.bind(level, 1))
        value = self.formulas[method](select.bind(within, level, 0.5), *shapes)
        value = select.bind(equal.bind(level, 0), ends[0], select.bind(equal.bind(level, 1), ends[1], value))
        value = select.bind(inside(level, 0, 1), value * scale + loc, math.nan)
        return self._checked(value, level, shapes, scale)

    def ppf(self, q: Any, *args: Any, **keywords: Any) -> Array:
        """The x at which the distribution function is q."""
        return self._quantile("ppf", self.support, q, args, keywords)

    def isf(self, q: Any, *args: Any, **keywords: Any) -> Array:
        """The x that is exceeded with probability q."""
        return self._quantile("isf", self.support[::-1], q, args, keywords)


class Discrete(Distribution):
    """A distribution of whole numbers.

    Parameters
    ----------
    name, shapes : str
        Its name and its shape parameters.
    support : callable
        ``f(*shapes) -> (low, high)``.
    logpmf, cdf : callable
        ``f(k, *shapes)`` for whole numbers k in the support.
    sf : callable, optional
        Where it is known better than as ``1 - cdf``.
    valid : callable, optional
        ``f(*shapes)``: which shape parameters make sense.
    """

    methods = ("logpmf", "pmf", "cdf", "logcdf", "sf", "logsf")
    defaults = {"loc": 0.0}

    def __init__(
        self,
        name: str,
        shapes: str,
        text: str,
        example: str,
        *,
        support: Formula,
        logpmf: Formula,
        cdf: Formula,
        sf: Formula | None = None,
        valid: Formula | None = None,
    ):
        super().__init__(name, shapes, text, example, valid)
        self.support = support
        self.formulas = {"logpmf": logpmf, "cdf": cdf, "sf": sf or (lambda k, *s: 1 - cdf(k, *s))}

    def logpmf(self, k: Any, *args: Any, **keywords: Any) -> Array:
        """The logarithm of the probability of k, -inf where there is none."""
        return self._log_mass("logpmf", k, args, keywords)

    def _log_mass(self, method: str, k: Any, args: Any, keywords: Any) -> Array:
        point, *shapes, loc = self._operands(method, k, args, keywords)
        point = point - loc
        low, high = self.support(*shapes)
        possible = logical_and.bind(inside(point, low, high), equal.bind(floor.bind(point), point))
        value = self.formulas["logpmf"](select.bind(possible, point, low), *shapes)
        return self._checked(select.bind(possible, value, -math.inf), point, shapes)

    def pmf(self, k: Any, *args: Any, **keywords: Any) -> Array:
        """The probability of k."""
        return wrap(exp.bind(operand(self._log_mass("pmf", k, args, keywords))))

    def _sum(self, method: str, below: float, k: Any, args: Any, keywords: Any, called: str = "") -> Array:
        point, *shapes, loc = self._operands(called or method, k, args, keywords)
        whole = floor.bind(point - loc)
        low, high = self.support(*shapes)
        within = logical_and.bind(greater_equal.bind(whole, low), less.bind(whole, high))
        value = self.formulas[method](select.bind(within, whole, low), *shapes)
        value = select.bind(less.bind(whole, low), below, select.bind(within, value, 1 - below))
        return self._checked(value, point, shapes)

    def cdf(self, k: Any, *args: Any, **keywords: Any) -> Array:
        """The probability of at most k."""
        return self._sum("cdf", 0.0, k, args, keywords)

    def sf(self, k: Any, *args: Any, **keywords: Any) -> Array:
        """The probability of more than k."""
        return self._sum("sf", 1.0, k, args, keywords)

    def logcdf(self, k: Any, *args: Any, **keywords: Any) -> Array:
        """The logarithm of the probability of at most k."""
        return wrap(log.bind(operand(self._sum("cdf", 0.0, k, args, keywords, "logcdf"))))

    def logsf(self, k: Any, *args: Any, **keywords: Any) -> Array:
        """The logarithm of the probability of more than k."""
        return wrap(log.bind(operand(self._sum("sf", 1.0, k, args, keywords, "logsf"))))
