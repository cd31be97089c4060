"""``export_source``: a Program as a standalone, readable NumPy function that does not import fad.

Common operations become the NumPy call that a person would write. The rest bring their implementation along: the source of the primitive's ``impl`` and of
everything of fad that it uses is copied above the function.
"""

from __future__ import annotations

import ast
import builtins
import copy
import inspect
import re
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any

import numpy as np

from fad.core.avals import aval_of, dtype_named, is_bfloat16
from fad.core.errors import FadError
from fad.core.program import Atom, Equation, Program, Var
from fad.core.pytrees import flatten
from fad.export.equations import equation_lines
from fad.transforms.arguments import argument_paths, as_function, function_name, leaf_operands
from fad.transforms.checkpointing import inlined
from fad.transforms.programs import stage_function

__all__ = ["export_source"]


class _Writer:
    """Collects the helper definitions, constants and lines of one exported function."""

    def __init__(self) -> None:
        self.definitions: dict[str, str] = {}
        self.imports: dict[str, str] = {}
        self.constants: dict[str, Any] = {}
        self.names: dict[int, str] = {}
        self.functions = 0

    def body(self, program: Program, arguments: list[str], indent: str) -> list[str]:
        """Lines that compute a Program, ending in its return statement."""
        names: dict[Var, str] = dict(zip(program.inputs, arguments, strict=True))
        for var, value in program.constants.items():
            names[var] = self.constant(value)
        taken = set(names.values())
        lines: list[str] = []
        for equation in program.equations:
            for var in equation.outputs:
                names[var] = _fresh(taken)
            half = not equation.primitive.higher_order and any(is_bfloat16(v.aval.dtype) for v in equation.inputs)
            lines += self.lines(equation, partial(self.operand, names, half), [names[v] for v in equation.outputs])
        results = ", ".join(self.operand(names, False, v) for v in program.outputs)
        return [indent + line for line in [*lines, f"return [{results}]"]]

    def constant(self, value: Any) -> str:
        """The name of an array constant."""
        name = f"constant_{len(self.constants)}"
        self.constants[name] = value
        return name

    def lines(self, equation: Equation, name: Callable[[Atom], str], outputs: list[str]) -> list[str]:
        """Lines for one equation."""
        primitive, params = equation.primitive, equation.params
        args = [name(v) for v in equation.inputs]
        written = equation_lines(self, equation, args, outputs)
        if written is not None:
            return written
        if isinstance(primitive.impl, str):
            return [f"{outputs[0]} = np.{primitive.impl}({', '.join(args)})"]
        special = inspect.getclosurevars(primitive.impl).nonlocals.get("function")
        if isinstance(special, str) and primitive.impl.__module__ == "fad.primitives.special" and _wide(equation):
            self.imports["special"] = "from scipy import special"
            return [f"{outputs[0]} = special.{special}({', '.join(args)})"]
        call = f"{self.helper(primitive)}({', '.join(['np', *args, *[f'{k}={self.literal(v)}' for k, v in params.items()]])})"
        return [f"{', '.join(outputs)}{',' if primitive.multiple_results and len(outputs) == 1 else ''} = {call}"]

    def operand(self, names: dict[Var, str], half: bool, v: Atom) -> str:
        """The name of a variable, or a number that may stand beside an operator, and beside bfloat16 if ``half``."""
        if isinstance(v, Var):
            return names[v]
        if half and v.aval.weak and v.aval.dtype.kind == "f":
            return self.literal(dtype_named("bfloat16").type(v.value))  # NumPy would give float32
        plain = isinstance(v.value, np.generic) and v.value.dtype in (np.float64, np.int64, np.bool_)
        text = self.literal(v.value.item() if plain else v.value)
        return f"({text})" if text.startswith("-") else text

    def literal(self, value: Any) -> str:
        """A parameter written as Python."""
        if isinstance(value, np.dtype):
            if value.name == "bfloat16":
                self.imports["ml_dtypes"] = "import ml_dtypes"
                return "np.dtype(ml_dtypes.bfloat16)"
            return f"np.dtype({value.name!r})"
        if isinstance(value, np.generic):
            return f"{self.literal(type(value))}({_number(value.item())})"
        if isinstance(value, float | complex):
            return _number(value)
        if isinstance(value, tuple):
            return "(" + ", ".join(map(self.literal, value)) + ("," if len(value) == 1 else "") + ")"
        if isinstance(value, type):
            return f"np.{value.__name__}" if value.__module__ == "numpy" else self.imported(value)
        if isinstance(value, frozenset | set | list):
            return f"{type(value).__name__}([{', '.join(self.literal(v) for v in value)}])"
        if isinstance(value, dict):
            return "{" + ", ".join(f"{self.literal(k)}: {self.literal(v)}" for k, v in value.items()) + "}"
        if isinstance(value, slice):
            return f"slice({value.start}, {value.stop}, {value.step})"
        if value is None or value is Ellipsis or isinstance(value, bool | int | str):
            return repr(value)
        raise FadError(f"export_source: a parameter of type {type(value).__name__} cannot be written as Python source")

    def imported(self, value: Any) -> str:
        """The name of something of another library."""
        if value.__module__ != "builtins":
            self.imports[value.__name__] = f"from {value.__module__} import {value.__name__}"
        return value.__name__

    def nested(self, program: Program) -> str:
        """The name of a function that computes a nested Program."""
        self.functions += 1
        name = f"{re.sub(r'[^0-9a-zA-Z_]', '', program.name) or 'part'}_{self.functions}"
        arguments = [f"x{k}" for k in range(len(program.inputs))]
        lines = self.body(program, arguments, "    ")
        self.definitions[name] = "\n".join([f"def {name}({', '.join(arguments)}):", *lines])
        return name

    def helper(self, primitive: Any) -> str:
        """The name of a copied implementation."""
        if primitive.declared_outside:
            raise FadError(
                f"export_source: {primitive.name} was declared outside fad, and its implementation cannot be copied. Export the parts of the function "
                "before and after it."
            )
        return self.copied(primitive.impl, f"{primitive.name}_impl")

    def copied(self, function: Any, wanted: str) -> str:
        """Copy the source of a function or class of fad, with what it refers to; gives its name in the exported source."""
        if isinstance(function, partial):
            raise FadError("export_source: an implementation made by functools.partial cannot be copied")
        function = inspect.unwrap(function) if not isinstance(function, type) else function
        if id(function) in self.names:
            return self.names[id(function)]
        is_lambda = isinstance(function, types.FunctionType) and function.__name__ == "<lambda>"
        name = wanted if is_lambda else function.__name__
        while name in self.names.values() or name in self.definitions or name in self.imports:
            name += "_"
        self.names[id(function)] = name  # before its references, which may refer to it
        scope, cells = _scope_of(function)
        node = _undecorated(_node_of(function))
        node = _Substitute(
            {k: v for k, v in cells.items() if isinstance(v, str | bool | int | float | tuple | None)}, self
        ).visit(node)
        self.references(node, {**scope, **cells})
        if not is_lambda:
            node.name = name  # type: ignore[attr-defined]
        # References stand first: a definition that uses another stands below it.
        self.definitions[name] = f"{name} = {ast.unparse(node)}" if is_lambda else ast.unparse(node)
        return name

    def references(self, node: ast.AST, scope: dict[str, Any]) -> None:
        """Copy or import everything that a piece of source names."""
        local = {
            a.arg
            for n in ast.walk(node)
            if isinstance(n, ast.arguments)
            for a in [*n.posonlyargs, *n.args, *n.kwonlyargs]
        }
        local |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        loaded = [n for n in ast.walk(node) if isinstance(n, ast.Name) and n.id not in local]
        renamed = {
            name: self.reference(name, scope[name])
            for name in dict.fromkeys(n.id for n in loaded)
            if name in scope and not hasattr(builtins, name)
        }
        # Files of fad have helpers of the same name; the second one gets another.
        for found in loaded:
            found.id = renamed.get(found.id, found.id)

    def reference(self, name: str, value: Any) -> str:
        """Copy or import one global of fad's source; gives its name in the exported source."""
        if isinstance(value, types.ModuleType):
            return self._unique(self.imports, name, f"import {value.__name__} as {{}}", value.__name__)
        if isinstance(value, type) and issubclass(value, Exception):
            return self._unique(self.definitions, name, "{} = ValueError")
        own = (getattr(value, "__module__", None) or "").startswith("fad.")
        if callable(value) and own and hasattr(value, "__name__"):
            return self.copied(value, name)
        if isinstance(value, types.FunctionType | type | types.BuiltinFunctionType | np.ufunc):
            return self._unique(self.imports, name, f"from {value.__module__} import {value.__name__} as {{}}")
        if value is Any:
            return name
        return self._unique(
            self.definitions, name, f"{{}} = {self.literal(value).replace('{', '{{').replace('}', '}}')}"
        )

    def _unique(self, table: dict[str, str], name: str, pattern: str, plain: str = "") -> str:
        """Put a line into a table of names, under another name where the name means something else already."""
        while True:
            line = f"import {name}" if plain == name else pattern.format(name)
            others = self.definitions if table is self.imports else self.imports
            if table.get(name, line) == line and name not in others:
                table[name] = line
                return name
            name += "_"


