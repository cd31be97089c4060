"""``scipy.special`` on differentiable arrays: functions of real arguments, elementwise, under SciPy's names.

Where a derivative does not exist as a closed formula (the incomplete gamma and beta functions by their parameters), it is computed by quadrature, to about
twelve digits. Arguments of integer order (``polygamma``, ``expn``) carry no derivative.

Examples
--------
>>> import fad
>>> from fad.scipy import special
>>> fad.grad(special.gammainc, argnums=(0, 1))(2.0, 1.0)
(Array(-0.27619605), Array(0.36787944))
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fad.core.array import Array, wrap
from fad.core.avals import aval_of, dtype_of, shape_of
from fad.core.errors import ArgumentError, DTypeError
from fad.core.primitive import Primitive
from fad.core.trace import Tracer, concrete_value
from fad.numpy import ufuncs
from fad.numpy.conversion import axis_numbers, float_operand, operand, operands
from fad.numpy.elementwise import sinc
from fad.numpy.reductions import kept_axes, logsumexp
from fad.primitives import hypergeometric, incomplete, reduction
from fad.primitives import special as rules
from fad.primitives.math_functions import exp
from fad.primitives.structural import convert
from fad.primitives.zeta_function import riemann_zeta
from fad.primitives.zeta_function import zeta as zeta_rule

__all__ = [
    "beta",
    "betainc",
    "betaincc",
    "betaincinv",
    "betaln",
    "binom",
    "cbrt",
    "dawsn",
    "digamma",
    "ellipe",
    "ellipk",
    "entr",
    "erf",
    "erfc",
    "erfcinv",
    "erfcx",
    "erfinv",
    "exp1",
    "exp2",
    "expi",
    "expit",
    "expm1",
    "expn",
    "factorial",
    "gamma",
    "gammainc",
    "gammaincc",
    "gammainccinv",
    "gammaincinv",
    "gammaln",
    "gammasgn",
    "hyp2f1",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "j0",
    "j1",
    "kl_div",
    "log1p",
    "log_expit",
    "log_ndtr",
    "log_softmax",
    "loggamma",
    "logit",
    "logsumexp",
    "multigammaln",
    "ndtr",
    "ndtri",
    "poch",
    "polygamma",
    "psi",
    "rel_entr",
    "rgamma",
    "sinc",
    "softmax",
    "spence",
    "xlog1py",
    "xlogy",
    "y0",
    "y1",
    "zeta",
]

cbrt, exp2, expm1, log1p = (ufuncs.UFUNCS[name] for name in ("cbrt", "exp2", "expm1", "log1p"))


def _elementwise(name: str, rule: Primitive, arguments: str, text: str, example: str) -> Callable[..., Array]:
    """A function of array-likes; ``arguments`` are its parameters' names."""
    names = arguments.split(", ")

    def function(*args: Any) -> Array:
        if len(args) != len(names):
            raise ArgumentError(f"fad.scipy.special.{name}({arguments}) takes {len(names)} arguments, got {len(args)}")
        return wrap(rule.bind(*operands(f"fad.scipy.special.{name}", *args)))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"{text}\n\nParameters\n----------\n{arguments} : array_like\n    Real values, broadcast against each other.\n\n"
        "Returns\n-------\nArray\n    Elementwise; integers give float64.\n\nRaises\n------\nDTypeError\n    For complex values.\n\n"
        f"Examples\n--------\n>>> from fad.scipy import special\n>>> y = special.{name}({example})\n"
    )
    return function


