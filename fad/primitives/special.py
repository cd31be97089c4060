"""Special functions: error functions, gamma functions, Bessel functions, entropies and their derivatives. Values are SciPy's.

Formulas: NIST Digital Library of Mathematical Functions (DLMF); the number stands at each rule.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fad.core.avals import (
    aval_of,
    dtype_of,
    inexact_dtype,
    is_bfloat16,
    is_complex,
    result_dtype,
    weak_operand,
)
from fad.core.errors import DTypeError, NonDifferentiableError
from fad.core.primitive import Primitive
from fad.core.samples import c64, c128, case, f32, f64, literal, reals
from fad.primitives.arithmetic import equal, select, sign
from fad.primitives.elementwise_rules import elementwise, of_reals
from fad.primitives.math_functions import exp, log, log1p

__all__ = [
    "beta_function",
    "betaln",
    "binom",
    "computing_dtype",
    "dawsn",
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfcinv",
    "erfcx",
    "erfinv",
    "exp1",
    "expi",
    "expit",
    "expn",
    "gamma_function",
    "gammasgn",
    "held_constant",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "j0",
    "j1",
    "lgamma",
    "log_expit",
    "log_ndtr",
    "loggamma",
    "logit",
    "ndtr",
    "ndtri",
    "poch",
    "polygamma",
    "rel_entr",
    "special_module",
    "xlog1py",
    "xlogy",
    "y0",
    "y1",
]


def special_module(xp: Any) -> Any:
    """SciPy's special functions, or CuPy's; loaded when the first one is computed."""
    return importlib.import_module("scipy.special" if xp is np else "cupyx.scipy.special")


def computing_dtype(dtype: np.dtype) -> np.dtype:
    """float32 for the half precisions, which SciPy does not compute in."""
    return np.dtype(np.float32) if dtype == np.float16 or is_bfloat16(dtype) else dtype


def _implementation(name: str, function: Any) -> Any:
    """An impl that computes ``function``, a name of SciPy or ``f(xp, special, *arrays)``, in the result's dtype."""
    dtype_of_result = _real_floats(name)

    def impl(xp: Any, *args: Any) -> Any:
        dtype = dtype_of_result(*args)
        arrays = [xp.asarray(a, computing_dtype(dtype)) for a in args]
        module = special_module(xp)
        out = getattr(module, function)(*arrays) if isinstance(function, str) else function(xp, module, *arrays)
        return out if out.dtype == dtype else out.astype(dtype)

    return impl


def _real_floats(name: str) -> Any:
    """The dtype rule: promoted, integers to float64, complex values refused."""

    def rule(*args: Any) -> np.dtype:
        dtype = inexact_dtype(result_dtype(*[weak_operand(a) for a in args]))
        if is_complex(dtype):
            seen = ", ".join(str(aval_of(a)) for a in args)
            raise DTypeError(f"{name} is for real arguments, got {seen}; use the real and imaginary parts")
        return dtype

    return rule


def special_function(
    name: str,
    partials: Sequence[Any],
    samples: Any,
    *,
    function: Any = None,
    kernel: Any = None,
    singular: bool = False,
    doc: str = "",
) -> Primitive:
    """Declare a real special function; ``function`` is SciPy's name where it differs from ours, or a callable."""
    return elementwise(
        name,
        impl=_implementation(name, function or name),
        partials=partials,
        dtype=_real_floats(name),
        kernel=kernel,
        singular=singular,
        samples=samples,
        doc=doc,
    )


def _refuse_derivative(*args: Any, reason: str) -> Any:
    raise NonDifferentiableError(reason)


_refuse_derivative.missing_rule = "it marks values in which a function has no derivative rule"  # type: ignore[attr-defined]

held_constant = Primitive(
    "held_constant",
    impl=lambda xp, x, *, reason: x,
    shape=lambda x, *, reason: x,
    jvp=_refuse_derivative,
    vjp=_refuse_derivative,
    batch=lambda size, args, mapped, *, reason: (held_constant.bind(args[0], reason=reason), True),
    kernel="identity",
    samples=[case(f64(2, 3), reason="an example"), case(f32(), reason="an example")],
    doc="The value itself, where a derivative by it must be refused: the reason is the message.",
)