def _wide(equation: Equation) -> bool:
    """Whether SciPy computes the equation in the dtype that it is to have."""
    return equation.outputs[0].aval.dtype in (np.float64, np.complex128)


def _number(value: complex) -> str:
    """A Python number written as Python, infinities and NaN too."""
    if isinstance(value, complex) and not np.isfinite(value):
        return f"complex({_number(value.real)}, {_number(value.imag)})"
    if isinstance(value, float) and not np.isfinite(value):
        return repr(value).replace("inf", "np.inf").replace("nan", "np.nan")
    return repr(value)


def _fresh(taken: set[str]) -> str:
    """The next short name that is not taken."""
    k = 0
    while True:
        letters, n = "", k + 1
        while n:
            n, digit = divmod(n - 1, 26)
            letters = chr(97 + digit) + letters
        k += 1
        if letters not in taken and letters not in (
            "as",
            "if",
            "in",
            "is",
            "or",
            "np",
            "do",
            "and",
            "not",
            "for",
            "def",
            "del",
            "try",
        ):
            taken.add(letters)
            return letters


def _undecorated(node: Any) -> Any:
    """A definition without annotations and docstring."""

    class Strip(ast.NodeTransformer):
        def visit_arg(self, arg: ast.arg) -> ast.arg:
            arg.annotation = None
            return arg

        def visit_FunctionDef(self, function: ast.FunctionDef) -> ast.FunctionDef:
            self.generic_visit(function)
            function.returns = None
            if ast.get_docstring(function) is not None and len(function.body) > 1:
                function.body = function.body[1:]
            return function

        def visit_ClassDef(self, cls: ast.ClassDef) -> ast.ClassDef:
            self.generic_visit(cls)
            if ast.get_docstring(cls) is not None and len(cls.body) > 1:
                cls.body = cls.body[1:]
            return cls

        def visit_AnnAssign(self, assign: ast.AnnAssign) -> ast.AST | None:
            if assign.value is None:
                return None
            return ast.copy_location(ast.Assign([assign.target], assign.value), assign)

    return ast.fix_missing_locations(Strip().visit(node))


