"""Fourier transforms along one axis of which only the real part is asked for, or whose input is real: half of the numbers decide the result.

The real part of an inverse transform of ``y`` is the real signal whose half spectrum is ``(y[k] + conj(y[-k])) / 2``, as the other half only
contributes the conjugates. The real part of a forward transform is that of the inverse one of ``conj(y)``. Along several axes this gained nothing: the halves are
put together in as long as the transforms save.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from fad.compiler.passes.redundancy import rebuilt, remove_dead
from fad.compiler.passes.writing import applied, slice_along
from fad.compiler.size_classes import is_small
from fad.core.avals import is_complex, real_dtype
from fad.core.primitive import REGISTRY
from fad.core.program import Atom, Equation, Literal, Program, Var
from fad.primitives.fft import OTHER_NORM

__all__ = ["halve_transforms"]


def halve_transforms(program: Program) -> Program:
    """The Program whose Fourier transforms along one axis compute no imaginary parts that nobody asks for."""
    if not any(map(_is_along_one_axis, program.equations)):
        return program
    made: dict[Atom, Equation] = {v: e for e in program.equations for v in e.outputs}
    uses = Counter(a for e in program.equations for a in e.inputs)
    uses.update(program.outputs)
    equations: list[Equation] = []
    for equation in program.equations:
        transform = made.get(equation.inputs[0]) if _takes_real_part(equation) else None
        if _is_along_one_axis(equation):
            equations.append(_of_reals(equation, made))
        elif transform is not None and _is_last_and_only(transform, made) and uses[equation.inputs[0]] == 1:
            equations += _real_part(equation, _of_reals(transform, made))
        else:
            equations.append(equation)
    changed = any(a is not b for a, b in zip(equations, program.equations, strict=False))
    return remove_dead(rebuilt(program, equations, program.outputs)) if changed else program


def _is_along_one_axis(equation: Equation) -> bool:
    return equation.primitive.name == "fourier" and len(equation.params["axes"]) == 1


def _is_last_and_only(transform: Equation, made: dict[Atom, Equation]) -> bool:
    """Whether it transforms one axis, and no other was transformed before it: a later pass takes the axes one by one."""
    before = made.get(transform.inputs[0])
    return _is_along_one_axis(transform) and (before is None or before.primitive.name != "fourier")


def _takes_real_part(equation: Equation) -> bool:
    name, outputs = equation.primitive.name, equation.outputs
    is_real_part = name == "real" or (name == "convert" and outputs[0].aval.dtype.kind == "f")
    return is_real_part and is_complex(equation.inputs[0].aval.dtype)


def _of_reals(transform: Equation, made: dict[Atom, Equation]) -> Equation:
    """The transform of the reals that its input was made of, if it was."""
    (signal,), (out,) = transform.inputs, transform.outputs
    origin = made.get(signal)
    if origin is None or origin.primitive.name != "convert":
        return transform
    reals = origin.inputs[0]
    if reals.aval.dtype != real_dtype(out.aval.dtype) or signal.aval.dtype != out.aval.dtype:
        return transform
    return Equation(transform.primitive, [reals], transform.params, [out], transform.source)


def _real_part(part: Equation, transform: Equation) -> list[Equation]:
    """The equations that compute the real part of a transform."""
    (signal,), (out,) = transform.inputs, part.outputs
    dtype = real_dtype(transform.outputs[0].aval.dtype)
    if not is_complex(signal.aval.dtype) or out.aval.dtype != dtype or is_small(out.aval.shape):
        return [part]
    (axis,), inverse, norm = [transform.params[k] for k in ("axes", "inverse", "norm")]
    equations: list[Equation] = []
    half = _symmetric_half(partial(applied, equations, transform.source), signal, axis, inverse)
    params = {"axis": axis, "length": out.aval.shape[axis], "norm": norm if inverse else OTHER_NORM[norm]}
    return [*equations, Equation(REGISTRY["fourier_to_real"], [half], params, [out], transform.source)]


def _symmetric_half(write: Callable[..., Var], spectrum: Atom, axis: int, inverse: bool) -> Var:
    """The first half of ``(y[k] + conj(y[-k])) / 2``, or of its conjugate."""
    shape, length, half = spectrum.aval.shape, spectrum.aval.shape[axis], spectrum.aval.shape[axis] // 2 + 1

    def between(part: Atom, start: int, stop: int) -> Var:
        return write("static_slice", part, **slice_along(shape, axis, start, stop))

    found = []
    for name in ("real", "imag"):
        part = write(name, spectrum)
        ahead, first = between(part, 0, half), between(part, 0, 1)
        back = write("flip", between(part, length - half + 1, length), axes=(axis,)) if half > 1 else None
        mirrored = first if back is None else write("concatenate", first, back, axis=axis)
        pair = [ahead, mirrored] if inverse or name == "real" else [mirrored, ahead]
        total = write("add" if name == "real" else "subtract", *pair)
        found.append(write("multiply", total, Literal(total.aval.dtype.type(0.5))))
    real, imag = found
    # The imaginary parts of the ends are left out by the transform to reals: where one is NaN or infinite, the result is NaN all the same.
    zero = write("multiply", imag, Literal(imag.aval.dtype.type(0.0)))
    return write("complex_from_parts", write("add", real, zero), imag)
