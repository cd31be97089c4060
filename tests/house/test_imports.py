"""The house stands on its layers: nothing imports upward, nothing in a circle, nothing in hiding."""

import ast
from pathlib import Path

import pytest

from tests.house.layers import LAYERS, LOADED_ON_USE, ON_TOP, PUBLIC, RULE_ORDER
from tests.house.reading import ROOT, Import, called_name, find_cycle, imports_of, modules, parse


def within(module: str, part: str) -> bool:
    """Say whether a module is a part of the house, or stands inside it (`fad` itself is only `fad/__init__.py`)."""
    return module == part or (part != "fad" and module.startswith(f"{part}."))


def layer_of(module: str) -> int:
    """Return the number of the layer that a module belongs to."""
    fitting = [(len(part), number) for number, layer in enumerate(LAYERS) for part in layer if within(module, part)]
    assert fitting, f"{module} has no place in the house: add it to LAYERS in tests/house/layers.py"
    return max(fitting)[1]


def every_import(root: Path = ROOT) -> list[Import]:
    return [found for name in modules(root) for found in imports_of(name, root)]


def report(problems: list) -> str:
    return "\n" + "\n".join(f"  {problem}" for problem in problems)


def upward(imports: list[Import]) -> list[str]:
    return [
        f"{found}, which stands above it (layer {layer_of(found.target)} over {layer_of(found.importer)})"
        for found in imports
        if layer_of(found.target) > layer_of(found.importer)
    ]


def test_every_module_has_a_place():
    assert [layer_of(name) for name in modules()]


def test_nothing_imports_upward():
    problems = upward(every_import())
    assert not problems, report(problems)


def test_no_cycle():
    graph = {name: sorted({i.target for i in imports_of(name) if not i.for_types_only}) for name in modules()}
    cycle = find_cycle(graph)
    assert not cycle, " -> ".join(cycle)


def test_no_import_of_fad_inside_a_function():
    problems = [
        str(found)
        for found in every_import()
        if found.in_function and f"{found.importer} -> {found.target}" not in LOADED_ON_USE
    ]
    assert not problems, "an import inside a function hides a cycle; move what both need further down:" + report(
        problems
    )


def test_no_import_of_fad_by_name():
    problems = []
    for name, path in modules().items():
        for node in ast.walk(parse(path)):
            called = isinstance(node, ast.Call) and called_name(node) in ("import_module", "__import__")
            if called and name != "fad" and node.args and "fad" in ast.unparse(node.args[0]):
                problems.append(f"{name} (line {node.lineno}): {ast.unparse(node)}")
    assert not problems, report(problems)


def test_the_top_uses_only_public_names():
    problems = [
        str(found)
        for found in every_import()
        for part in ON_TOP
        if within(found.importer, part)
        and not within(found.target, part)
        and not any(within(found.target, public) for public in (*PUBLIC, *ON_TOP))
    ]
    assert not problems, report(problems)


def test_rules_follow_their_order():
    rank = {f"fad.primitives.{name}": number for number, name in enumerate(RULE_ORDER)}
    problems = [str(found) for found in every_import() if rank.get(found.target, -1) > rank.get(found.importer, 99)]
    assert not problems, report(problems)


@pytest.fixture
def crooked_house(tmp_path):
    """Build a house with one fault of each kind."""
    files = {
        "fad/__init__.py": "from fad.core import array\n",
        "fad/core/__init__.py": "",
        "fad/core/array.py": "import fad.core.trace\nfrom fad import numpy\n",
        "fad/core/trace.py": "from fad.core.array import Array\n\ndef f():\n    from fad.core import errors\n",
        "fad/core/errors.py": "if TYPE_CHECKING:\n    from fad.core.trace import f\n",
        "fad/numpy/__init__.py": "from fad.core import Array\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_the_reader_sees_the_faults(crooked_house):
    found = {
        name: [(i.target, i.in_function, i.for_types_only) for i in imports_of(name, crooked_house)]
        for name in modules(crooked_house)
    }
    assert found["fad"] == [("fad.core.array", False, False)]
    assert found["fad.core.array"] == [("fad.core.trace", False, False), ("fad.numpy", False, False)]
    assert found["fad.core.trace"] == [("fad.core.array", False, False), ("fad.core.errors", True, False)]
    assert found["fad.core.errors"] == [("fad.core.trace", False, True)]
    assert len(upward(every_import(crooked_house))) == 1
    graph = {name: [target for target, _, types in targets if not types] for name, targets in found.items()}
    assert find_cycle(graph) == ["fad.core.array", "fad.core.trace", "fad.core.array"]


def test_find_cycle_on_a_diamond():
    assert find_cycle({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}) == []
    assert find_cycle({"a": ["b"], "b": ["c"], "c": ["b"]}) == ["b", "c", "b"]