# --- error functions, DLMF 7.2 ------------------------------------------------------------------------------------------------

_TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)

erf = special_function(
    "erf",
    [lambda _, x: _TWO_OVER_ROOT_PI * exp.bind(-x * x)],  # 7.10.1
    reals((-2, 2), half=True),
    kernel=lambda k, x: k.erf(x),
)
erfc = special_function(
    "erfc",
    [lambda _, x: -_TWO_OVER_ROOT_PI * exp.bind(-x * x)],
    reals((-2, 2), half=True),
    kernel=lambda k, x: k.erfc(x),
)
erfinv = special_function(
    "erfinv",
    [lambda out, _x: exp.bind(out * out) / _TWO_OVER_ROOT_PI],
    reals((-0.9, 0.9)),
    kernel=lambda k, x: k.erfinv(x),
    singular=True,
)
erfcinv = special_function(
    "erfcinv", [lambda out, _x: -exp.bind(out * out) / _TWO_OVER_ROOT_PI], reals((0.2, 1.8)), singular=True
)
erfcx = special_function("erfcx", [lambda out, x: 2 * x * out - _TWO_OVER_ROOT_PI], reals((-1, 3)))
dawsn = special_function(
    "dawsn", [lambda out, x: 1 - 2 * x * out], reals((-2, 2)), doc="Dawson's integral, DLMF 7.2.5."
)

# --- the normal distribution -----------------------------------------------------------------------------------------------------

_LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)
_ROOT_HALF = math.sqrt(0.5)

ndtr = special_function(
    "ndtr",
    [lambda _, x: exp.bind(-0.5 * x * x - _LOG_ROOT_2PI)],
    reals((-2, 2)),
    kernel=lambda k, x: k.multiply(k.erfc(k.multiply(x, -_ROOT_HALF)), 0.5),
    doc="The distribution function of the standard normal distribution.",
)
ndtri = special_function(
    "ndtri", [lambda out, _x: exp.bind(0.5 * out * out + _LOG_ROOT_2PI)], reals((0.1, 0.9)), singular=True
)
log_ndtr = special_function("log_ndtr", [lambda out, x: exp.bind(-0.5 * x * x - _LOG_ROOT_2PI - out)], reals((-4, 2)))

# --- the logistic function -------------------------------------------------------------------------------------------------------


def _logit_kernel(k: Any, x: Any) -> Any:
    """2 artanh(2 x - 1) in the middle, where the logarithms would cancel."""
    near = k.multiply(k.arctanh(k.subtract(k.multiply(x, 2), 1)), 2)
    far = k.subtract(k.log(x), k.log1p(k.negative(x)))
    return k.select(k.less(k.absolute(k.subtract(x, 0.5)), 0.25), near, far)


expit = special_function(
    "expit", [lambda out, _x: out * (1 - out)], reals((-3, 3), half=True), kernel=lambda k, x: k.expit(x)
)
logit = special_function(
    "logit", [lambda _, x: 1 / (x * (1 - x))], reals((0.1, 0.9)), kernel=_logit_kernel, singular=True
)
log_expit = special_function(
    "log_expit",
    [lambda _, x: expit.bind(-x)],
    reals((-3, 3)),
    kernel=lambda k, x: k.log_expit(x),
    doc="log(1 / (1 + exp(-x))) without overflow.",
)

# --- gamma functions, DLMF 5 -----------------------------------------------------------------------------------------------------

