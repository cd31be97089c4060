"""Operations of your own: ``Primitive`` takes an implementation and rules, and works under every transform."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import Any

import numpy as np

from fad.compiler.foreign import ForeignKernel
from fad.core.array import wrap
from fad.core.avals import ShapedArray, aval_of, dtype_of, is_inexact, shape_of
from fad.core.errors import ArgumentError, DTypeError, FadError, NonDifferentiableError, SerializationError, ShapeError
from fad.core.primitive import REGISTRY, linear
from fad.core.primitive import Primitive as CorePrimitive
from fad.core.samples import Case, Several
from fad.extend.scalar_code import run_kernel
from fad.numpy.conversion import operands
from fad.primitives.structural import convert, zeros
from fad.transforms.arguments import as_operand
from fad.transforms.reverse import vjp_flat
from fad.transforms.scanning import scan

__all__ = ["Primitive"]

# The operations whose rules are being transposed, one inside the other: as many of one operation as the order of the derivative, at most.
_TRANSPOSING: ContextVar[tuple[str, ...]] = ContextVar("fad_transposing", default=())
_DEEPEST = 16


class Primitive:
    """An operation of your own, callable on array-likes: ``my_op(x, y, option=3)``.

    Rules get arrays (or tracers, which behave alike) and may use :mod:`fad.numpy` and the operation itself; only ``impl`` sees NumPy arrays.

    Parameters
    ----------
    name : str
        Its name in Programs and messages. Declaring the same name again replaces an operation of your own, never one of fad's.
    impl : callable
        ``impl(xp, *arrays, **params)`` computes the result (a list with ``multiple_results``) from read-only arrays of the array
        module ``xp``.
    shape : callable
        ``shape(*types, **params)`` gives the result's :class:`ShapedArray` (a list with ``multiple_results``); a type has ``shape``
        and ``dtype``.
    jvp : callable, ``linear`` or None
        ``jvp(primals, tangents, **params)`` gives ``(out, tangent_out)``, linear in the tangents; arguments without tangent (integers)
        have ``None``. ``linear``: the operation is linear in its only argument.
    vjp : callable or None
        ``vjp(*primals, **params)`` gives ``(out, pullback)``; ``pullback(cotangent)`` gives one cotangent per argument, ``None`` for zero.
        If only one of ``jvp`` and ``vjp`` is given, the other is its transpose. If both are ``None``, the result carries no derivative.
    batch : callable, ``"loop"``
        ``batch(size, args, mapped, **params)`` gives ``(out, mapped)``: the mapped axis is axis 0 of each argument with ``mapped[k]``
        true. ``"loop"`` calls the operation once per example.
    kernel : callable, optional
        Scalar code for the compiler, for elementwise operations only: ``kernel(k, *numbers, **params)`` computes one element of the result
        from one element of each argument, with Python's operators and NumPy's functions by their names, ``k.exp(x)``,
        ``k.where(x > 0, x, 0.0)``. It is fused with the operations around it. Without it ``jit`` calls ``impl`` between native segments.
    samples : sequence, optional
        Sample calls for :func:`fad.testing.check_primitive`; made by :func:`case`.
    multiple_results : bool
        Whether ``impl``, ``shape`` and the rules work with lists of results.

    A missing rule may be ``no_rule("why")``, which raises when it is needed.

    Raises
    ------
    ArgumentError
        If the declaration contradicts itself, or the name belongs to fad.

    Examples
    --------
    >>> import numpy as np
    >>> import fad
    >>> import fad.numpy as fnp
    >>> from fad.extend import Primitive, case, samples
    >>> cube = Primitive(
    ...     "cube",
    ...     impl=lambda xp, x: x * x * x,
    ...     shape=lambda x: x,
    ...     jvp=lambda primals, tangents: (cube(primals[0]), 3 * primals[0] ** 2 * tangents[0]),
    ...     samples=[case(samples.f64(2, 3))],
    ... )
    >>> fad.grad(fad.jit(cube))(2.0)
    Array(12.)
    >>> fad.testing.check_primitive(cube)
    """

    def __init__(
        self,
        name: str,
        *,
        impl: Callable[..., Any],
        shape: Callable[..., Any],
        jvp: Any = None,
        vjp: Callable[..., Any] | None = None,
        batch: Callable[..., Any] | str = "loop",
        kernel: Callable[..., Any] | ForeignKernel | None = None,
        samples: Sequence[Any] = (),
        multiple_results: bool = False,
    ):
        _check_declaration(name, impl, shape, jvp, vjp, batch)
        _check_extras(name, kernel, samples, multiple_results)
        self.name = self.__name__ = name
        self._impl, self._shape, self._batch = impl, shape, batch
        self._multiple = multiple_results
        self._module = _declaring_module()
        self._jvp: Any = None if jvp is linear else jvp
        self._vjp: Any = vjp
        self._kernel: Any = None if isinstance(kernel, ForeignKernel) else kernel
        rules = self._core_rules(jvp, vjp)
        if isinstance(REGISTRY.get(name), _OwnPrimitive):
            del REGISTRY[name]
        self.core = _OwnPrimitive(
            name,
            impl=self._run_impl,
            shape=self._run_shape,
            **rules,
            batch=self._run_batch,
            kernel=self._run_kernel if self._kernel is not None else kernel,
            samples=list(samples),
            multiple_results=multiple_results,
            doc=f"An operation declared outside fad: {name}.",
        )

    def _core_rules(self, jvp: Any, vjp: Any) -> dict[str, Any]:
        """The derivative slots: as given where there is nothing to translate, else in terms of operands."""
        if jvp is None and vjp is None:
            return {"jvp": None, "vjp": None}
        rules = {"jvp": self._run_jvp if jvp is not linear and not _is_missing(jvp) else jvp}
        if _is_missing(vjp) or (vjp is None and _is_missing(jvp)):
            return {**rules, "vjp": vjp or jvp}
        return {**rules, "vjp": self._run_vjp, "vjp_selected": self._run_vjp_selected}

    def __repr__(self) -> str:
        return f"fad.extend.Primitive({self.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _declared, (self._module, self.name)

    def __call__(self, *args: Any, **params: Any) -> Any:
        """Apply the operation to array-likes; ``params`` are hashable Python values.

        Raises
        ------
        ArgumentError
            If a parameter is not hashable, or is an array.
        """
        for key, value in params.items():
            try:
                hash(value)
            except (TypeError, FadError):
                raise ArgumentError(
                    f"{self.name}: the parameter {key}={value!r:.80} is a {type(value).__name__}, which is not hashable. Parameters are static "
                    "values such as ints, strings and tuples; pass arrays as positional arguments."
                ) from None
        return self._wrapped(self.core.bind(*self._prepared(args), **params))

    def _prepared(self, args: Sequence[Any]) -> list[Any]:
        """The operands for a call with these array-likes."""
        return [convert(o, dtype_of(o)) for o in operands(self.name, *args)]

    def _wrapped(self, out: Any) -> Any:
        return [wrap(o) for o in out] if self._multiple else wrap(out)

    def _listed(self, what: str, out: Any) -> list[Any]:
        """Operands of a rule's result or results."""
        if self._multiple != isinstance(out, list | tuple):
            wanted = "a list with one entry per result" if self._multiple else "one array"
            raise ArgumentError(f"{self.name}: {what} must give {wanted}, got {type(out).__name__}")
        return [None if o is None else as_operand(o) for o in (out if self._multiple else [out])]

    def _unlisted(self, outs: list[Any]) -> Any:
        return outs if self._multiple else outs[0]

    def _types(self, avals: Sequence[ShapedArray], params: dict[str, Any]) -> list[ShapedArray]:
        said = self._run_shape(*avals, **params)
        return said if self._multiple else [said]

    def _run_impl(self, xp: Any, *args: Any, **params: Any) -> Any:
        views = []
        for arg in args:
            view = xp.asarray(arg).view()
            if isinstance(view, np.ndarray):
                view.flags.writeable = False
            views.append(view)
        out = self._impl(xp, *views, **params)
        types = self._types([aval_of(a) for a in args], params)
        if self._multiple and (not isinstance(out, list | tuple) or len(out) != len(types)):
            seen = f"{len(out)} results" if isinstance(out, list | tuple) else f"a {type(out).__name__}"
            raise ShapeError(
                f"{self.name}: impl gives {seen} where the shape rule says {len(types)}; impl must give a list of them"
            )
        if out is None:
            raise ShapeError(f"{self.name}: impl gives None; does it lack its return statement?")
        outs = [xp.asarray(o) for o in (out if self._multiple else [out])]
        # What the shape rule says is what compiled code relies on.
        for out, aval in zip(outs, types, strict=True):
            if out.shape != aval.shape or out.dtype != aval.dtype:
                raise ShapeError(
                    f"{self.name}: impl gives {aval_of(out)} where the shape rule says {aval}; one of them is wrong"
                )
        return self._unlisted([o if o.shape else o[()] for o in outs])

    def _run_kernel(self, builder: Any, *values: Any, **params: Any) -> Any:
        return run_kernel(self.name, self._kernel, builder, values, params)

    def _run_shape(self, *avals: ShapedArray, **params: Any) -> Any:
        said = self._shape(*[a.update() for a in avals], **params)
        if self._multiple and not isinstance(said, list | tuple):
            raise ArgumentError(
                f"{self.name}: with multiple_results the shape rule must give a list of ShapedArrays, got {type(said).__name__}"
            )
        for aval in said if self._multiple else [said]:
            if not isinstance(aval, ShapedArray):
                raise ArgumentError(
                    f"{self.name}: the shape rule must give fad.extend.ShapedArray(shape, dtype), got {type(aval).__name__}"
                )
        if self._kernel is not None and said.shape != (lead := np.broadcast_shapes(*[a.shape for a in avals])):
            raise ArgumentError(
                f"{self.name}: a kernel is scalar code for elementwise operations, whose arguments broadcast to the result; these broadcast to "
                f"{lead}, and the shape rule says {said}. Leave the kernel out, or make a native one with fad.extend.from_numba."
            )
        return list(said) if self._multiple else said

    def _run_jvp(self, primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        if self._jvp is None:  # the declaration gave vjp alone
            return self._jvp_by_transposition(primals, tangents, params)
        outs, moved = self._pushed(primals, tangents, params)
        return self._unlisted(outs), self._unlisted(moved)

    def _pushed(self, primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> Any:
        """Results and tangents by the user's jvp rule, with zeros for tangents that are ``None``."""
        filled = [_zeros_if_none(t, p) for t, p in zip(tangents, primals, strict=True)]
        pair = self._jvp([wrap(p) for p in primals], [None if t is None else wrap(t) for t in filled], **params)
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ArgumentError(
                f"{self.name}: the jvp rule must give a pair (out, tangent_out), got {type(pair).__name__}"
            )
        outs = self._listed("the jvp rule's result", pair[0])
        moved = self._listed("the jvp rule's tangent", pair[1])
        if len(moved) != len(outs):
            raise ArgumentError(f"{self.name}: the jvp rule gives {len(outs)} results and {len(moved)} tangents")
        return outs, [
            self._fitting("a tangent", "result", k, t, o) for k, (t, o) in enumerate(zip(moved, outs, strict=True))
        ]

    def _fitting(self, what: str, whose: str, k: int, value: Any, like: Any) -> Any:
        """A tangent or cotangent in the type of the value it belongs to."""
        if value is None or not is_inexact(dtype_of(like)):
            return None
        if shape_of(value) != shape_of(like):
            raise ShapeError(
                f"{self.name}: a rule gives {what} {aval_of(value)} for {whose} {k}, which is {aval_of(like)}"
            )
        if dtype_of(value).kind == "c" and dtype_of(like).kind != "c":
            raise DTypeError(
                f"{self.name}: a rule gives {what} {aval_of(value)} for {whose} {k}, which is real ({aval_of(like)}); take its real part"
            )
        return convert(value, dtype_of(like))

    def _pulling(
        self, primals: Sequence[Any], params: dict[str, Any]
    ) -> tuple[list[Any], Callable[[list[Any]], list[Any]]]:
        """Results and pullback by the user's vjp rule, in lists."""
        pair = self._vjp(*[wrap(p) for p in primals], **params)
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not callable(pair[1]):
            raise ArgumentError(
                f"{self.name}: the vjp rule must give a pair (out, pullback), got {type(pair).__name__}"
            )
        outs = self._listed("the vjp rule's result", pair[0])

        def pull(cotangents: list[Any]) -> list[Any]:
            found = pair[1](self._unlisted([wrap(c) for c in cotangents]))
            found = list(found) if isinstance(found, list | tuple) else [found]
            if len(found) != len(primals):
                raise ArgumentError(
                    f"{self.name}: the pullback must give one cotangent for each of the {len(primals)} arguments, got {len(found)}"
                )
            values = [None if c is None else as_operand(c) for c in found]
            return [
                self._fitting("a cotangent", "argument", k, c, p)
                for k, (c, p) in enumerate(zip(values, primals, strict=True))
            ]

        return outs, pull

    def _run_vjp(self, *primals: Any, **params: Any) -> Any:
        active = tuple(k for k, p in enumerate(primals) if is_inexact(dtype_of(p)))
        out, selected = self._run_vjp_selected(active, primals, params)

        def pullback(cotangent: Any) -> list[Any]:
            given = dict(zip(active, selected(cotangent), strict=True))
            return [given.get(k) for k in range(len(primals))]

        return out, pullback

    def _run_vjp_selected(self, active: Sequence[int], primals: Sequence[Any], params: dict[str, Any]) -> Any:
        if self._vjp is not None:
            outs, pull = self._pulling(primals, params)

            def pullback(cotangent: Any) -> list[Any]:
                found = pull(list(cotangent) if self._multiple else [cotangent])
                return [found[k] for k in active]

            return self._unlisted(outs), pullback
        return self._vjp_by_transposition(active, primals, params)

    def _vjp_by_transposition(self, active: Sequence[int], primals: Sequence[Any], params: dict[str, Any]) -> Any:
        """A jvp rule is linear in the tangents; reverse mode through it, at any tangents, is its transpose."""
        found: list[Any] = []

        def of_tangents(*tangents: Any) -> list[Any]:
            given = dict(zip(active, tangents, strict=True))
            with self._transposing():
                outs, moved = self._pushed(primals, [given.get(k) for k in range(len(primals))], params)
            found[:] = outs
            return [_zeros_if_none(m, o, always=True) for m, o in zip(moved, outs, strict=True)]

        _, transposed = vjp_flat(of_tangents, [zeros(aval_of(primals[k]).update()) for k in active])

        def pullback(cotangent: Any) -> list[Any]:
            return transposed.flat(list(cotangent) if self._multiple else [cotangent])

        return self._unlisted(found), pullback

    def _jvp_by_transposition(self, primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> Any:
        """A pullback is linear in the cotangents; its transpose pushes tangents forward."""
        outs, pull = self._pulling(primals, params)
        live = [k for k, t in enumerate(tangents) if t is not None]

        def of_cotangents(*cotangents: Any) -> list[Any]:
            pulled = pull(list(cotangents))
            return [_zeros_if_none(pulled[k], primals[k]) for k in live]

        _, transposed = vjp_flat(of_cotangents, [zeros(aval_of(o).update()) for o in outs])
        moved = transposed([tangents[k] for k in live])
        kept = [t if is_inexact(dtype_of(o)) else None for t, o in zip(moved, outs, strict=True)]
        return self._unlisted(outs), self._unlisted(kept)

    @contextmanager
    def _transposing(self) -> Iterator[None]:
        """Raise, in place of recursing without end, where the jvp rule needs its own transpose."""
        running = _TRANSPOSING.get()
        if running.count(self.name) >= _DEEPEST:
            raise NonDifferentiableError(
                f"{self.name}: the jvp rule applies {self.name} itself to tangents, so the vjp rule cannot be made from it by transposition. "
                "Give both rules, jvp= and vjp=."
            )
        try:
            _TRANSPOSING.set((*running, self.name))
            yield
        finally:
            _TRANSPOSING.set(running)

    def _run_batch(self, size: int, args: Sequence[Any], mapped: Sequence[bool], **params: Any) -> Any:
        if callable(self._batch):
            pair = self._batch(size, [wrap(a) for a in args], list(mapped), **params)
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise ArgumentError(
                    f"{self.name}: the batch rule must give a pair (out, mapped), got {type(pair).__name__}; mapped says whether axis 0 of the "
                    "result is the batch"
                )
            out, out_mapped = pair
            return self._unlisted(self._listed("the batch rule", out)), out_mapped
        rows = [wrap(a) for a, m in zip(args, mapped, strict=True) if m]

        def one(carry: tuple[()], row: list[Any]) -> tuple[tuple[()], Any]:
            given = iter(row)
            picked = [as_operand(next(given)) if m else a for a, m in zip(args, mapped, strict=True)]
            return carry, self._wrapped(self.core.bind(*picked, **params))

        _, out = scan(one, (), rows)
        return self._unlisted(self._listed("the loop", out)), [True] * len(out) if self._multiple else True


def _declaring_module() -> str:
    """The module whose code is declaring an operation."""
    frame: Any = sys._getframe(1)
    while frame.f_globals.get("__name__", "").startswith("fad.") and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_globals.get("__name__", "__main__")


def _declared(module: str, name: str) -> Primitive:
    """An operation from another process, by name: the module that declares it is imported."""
    import_module(module)
    found = REGISTRY.get(name)
    if not isinstance(found, _OwnPrimitive):
        raise SerializationError(
            f"the operation {name} was pickled where {module} had declared it, and importing {module} does not declare it here. "
            "Declare operations at the top level of a module."
        )
    return found.impl.__self__  # type: ignore[union-attr]


class _OwnPrimitive(CorePrimitive):
    """What traces see of an operation declared outside fad."""

    __slots__ = ()

    declared_outside = True


def _is_missing(rule: Any) -> bool:
    return getattr(rule, "missing_rule", None) is not None


def _zeros_if_none(value: Any, like: Any, always: bool = False) -> Any:
    if value is not None or not (always or is_inexact(dtype_of(like))):
        return value
    return zeros(aval_of(like).update())


def _check_declaration(name: str, impl: Any, shape: Any, jvp: Any, vjp: Any, batch: Any) -> None:
    taken = REGISTRY.get(name)
    if taken is not None and not isinstance(taken, _OwnPrimitive):
        raise ArgumentError(
            f"Primitive({name!r}): fad has an operation of that name; choose another, for example 'my_{name}'"
        )
    for slot, value in (("impl", impl), ("shape", shape)):
        if not callable(value):
            raise ArgumentError(f"Primitive({name!r}): {slot} must be a function, got {type(value).__name__}")
    for slot, value in (("jvp", jvp), ("vjp", vjp)):
        if value is not None and value is not linear and not callable(value):
            raise ArgumentError(f"Primitive({name!r}): {slot} must be a function or None, got {type(value).__name__}")
    if vjp is linear:
        raise ArgumentError(
            f"Primitive({name!r}): linear belongs in the jvp slot; vjp is the function that gives the transpose"
        )
    if jvp is linear and vjp is None:
        raise ArgumentError(
            f"Primitive({name!r}): a linear operation needs a vjp rule, which applies its transpose, or no_rule('why')"
        )
    if batch != "loop" and not callable(batch):
        raise ArgumentError(f"Primitive({name!r}): batch must be a function or 'loop', got {batch!r}")


def _check_extras(name: str, kernel: Any, samples: Any, multiple: bool) -> None:
    if kernel is not None and not callable(kernel) and not isinstance(kernel, ForeignKernel):
        raise ArgumentError(f"Primitive({name!r}): kernel must be a function k, *numbers -> number, got {kernel!r:.80}")
    if callable(kernel) and multiple:
        raise ArgumentError(f"Primitive({name!r}): a kernel computes one result; with multiple_results there is none")
    for sample in samples:
        if not isinstance(sample, Case | Several):
            raise ArgumentError(
                f"Primitive({name!r}): samples must be made by fad.extend.case, as in case(samples.f64(2, 3)), got {type(sample).__name__}"
            )
