"""Elementary transcendental functions: powers, exponentials, logarithms, trigonometric and hyperbolic functions.

Derivatives: NIST Digital Library of Mathematical Functions, chapters 4.4-4.40.
"""

from __future__ import annotations

import math
from typing import Any

from fad.core.samples import case, complexes, f32, f64, i64, reals
from fad.primitives.arithmetic import equal, select
from fad.primitives.elementwise_rules import elementwise

__all__ = [
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "cbrt",
    "cos",
    "cosh",
    "exp",
    "exp2",
    "expm1",
    "float_power",
    "heaviside",
    "hypot",
    "ldexp",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "power",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
]

_ANY = [*reals((-2, 2), half=True), *complexes((-1, 1))]
_POSITIVE = [*reals((0.3, 3), half=True), *complexes((0.3, 2))]
_UNIT = [*reals((-0.8, 0.8)), *complexes((0.1, 0.8))]
_LN2, _LN10 = math.log(2.0), math.log(10.0)

exp = elementwise("exp", impl="exp", partials=[lambda out, _x: out], kernel=lambda k, x: k.exp(x), samples=_ANY)
exp2 = elementwise(
    "exp2", impl="exp2", partials=[lambda out, _x: out * _LN2], kernel=lambda k, x: k.exp2(x), samples=_ANY
)
expm1 = elementwise(
    "expm1", impl="expm1", partials=[lambda out, _x: out + 1], kernel=lambda k, x: k.expm1(x), samples=_ANY
)
log = elementwise(
    "log", impl="log", partials=[lambda _, x: 1 / x], singular=True, kernel=lambda k, x: k.log(x), samples=_POSITIVE
)
log2 = elementwise(
    "log2",
    impl="log2",
    partials=[lambda _, x: 1 / (x * _LN2)],
    singular=True,
    kernel=lambda k, x: k.log2(x),
    samples=_POSITIVE,
)
log10 = elementwise(
    "log10",
    impl="log10",
    partials=[lambda _, x: 1 / (x * _LN10)],
    singular=True,
    kernel=lambda k, x: k.log10(x),
    samples=_POSITIVE,
)
log1p = elementwise(
    "log1p",
    impl="log1p",
    partials=[lambda _, x: 1 / (x + 1)],
    singular=True,
    kernel=lambda k, x: k.log1p(x),
    samples=_POSITIVE,
)
sqrt = elementwise(
    "sqrt",
    impl="sqrt",
    partials=[lambda out, _x: 0.5 / out],
    singular=True,
    kernel=lambda k, x: k.sqrt(x),
    samples=_POSITIVE,
)
cbrt = elementwise(
    "cbrt",
    impl="cbrt",
    partials=[lambda out, _x: 1 / (3 * out * out)],
    singular=True,
    kernel=lambda k, x: k.cbrt(x),
    samples=[*reals((0.3, 3)), *reals((-3, -0.3))],
)

sin = elementwise("sin", impl="sin", partials=[lambda _, x: cos.bind(x)], kernel=lambda k, x: k.sin(x), samples=_ANY)
cos = elementwise("cos", impl="cos", partials=[lambda _, x: -sin.bind(x)], kernel=lambda k, x: k.cos(x), samples=_ANY)
tan = elementwise(
    "tan", impl="tan", partials=[lambda out, _x: 1 + out * out], kernel=lambda k, x: k.tan(x), samples=_UNIT
)
arcsin = elementwise(
    "arcsin",
    impl="arcsin",
    partials=[lambda _, x: 1 / sqrt.bind(1 - x * x)],
    singular=True,
    kernel=lambda k, x: k.arcsin(x),
    samples=_UNIT,
)
arccos = elementwise(
    "arccos",
    impl="arccos",
    partials=[lambda _, x: -1 / sqrt.bind(1 - x * x)],
    singular=True,
    kernel=lambda k, x: k.arccos(x),
    samples=_UNIT,
)
arctan = elementwise(
    "arctan", impl="arctan", partials=[lambda _, x: 1 / (1 + x * x)], kernel=lambda k, x: k.arctan(x), samples=_UNIT
)
sinh = elementwise(
    "sinh", impl="sinh", partials=[lambda _, x: cosh.bind(x)], kernel=lambda k, x: k.sinh(x), samples=_ANY
)
cosh = elementwise(
    "cosh", impl="cosh", partials=[lambda _, x: sinh.bind(x)], kernel=lambda k, x: k.cosh(x), samples=_ANY
)
tanh = elementwise(
    "tanh", impl="tanh", partials=[lambda out, _x: 1 - out * out], kernel=lambda k, x: k.tanh(x), samples=_ANY
)
arcsinh = elementwise(
    "arcsinh",
    impl="arcsinh",
    partials=[lambda _, x: 1 / sqrt.bind(1 + x * x)],
    kernel=lambda k, x: k.arcsinh(x),
    samples=_ANY,
)
arccosh = elementwise(
    "arccosh",
    impl="arccosh",
    partials=[lambda _, x: 1 / (sqrt.bind(x - 1) * sqrt.bind(x + 1))],
    singular=True,
    kernel=lambda k, x: k.arccosh(x),
    samples=[*reals((1.3, 3)), *complexes((1.2, 2))],
)
arctanh = elementwise(
    "arctanh",
    impl="arctanh",
    partials=[lambda _, x: 1 / (1 - x * x)],
    singular=True,
    kernel=lambda k, x: k.arctanh(x),
    samples=_UNIT,
)


