"""Code that runs for less time than it takes to call."""

import ctypes
import itertools

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.canonical import program_form
from fad.compiler.llvm.linking import Source, engine
from fad.compiler.llvm.lowering import lower_segment
from fad.compiler.llvm.math_library import BRIEF, FUNCTIONS
from fad.compiler.llvm.symbols import link
from fad.compiler.nested import body_program
from fad.compiler.precedence import is_brief
from tests.compiler.compiled_programs import program_of

RNG = np.random.default_rng(23)
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 2.5, 1e-310, 1e-30, 709.5, -745.0, 3e5, 1e22, 2.0**300, np.inf, -np.inf, np.nan]


def call_each(symbol, arity, dtype):
    """A C function that applies a symbol to arrays, one element after another."""
    real = "double" if dtype == "f64" else "float"
    loads = "".join(
        f"  %p{k} = getelementptr {real}, ptr %x{k}, i64 %i\n  %v{k} = load {real}, ptr %p{k}\n" for k in range(arity)
    )
    name, values = f"fad_each_{symbol}", ", ".join(f"{real} %v{k}" for k in range(arity))
    text = f"""declare {real} @{symbol}({", ".join([real] * arity)})
define void @{name}(i64 %n, ptr %y, {", ".join(f"ptr %x{k}" for k in range(arity))}) {{
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
{loads}  %r = call {real} @{symbol}({values})
  %q = getelementptr {real}, ptr %y, i64 %i
  store {real} %r, ptr %q
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""
    address = link([((name,), engine().compile(Source(text)))], [symbol], name)
    return ctypes.CFUNCTYPE(None, ctypes.c_int64, *[ctypes.c_void_p] * (arity + 1))(address)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_for_brief_code_give_the_same_bits(name, dtype):
    arity = FUNCTIONS[name][1]
    kind = np.dtype(f"f{int(dtype[1:]) // 8}")
    with np.errstate(over="ignore"):
        values = np.concatenate([SPECIAL, RNG.normal(size=40), RNG.normal(size=20) * 1e3]).astype(kind)
    arguments = [np.array(a, kind) for a in zip(*itertools.product(values, repeat=arity), strict=True)]
    found = []
    for symbol in (f"fad_{name}_{dtype}", f"fad_{name}_{dtype}{BRIEF}"):
        out = np.empty_like(arguments[0])
        call_each(symbol, arity, dtype)(out.size, out.ctypes.data, *[a.ctypes.data for a in arguments])
        found.append(out)
    np.testing.assert_array_equal(*[o.view(f"u{kind.itemsize}")[~np.isnan(o)] for o in found])
    np.testing.assert_array_equal(*[np.isnan(o) for o in found])


@pytest.mark.parametrize(
    ("function", "argument", "expected"),
    [
        (fad.value_and_grad(lambda x: fnp.sin(x) * fnp.exp(-x)), 1.3, True),
        (lambda x: fnp.sum(fnp.tanh(x) ** 2), np.linspace(-1, 1, 5), True),
        (lambda x: fnp.tanh(x), np.linspace(-1, 1, 40), False),
        (lambda x: fad.fori_loop(0, 9, lambda i, y: fnp.sin(y), x), 1.3, False),
        (lambda x: fnp.cumsum(x), np.linspace(-1, 1, 5), False),
        (lambda x: sum(fnp.sin(k * x) for k in range(40)), 1.3, False),
    ],
    ids=["numbers", "few elements", "many elements", "a loop", "a running sum", "many operations"],
)
def test_code_is_brief_where_it_computes_few_numbers_once(function, argument, expected):
    program = body_program(program_of(function, argument))
    found = []
    brief = is_brief(program)
    lower_segment("fad_seen", program, program_form(program), lambda *part: found.append(part), is_brief=brief)
    assert brief is expected
    if expected:
        ((_, source, symbols),) = found
        assert source.level == 0
        assert symbols and all(s.endswith(BRIEF) and f"@{s}(" in source.text.replace('"', "") for s in symbols)
    text = fad.jit(function).lower(argument).as_text("llvm")
    assert (BRIEF in text) is expected


def test_c_functions_have_code_that_is_worked_on():
    f = fad.jit(lambda x: fnp.exp(fnp.sin(x)))
    compiled = f.lower(1.0).compile()
    c = compiled.c_function("double (double)")
    (native, segment) = c._kept
    assert native.only_segment()[0].is_brief and not segment.is_brief
    assert c.ctypes(0.3) == float(f(0.3)) == float(compiled(0.3))
