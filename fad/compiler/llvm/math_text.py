"""Emit the body of one math function as LLVM assembly text, for one lane or for a vector of lanes.

A function body is written once, as Python over `Term` objects whose operators append one instruction each::

    def square_plus_one(k, x):
        return x * x + 1.0

`define` runs the body with a `Body` and returns the text of the finished function. Text, and not llvmlite's object
graph, because it is several times faster to build and can be kept: the same function is pasted into every later
module. No fast-math flag is used anywhere; a fused multiply-add happens where the body asks for one.
"""

import struct
from collections.abc import Callable, Sequence

_REAL = {"f32": "float", "f64": "double"}
_BITS = {"f32": 32, "f64": 64}
_RARE = '!prof !{!"branch_weights", i32 1, i32 4096}'


# What a function calls: how to declare it (result type, argument types), or the text that defines it.
Calls = dict[str, tuple[str, tuple[str, ...]] | str]


class Term:
    """One value in a body: its assembly spelling and its kind ("real", "int" or "mask")."""

    __slots__ = ("body", "text", "kind")

    def __init__(self, body: "Body", text: str, kind: str):
        self.body, self.text, self.kind = body, text, kind

    def _arithmetic(self, real: str, integer: str, other, swap: bool = False) -> "Term":
        body = self.body
        other = body.term(other, self.kind)
        left, right = (other, self) if swap else (self, other)
        return body.emit(
            f"{real if self.kind == 'real' else integer} {body.types[self.kind]} {left.text}, {right.text}", self.kind
        )

    def __add__(self, other):
        return self._arithmetic("fadd", "add", other)

    def __radd__(self, other):
        return self._arithmetic("fadd", "add", other, swap=True)

    def __sub__(self, other):
        return self._arithmetic("fsub", "sub", other)

    def __rsub__(self, other):
        return self._arithmetic("fsub", "sub", other, swap=True)

    def __mul__(self, other):
        return self._arithmetic("fmul", "mul", other)

    def __rmul__(self, other):
        return self._arithmetic("fmul", "mul", other, swap=True)

    def __truediv__(self, other):
        return self._arithmetic("fdiv", "sdiv", other)

    def __rtruediv__(self, other):
        return self._arithmetic("fdiv", "sdiv", other, swap=True)

    def __neg__(self):
        if self.kind == "int":
            return 0 - self
        return self.body.emit(f"fneg {self.body.types['real']} {self.text}", "real")

    def __and__(self, other):
        return self._arithmetic("", "and", other)

    def __or__(self, other):
        return self._arithmetic("", "or", other)

    def __xor__(self, other):
        return self._arithmetic("", "xor", other)

    def __invert__(self):
        return self._arithmetic("", "xor", True if self.kind == "mask" else -1)

    def __lshift__(self, count):
        return self._arithmetic("", "shl", count)

    def __rshift__(self, count):
        """Arithmetic shift: the sign is copied in."""
        return self._arithmetic("", "ashr", count)

    def shift_right_unsigned(self, count) -> "Term":
        """Logical shift: zeros are shifted in."""
        return self._arithmetic("", "lshr", count)

    def _compare(self, real: str, integer: str, other) -> "Term":
        body = self.body
        other = body.term(other, self.kind)
        code = f"fcmp {real}" if self.kind == "real" else f"icmp {integer}"
        return body.emit(f"{code} {body.types[self.kind]} {self.text}, {other.text}", "mask")

    def __lt__(self, other):
        return self._compare("olt", "slt", other)

    def __le__(self, other):
        return self._compare("ole", "sle", other)

    def __gt__(self, other):
        return self._compare("ogt", "sgt", other)

    def __ge__(self, other):
        return self._compare("oge", "sge", other)

    def equals(self, other) -> "Term":
        """Elementwise equality; false where either is NaN."""
        return self._compare("oeq", "eq", other)

    def differs(self, other) -> "Term":
        """Elementwise inequality; true where either is NaN."""
        return self._compare("une", "ne", other)

    def isnan(self) -> "Term":
        """True where this real is NaN."""
        return self._compare("uno", "", self)