# --- functions of two arguments -----------------------------------------------------------------------------------------------------------------


def _power_by_base(_: Any, x: Any, y: Any) -> Any:
    # y x**(y-1); where y is 0 the function is constant in x, also at x = 0.
    return y * power.bind(x, select.bind(equal.bind(y, 0), 1.0, y - 1))


def _power_by_exponent(out: Any, x: Any, _y: Any) -> Any:
    # x**y log x, whose limit at x = 0 is 0 for y > 0; log 1 = 0 stands in there so that no NaN is made.
    return out * log.bind(select.bind(equal.bind(x, 0), 1.0, x))


def _power(name: str, impl: str) -> Any:
    return elementwise(
        name,
        impl=impl,
        partials=[_power_by_base, _power_by_exponent],
        singular=True,
        kernel=lambda k, x, y: k.power(x, y),
        samples=[*reals((0.3, 2), (-2, 2)), *complexes((0.5, 1.5), (-1, 1))],
        doc="The derivative by the exponent is 0 at base 0; it is NaN for negative bases, where the function is not smooth.",
    )


power = _power("power", "power")
float_power = _power("float_power", "float_power")


def _arctan2_scale(x: Any, y: Any) -> Any:
    return x * x + y * y


arctan2 = elementwise(
    "arctan2",
    impl="arctan2",
    partials=[lambda _, x, y: y / _arctan2_scale(x, y), lambda _, x, y: -x / _arctan2_scale(x, y)],
    singular=True,
    kernel=lambda k, x, y: k.arctan2(x, y),
    samples=[*reals((0.3, 2), (-2, 2)), *reals((-2, -0.3), (-2, 2))],
)


def _unit_ratio(x: Any, out: Any) -> Any:
    """X / out with 0 / 0 = 0: the subgradient 0 of a norm at the origin."""
    return x / select.bind(equal.bind(out, 0), 1.0, out)


hypot = elementwise(
    "hypot",
    impl="hypot",
    partials=[lambda out, x, _y: _unit_ratio(x, out), lambda out, _x, y: _unit_ratio(y, out)],
    kernel=lambda k, x, y: k.hypot(x, y),
    samples=[*reals((0.3, 2), (-2, 2)), *reals((-2, -0.3), (-2, 2))],
    doc="The derivative at the origin is 0.",
)


def _difference(x: Any, out: Any) -> Any:
    """X - out, and 0 where both are the same infinity."""
    same = equal.bind(x, out)
    return select.bind(same, 0.0, x - select.bind(same, 0.0, out))


logaddexp = elementwise(
    "logaddexp",
    impl="logaddexp",
    partials=[lambda out, x, _y: exp.bind(_difference(x, out)), lambda out, _x, y: exp.bind(_difference(y, out))],
    kernel=lambda k, x, y: k.logaddexp(x, y),
    samples=reals((-2, 2), (-2, 2)),
)
logaddexp2 = elementwise(
    "logaddexp2",
    impl="logaddexp2",
    partials=[lambda out, x, _y: exp2.bind(_difference(x, out)), lambda out, _x, y: exp2.bind(_difference(y, out))],
    kernel=lambda k, x, y: k.logaddexp2(x, y),
    samples=reals((-2, 2), (-2, 2)),
)

heaviside = elementwise(
    "heaviside",
    impl="heaviside",
    partials=[None, lambda _, x, _y: select.bind(equal.bind(x, 0), 1.0, 0.0)],
    kernel=lambda k, x, y: k.heaviside(x, y),
    samples=reals((-2, 2), (0, 1)),
)
ldexp = elementwise(
    "ldexp",
    impl="ldexp",
    partials=[lambda _, _x, n: exp2.bind(n + 0.0), None],
    kernel=lambda k, x, n: k.ldexp(x, n),
    samples=[case(f64(2, 3), i64(3)), case(f32(3), i64(), check_order=1)],
)
