"""Tests that could not fail, and skips that do not say why, are found here."""

import ast
from functools import cache

import pytest

from tests.house.reading import ROOT, called_name, functions, parse

CHECKING = ("assert", "check", "expect", "raises", "warns", "fail", "compare", "verify", "agree")
TESTS = sorted(path for path in (ROOT / "tests").rglob("test_*.py"))


def checks_something(function: ast.AST, checkers: frozenset[str] = frozenset()) -> bool:
    """Say whether a test asserts, or calls a function that by its name or by its body does."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            called = called_name(node).lstrip("_").lower()
            if called.startswith(CHECKING) or called in checkers:
                return True
    return False


@cache
def checkers() -> frozenset[str]:
    """The functions of the test folder that assert, by themselves or through one another."""
    candidates = [
        f for path in (ROOT / "tests").rglob("*.py") for _, f in functions(path) if not f.name.startswith("test")
    ]
    known: frozenset[str] = frozenset()
    while found := {f.name for f in candidates if f.name not in known and checks_something(f, known)}:
        known |= found
    return known


def calls_itself_a_test(name: str) -> bool:
    return name.split(".")[-1].startswith("test_") and (name.count(".") == 0 or name.startswith("Test"))


@pytest.mark.parametrize("path", TESTS, ids=[str(path.relative_to(ROOT / "tests")) for path in TESTS])
def test_every_test_can_fail(path):
    found = [
        name
        for name, function in functions(path)
        if calls_itself_a_test(name) and not checks_something(function, checkers())
    ]
    assert not found, f"no assertion in {found}"


@pytest.mark.parametrize("path", TESTS, ids=[str(path.relative_to(ROOT / "tests")) for path in TESTS])
def test_no_test_hides_another(path):
    names = [name for name, _ in functions(path) if calls_itself_a_test(name)]
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)


def test_every_skip_has_a_reason():
    problems = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(parse(path)):
            skips = isinstance(node, ast.Call) and called_name(node) in ("skipif", "xfail", "skip")
            text = ast.unparse(node.func) if skips else ""
            if text.endswith(("mark.skipif", "mark.xfail", "mark.skip")):
                reason = any(keyword.arg == "reason" for keyword in node.keywords) or (
                    text.endswith("skip") and node.args
                )
            elif text in ("pytest.skip", "pytest.xfail"):
                reason = bool(node.args or node.keywords)
            else:
                continue
            if not reason:
                problems.append(f"{path.relative_to(ROOT)}:{node.lineno}")
        for node in ast.walk(parse(path)):
            bare = isinstance(node, ast.FunctionDef) and any(
                ast.unparse(decorator) in ("pytest.mark.skip", "pytest.mark.xfail") for decorator in node.decorator_list
            )
            if bare:
                problems.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not problems, problems


def test_an_empty_test_is_seen():
    silent, speaking = ast.parse("def test_a():\n    f()\n\ndef test_b():\n    assert_close(1, 1)\n").body
    assert not checks_something(silent)
    assert checks_something(speaking)