class Body:
    """The instructions of one function being written.

    `dtype` is "f32" or "f64", `lanes` is 1 for the scalar function. `fused` says whether the target has a fused
    multiply-add instruction: without it, `fma` is a product and a sum, and `product` splits its operands instead.
    """

    def __init__(self, dtype: str, lanes: int = 1, fused: bool = True):
        self.dtype, self.lanes, self.fused = dtype, lanes, fused
        self.bits = _BITS[dtype]
        scalar = {"real": _REAL[dtype], "int": f"i{self.bits}", "mask": "i1"}
        self.scalar_types = scalar
        self.types = scalar if lanes == 1 else {kind: f"<{lanes} x {name}>" for kind, name in scalar.items()}
        self.lines: list[str] = []
        self.declarations: Calls = {}
        self.block = "entry"
        self._count = self._labels = 0
        self._suffix = f"f{self.bits}" if lanes == 1 else f"v{lanes}f{self.bits}"
        self.table: list[str] = []  # the constants of a function of vectors, one for each use
        self.mantissa = 52 if dtype == "f64" else 23
        self.bias = 1023 if dtype == "f64" else 127
        self.sign = -(1 << self.bits - 1)

    # -- plumbing ---------------------------------------------------------------------------------------------------

    def emit(self, instruction: str, kind: str) -> Term:
        """Append one instruction and name its result."""
        self._count += 1
        name = f"%{self._count}"
        self.lines.append(f"  {name} = {instruction}")
        return Term(self, name, kind)

    def term(self, value, kind: str) -> Term:
        """`value` as a Term: a Python number becomes a constant of the given kind."""
        return value if isinstance(value, Term) else self.constant(value, kind)

    def constant(self, value, kind: str = "real") -> Term:
        """A constant in every lane. Reals are rounded to the dtype."""
        if kind == "real":
            if self.dtype == "f32":
                value = struct.unpack("<f", struct.pack("<f", value))[0]
            text = f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
            if self.lanes > 1 and value not in (0.0, 2.0):  # these need no memory
                return self._stored(text)
        elif kind == "mask":
            text = "true" if value else "false"
        else:
            text = str(int(value))
        return Term(self, text if self.lanes == 1 else f"splat ({self.scalar_types[kind]} {text})", kind)

    def _stored(self, text: str) -> Term:
        """A constant from the function's table, as long as the value: an operand in memory, for which arithmetic needs no instruction of its own."""
        kind = self.types["real"]
        self.table.append(text)
        at = self.emit(f"getelementptr {kind}, ptr %table, i64 {len(self.table) - 1}", "address")
        return self.emit(f"load {kind}, ptr {at.text}", "real")

    def declare(self, name: str, result: str, arguments: Sequence[str]) -> str:
        """Note that the body calls the external function `name`."""
        self.declarations[name] = (result, tuple(arguments))
        return name

    def include(self, name: str, text: str, calls: "Calls") -> None:
        """Note that the body calls the function `name` defined by `text`, which makes the given calls itself."""
        self.declarations.update(calls)
        self.declarations[name] = text

    def _intrinsic(self, name: str, *terms: Term) -> Term:
        real = self.types["real"]
        full = self.declare(f"llvm.{name}.{self._suffix}", real, [real] * len(terms))
        return self.emit(f"call {real} @{full}({', '.join(f'{real} {t.text}' for t in terms)})", "real")

    # -- operations -------------------------------------------------------------------------------------------------

    def fma(self, a, b, c) -> Term:
        """Return a * b + c, rounded once where the target can."""
        a, b, c = (self.term(t, "real") for t in (a, b, c))
        return self._intrinsic("fma", a, b, c) if self.fused else a * b + c

    def sqrt(self, x: Term) -> Term:
        """The correctly rounded square root."""
        return self._intrinsic("sqrt", x)

    def abs(self, x: Term) -> Term:
        """The absolute value; clears the sign of NaN too."""
        return self._intrinsic("fabs", x)

    def floor(self, x: Term) -> Term:
        """The largest whole number not above x."""
        return self._intrinsic("floor", x)

    def trunc(self, x: Term) -> Term:
        """Return x without its fraction."""
        return self._intrinsic("trunc", x)

    def rint(self, x: Term) -> Term:
        """The nearest whole number, ties to even."""
        return self._intrinsic("rint", x)

    def copysign(self, magnitude, sign: Term) -> Term:
        """`magnitude` with the sign bit of `sign`."""
        return self._intrinsic("copysign", self.term(magnitude, "real"), sign)

    def select(self, mask: Term, yes, no) -> Term:
        """`yes` where the mask is set, else `no`."""
        kind = yes.kind if isinstance(yes, Term) else no.kind if isinstance(no, Term) else "real"
        yes, no = self.term(yes, kind), self.term(no, kind)
        t = self.types
        return self.emit(f"select {t['mask']} {mask.text}, {t[kind]} {yes.text}, {t[kind]} {no.text}", kind)

    def smaller(self, a: Term, b) -> Term:
        """Return b where a is not below b, NaN in a included: one instruction on most targets."""
        b = self.term(b, "real")
        return self.select(a < b, a, b)

    def larger(self, a: Term, b) -> Term:
        """Return b where a is not above b, NaN in a included."""
        b = self.term(b, "real")
        return self.select(a > b, a, b)

    def as_int(self, x: Term) -> Term:
        """The bit pattern of a real."""
        return self.emit(f"bitcast {self.types['real']} {x.text} to {self.types['int']}", "int")

    def as_real(self, i: Term) -> Term:
        """The real with this bit pattern."""
        return self.emit(f"bitcast {self.types['int']} {i.text} to {self.types['real']}", "real")

    def int_to_real(self, i: Term) -> Term:
        """Convert a signed integer of at most `mantissa - 1` bits, without a conversion instruction (AVX2 has none)."""
        magic = 1.5 * 2.0**self.mantissa
        return self.as_real(i + self.as_int_constant(magic)) - magic

    def round_to_int(self, x: Term, scale) -> tuple[Term, Term]:
        """(n, i): x * scale rounded to a whole number, as real and as int.

        Adding 1.5 * 2**mantissa leaves the whole number in the low bits, so no conversion instruction is needed and
        nothing is undefined: for NaN, infinities and |x * scale| above 2**(mantissa - 1) the results mean nothing.
        """
        magic = 1.5 * 2.0**self.mantissa
        shifted = self.fma(x, scale, magic)
        whole = shifted - magic
        return whole, self.as_int(shifted) - self.as_int_constant(magic)

    def round_to_power(self, x: Term, scale, more: int = 0) -> tuple[Term, Term, Term]:
        """(n, i, 2**(n + more)): as :meth:`round_to_int`, and the power where it is a normal number; elsewhere that means nothing.

        The exponent's bias is part of what is added, so the power is one shift away.
        """
        magic = 1.5 * 2.0**self.mantissa + self.bias + more
        shifted = self.fma(x, scale, magic)
        bits = self.as_int(shifted)
        return shifted - magic, bits - self.as_int_constant(magic), self.as_real(bits << self.mantissa)

    def as_int_constant(self, value: float) -> int:
        """The bit pattern of a constant."""
        form, whole = ("<d", "<q") if self.dtype == "f64" else ("<f", "<i")
        return struct.unpack(whole, struct.pack(form, value))[0]

    def power_of_two(self, i: Term) -> Term:
        """2**i for i in the range of normal numbers."""
        return self.as_real((i + self.bias) << self.mantissa)

    def scale(self, x: Term, i: Term) -> Term:
        """Return x * 2**i in two steps, so that results may overflow or be subnormal; |i| may reach 2 * bias - 2."""
        half = i >> 1
        return x * self.power_of_two(half) * self.power_of_two(i - half)

    def polynomial(self, coefficients: Sequence[float], x: Term) -> Term:
        """Horner's rule in two interleaved chains (even and odd powers) once that shortens the chain enough."""
        if len(coefficients) < 6:
            return self.horner(coefficients, x)
        square = x * x
        return self.fma(self.horner(coefficients[1::2], square), x, self.horner(coefficients[0::2], square))

    def horner(self, coefficients: Sequence[float], x: Term) -> Term:
        """c[0] + c[1] x + c[2] x**2 + ... in one chain."""
        total = self.constant(coefficients[-1])
        for c in reversed(coefficients[:-1]):
            total = self.fma(total, x, c)
        return total

    # -- pairs: unevaluated sums high + low -------------------------------------------------------------------------

    def product(self, a, b) -> tuple[Term, Term]:
        """Return a * b exactly, as high + low (Dekker's splitting where there is no fused multiply-add)."""
        a, b = self.term(a, "real"), self.term(b, "real")
        high = a * b
        if self.fused:
            return high, self.fma(a, b, -high)
        (ah, al), (bh, bl) = self._halves(a), self._halves(b)
        return high, al * bl - (((high - ah * bh) - al * bh) - ah * bl)

    def _halves(self, a: Term) -> tuple[Term, Term]:
        factor = 2.0 ** ((self.mantissa + 2) // 2) + 1.0
        t = a * factor
        high = t - (t - a)
        return high, a - high

    def quick_sum(self, a, b) -> tuple[Term, Term]:
        """Return a + b exactly, as high + low, for |a| >= |b| or a == 0 (Dekker)."""
        a, b = self.term(a, "real"), self.term(b, "real")
        high = a + b
        return high, b - (high - a)

    def sum(self, a, b) -> tuple[Term, Term]:
        """Return a + b exactly, as high + low, in any order (Knuth)."""
        a, b = self.term(a, "real"), self.term(b, "real")
        high = a + b
        part = high - a
        return high, (a - (high - part)) + (b - part)

    def quotient(self, a: Term, a_low, b: Term, b_low) -> tuple[Term, Term]:
        """(a + a_low) / (b + b_low) as high + low, with one division."""
        inverse = 1.0 / b
        high = a * inverse
        rest = self.remainder_of(high, b, a) + (a_low - high * b_low if b_low is not None else a_low)
        return high, rest * inverse

    def remainder_of(self, q: Term, b, a: Term) -> Term:
        """Return a - q * b, exact where q is close to a / b."""
        if self.fused:
            return self.fma(-q, b, a)
        high, low = self.product(q, b)
        return (a - high) - low

    # -- rare lanes -------------------------------------------------------------------------------------------------

    def where_any(self, mask: Term, usual: Term, special: Callable[[], Term]) -> Term:
        """`usual`, but what `special` writes for all lanes, behind a branch, if `mask` is set in one of them."""
        some = mask
        if self.lanes > 1:
            word = self.emit(f"bitcast {self.types['mask']} {mask.text} to i{self.lanes}", "mask")
            some = self.emit(f"icmp ne i{self.lanes} {word.text}, 0", "mask")
        self._labels += 1
        label, before = self._labels, self.block
        self.lines += [f"  br i1 {some.text}, label %special{label}, label %done{label}, {_RARE}", f"special{label}:"]
        self.block = f"special{label}"
        value = special()
        self.lines += [f"  br label %done{label}", f"done{label}:"]
        after, self.block = self.block, f"done{label}"
        return self.emit(f"phi {self.types['real']} [{usual.text}, %{before}], [{value.text}, %{after}]", "real")

    def repair(self, fast: Term, mask: Term, function: str, *arguments: Term) -> Term:
        """`fast`, but in the lanes where `mask` is set what a double function gives: one of the C library, or included.

        One branch per call of the finished function, to a loop over its lanes: free as long as no lane is marked.
        """
        if function not in self.declarations:
            self.declare(function, "double", ["double"] * len(arguments))
        self._labels += 1
        label, before = self._labels, self.block
        self.block = f"done{label}"
        return (self._repair_one if self.lanes == 1 else self._repair_lanes)(
            fast, mask, function, arguments, label, before
        )

    def _repair_one(self, fast: Term, mask: Term, function: str, arguments, label: int, before: str) -> Term:
        self.lines += [f"  br i1 {mask.text}, label %slow{label}, label %done{label}, {_RARE}", f"slow{label}:"]
        value = self._library_call(function, [a.text for a in arguments])
        self.lines += [f"  br label %done{label}", f"done{label}:"]
        return self.emit(f"phi {self.types['real']} [{fast.text}, %{before}], [{value}, %slow{label}]", "real")

    def _repair_lanes(self, fast: Term, mask: Term, function: str, arguments, label: int, before: str) -> Term:
        real, lanes = self.types["real"], self.lanes
        word = self.emit(f"bitcast {self.types['mask']} {mask.text} to i{lanes}", "mask")
        some = self.emit(f"icmp ne i{lanes} {word.text}, 0", "mask")
        self.lines += [
            f"  br i1 {some.text}, label %lane{label}, label %done{label}, {_RARE}",
            f"lane{label}:",
            f"  %index{label} = phi i32 [0, %{before}], [%next{label}, %joined{label}]",
            f"  %sofar{label} = phi {real} [{fast.text}, %{before}], [%merged{label}, %joined{label}]",
            f"  %marked{label} = extractelement {self.types['mask']} {mask.text}, i32 %index{label}",
            f"  br i1 %marked{label}, label %slow{label}, label %joined{label}",
            f"slow{label}:",
        ]
        scalars = [self.emit(f"extractelement {real} {a.text}, i32 %index{label}", "real").text for a in arguments]
        value = self._library_call(function, scalars)
        one = self.scalar_types["real"]
        self.lines += [
            f"  %repaired{label} = insertelement {real} %sofar{label}, {one} {value}, i32 %index{label}",
            f"  br label %joined{label}",
            f"joined{label}:",
            f"  %merged{label} = phi {real} [%sofar{label}, %lane{label}], [%repaired{label}, %slow{label}]",
            f"  %next{label} = add i32 %index{label}, 1",
            f"  %more{label} = icmp ult i32 %next{label}, {lanes}",
            f"  br i1 %more{label}, label %lane{label}, label %done{label}",
            f"done{label}:",
        ]
        return self.emit(f"phi {real} [{fast.text}, %{before}], [%merged{label}, %joined{label}]", "real")

    def _library_call(self, function: str, scalars: list[str]) -> str:
        narrow = self.dtype == "f32"
        if narrow:
            scalars = [self.emit(f"fpext float {s} to double", "real").text for s in scalars]
        arguments = ", ".join(f"double {s}" for s in scalars)
        value = self.emit(f"call double @{function}({arguments}) memory(none) nounwind willreturn", "real")
        return self.emit(f"fptrunc double {value.text} to float", "real").text if narrow else value.text


BodyFunction = Callable[..., Term]


def define(
    name: str, body: BodyFunction, arity: int, dtype: str, lanes: int, fused: bool, attributes: str
) -> tuple[str, Calls]:
    """The text of one function and what it calls."""
    k = Body(dtype, lanes, fused)
    arguments = [Term(k, f"%a{i}", "real") for i in range(arity)]
    result = body(k, *arguments)
    real = k.types["real"]
    head = ", ".join(f"{real} {a.text}" for a in arguments)
    table = f"{name}_constants"
    # Behind an assembly of nothing, so that the table's address is in one register: else every constant has its own, in an instruction before its use.
    first = [f'  %table = call ptr asm "", "=r,0"(ptr @{table})'] if k.table else []
    text = "\n".join([f"define internal {real} @{name}({head}) {attributes} {{", "entry:", *first, *k.lines])
    text = f"{text}\n  ret {real} {result.text}\n}}\n"
    if k.table:
        rows = ", ".join(f"{real} splat ({k.scalar_types['real']} {t})" for t in k.table)
        text += f"@{table} = private constant [{len(k.table)} x {real}] [{rows}], align 64\n"
    return text, k.declarations
