"""Elementary transcendental functions: powers, exponentials, logarithms, trigonometric and hyperbolic functions.

Derivatives: NIST Digital Library of Mathematical Functions, chapters 4.4-4.40.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fad.core.avals import ShapedArray, dtype_of
from fad.core.config import config
from fad.core.primitive import Primitive
from fad.core.samples import c128, case, complexes, f32, f64, i64, reals
from fad.primitives.arithmetic import equal, select
from fad.primitives.elementwise_rules import elementwise, of_reals, ufunc_dtype, zero_safe_multiply
from fad.primitives.structural import convert

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
    "frexp_exponent",
    "heaviside",
    "hypot",
    "integer_power",
    "ldexp",
    "log",
    "log1p",
    "log2",
    "log10",
    "log_hypot",
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
    if type(y) in (int, float):
        return y * power.bind(x, float(y - 1)) if y else 0.0
    return y * power.bind(x, select.bind(equal.bind(y, 0), 1.0, y - 1))


def _power_by_exponent(out: Any, x: Any, _y: Any) -> Any:
    if type(x) in (int, float) and x > 0:
        return out * math.log(x)
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


def _square_sum(x: Any, y: Any) -> Any:
    return x * x + y * y


arctan2 = elementwise(
    "arctan2",
    impl="arctan2",
    partials=[of_reals(lambda _, x, y: y / _square_sum(x, y)), of_reals(lambda _, x, y: -x / _square_sum(x, y))],
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


def _log_hypot(xp: Any, x: Any, y: Any) -> Any:
    z = xp.empty(np.broadcast_shapes(xp.shape(x), xp.shape(y)), np.result_type(x, y, np.complex64))
    z.real, z.imag = x, y
    return xp.log(z).real


log_hypot = elementwise(
    "log_hypot",
    impl=_log_hypot,
    partials=[of_reals(lambda _, x, y: x / _square_sum(x, y)), of_reals(lambda _, x, y: y / _square_sum(x, y))],
    singular=True,
    dtype="float",
    kernel=lambda k, x, y: k.log_hypot(x, y),
    samples=[*reals((0.3, 2), (-2, 2)), *reals((-2, -0.3), (-2, 2))],
    doc="The real part of the logarithm of a complex number, from its parts.",
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
    partials=[None, lambda _, x, y: convert(equal.bind(x, 0), dtype_of(y))],
    kernel=lambda k, x, y: k.heaviside(x, y),
    samples=reals((-2, 2), (0, 1)),
)
ldexp = elementwise(
    "ldexp",
    impl="ldexp",
    partials=[lambda out, _x, n: convert(exp2.bind(n + 0.0), dtype_of(out)), None],
    kernel=lambda k, x, n: k.ldexp(x, n),
    samples=[case(f64(2, 3), i64(3)), case(f32(3), i64(), check_order=1)],
)
frexp_exponent = elementwise(
    "frexp_exponent",
    impl=lambda xp, x: xp.frexp(x)[1],
    partials=None,
    arity=1,
    dtype=lambda x: np.dtype(np.int32),
    kernel=None,
    samples=[case(f64(2, 3, low=0.3, high=9)), case(f32(3)), case(f64()), case(f64(0, 2))],
    doc="The exponent e of x = m * 2**e with 0.5 <= |m| < 1.",
)


# --- constant integer exponents: no logarithm, and right for negative bases --------------------------------------------------------------


def _integer_power_slope(x: Any, exponent: int) -> Any:
    """The derivative of x**n."""
    if exponent in (0, 1):
        return float(exponent)
    if exponent == 2:
        return 2 * x
    return exponent * integer_power.bind(x, exponent=exponent - 1)


def _integer_power_term(factor: Any, x: Any, exponent: int) -> Any:
    slope = _integer_power_slope(x, exponent)
    if exponent < 0 and not config.strict_derivatives:
        return zero_safe_multiply.bind(factor, slope)
    return factor * slope


def _integer_power_jvp(primals: Any, tangents: Any, *, exponent: int) -> Any:
    with np.errstate(all="ignore"):
        return integer_power.bind(primals[0], exponent=exponent), _integer_power_term(tangents[0], primals[0], exponent)


def _integer_power_vjp(x: Any, *, exponent: int) -> Any:
    return integer_power.bind(x, exponent=exponent), lambda ct: [_integer_power_term(ct, x, exponent)]


integer_power = Primitive(
    "integer_power",
    impl=lambda xp, x, *, exponent: xp.power(x, exponent),
    shape=lambda x, *, exponent: ShapedArray(
        x.shape, ufunc_dtype("power", np.power, (x, ShapedArray((), np.int64, True)))
    ),
    jvp=_integer_power_jvp,
    vjp=_integer_power_vjp,
    batch=lambda size, args, mapped, *, exponent: (integer_power.bind(args[0], exponent=exponent), True),
    kernel=lambda k, x, *, exponent: k.integer_power(x, exponent),
    samples=[
        case(f64(2, 3), exponent=3),
        case(f64(2, 3, low=0.5), exponent=-2),
        case(f64(), exponent=0),
        case(f64(3), exponent=1),
        case(f64(0, 2), exponent=4),
        case(f32(3), exponent=5),
        case(c128(3), exponent=3),
        case(i64(3), exponent=2),
    ],
    doc="x**n for a constant integer n.",
)
