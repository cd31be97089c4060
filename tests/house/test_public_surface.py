"""Every public name is documented with an example, and named by at least one test."""

import ast
import importlib
import types
from functools import cache
from pathlib import Path

import pytest

from tests.house.layers import PUBLIC_MODULES
from tests.house.reading import ROOT, parse


def is_ours(value: object) -> bool:
    """Say whether a public name is fad's own function or class (and not a constant, module or NumPy dtype)."""
    module = getattr(value, "__module__", None) or type(value).__module__
    return callable(value) and not isinstance(value, types.ModuleType) and str(module).split(".")[0] == "fad"


def public_names(module: str) -> dict[str, object]:
    loaded = importlib.import_module(module)
    return {name: getattr(loaded, name) for name in loaded.__all__}


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_all_is_complete_and_sorted_out(module):
    names = importlib.import_module(module).__all__
    assert len(names) == len(set(names))
    assert not [name for name in names if name.startswith("_") and name != "__version__"]
    assert public_names(module)


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_public_names_are_documented_with_an_example(module):
    problems = []
    for name, value in public_names(module).items():
        if not is_ours(value):
            continue
        docstring = value.__doc__ or ""
        if not docstring.strip():
            problems.append(f"{module}.{name}: no docstring")
        elif not (isinstance(value, type) and issubclass(value, BaseException)) and ">>>" not in docstring:
            problems.append(f"{module}.{name}: no example")
    assert not problems, f"{len(problems)} names:\n  " + "\n  ".join(problems)


def dotted(node: ast.AST, aliases: dict[str, str]) -> str:
    """Turn `fnp.linalg.inv` into `fad.numpy.linalg.inv`, given the imports of the file; '' for anything else."""
    if isinstance(node, ast.Name):
        return aliases.get(node.id, "")
    if isinstance(node, ast.Attribute):
        base = dotted(node.value, aliases)
        return base and f"{base}.{node.attr}"
    return ""


def names_used(tree: ast.Module) -> set[str]:
    """Collect the fad names that a file uses, in full, and `"name"` for each word of its tables of names."""
    aliases: dict[str, str] = {}
    used: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                aliases[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                used.add(f"{node.module}.{alias.name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            used.add(dotted(node, aliases))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 500:
            used |= {f'"{word}"' for word in node.value.replace(",", " ").split()}
    # Plain NumPy code reaches fad.numpy through the array protocols, so it is a test of the name as well.
    used |= {f"fad.{name}" for name in used if name.startswith("numpy.")}
    return {name for name in used if name.startswith(("fad.", '"'))}


@cache
def names_in_tests() -> frozenset[str]:
    used: set[str] = set()
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if "house" not in Path(path).relative_to(ROOT).parts:
            used |= names_used(parse(path))
    return frozenset(used)


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_public_names_are_tested(module):
    used = names_in_tests()
    untested = [
        name
        for name, value in public_names(module).items()
        if is_ours(value) and f"{module}.{name}" not in used and f'"{name}"' not in used
    ]
    assert not untested, f"no test names these {len(untested)} of {module}: {', '.join(untested)}"


def test_names_used_follows_imports():
    tree = ast.parse(
        "import fad\nimport fad.numpy as fnp\nfrom fad import tree as t\n"
        "fnp.linalg.inv\nfad.grad\nt.map\nNAMES = 'sin cos'"
    )
    assert {"fad.numpy.linalg.inv", "fad.grad", "fad.tree.map", '"sin"', '"cos"'} <= names_used(tree)
