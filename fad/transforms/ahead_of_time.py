"""Ahead-of-time compilation: what :meth:`fad.transforms.compilation.JittedFunction.lower` gives, to compile before the first call and to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

from fad.compiler.dispatch import c_function, compiled_program, missing_llvm
from fad.compiler.outcomes import MISS
from fad.core.array import wrap
from fad.core.avals import ShapedArray, aval_of
from fad.core.config import config
from fad.core.errors import ArgumentError, MissingPackageError, TreeError
from fad.core.program import Program
from fad.core.pytrees import flatten, flatten_with_paths, structure_text, unflatten
from fad.core.trace import CURRENT, EVAL
from fad.transforms.arguments import function_name, leaf_operands
from fad.transforms.calling import call
from fad.transforms.donation import call_donating
from fad.transforms.shortcuts import make_shortcut

if TYPE_CHECKING:
    from fad.core.pytrees import PyTreeDef

__all__ = ["Compiled", "Lowered", "argument_names", "leaf_arguments"]


class Lowered:
    """A function staged for arguments of certain types; what ``jit(f).lower(*args)`` gives.

    Attributes
    ----------
    program : Program
        What was staged.
    in_tree, out_tree : PyTreeSpec
        The structure of ``(args, kwargs)``, static arguments left out, and of the result.
    argument_names : tuple of str
        How the user's code refers to each leaf of the arguments.

    Examples
    --------
    >>> import fad
    >>> lowered = fad.jit(lambda x: x * 2.0 + 1.0).lower(fad.ShapedArray((3,), "float64"))
    >>> lowered.in_avals, lowered.out_avals
    ((float64[3],), (float64[3],))
    """

    def __init__(
        self, fun: Callable[..., Any], program: Program, in_tree: PyTreeDef, out_tree: PyTreeDef, names: Sequence[str]
    ):
        self._fun = fun
        self.program = program
        self.in_tree, self.out_tree = in_tree, out_tree
        self.argument_names = tuple(names)

    @property
    def in_avals(self) -> tuple[ShapedArray, ...]:
        """Types of the leaves of the arguments."""
        return tuple(self.program.in_avals)

    @property
    def out_avals(self) -> tuple[ShapedArray, ...]:
        """Types of the leaves of the result."""
        return tuple(self.program.out_avals)

    @property
    def out_info(self) -> Any:
        """The result with types in place of arrays."""
        return unflatten(self.out_tree, [a.update() for a in self.program.out_avals])

    def as_text(self, stage: str | None = None) -> str:
        """One stage on the way to machine code as text; without a stage an overview, which is also what ``print`` shows.

        Parameters
        ----------
        stage : str, optional
            ``"program"`` (as traced), ``"simplified"`` (after all passes), ``"segments"`` (what runs as native code, and what Python evaluates
            and why), ``"kernels"`` (fused loops, and the user's line behind each statement), ``"memory"`` (temporary arrays, their places and
            lives), ``"llvm"``, ``"optimised_llvm"`` and ``"assembly"`` (for this processor).

        Returns
        -------
        str

        Raises
        ------
        ArgumentError
            If there is no such stage.

        Examples
        --------
        >>> import fad
        >>> import fad.numpy as fnp
        >>> lowered = fad.jit(lambda x: fnp.sin(x) * 2.0 + x**2).lower(fad.ShapedArray((100,), "float64"))
        >>> print(lowered.as_text("kernels"))
        kernel 1, loops: 300 flops, 100 transcendentals, reads 800 B, writes 800 B
          for i < 100:
            d[i] = sin(x[i]) * 2.0 + x[i] ** 2  # ...
        """
        text = _report("as_text")
        name = function_name(self._fun)
        if stage is not None:
            return text.stage_text(self.program, stage, self.argument_names)
        rest = "as_text('llvm'), as_text('optimised_llvm') and as_text('assembly') show the machine's code."
        return f"{name}, lowered\n\n{text.overview(self.program, self.argument_names)}\n\n{rest}"

    def __str__(self) -> str:
        return self.as_text()

    def __repr__(self) -> str:
        inputs = ", ".join(f"{n}: {a}" for n, a in zip(self.argument_names, self.in_avals, strict=True))
        return f"<lowered {function_name(self._fun)}({inputs}) -> {', '.join(map(str, self.out_avals))}>"

    def outline(self) -> Any:
        """Its segments and kernels as objects, with what they compute, read, write and cost; :mod:`fad.viz` draws them."""
        return _report("outline").outline_of(self.program, self.argument_names)

    def cost_analysis(self) -> dict[str, Any]:
        """What one run costs: counts, from the types alone.

        Returns
        -------
        dict
            ``flops``, ``transcendentals`` (calls of functions such as ``exp``, for one element each), ``bytes_read`` and ``bytes_written`` (each
            array once for every kernel that reads or writes it), ``argument_bytes``, ``result_bytes``, ``arena_bytes`` (temporary arrays) and
            ``peak_memory`` (the most that is alive at once, arguments and results included); and ``kernels``, a list of dicts with the same
            counts for each kernel, its kind and the user's lines behind it. The body of a loop whose length only the run can tell counts once,
            of several branches the most costly one counts.

        Examples
        --------
        >>> import fad
        >>> cost = (
        ...     fad.jit(lambda a, b: a @ b)
        ...     .lower(fad.ShapedArray((10, 20), "float64"), fad.ShapedArray((20, 30), "float64"))
        ...     .cost_analysis()
        ... )
        >>> cost["flops"], cost["bytes_read"], cost["peak_memory"]
        (12000, 6400, 8800)
        """
        return _report("cost_analysis").cost_report(self.program, self.argument_names)

    def compile(self) -> Compiled:
        """Compile it; the jitted function that it comes from is compiled for these arguments thereby.

        Examples
        --------
        >>> import fad
        >>> double = fad.jit(lambda x: x * 2.0).lower(1.0).compile()
        >>> double(4.0)
        Array(8.)
        """
        return Compiled(self)


class Compiled:
    """A compiled function for arguments of certain types; what ``jit(f).lower(*args).compile()`` gives.

    It is called with the arguments of the function, those that are static left out, and refuses others than it was compiled for.

    Attributes
    ----------
    lowered : Lowered
        What it was compiled from.
    native : CompiledProgram or None
        The native code; ``None`` where settings or a missing package leave everything to evaluation.
    """

    def __init__(self, lowered: Lowered):
        self.lowered = lowered
        self.program = lowered.program
        self.native = compiled_program(lowered.program)
        self._shortcut = make_shortcut(self.program, self.in_tree, self.out_tree)

    def __reduce__(self) -> Any:
        return Lowered.compile, (self.lowered,)

    in_tree = property(lambda self: self.lowered.in_tree, doc="The structure of the arguments.")
    out_tree = property(lambda self: self.lowered.out_tree, doc="The structure of the result.")
    in_avals = property(lambda self: self.lowered.in_avals, doc="Types of the leaves of the arguments.")
    out_avals = property(lambda self: self.lowered.out_avals, doc="Types of the leaves of the result.")

    def as_text(self, stage: str | None = None) -> str:
        """See :meth:`Lowered.as_text`."""
        return self.lowered.as_text(stage)

    def outline(self) -> Any:
        """See :meth:`Lowered.outline`."""
        return self.lowered.outline()

    def cost_analysis(self) -> dict[str, Any]:
        """See :meth:`Lowered.cost_analysis`."""
        return self.lowered.cost_analysis()

    def c_function(self, signature: str | None = None) -> Any:
        """The function under an address, for C, SciPy's low-level callables, ctypes and code that numba compiles.

        It runs without Python and its lock, from any number of threads at once.

        Parameters
        ----------
        signature : str, optional
            One of the declarations that SciPy knows, without a name: ``"double(double)"`` (with any number of numbers),
            ``"double(int, double*)"``, each also with a last ``void*``; ``"int(double*, intptr_t, double*, void*)"`` and the other callbacks of
            :mod:`scipy.ndimage`. By default ``int64_t(void*, ..., void*)`` with the addresses of the leaves of all arguments, then of
            all results, in C order.

        Returns
        -------
        CFunction
            With ``address``, ``ctypes`` and ``low_level_callable()``; it keeps the code alive.

        Raises
        ------
        ArgumentError
            If the signature does not fit the function, or a part of it runs in Python.

        Notes
        -----
        Arguments after those that the signature names come through ``void*``, which points to a table of their addresses, as
        ``low_level_callable(*arguments)`` makes it. Where the code finds an error (a matrix that is not positive definite, an exception of a
        numba function) or sizes are others than it was compiled for, a function of type ``double`` gives NaN, one of type ``int`` 0 in place of
        1, and one of type ``int64_t`` 1 in place of 0.

        Examples
        --------
        >>> import fad
        >>> import fad.numpy as fnp
        >>> from scipy.integrate import quad
        >>> compiled = fad.jit(fad.grad(lambda x: fnp.exp(-x * x))).lower(0.0).compile()
        >>> slope = compiled.c_function("double(double)")
        >>> round(quad(slope.low_level_callable(), 0, 1)[0], 6)
        -0.632121
        """
        name = function_name(self.lowered._fun)
        # Called from C nothing is given away: results have memory of their own.
        native = compiled_program(self.program.keeping_arguments())
        if native is None:
            raise ArgumentError(
                f"c_function({name}): there is no native code; fad.config.compile is off, checks for NaN are on, or llvmlite is missing"
            )
        return c_function(name, native, signature, self.lowered.argument_names)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        shortcut = self._shortcut
        if shortcut is not None and CURRENT.get() is EVAL and shortcut.stamp is config.stamp():
            result = shortcut(args, kwargs)
            if result is not MISS:
                return result
        operands = self.operands(args, kwargs)
        if self.program.donated and CURRENT.get() is EVAL:
            leaves = flatten((args, kwargs))[0]
            return unflatten(self.out_tree, [wrap(o) for o in call_donating(self.program, leaves)])
        return unflatten(self.out_tree, [wrap(o) for o in call(self.program, *operands)])

    def operands(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """The arguments' operands, which have the types that the code was made for."""
        name = function_name(self.lowered._fun)
        leaves, treedef = flatten((args, kwargs))
        if treedef != self.in_tree:
            wanted = ", ".join(self.lowered.argument_names)
            raise TreeError(
                f"the compiled {name} takes arguments with the leaves ({wanted}) in the structure {structure_text(self.in_tree)}, and got "
                f"{structure_text(treedef)}. Static arguments are left out of the call; call the jitted function itself for arguments of any structure."
            )
        names = self.lowered.argument_names
        operands = leaf_operands("compiled", self.lowered._fun, leaves, lambda k: names[k])
        wrong = [
            f"{n} is {seen} where it was compiled for {wanted}"
            for n, wanted, seen in zip(names, self.in_avals, map(aval_of, operands), strict=True)
            if not _fits(seen, wanted)
        ]
        if wrong:
            raise ArgumentError(
                f"the compiled {name} runs only for the types that it was lowered with: {'; '.join(wrong[:3])}"
                + (f"; and {len(wrong) - 3} more" if len(wrong) > 3 else "")
                + ". Convert the argument, lower the function again for these types, or call the jitted function, which compiles for each signature."
            )
        return operands

    def __repr__(self) -> str:
        inputs = ", ".join(f"{n}: {a}" for n, a in zip(self.lowered.argument_names, self.in_avals, strict=True))
        return f"<compiled {function_name(self.lowered._fun)}({inputs}) -> {', '.join(map(str, self.out_avals))}>"


