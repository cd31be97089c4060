"""Files and functions stay short enough to read at one sitting, and names say what a thing is."""

import ast
import re

from tests.house.layers import LONG_FOR_A_REASON, MAX_FILE_LINES, MAX_FUNCTION_LINES
from tests.house.reading import ROOT, code_lines, functions, modules, parse, sources


def test_files_are_short():
    problems = []
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MAX_FILE_LINES and name not in LONG_FOR_A_REASON:
            problems.append(f"{name}: {lines} lines")
    assert not problems, f"over {MAX_FILE_LINES} lines:\n  " + "\n  ".join(problems)


def test_functions_are_short():
    problems = []
    for path in modules().values():
        for name, function in functions(path):
            place = f"{path.relative_to(ROOT).as_posix()}:{name}"
            if code_lines(function) > MAX_FUNCTION_LINES and place not in LONG_FOR_A_REASON:
                problems.append(f"{place} (line {function.lineno}): {code_lines(function)} lines")
    assert not problems, f"over {MAX_FUNCTION_LINES} lines without the docstring:\n  " + "\n  ".join(problems)


def test_exceptions_are_still_needed():
    too_long = {
        path.relative_to(ROOT).as_posix()
        for path in sources()
        if len(path.read_text(encoding="utf-8").splitlines()) > MAX_FILE_LINES
    }
    for path in modules().values():
        place = path.relative_to(ROOT).as_posix()
        too_long |= {
            f"{place}:{name}" for name, function in functions(path) if code_lines(function) > MAX_FUNCTION_LINES
        }
    unneeded = sorted(LONG_FOR_A_REASON.keys() - too_long)
    assert not unneeded, f"remove from LONG_FOR_A_REASON: {unneeded}"
    assert all(len(reason) > 20 for reason in LONG_FOR_A_REASON.values()), "an exception needs its reason in words"


def test_names_say_something():
    problems = [
        str(path.relative_to(ROOT)) for path in sources() if re.fullmatch(r"_?(utils?|helpers?|misc)", path.stem)
    ]
    for path in sources():
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ClassDef) and node.name.endswith("Manager"):
                problems.append(f"{path.relative_to(ROOT)}: class {node.name}")
    assert not problems, f"say what it holds or does: {problems}"


def test_no_module_is_named_like_what_it_defines():
    """`fad.x.sort` must be either the module or the function: the import of one would hide the other."""
    definition = ast.FunctionDef | ast.ClassDef
    problems = [
        name
        for name, path in modules().items()
        if any(isinstance(node, definition) and node.name == path.stem for node in parse(path).body)
    ]
    assert not problems, problems


def test_code_lines_leave_out_the_docstring():
    function = ast.parse('def f():\n    """One.\n\n    Two.\n    """\n    return 1\n').body[0]
    assert isinstance(function, ast.FunctionDef)
    assert code_lines(function) == 2
