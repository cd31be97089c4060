"""Integer division, shifts and powers that cannot trap, with NumPy's results at the edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import llvmlite.ir as ir

from fad.compiler.llvm.scalar_value import BOOL, Value

if TYPE_CHECKING:
    from fad.compiler.llvm.scalar import ScalarBuilder


def _divide(k: ScalarBuilder, x: Value, y: Value) -> tuple[Value, Value, Value]:
    """(quotient rounded to zero, its remainder, whether y was zero); what would trap is divided by one instead."""
    zero = k.equal(y, 0)
    if x.dtype.kind != "i":
        safe = k.select(zero, k.one(y), y)
        return Value(k.builder.udiv(x.ir, safe.ir), x.dtype), Value(k.builder.urem(x.ir, safe.ir), x.dtype), zero
    smallest = -(1 << (8 * x.dtype.itemsize - 1))
    overflow = k.logical_and(k.equal(x, smallest), k.equal(y, -1))
    safe = k.select(k.logical_or(zero, overflow), k.one(y), y)
    return Value(k.builder.sdiv(x.ir, safe.ir), x.dtype), Value(k.builder.srem(x.ir, safe.ir), x.dtype), zero


def _numbers(k: ScalarBuilder, name: str, x: Value) -> None:
    if x.dtype == BOOL:
        raise k._refuse(name, x, "numbers")


def floor_divide(k: ScalarBuilder, x: Value, y: Value) -> Value:
    """Return x // y, rounded down; 0 where y is 0, x where the quotient overflows."""
    _numbers(k, "floor_divide", x)
    quotient, rest, zero = _divide(k, x, y)
    if x.dtype.kind == "i":
        down = k.logical_and(k.not_equal(rest, 0), k.less(k.bitwise_xor(rest, y), 0))
        quotient = k.add(quotient, k.negative(k.astype(down, x.dtype)))
    return k.select(zero, k.zero(x), quotient)


def remainder(k: ScalarBuilder, x: Value, y: Value) -> Value:
    """Return x % y with the sign of y; 0 where y is 0."""
    _numbers(k, "remainder", x)
    _, rest, zero = _divide(k, x, y)
    if x.dtype.kind == "i":
        other = k.logical_and(k.not_equal(rest, 0), k.less(k.bitwise_xor(rest, y), 0))
        rest = k.select(other, k.add(rest, y), rest)
    return k.select(zero, k.zero(x), rest)


def fmod(k: ScalarBuilder, x: Value, y: Value) -> Value:
    """The remainder with the sign of x; 0 where y is 0."""
    _numbers(k, "fmod", x)
    _, rest, zero = _divide(k, x, y)
    return k.select(zero, k.zero(x), rest)


def shift(k: ScalarBuilder, operation: str, x: Value, y: Value) -> Value:
    """Shift by y; by every bit where y is not a bit number of x."""
    bits = 8 * x.dtype.itemsize
    inside = Value(k.builder.icmp_unsigned("<", y.ir, ir.Constant(y.ir.type, bits)), BOOL)
    count = k.select(inside, y, k.zero(y))
    shifted = Value(getattr(k.builder, operation)(x.ir, count.ir), x.dtype)
    if operation == "ashr":
        return k.select(inside, shifted, Value(k.builder.ashr(x.ir, ir.Constant(x.ir.type, bits - 1)), x.dtype))
    return k.select(inside, shifted, k.zero(x))


def power(k: ScalarBuilder, x: Value, y: Value) -> Value:
    """Return x**y modulo the width; a negative power is 1 / x**-y cut to a whole number, and 0 for x = 0."""
    _numbers(k, "power", x)
    function = _power_function(k.builder.module, x.ir.type)
    if x.dtype.kind == "u":
        return Value(k.builder.call(function, [x.ir, y.ir]), x.dtype)
    negative = k.less(y, 0)
    result = Value(k.builder.call(function, [x.ir, k.select(negative, k.bitwise_and(y, 1), y).ir]), x.dtype)
    unit = k.logical_or(k.equal(x, 1), k.equal(x, -1))
    return k.select(k.logical_and(negative, k.logical_not(unit)), k.zero(x), result)


def gcd(k: ScalarBuilder, x: Value, y: Value) -> Value:
    """The greatest common divisor of |x| and |y|; 0 for two zeros."""
    _numbers(k, "gcd", x)
    function = _gcd_function(k.builder.module, x.ir.type)
    return Value(k.builder.call(function, [k.absolute(x).ir, k.absolute(y).ir]), x.dtype)


def lcm(k: ScalarBuilder, x: Value, y: Value) -> Value:
    """The least common multiple of |x| and |y|; 0 if one is zero."""
    divisor = gcd(k, x, y)
    safe = k.select(k.equal(divisor, 0), k.one(divisor), divisor)
    share = Value(k.builder.udiv(k.absolute(x).ir, safe.ir), x.dtype)
    return k.multiply(share, k.absolute(y))


def _gcd_function(module: ir.Module, integer: ir.IntType) -> ir.Function:
    """Give the module's function for Euclid's algorithm on unsigned integers."""
    name = f"integer_gcd_{integer}"
    if name in module.globals:
        return module.globals[name]
    function = _pure_function(module, integer, name)
    entry, loop, step, done = (function.append_basic_block(label) for label in ("entry", "loop", "step", "done"))
    ir.IRBuilder(entry).branch(loop)
    b = ir.IRBuilder(loop)
    large, small = b.phi(integer), b.phi(integer)
    b.cbranch(b.icmp_unsigned("==", small, ir.Constant(integer, 0)), done, step)
    b = ir.IRBuilder(step)
    rest = b.urem(large, small)
    b.branch(loop)
    for phi, first, later in ((large, function.args[0], small), (small, function.args[1], rest)):
        phi.add_incoming(first, entry)
        phi.add_incoming(later, step)
    ir.IRBuilder(done).ret(large)
    return function


def _pure_function(module: ir.Module, integer: ir.IntType, name: str) -> ir.Function:
    function = ir.Function(module, ir.FunctionType(integer, [integer, integer]), name)
    function.linkage = "internal"
    for attribute in ("noinline", "nounwind"):
        function.attributes.add(attribute)
    return function


def _power_function(module: ir.Module, integer: ir.IntType) -> ir.Function:
    """Give the module's function for x**y, y unsigned: repeated squaring in a loop over the bits of y."""
    name = f"integer_power_{integer}"
    if name in module.globals:
        return module.globals[name]
    function = _pure_function(module, integer, name)
    entry, loop, done = (function.append_basic_block(label) for label in ("entry", "loop", "done"))
    ir.IRBuilder(entry).branch(loop)
    b = ir.IRBuilder(loop)
    zero, one = ir.Constant(integer, 0), ir.Constant(integer, 1)
    result, base, rest = b.phi(integer), b.phi(integer), b.phi(integer)
    odd = b.trunc(rest, ir.IntType(1))
    product = b.select(odd, b.mul(result, base), result)
    square, fewer = b.mul(base, base), b.lshr(rest, one)
    for phi, first, later in (
        (result, one, product),
        (base, function.args[0], square),
        (rest, function.args[1], fewer),
    ):
        phi.add_incoming(first, entry)
        phi.add_incoming(later, loop)
    b.cbranch(b.icmp_unsigned("!=", fewer, zero), loop, done)
    ir.IRBuilder(done).ret(product)
    return function