@lru_cache(maxsize=64)
def _functions_in(source: str) -> list[ast.FunctionDef | ast.Lambda]:
    """The functions and lambdas of a file, read once for all that are copied from it."""
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.Lambda)]


def _node_of(function: Any) -> ast.AST:
    """The syntax tree of a function, lambda or class, found in its file."""
    if isinstance(function, type):
        return ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    kinds = ast.Lambda if function.__name__ == "<lambda>" else ast.FunctionDef
    lines = function.__code__.co_firstlineno
    wanted = function.__code__.co_varnames[: function.__code__.co_argcount + function.__code__.co_kwonlyargcount]
    for node in _functions_in(inspect.getsource(sys.modules[function.__module__])):
        if isinstance(node, kinds):
            names = tuple(a.arg for a in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs])
            first = (
                node.lineno
                if isinstance(node, ast.Lambda)
                else min([node.lineno, *[d.lineno for d in node.decorator_list]])
            )
            if first == lines and names == wanted and (isinstance(node, ast.Lambda) or node.name == function.__name__):
                return copy.deepcopy(node)  # who gets it changes it
    raise FadError(f"export_source: the source of {function.__qualname__} in {function.__module__} cannot be found")


def _scope_of(function: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a function's global names mean, and what it closes over."""
    if isinstance(function, type):
        return dict(vars(sys.modules[function.__module__])), {}
    cells = dict(zip(function.__code__.co_freevars, [c.cell_contents for c in function.__closure__ or ()], strict=True))
    return function.__globals__, cells


class _Substitute(ast.NodeTransformer):
    """Writes plain values that a function closes over in place of their names."""

    def __init__(self, values: dict[str, Any], writer: _Writer):
        self.values, self.writer = values, writer

    def visit_Name(self, name: ast.Name) -> ast.AST:
        if isinstance(name.ctx, ast.Load) and name.id in self.values:
            return ast.parse(self.writer.literal(self.values[name.id]), mode="eval").body
        return name

    def visit_IfExp(self, choice: ast.IfExp) -> ast.AST:
        # A choice by whether a known value is a name is made here, not by every run of the source.
        match choice.test:
            case ast.Call(func=ast.Name("isinstance"), args=[ast.Name(name), ast.Name("str")]) if name in self.values:
                return self.visit(choice.body if isinstance(self.values[name], str) else choice.orelse)
        return self.generic_visit(choice)


# --- the function -------------------------------------------------------------------------------------------------------------------------


def export_source(fun: Callable[..., Any], *args: Any, name: str | None = None, **kwargs: Any) -> str:
    """Source of a NumPy function that does what ``fun`` does for arguments of these types, a gradient for instance.

    Parameters
    ----------
    fun : callable
        Function of pytrees of arrays; may be transformed, as in ``fad.grad(loss)``.
    *args, **kwargs
        Arguments that give the structure, shapes and dtypes.
    name : str, optional
        Name of the exported function; by default that of ``fun``.

    Returns
    -------
    str
        Python source that imports NumPy (and SciPy where an operation needs it) and not fad. The function takes the leaves of the arguments, one
        by one, and gives the results with the structure that ``fun`` gives, built of tuples, lists and dicts.

    Raises
    ------
    FadError
        If an operation's implementation cannot be written as source.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> print(fad.export_source(fad.grad(lambda x: fnp.sin(x) * 2.0), 1.0, name="slope"))
    import numpy as np
    <BLANKLINE>
    <BLANKLINE>
    def slope(x0):
        a = np.full((), 1, dtype=np.dtype('float64'))
        b = a * 2.0
        c = np.cos(x0)
        d = b * c
        return d
    <BLANKLINE>
    """
    fun = as_function("export_source", fun)
    leaves, treedef = flatten((args, kwargs))
    operands = leaf_operands("export_source", fun, leaves, argument_paths((args, kwargs), "leaf"))
    program, captured, out_tree = stage_function("export_source", fun, treedef, [aval_of(o) for o in operands])
    if captured:
        raise FadError(
            f"export_source: {function_name(fun)} closes over a value of another transform; export the outer function instead"
        )
    program = inlined(program)
    title = re.sub(r"\W", "_", name or function_name(fun))
    title = title if title.isidentifier() else "exported"
    writer = _Writer()
    inputs = [f"x{k}" for k in range(len(program.inputs))]
    lines = writer.body(program, inputs, "    ")
    lines[-1] = "    return " + _tree_source(out_tree, lines[-1])
    parts = [
        "\n".join(["import numpy as np", *sorted({i for i in writer.imports.values() if i != "import numpy as np"})])
    ]
    parts += [_constant_source(writer, n, v) for n, v in writer.constants.items()]
    parts += [d for d in writer.definitions.values() if d]
    parts.append("\n".join([f"def {title}({', '.join(inputs)}):", *lines]))
    return "\n\n\n".join(parts) + "\n"


def _constant_source(writer: _Writer, name: str, value: Any) -> str:
    host = np.asarray(value)
    numbers = ", ".join(_number(v.item()) for v in host.ravel())
    flat = f"np.array([{numbers}], dtype={writer.literal(host.dtype)})"
    return f"{name} = {flat}" if host.ndim == 1 else f"{name} = np.reshape({flat}, {host.shape})"


def _tree_source(treedef: Any, returned: str) -> str:
    """The returned leaves put into the structure of the result, built of tuples, lists and dicts."""
    items = returned.strip().removeprefix("return [").removesuffix("]")
    leaves = ast.parse(f"[{items}]", mode="eval").body.elts  # type: ignore[attr-defined]
    return _node_source(treedef, iter([ast.unparse(leaf) for leaf in leaves]))


def _node_source(treedef: Any, leaves: Iterator[str]) -> str:
    if treedef.is_leaf():
        return next(leaves)
    kind = treedef.type
    if kind is type(None):
        return "None"
    children = [_node_source(child, leaves) for child in treedef.children()]
    if isinstance(kind, type) and issubclass(kind, dict):
        return "{" + ", ".join(f"{k!r}: {c}" for k, c in zip(treedef.entries(), children, strict=True)) + "}"
    if kind is list:
        return "[" + ", ".join(children) + "]"
    return "(" + ", ".join(children) + ("," if len(children) == 1 else "") + ")"