beta = _elementwise(
    "beta", rules.beta_function, "a, b", "The beta function gamma(a) gamma(b) / gamma(a + b).", "0.5, 2.0"
)
betainc = _elementwise(
    "betainc", incomplete.betainc, "a, b, x", "The regularised incomplete beta function.", "0.5, 2.0, 0.3"
)
betaincinv = _elementwise(
    "betaincinv", incomplete.betaincinv, "a, b, y", "The x at which ``betainc(a, b, x) = y``.", "0.5, 2.0, 0.3"
)
betaln = _elementwise(
    "betaln", rules.betaln, "a, b", "The logarithm of the absolute value of the beta function.", "0.5, 2.0"
)
binom = _elementwise("binom", rules.binom, "n, k", "The binomial coefficient, for real arguments too.", "5.0, 2.0")
dawsn = _elementwise(
    "dawsn", rules.dawsn, "x", "Dawson's integral ``exp(-x**2) * integral of exp(t**2) over (0, x)``.", "0.5"
)
digamma = _elementwise("digamma", rules.digamma, "x", "The derivative of the logarithm of the gamma function.", "0.5")
ellipe = _elementwise(
    "ellipe",
    hypergeometric.ellipe,
    "m",
    "The complete elliptic integral of the second kind: that of ``sqrt(1 - m sin(t)**2)`` over (0, pi/2).",
    "0.5",
)
ellipk = _elementwise(
    "ellipk",
    hypergeometric.ellipk,
    "m",
    "The complete elliptic integral of the first kind: that of ``1 / sqrt(1 - m sin(t)**2)`` over (0, pi/2).",
    "0.5",
)
entr = _elementwise("entr", rules.entr, "x", "The entropy term ``-x log(x)``, 0 at 0, -inf below it.", "0.5")
erf = _elementwise("erf", rules.erf, "x", "The error function.", "0.5")
erfc = _elementwise(
    "erfc", rules.erfc, "x", "The complementary error function ``1 - erf(x)``, without its cancellation.", "0.5"
)
erfcinv = _elementwise("erfcinv", rules.erfcinv, "y", "The inverse of ``erfc``.", "0.5")
erfcx = _elementwise("erfcx", rules.erfcx, "x", "The scaled complementary error function ``exp(x**2) erfc(x)``.", "0.5")
erfinv = _elementwise("erfinv", rules.erfinv, "y", "The inverse of ``erf``.", "0.5")
exp1 = _elementwise(
    "exp1", rules.exp1, "x", "The exponential integral E1: that of ``exp(-t) / t`` over (x, inf).", "0.5"
)
expi = _elementwise(
    "expi", rules.expi, "x", "The exponential integral Ei: that of ``exp(t) / t`` over (-inf, x).", "0.5"
)
expit = _elementwise("expit", rules.expit, "x", "The logistic function ``1 / (1 + exp(-x))``.", "0.5")
gamma = _elementwise("gamma", rules.gamma_function, "x", "The gamma function.", "0.5")
gammainc = _elementwise(
    "gammainc", incomplete.gammainc, "a, x", "The regularised lower incomplete gamma function.", "2.0, 0.5"
)
gammaincc = _elementwise(
    "gammaincc", incomplete.gammaincc, "a, x", "The regularised upper incomplete gamma function.", "2.0, 0.5"
)
gammaincinv = _elementwise(
    "gammaincinv", incomplete.gammaincinv, "a, y", "The x at which ``gammainc(a, x) = y``.", "2.0, 0.5"
)
gammaln = _elementwise(
    "gammaln", rules.lgamma, "x", "The logarithm of the absolute value of the gamma function.", "0.5"
)
gammasgn = _elementwise(
    "gammasgn", rules.gammasgn, "x", "The sign of the gamma function; it carries no derivative.", "-0.5"
)
i0 = _elementwise("i0", rules.i0, "x", "The modified Bessel function of order 0.", "0.5")
i0e = _elementwise("i0e", rules.i0e, "x", "``exp(-|x|) i0(x)``.", "0.5")
i1 = _elementwise("i1", rules.i1, "x", "The modified Bessel function of order 1.", "0.5")
i1e = _elementwise("i1e", rules.i1e, "x", "``exp(-|x|) i1(x)``.", "0.5")
j0 = _elementwise("j0", rules.j0, "x", "The Bessel function of the first kind of order 0.", "0.5")
j1 = _elementwise("j1", rules.j1, "x", "The Bessel function of the first kind of order 1.", "0.5")
log_expit = _elementwise(
    "log_expit", rules.log_expit, "x", "The logarithm of the logistic function, without overflow.", "-800.0"
)
log_ndtr = _elementwise(
    "log_ndtr",
    rules.log_ndtr,
    "x",
    "The logarithm of the normal distribution function, exact far in the tail.",
    "-40.0",
)
logit = _elementwise("logit", rules.logit, "x", "``log(x / (1 - x))``, the inverse of ``expit``.", "0.5")
ndtr = _elementwise("ndtr", rules.ndtr, "x", "The distribution function of the standard normal distribution.", "0.5")
ndtri = _elementwise("ndtri", rules.ndtri, "y", "The inverse of ``ndtr``.", "0.5")
poch = _elementwise("poch", rules.poch, "z, m", "Pochhammer's symbol ``gamma(z + m) / gamma(z)``.", "2.0, 3.0")
psi = _elementwise("psi", rules.digamma, "x", "The derivative of the logarithm of the gamma function.", "0.5")
rel_entr = _elementwise(
    "rel_entr", rules.rel_entr, "x, y", "The relative entropy term ``x log(x / y)``, 0 where x is 0.", "0.5, 0.2"
)
spence = _elementwise(
    "spence", hypergeometric.spence, "z", "Spence's function, the integral of ``log(t) / (1 - t)`` over (1, z).", "0.5"
)
xlog1py = _elementwise("xlog1py", rules.xlog1py, "x, y", "``x log(1 + y)``, 0 where x is 0.", "0.0, -1.0")
xlogy = _elementwise("xlogy", rules.xlogy, "x, y", "``x log(y)``, 0 where x is 0.", "0.0, 0.0")
y0 = _elementwise("y0", rules.y0, "x", "The Bessel function of the second kind of order 0.", "0.5")
y1 = _elementwise("y1", rules.y1, "x", "The Bessel function of the second kind of order 1.", "0.5")


