"""The scalar builder: NumPy's elementwise functions, one element at a time, as LLVM instructions.

A kernel writes the body of a loop against `ScalarBuilder`; LLVM's vectoriser turns the loop into vector code. Methods
are named like NumPy's functions, take and give `Value`s (an LLVM value and its NumPy dtype) and keep NumPy's meaning:
NaN, infinities, signed zeros, integer wrap-around, division by zero. Nothing here can trap.

Booleans are `i1` in registers and bytes in memory; float16 is stored as such and computed in float32, bfloat16 only stored
and converted; a complex value holds a pair of LLVM values, and can be moved, converted and taken apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm import scalar_casts, scalar_complex, scalar_float, scalar_integer, scalar_power
from fad.compiler.llvm.math_library import FUNCTIONS, call_target, definitions
from fad.compiler.llvm.scalar_value import BOOL, FLOAT32, Value, llvm_type, memory_type
from fad.core.avals import bfloat16, real_dtype
from fad.core.errors import DTypeError

__all__ = ["ScalarBuilder", "Value"]

_ALIASES = {
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arctan2": "atan2",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
    "float_power": "power",
    "logistic": "expit",
}
_ORDERED = {"equal": "==", "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">="}


class ScalarBuilder:
    """Builds scalar code at the position of an `ir.IRBuilder`.

    Parameters
    ----------
    builder : llvmlite.ir.IRBuilder
        Positioned where the instructions should go; a caller may move it.
    contract : bool
        Let LLVM fuse a product and a sum into one instruction. Off by default: compiled arithmetic then gives the
        same bits as NumPy, and ``x * x - y * y`` is zero where ``x == y``.

    Notes
    -----
    Besides the methods below there is one for every function of the math library (`math_library.FUNCTIONS`), for
    float32 and float64: ``exp``, ``log``, ``tanh``, ``erf``, ... and NumPy's names for them (``arcsin``, ``arctan2``).

    Examples
    --------
    >>> import llvmlite.ir as ir
    >>> import numpy as np
    >>> from fad.compiler.llvm.scalar import ScalarBuilder
    >>> module = ir.Module("example")
    >>> double = ir.DoubleType()
    >>> function = ir.Function(module, ir.FunctionType(double, [double]), "f")
    >>> k = ScalarBuilder(ir.IRBuilder(function.append_basic_block()))
    >>> x = k.wrap(function.args[0], np.float64)
    >>> y = k.add(k.exp(x), 1.0)
    >>> y.dtype
    dtype('float64')
    """

    def __init__(self, builder: ir.IRBuilder, contract: bool = False):
        self.builder = builder
        self._flags = ("contract",) if contract else ()

    # -- values and memory ------------------------------------------------------------------------------------------

    def wrap(self, value: ir.Value, dtype: Any) -> Value:
        """Give an LLVM value its NumPy dtype."""
        return Value(value, np.dtype(dtype))

    def constant(self, value: Any, dtype: Any) -> Value:
        """A constant of `dtype`; NumPy decides how `value` is converted."""
        dtype = np.dtype(dtype)
        if dtype == bfloat16:
            return Value(ir.Constant(llvm_type(dtype), int(np.asarray(value).astype(dtype).view(np.uint16))), dtype)
        number = np.asarray(value).astype(dtype).item()
        if dtype.kind == "c":
            part = real_dtype(dtype)
            return scalar_complex.join(self.constant(number.real, part), self.constant(number.imag, part))
        if dtype.kind == "f":
            return Value(ir.Constant(llvm_type(dtype), float(number)), dtype)
        return Value(ir.Constant(llvm_type(dtype), int(number)), dtype)

    def zero(self, like: Value) -> Value:
        """Zero of the dtype of `like`."""
        return self.constant(0, like.dtype)

    def one(self, like: Value) -> Value:
        """One of the dtype of `like`."""
        return self.constant(1, like.dtype)

    def join(self, real: Value, imaginary: Value) -> Value:
        """The complex number with these parts."""
        return scalar_complex.join(real, imaginary)

    def zero_like_product(self, x: Value, y: Value) -> Value:
        """Zero of the dtype of x * y."""
        return self.zero(self._pair("multiply", x, y)[0])

    def load(self, pointer: ir.Value, dtype: Any) -> Value:
        """Read an element from memory; `pointer` points to `memory_type(dtype)`."""
        dtype = np.dtype(dtype)
        if dtype.kind == "c":
            part = real_dtype(dtype)
            return scalar_complex.join(*[self.load(p, part) for p in self._part_pointers(pointer)])
        self._note_width(dtype)
        raw = self.builder.load(pointer, typ=memory_type(dtype))
        raw.align = dtype.itemsize
        if dtype == BOOL:
            return Value(self.builder.icmp_unsigned("!=", raw, ir.Constant(raw.type, 0)), dtype)
        return Value(raw, dtype)

    def store(self, value: Value, pointer: ir.Value) -> None:
        """Write an element to memory."""
        if value.dtype.kind == "c":
            for part, place in zip(scalar_complex.parts(value), self._part_pointers(pointer)):
                self.store(part, place)
            return
        self._note_width(value.dtype)
        raw = value.ir
        if value.dtype == BOOL:
            raw = self.builder.zext(raw, memory_type(BOOL))
        self.builder.store(raw, pointer, align=value.dtype.itemsize)

    def _part_pointers(self, pointer: ir.Value) -> list[ir.Value]:
        return [pointer, self.builder.gep(pointer, [ir.Constant(ir.IntType(64), 1)], inbounds=True)]

    def _note_width(self, dtype: np.dtype) -> None:
        if dtype.itemsize == 8:
            definitions(self.builder.module).has_wide_elements = True

    # -- plumbing ---------------------------------------------------------------------------------------------------

    def _pair(self, name: str, x: Value, y: Any) -> tuple[Value, Value]:
        """Both operands as values of one dtype; a Python number takes the dtype of the other."""
        if not isinstance(x, Value):
            x = self.constant(x, y.dtype)
        if not isinstance(y, Value):
            y = self.constant(y, x.dtype)
        if x.dtype != y.dtype:
            raise DTypeError(
                f"kernel function {name} got operands of dtypes {x.dtype} and {y.dtype}; convert one with k.astype"
            )
        if name != "select":
            self._must_be_real(name, x)
        return x, y

    def _must_be_real(self, name: str, x: Value) -> None:
        if x.dtype.kind == "c":
            raise self._refuse(name, x, "real numbers")

    def _refuse(self, name: str, x: Value, wanted: str) -> DTypeError:
        return DTypeError(f"kernel function {name} takes {wanted}, and got {x.dtype}; convert with k.astype")

    def _in_single(self, function: Callable[..., Value], *operands: Value) -> Value:
        """Compute a float16 function in float32."""
        half = operands[0].dtype
        result = function(*[self.astype(v, FLOAT32) for v in operands])
        return self.astype(result, half) if result.dtype == FLOAT32 else result

    def _intrinsic(self, name: str, *operands: Value) -> Value:
        function = self.builder.module.declare_intrinsic(
            f"llvm.{name}", [operands[0].ir.type], ir.FunctionType(operands[0].ir.type, [v.ir.type for v in operands])
        )
        return Value(self.builder.call(function, [v.ir for v in operands]), operands[0].dtype)

    def _math(self, name: str, *operands: Value) -> Value:
        dtype = operands[0].dtype
        if dtype.kind != "f":
            raise self._refuse(name, operands[0], "float16, float32 or float64")
        if dtype.itemsize == 2:
            return self._in_single(lambda *singles: self._math(name, *singles), *operands)
        function = call_target(self.builder.module, name, "f64" if dtype.itemsize == 8 else "f32")
        return Value(self.builder.call(function, [v.ir for v in operands]), dtype)

    def __getattr__(self, name: str) -> Callable[..., Value]:
        function = _ALIASES.get(name, name)
        if function not in FUNCTIONS:
            raise AttributeError(f"ScalarBuilder has no function {name!r}")
        if FUNCTIONS[function][1] == 1:
            return lambda x: self._math(function, x)
        return lambda x, y: self._math(function, *self._pair(name, x, y))

    def _arithmetic(self, name: str, real: str, integer: str, boolean: str, x: Value, y: Any) -> Value:
        x, y = self._pair(name, x, y)
        if x.dtype.kind == "f":
            if x.dtype.itemsize == 2:
                return self._in_single(lambda a, b: self._arithmetic(name, real, integer, boolean, a, b), x, y)
            return Value(getattr(self.builder, real)(x.ir, y.ir, flags=self._flags), x.dtype)
        operation = boolean if x.dtype == BOOL else integer
        if not operation or x.dtype.kind == "c":
            raise self._refuse(name, x, "numbers")
        return Value(getattr(self.builder, operation)(x.ir, y.ir), x.dtype)

    # -- arithmetic -------------------------------------------------------------------------------------------------

    def add(self, x: Value, y: Any) -> Value:
        """Return x + y; `or` for booleans."""
        return self._arithmetic("add", "fadd", "add", "or_", x, y)

    def subtract(self, x: Value, y: Any) -> Value:
        """Return x - y"""
        return self._arithmetic("subtract", "fsub", "sub", "", x, y)

    def multiply(self, x: Value, y: Any) -> Value:
        """Return x * y; `and` for booleans."""
        return self._arithmetic("multiply", "fmul", "mul", "and_", x, y)

    def divide(self, x: Value, y: Any) -> Value:
        """Return x / y for floats."""
        x, y = self._pair("divide", x, y)
        if x.dtype.kind != "f":
            raise self._refuse("divide", x, "floats")
        return self._arithmetic("divide", "fdiv", "", "", x, y)

    true_divide = divide

    def fma(self, x: Value, y: Any, z: Any) -> Value:
        """Return x * y + z, rounded once where the CPU can, twice where it cannot."""
        x, y = self._pair("fma", x, y)
        x, z = self._pair("fma", x, z)
        if x.dtype.kind != "f":
            return self.add(self.multiply(x, y), z)
        if x.dtype.itemsize == 2:
            return self._in_single(self.fma, x, y, z)
        return self._intrinsic("fmuladd", x, y, z)

    def exact_fma(self, x: Value, y: Value, z: Value) -> Value:
        """Return x * y + z, rounded once; very slow where the CPU cannot."""
        return self._intrinsic("fma", x, y, z)

    def negative(self, x: Value) -> Value:
        """-x, the sign bit flipped for floats."""
        if x.dtype.kind == "f":
            return Value(self.builder.fneg(x.ir), x.dtype)
        if x.dtype == BOOL:
            raise self._refuse("negative", x, "numbers")
        return Value(self.builder.neg(x.ir), x.dtype)

    def positive(self, x: Value) -> Value:
        """+x"""
        return x

    def absolute(self, x: Value) -> Value:
        """|x|; the smallest signed integer stays as it is."""
        if x.dtype.kind == "f":
            return self._intrinsic("fabs", x)
        return x if x.dtype.kind in "bu" else self.select(self.less(x, 0), self.negative(x), x)

    abs = fabs = absolute

    def square(self, x: Value) -> Value:
        """Return x * x"""
        return self.multiply(x, x)

    def reciprocal(self, x: Value) -> Value:
        """1 / x for floats."""
        return self.divide(self.one(x), x)

    def sqrt(self, x: Value) -> Value:
        """The correctly rounded square root; NaN below zero."""
        if x.dtype.kind != "f":
            raise self._refuse("sqrt", x, "floats")
        return self._in_single(self.sqrt, x) if x.dtype.itemsize == 2 else self._intrinsic("sqrt", x)

    def rsqrt(self, x: Value) -> Value:
        """1 / sqrt(x)"""
        return self.reciprocal(self.sqrt(x))

    def sign(self, x: Value) -> Value:
        """-1, 0 or 1; NaN for NaN."""
        zero, one = self.zero(x), self.one(x)
        if x.dtype.kind in "bu":
            return self.select(self.equal(x, zero), zero, one)
        signed = self.select(
            self.greater(x, zero), one, self.select(self.less(x, zero), self.constant(-1, x.dtype), zero)
        )
        return self.select(self.isnan(x), x, signed) if x.dtype.kind == "f" else signed

    def _round(self, name: str, x: Value) -> Value:
        return self._intrinsic(name, x) if x.dtype.kind == "f" else x

    def floor(self, x: Value) -> Value:
        """The largest whole number not above x."""
        return self._round("floor", x)

    def ceil(self, x: Value) -> Value:
        """The smallest whole number not below x."""
        return self._round("ceil", x)

    def trunc(self, x: Value) -> Value:
        """Return x without its fraction."""
        return self._round("trunc", x)

    fix = trunc

    def rint(self, x: Value) -> Value:
        """The nearest whole number, ties to even."""
        return self._round("rint", x)

    # -- division with remainder and powers -------------------------------------------------------------------------

    def fmod(self, x: Value, y: Any) -> Value:
        """The remainder with the sign of x; for integers 0 where y is 0."""
        x, y = self._pair("fmod", x, y)
        return self._math("fmod", x, y) if x.dtype.kind == "f" else scalar_integer.fmod(self, x, y)

    def remainder(self, x: Value, y: Any) -> Value:
        """The remainder with the sign of y, as Python's %; for integers 0 where y is 0."""
        x, y = self._pair("remainder", x, y)
        return self._math("remainder", x, y) if x.dtype.kind == "f" else scalar_integer.remainder(self, x, y)

    mod = remainder

    def floor_divide(self, x: Value, y: Any) -> Value:
        """The quotient rounded down, as Python's //; for integers 0 where y is 0."""
        x, y = self._pair("floor_divide", x, y)
        return self._math("floor_divide", x, y) if x.dtype.kind == "f" else scalar_integer.floor_divide(self, x, y)

    def power(self, x: Value, y: Any) -> Value:
        """Return x**y; a Python integer as y becomes products. See `scalar_integer.power` for negative ones."""
        if isinstance(y, int) and not isinstance(y, bool) and abs(y) <= 64:
            return self.integer_power(x, y)
        x, y = self._pair("power", x, y)
        return self._math("power", x, y) if x.dtype.kind == "f" else scalar_integer.power(self, x, y)

    def integer_power(self, x: Value, n: int) -> Value:
        """Return x**n, n known now; negative n for floats only."""
        return scalar_power.integer_power(self, x, n)

    # -- comparisons and choices ------------------------------------------------------------------------------------

    def _compare(self, name: str, x: Value, y: Any) -> Value:
        x, y = self._pair(name, x, y)
        if x.dtype.kind == "f":
            flag = (
                self.builder.fcmp_unordered("!=", x.ir, y.ir)
                if name == "not_equal"
                else (self.builder.fcmp_ordered(_ORDERED[name], x.ir, y.ir))
            )
            return Value(flag, BOOL)
        compare = self.builder.icmp_signed if x.dtype.kind == "i" else self.builder.icmp_unsigned
        return Value(compare(_ORDERED.get(name, "!="), x.ir, y.ir), BOOL)

    def equal(self, x: Value, y: Any) -> Value:
        """Return x == y"""
        return self._compare("equal", x, y)

    def not_equal(self, x: Value, y: Any) -> Value:
        """Return x != y, true where either is NaN."""
        return self._compare("not_equal", x, y)

    def less(self, x: Value, y: Any) -> Value:
        """Return x < y"""
        return self._compare("less", x, y)

    def less_equal(self, x: Value, y: Any) -> Value:
        """Return x <= y"""
        return self._compare("less_equal", x, y)

    def greater(self, x: Value, y: Any) -> Value:
        """Return x > y"""
        return self._compare("greater", x, y)

    def greater_equal(self, x: Value, y: Any) -> Value:
        """Return x >= y"""
        return self._compare("greater_equal", x, y)

    def select(self, condition: Value, x: Value, y: Any) -> Value:
        """Return x where the condition holds, else y: no branch."""
        x, y = self._pair("select", x, y)
        if x.dtype.kind == "c":
            return scalar_complex.select(self, condition, x, y)
        return Value(self.builder.select(self.truth(condition).ir, x.ir, y.ir), x.dtype)

    where = select

    def _extreme(self, x: Value, y: Any, name: str, real: str, compare: str) -> Value:
        x, y = self._pair(name, x, y)
        if x.dtype.kind != "f":
            return self.select(self._compare(compare, x, y), x, y)
        return (
            self._in_single(lambda a, b: self._extreme(a, b, name, real, compare), x, y)
            if (x.dtype.itemsize == 2)
            else self._intrinsic(real, x, y)
        )

    def maximum(self, x: Value, y: Any) -> Value:
        """The larger; NaN if either is."""
        return self._extreme(x, y, "maximum", "maximum", "greater")

    def minimum(self, x: Value, y: Any) -> Value:
        """The smaller; NaN if either is."""
        return self._extreme(x, y, "minimum", "minimum", "less")

    def fmax(self, x: Value, y: Any) -> Value:
        """The larger; the other one where one is NaN."""
        return self._extreme(x, y, "fmax", "maxnum", "greater")

    def fmin(self, x: Value, y: Any) -> Value:
        """The smaller; the other one where one is NaN."""
        return self._extreme(x, y, "fmin", "minnum", "less")

    def clip(self, x: Value, low: Any, high: Any) -> Value:
        """minimum(maximum(x, low), high)"""
        return self.minimum(self.maximum(x, low), high)

    def heaviside(self, x: Value, y: Any) -> Value:
        """0 below zero, y at zero, 1 above; NaN for NaN."""
        x, y = self._pair("heaviside", x, y)
        step = self.select(self.less(x, 0), self.zero(x), self.select(self.equal(x, 0), y, self.one(x)))
        return self.select(self.isnan(x), x, step)

    # -- kinds of floats --------------------------------------------------------------------------------------------

    def isnan(self, x: Value) -> Value:
        """Whether x is NaN."""
        self._must_be_real("isnan", x)
        if x.dtype.kind != "f":
            return self.constant(False, BOOL)
        return Value(self.builder.fcmp_unordered("uno", x.ir, x.ir), BOOL)

    def isinf(self, x: Value) -> Value:
        """Whether x is infinite."""
        self._must_be_real("isinf", x)
        return self.equal(self.absolute(x), math.inf) if x.dtype.kind == "f" else self.constant(False, BOOL)

    def isfinite(self, x: Value) -> Value:
        """Whether x is neither infinite nor NaN."""
        self._must_be_real("isfinite", x)
        return self.less(self.absolute(x), math.inf) if x.dtype.kind == "f" else self.constant(True, BOOL)

    def signbit(self, x: Value) -> Value:
        """Whether the sign bit is set, in -0.0 and NaN too."""
        return self.less(scalar_float.bits(self, x) if x.dtype.kind == "f" else x, 0)

    def copysign(self, x: Value, y: Any) -> Value:
        """|x| with the sign bit of y."""
        return self._intrinsic("copysign", *self._pair("copysign", x, y))

    def nextafter(self, x: Value, y: Any) -> Value:
        """The next float from x towards y."""
        return scalar_float.nextafter(self, *self._pair("nextafter", x, y))

    def spacing(self, x: Value) -> Value:
        """The distance from x to the next float away from zero, with the sign of x."""
        return scalar_float.spacing(self, x)

    def ldexp(self, x: Value, n: Value) -> Value:
        """Return x * 2**n for an integer n."""
        return (
            self._in_single(lambda single: self.ldexp(single, n), x)
            if x.dtype.itemsize == 2
            else (scalar_float.ldexp(self, x, n))
        )

    def real(self, x: Value) -> Value:
        """The real part."""
        return scalar_complex.parts(x)[0] if x.dtype.kind == "c" else x

    def imag(self, x: Value) -> Value:
        """The imaginary part."""
        return scalar_complex.parts(x)[1] if x.dtype.kind == "c" else self.zero(x)

    def conjugate(self, x: Value) -> Value:
        """The complex conjugate."""
        self._must_be_real("conjugate", x)
        return x

    # -- bits and truth ---------------------------------------------------------------------------------------------

    def _bitwise(self, name: str, operation: str, x: Value, y: Any) -> Value:
        x, y = self._pair(name, x, y)
        if x.dtype.kind == "f":
            raise self._refuse(name, x, "integers or booleans")
        return Value(getattr(self.builder, operation)(x.ir, y.ir), x.dtype)

    def bitwise_and(self, x: Value, y: Any) -> Value:
        """Return x & y"""
        return self._bitwise("bitwise_and", "and_", x, y)

    def bitwise_or(self, x: Value, y: Any) -> Value:
        """Return x | y"""
        return self._bitwise("bitwise_or", "or_", x, y)

    def bitwise_xor(self, x: Value, y: Any) -> Value:
        """Return x ^ y"""
        return self._bitwise("bitwise_xor", "xor", x, y)

    def invert(self, x: Value) -> Value:
        """~x; `not` for booleans."""
        return Value(self.builder.not_(x.ir), x.dtype)

    bitwise_not = bitwise_invert = invert

    def left_shift(self, x: Value, y: Any) -> Value:
        """Return x << y; 0 where y is negative or at least the number of bits."""
        return scalar_integer.shift(self, "shl", *self._pair("left_shift", x, y))

    def right_shift(self, x: Value, y: Any) -> Value:
        """Return x >> y; 0 (or -1 below zero) where y is negative or at least the number of bits."""
        x, y = self._pair("right_shift", x, y)
        return scalar_integer.shift(self, "ashr" if x.dtype.kind == "i" else "lshr", x, y)

    bitwise_left_shift, bitwise_right_shift = left_shift, right_shift

    def gcd(self, x: Value, y: Any) -> Value:
        """The greatest common divisor."""
        return scalar_integer.gcd(self, *self._pair("gcd", x, y))

    def lcm(self, x: Value, y: Any) -> Value:
        """The least common multiple."""
        return scalar_integer.lcm(self, *self._pair("lcm", x, y))

    def bitwise_count(self, x: Value) -> Value:
        """The number of one bits in |x|, as uint8."""
        return self.astype(self._intrinsic("ctpop", self.absolute(x)), np.uint8)

    def truth(self, x: Value) -> Value:
        """Whether x is true; any number but zero is, NaN too."""
        if x.dtype.kind == "c":
            return self.logical_or(self.real(x), self.imag(x))
        return x if x.dtype == BOOL else self.not_equal(x, 0)

    def logical_and(self, x: Value, y: Value) -> Value:
        """Whether both are true; any number but zero is."""
        return self.bitwise_and(self.truth(x), self.truth(y))

    def logical_or(self, x: Value, y: Value) -> Value:
        """Whether one is true."""
        return self.bitwise_or(self.truth(x), self.truth(y))

    def logical_xor(self, x: Value, y: Value) -> Value:
        """Whether exactly one is true."""
        return self.bitwise_xor(self.truth(x), self.truth(y))

    def logical_not(self, x: Value) -> Value:
        """Whether x is false."""
        return self.invert(self.truth(x))

    # -- conversions ------------------------------------------------------------------------------------------------

    def astype(self, x: Value, dtype: Any) -> Value:
        """Convert as NumPy does; a float outside the integer's range gives what NumPy gives on x86."""
        return x if x.dtype is dtype else scalar_casts.convert(self, x, np.dtype(dtype))