# polygamma's order carries no derivative: it is an integer
polygamma = special_function(
    "polygamma",
    [None, lambda _, n, x: polygamma.bind(n + 1, x)],
    [case(literal(n), f64(2, 3, low=0.3, high=3)) for n in (0, 1, 2)]
    + [
        case(literal(np.array([1, 2, 0])), f64(2, 3, low=0.5, high=4)),
        case(literal(1), f32(3, low=0.5, high=3)),
    ],
    doc="The n-th derivative of digamma, DLMF 5.15.",
)
digamma = special_function(
    "digamma",
    [lambda _, x: polygamma.bind(1.0, x)],
    [*reals((0.3, 5)), *reals((-0.8, -0.2))],
    function="psi",
    kernel=lambda k, x: k.digamma(x),
    doc="The derivative of the logarithm of the gamma function, DLMF 5.2.2.",
)
lgamma = special_function(
    "lgamma",
    [lambda _, x: digamma.bind(x)],
    [*reals((0.3, 5)), *reals((-0.8, -0.2))],
    function="gammaln",
    kernel=lambda k, x: k.lgamma(x),
    doc="The logarithm of the absolute value of the gamma function.",
)


def _complex_dtype(*args: Any) -> np.dtype:
    return inexact_dtype(result_dtype(*[weak_operand(a) for a in args]))


def _principal(name: str) -> Any:
    """An impl for real and complex values; SciPy has no half precision."""

    def impl(xp: Any, x: Any) -> Any:
        dtype = _complex_dtype(x)
        return getattr(special_module(xp), name)(xp.asarray(x, computing_dtype(dtype))).astype(dtype)

    return impl


def _no_complex_trigamma(_: Any, x: Any) -> Any:
    raise NonDifferentiableError(
        "digamma of complex values has no derivative rule here, so loggamma of them has a first derivative only: SciPy does not have the "
        "polygamma functions of complex values"
    )


complex_digamma = elementwise(
    "complex_digamma",
    impl=_principal("psi"),
    partials=[_no_complex_trigamma],
    dtype=_complex_dtype,
    kernel=None,
    samples=[case(c128(2, 3), check_order=0), case(c64(3), check_order=0)],
    doc="Digamma of complex values.",
)
loggamma = elementwise(
    "loggamma",
    impl=_principal("loggamma"),
    partials=[lambda _, x: (complex_digamma if is_complex(dtype_of(x)) else digamma).bind(x)],
    dtype=_complex_dtype,
    kernel=None,
    samples=[*reals((0.3, 5)), case(c128(2, 3), check_order=1), case(c64(3), check_order=1)],
    doc="The principal branch of the logarithm of the gamma function, DLMF 5.2.1.",
)
gamma_function = special_function(
    "gamma_function", [lambda out, x: out * digamma.bind(x)], reals((0.3, 4)), function="gamma"
)
gammasgn = elementwise(
    "gammasgn",
    impl=_implementation("gammasgn", "gammasgn"),
    partials=None,
    arity=1,
    dtype=_real_floats("gammasgn"),
    kernel=None,
    samples=reals((-3.5, 3)),
    doc="The sign of the gamma function.",
)
betaln = special_function(
    "betaln",
    [
        lambda _, a, b: digamma.bind(a) - digamma.bind(a + b),
        lambda _, a, b: digamma.bind(b) - digamma.bind(a + b),
    ],
    reals((0.3, 4), (0.3, 4)),
    doc="The logarithm of the absolute value of the beta function, DLMF 5.12.1.",
)
beta_function = special_function(
    "beta_function",
    [
        lambda out, a, b: out * (digamma.bind(a) - digamma.bind(a + b)),
        lambda out, a, b: out * (digamma.bind(b) - digamma.bind(a + b)),
    ],
    reals((0.3, 4), (0.3, 4)),
    function="beta",
)
poch = special_function(
    "poch",
    [
        lambda out, z, m: out * (digamma.bind(z + m) - digamma.bind(z)),
        lambda out, z, m: out * digamma.bind(z + m),
    ],
    reals((0.3, 3), (0.3, 3)),
    doc="Pochhammer's symbol gamma(z + m) / gamma(z), DLMF 5.2.5.",
)
binom = special_function(
    "binom",
    [
        lambda out, n, k: out * (digamma.bind(n + 1) - digamma.bind(n - k + 1)),
        lambda out, n, k: out * (digamma.bind(n - k + 1) - digamma.bind(k + 1)),
    ],
    reals((3.1, 5), (0.3, 2)),
    doc="The binomial coefficient for real arguments, DLMF 1.2.6.",
)