def _integer_order(function: str, n: Any) -> Any:
    """An order: integers, or known whole numbers."""
    found = operand(n, f"fad.scipy.special.{function}")
    if dtype_of(found).kind in "iub":
        return found
    known = concrete_value(found) if isinstance(found, Tracer) else found
    if known is not None and dtype_of(found).kind == "f":
        whole = convert(known, dtype_of(1))
        if bool((whole == known).all()):
            return whole.item() if not shape_of(whole) else whole
    raise DTypeError(f"fad.scipy.special.{function}: the order n must be an integer, got {aval_of(found)}")


def polygamma(n: Any, x: Any) -> Array:
    """The n-th derivative of ``digamma``.

    Parameters
    ----------
    n : int or integer array
        The order, not negative; it carries no derivative.
    x : array_like
        Real values.

    Returns
    -------
    Array
        Elementwise.

    Raises
    ------
    DTypeError
        If the order is not an integer.

    Examples
    --------
    >>> from fad.scipy import special
    >>> special.polygamma(1, 1.0)
    Array(1.64493407)
    """
    return wrap(rules.polygamma.bind(_integer_order("polygamma", n), operand(x, "fad.scipy.special.polygamma")))


def expn(n: Any, x: Any) -> Array:
    """The generalised exponential integral: that of ``exp(-x t) / t**n`` over t > 1.

    Parameters
    ----------
    n : int or integer array
        The order, not negative; it carries no derivative.
    x : array_like
        Positive real values.

    Returns
    -------
    Array
        Elementwise.

    Raises
    ------
    DTypeError
        If the order is not an integer.

    Examples
    --------
    >>> from fad.scipy import special
    >>> special.expn(2, 1.0)
    Array(0.14849551)
    """
    return wrap(rules.expn.bind(_integer_order("expn", n), operand(x, "fad.scipy.special.expn")))


