"""Read the sources of the project without importing them."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Import:
    """One import of a fad module: who, from which line, what, and where in the file it stands."""

    importer: str
    line: int
    target: str
    in_function: bool
    for_types_only: bool

    def __str__(self) -> str:
        return f"{self.importer} (line {self.line}) imports {self.target}"


def module_name(path: Path, root: Path = ROOT) -> str:
    """Turn `<root>/fad/core/array.py` into `fad.core.array`, and a package's `__init__.py` into the package."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules(root: Path = ROOT) -> dict[str, Path]:
    """Every module of fad and its file."""
    return {module_name(path, root): path for path in sorted((root / "fad").rglob("*.py"))}


@cache
def parse(path: Path) -> ast.Module:
    """Parse one file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def statements_of(node: ast.AST) -> Iterator[ast.AST]:
    """What a node holds, without expressions: neither imports nor functions with a name stand in these."""
    return (child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr))


def _name(node: ast.AST) -> str:
    """The last name of `a`, `x.a` or `x().a`; "" of anything else."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def called_name(call: ast.Call) -> str:
    """The name of what is called, without what stands before its last dot."""
    return _name(call.func) or ast.unparse(call.func).split(".")[-1]


@cache
def imports_of(name: str, root: Path = ROOT) -> tuple[Import, ...]:
    """List the imports of fad modules in one module, those inside functions included."""
    found: list[Import] = []
    known = modules(root)

    def targets(node: ast.Import | ast.ImportFrom) -> list[str]:
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        # `from fad.core import array` means the module fad.core.array where there is one, and else fad.core.
        submodules = [f"{node.module}.{alias.name}" for alias in node.names]
        return [submodule if submodule in known else str(node.module) for submodule in submodules]

    def visit(node: ast.AST, in_function: bool, for_types_only: bool) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"{name}: relative import, line {node.lineno}"
            for target in dict.fromkeys(targets(node)):
                if target == "fad" or target.startswith("fad."):
                    found.append(Import(name, node.lineno, target, in_function, for_types_only))
        in_function |= isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if isinstance(node, ast.If) and any(_name(part) == "TYPE_CHECKING" for part in ast.walk(node.test)):
            for child in node.body:
                visit(child, in_function, True)
            for child in node.orelse:
                visit(child, in_function, for_types_only)
            return
        for child in statements_of(node):
            visit(child, in_function, for_types_only)

    visit(parse(known[name]), False, False)
    return tuple(found)


def find_cycle(graph: dict[str, list[str]]) -> list[str]:
    """Return one cycle as a closed walk [a, b, ..., a], or [] where the graph has none."""
    finished: set[str] = set()
    for start in graph:
        path: list[str] = []
        stack = [(start, iter(graph.get(start, [])))] if start not in finished else []
        path += [node for node, _ in stack]
        while stack:
            node, successors = stack[-1]
            following = next((s for s in successors if s not in finished), None)
            if following is None:
                finished.add(node)
                stack.pop()
                path.pop()
            elif following in path:
                return [*path[path.index(following) :], following]
            else:
                stack.append((following, iter(graph.get(following, []))))
                path.append(following)
    return []


@cache
def functions(path: Path) -> tuple[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef], ...]:
    """List the functions and methods of a file with their dotted names, nested ones included."""
    found: list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]] = []

    def visit(node: ast.AST, prefix: str) -> None:
        for child in statements_of(node):
            named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            inner = f"{prefix}{child.name}." if named else prefix  # type: ignore[attr-defined]
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                found.append((inner[:-1], child))
            visit(child, inner)

    visit(parse(path), "")
    return tuple(found)


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function without its docstring."""
    total = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        total -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return total


@cache
def sources() -> tuple[Path, ...]:
    """Every Python file of the project: the package, its tests, examples, benchmarks and tools."""
    folders = ("fad", "tests", "examples", "benchmarks", "tools")
    return tuple(sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")))