def _report(what: str) -> Any:
    """The part of the compiler that describes its work; it needs LLVM."""
    missing = missing_llvm()
    if missing:
        raise MissingPackageError(f"{what} shows native code, which needs LLVM; {missing}")
    import fad.compiler.report.texts as texts

    return texts


def _fits(seen: ShapedArray, wanted: ShapedArray) -> bool:
    """Whether code for one type may run on a value of another: a Python scalar does for an array of its own dtype."""
    return seen == wanted or (seen.weak and seen.dtype == wanted.dtype and not wanted.shape)


def leaf_arguments(treedef: PyTreeDef, static: Sequence[int]) -> list[tuple[Any, ...]]:
    """The path of each leaf of ``(args, kwargs)``: the argument's number, those that are static counted too, or its name, then the way inside it."""
    paths = flatten_with_paths(unflatten(treedef, range(treedef.num_leaves)))[0]
    most = max([path[1] for path in paths if path[0] == 0], default=0) + len(static) + 1
    numbers = [n for n in range(most) if n not in static]
    return [(numbers[key] if part == 0 else key, *inner) for part, key, *inner in paths]


def argument_names(fun: Callable[..., Any], treedef: PyTreeDef, static: Sequence[int]) -> list[str]:
    """A name for each leaf of ``(args, kwargs)`` as the function's own code would write it, as in ``params['w']``."""
    try:
        parameters = list(signature(fun).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    positional = [p.name for p in parameters if p.kind in kinds]
    rest = [p.name for p in parameters if p.kind is Parameter.VAR_POSITIONAL] or ["args"]
    names = []
    for key, *inner in leaf_arguments(treedef, static):
        if isinstance(key, int):
            key = positional[key] if key < len(positional) else f"{rest[0]}[{key - len(positional)}]"
        names.append(str(key) + "".join(f"[{entry!r}]" for entry in inner))
    return names