def hyp2f1(a: Any, b: Any, c: Any, z: Any) -> Array:
    """Gauss's hypergeometric function 2F1.

    Parameters
    ----------
    a, b, c : array_like
        Real parameters; they carry no derivative.
    z : array_like
        Real values up to 1.

    Returns
    -------
    Array
        Elementwise; NaN above 1.

    Raises
    ------
    NonDifferentiableError
        If a derivative by a parameter is needed.

    Examples
    --------
    >>> import fad
    >>> from fad.scipy import special
    >>> fad.grad(special.hyp2f1, argnums=3)(1.0, 1.0, 2.0, 0.5)
    Array(1.2274113)
    """
    *parameters, x = operands("fad.scipy.special.hyp2f1", a, b, c, z)
    held = [rules.held_constant.bind(p, reason=_PARAMETERS_HELD) for p in parameters]
    return wrap(hypergeometric.hyp2f1.bind(*held, x))


_PARAMETERS_HELD = "hyp2f1 has a derivative by its argument z only; apply fad.stop_gradient to the parameters a, b and c, or leave them out of argnums"


def loggamma(z: Any) -> Array:
    """The principal branch of the logarithm of the gamma function, analytic but for a cut along the negative real axis.

    Parameters
    ----------
    z : array_like
        Real or complex values; of real ones the positive.

    Returns
    -------
    Array
        Elementwise; NaN for negative real values.

    Notes
    -----
    Of complex values there is the first derivative, ``digamma``; SciPy does not have the functions that the second one needs.

    Examples
    --------
    >>> import fad
    >>> from fad.scipy import special
    >>> fad.grad(special.loggamma, holomorphic=True)(1.0 + 1.0j)
    Array(0.09465032+1.07667405j)
    """
    return wrap(rules.loggamma.bind(operand(z, "fad.scipy.special.loggamma")))


def zeta(x: Any, q: Any = None) -> Array:
    """Hurwitz's zeta function, the sum of ``(k + q)**-x`` over k >= 0; without ``q`` Riemann's.

    Parameters
    ----------
    x : array_like
        The exponent. With ``q`` above 1; without it any real number: Riemann's function is continued below 1.
    q : array_like, optional
        Positive.

    Returns
    -------
    Array
        Elementwise.

    Notes
    -----
    Derivatives by ``x`` are sums over logarithms, with the formula of Euler and Maclaurin for the terms from the twentieth on.

    Examples
    --------
    >>> import fad
    >>> from fad.scipy import special
    >>> special.zeta(2.0)
    Array(1.64493407)
    >>> fad.grad(special.zeta)(2.0)
    Array(-0.93754825)
    """
    if q is None:
        return wrap(riemann_zeta.bind(operand(x, "fad.scipy.special.zeta")))
    return wrap(zeta_rule.bind(*operands("fad.scipy.special.zeta", x, q)))


def rgamma(x: Any) -> Array:
    """The reciprocal of the gamma function, for positive x.

    Parameters
    ----------
    x : array_like
        Real values.

    Returns
    -------
    Array
        Elementwise; infinities of the gamma function give 0.

    Examples
    --------
    >>> from fad.scipy import special
    >>> special.rgamma(4.0)
    Array(0.16666667)
    """
    return wrap(1 / rules.gamma_function.bind(operand(x, "fad.scipy.special.rgamma")))


def factorial(n: Any) -> Array:
    """``gamma(n + 1)``: n! for whole numbers, and between them.

    Parameters
    ----------
    n : array_like
        Real values; SciPy's 0 for negative ones is not copied.

    Returns
    -------
    Array
        Elementwise, floating point.

    Examples
    --------
    >>> from fad.scipy import special
    >>> special.factorial(4)
    Array(24.)
    """
    return wrap(rules.gamma_function.bind(float_operand(n, "fad.scipy.special.factorial") + 1))