# --- logarithms with 0 log 0 = 0 ------------------------------------------------------------------------------------------------


def _ratio_or_zero(x: Any, y: Any) -> Any:
    """X / y, and 0 where x is 0, whatever y."""
    vanishes = equal.bind(x, 0)
    return select.bind(vanishes, 0.0, x / select.bind(vanishes, 1.0, y))


def _times_log_kernel(log_of: str) -> Any:
    def kernel(k: Any, x: Any, y: Any) -> Any:
        vanishes = k.logical_and(k.equal(x, 0), k.logical_not(k.isnan(y)))
        return k.select(vanishes, k.zero(x), k.multiply(x, getattr(k, log_of)(y)))

    return kernel


xlogy = special_function(
    "xlogy",
    [of_reals(lambda _, _x, y: log.bind(y)), lambda _, x, y: _ratio_or_zero(x, y)],
    reals((-2, 2), (0.3, 3)),
    kernel=_times_log_kernel("log"),
    singular=True,
    doc="x log y, and 0 where x is 0.",
)
xlog1py = special_function(
    "xlog1py",
    [of_reals(lambda _, _x, y: log1p.bind(y)), lambda _, x, y: _ratio_or_zero(x, 1 + y)],
    reals((-2, 2), (-0.5, 3)),
    kernel=_times_log_kernel("log1p"),
    singular=True,
    doc="x log(1 + y), and 0 where x is 0.",
)
entr = special_function(
    "entr", [lambda _, x: -1 - log.bind(x)], reals((0.1, 2)), singular=True, doc="-x log x, and 0 at 0."
)
rel_entr = special_function(
    "rel_entr",
    [lambda _, x, y: 1 + log.bind(x / y), of_reals(lambda _, x, y: -x / y)],
    reals((0.1, 2), (0.1, 2)),
    singular=True,
    doc="x log(x / y), and 0 where x is 0.",
)

# --- Bessel functions, DLMF 10.6 and 10.29 ---------------------------------------------------------------------------------------


def _over(out: Any, x: Any) -> Any:
    """J1(x) / x and I1(x) / x, which are 1/2 at 0."""
    origin = equal.bind(x, 0)
    return select.bind(origin, 0.5, out / select.bind(origin, 1.0, x))


i0 = special_function("i0", [lambda _, x: i1.bind(x)], reals((-3, 3)))
i1 = special_function("i1", [lambda out, x: i0.bind(x) - _over(out, x)], reals((-3, 3)))
i0e = special_function("i0e", [lambda out, x: i1e.bind(x) - sign.bind(x) * out], reals((0.1, 3)))
i1e = special_function("i1e", [lambda out, x: i0e.bind(x) - _over(out, x) - sign.bind(x) * out], reals((0.1, 3)))
j0 = special_function("j0", [lambda _, x: -j1.bind(x)], reals((-3, 3)))
j1 = special_function("j1", [lambda out, x: j0.bind(x) - _over(out, x)], reals((-3, 3)))
y0 = special_function("y0", [lambda _, x: -y1.bind(x)], reals((0.3, 3)), singular=True)
y1 = special_function("y1", [lambda out, x: y0.bind(x) - out / x], reals((0.3, 3)), singular=True)

# --- exponential integrals, DLMF 6.2 and 8.19 --------------------------------------------------------------------------------------


def _expn_slope(_: Any, n: Any, x: Any) -> Any:
    """-E_{n-1}, 8.19.13; E_0 is exp(-x) / x."""
    lowest = equal.bind(n, 0)
    zeroth = exp.bind(-x) / x
    return select.bind(lowest, -zeroth * (1 + 1 / x), -expn.bind(select.bind(lowest, 0, n - 1), x))


exp1 = special_function("exp1", [lambda _, x: -exp.bind(-x) / x], reals((0.3, 3)), singular=True)
expi = special_function("expi", [lambda _, x: exp.bind(x) / x], reals((0.3, 3)), singular=True)
expn = special_function(
    "expn",
    [None, _expn_slope],
    [case(literal(n), f64(2, 3, low=0.3, high=3)) for n in (0, 1, 3)],
    singular=True,
)