def betaincc(a: Any, b: Any, x: Any) -> Array:
    """The complement ``1 - betainc(a, b, x)``, without its cancellation.

    Parameters
    ----------
    a, b, x : array_like
        Real values, broadcast against each other.

    Returns
    -------
    Array
        Elementwise.

    Examples
    --------
    >>> from fad.scipy import special
    >>> special.betaincc(2.0, 1.0, 0.5)
    Array(0.75)
    """
    first, second, point = operands("fad.scipy.special.betaincc", a, b, x)
    return wrap(incomplete.betainc.bind(second, first, 1 - point))


def gammainccinv(a: Any, y: Any) -> Array:
    """The x at which ``gammaincc(a, x) = y``.

    Parameters
    ----------
    a, y : array_like
        Real values, broadcast against each other. Digits are lost for y below 1e-8.

    Returns
    -------
    Array
        Elementwise.

    Examples
    --------
    >>> from fad.scipy import special
    >>> special.gammaincc(2.0, special.gammainccinv(2.0, 0.25))
    Array(0.25)
    """
    concentration, level = operands("fad.scipy.special.gammainccinv", a, y)
    return wrap(incomplete.gammaincinv.bind(concentration, 1 - level))


def kl_div(x: Any, y: Any) -> Array:
    """The Kullback-Leibler term ``x log(x / y) - x + y``.

    Parameters
    ----------
    x, y : array_like
        Real values, broadcast against each other.

    Returns
    -------
    Array
        Elementwise.

    Examples
    --------
    >>> from fad.scipy import special
    >>> special.kl_div(0.5, 0.5)
    Array(0.)
    """
    first, second = operands("fad.scipy.special.kl_div", x, y)
    return wrap(rules.rel_entr.bind(first, second) - first + second)


def multigammaln(a: Any, d: int) -> Array:
    """The logarithm of the multivariate gamma function, DLMF 35.3.4.

    Parameters
    ----------
    a : array_like
        Above ``(d - 1) / 2``.
    d : int
        The dimension.

    Returns
    -------
    Array
        Elementwise.

    Examples
    --------
    >>> from fad.scipy import special
    >>> special.multigammaln(2.5, 1)
    Array(0.28468287)
    """
    if not isinstance(d, int) or d < 1:
        raise ArgumentError(f"fad.scipy.special.multigammaln: the dimension d must be a positive int, got {d!r}")
    x = float_operand(a, "fad.scipy.special.multigammaln")
    total = rules.lgamma.bind(x) + d * (d - 1) / 4 * math.log(math.pi)
    for j in range(1, d):
        total = total + rules.lgamma.bind(x - j / 2)
    return wrap(total if dtype_of(total) == dtype_of(x) else convert(total, dtype_of(x)))


def _log_softmax(function: str, x: Any, axis: Any) -> Any:
    found = float_operand(x, f"fad.scipy.special.{function}")
    shape = shape_of(found)
    axes = axis_numbers(axis, len(shape), f"fad.scipy.special.{function}")
    return found - kept_axes(reduction.logsumexp(found, axes), shape, axes, True)


def softmax(x: Any, axis: Any = None) -> Array:
    """``exp(x) / sum(exp(x))`` along axes, without overflow.

    Parameters
    ----------
    x : array_like
        Real values.
    axis : int or tuple of int, optional
        The axes that sum to 1; by default all.

    Returns
    -------
    Array
        The shape of ``x``.

    Examples
    --------
    >>> from fad.scipy import special
    >>> special.softmax([1000.0, 1000.0])
    Array([0.5, 0.5])
    """
    return wrap(exp.bind(_log_softmax("softmax", x, axis)))


def log_softmax(x: Any, axis: Any = None) -> Array:
    """The logarithm of :func:`softmax`.

    Parameters
    ----------
    x : array_like
        Real values.
    axis : int or tuple of int, optional
        The axes that sum to 1; by default all.

    Returns
    -------
    Array
        The shape of ``x``.

    Examples
    --------
    >>> from fad.scipy import special
    >>> special.log_softmax([1000.0, 1000.0])
    Array([-0.69314718, -0.69314718])
    """
    return wrap(_log_softmax("log_softmax", x, axis))
