"""What the project's texts must and must not say."""

import re
import subprocess
import tomllib

from tests.house.reading import ROOT, sources

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

# The registry's `fad` is an unrelated package; ours is `fad-autodiff`.
WRONG_INSTALL = re.compile(
    r"""(?:pip3?|uv|pipx|poetry)\s+(?:pip\s+)?(?:install|add)\s+(?:-\S+\s+)*["'`]?fad(?![\w/.-])"""
)


def texts() -> dict[str, str]:
    """Every text file that is, or is about to be, under version control."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):  # an unpacked sdist
        names = [str(path.relative_to(ROOT)) for path in (*sources(), *ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))]
    found = {}
    for name in names:
        path = ROOT / name
        if path.is_file() and path.suffix not in {".png", ".npz", ".npy", ".gz", ".pdf"}:
            found[name] = path.read_text(encoding="utf-8")
    return found


def test_nobody_is_told_to_install_the_wrong_package():
    problems = [name for name, text in texts().items() if WRONG_INSTALL.search(text)]
    assert not problems, f"the distribution is called fad-autodiff: {problems}"


def test_the_pattern_of_the_wrong_package():
    command = " ".join(["pip", "install"])
    for wrong in ("fad", "-U fad", "'fad[demo]'", "fad==1.0"):
        assert WRONG_INSTALL.search(f"run `{command} {wrong}` first"), wrong
    for right in ("fad-autodiff", "-U fad-autodiff[demo]", ".", "fadfoo"):
        assert not WRONG_INSTALL.search(f"run `{command} {right}` first"), right


def test_nothing_is_left_over():
    marks = re.compile(
        r"^(<{7} |>{7} |={7}$)|\b" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX"]) + r"\b", re.MULTILINE
    )
    problems = [f"{name}: {match.group()}" for name, text in texts().items() if (match := marks.search(text))]
    assert not problems, problems


def test_silenced_checks_are_named():
    vague = re.compile(r"#\s*noqa(?!:\s*[A-Z])|#\s*type:\s*ignore(?!\[)")
    unused = re.compile(r"#\s*noqa:[^\n]*\b(F401|F811)\b")  # never: use __all__, or remove the import
    problems = []
    for path in sources():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if "re.compile" not in line and (vague.search(line) or unused.search(line)):
                problems.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not problems, "\n".join(problems)
    ignored = str(PYPROJECT["tool"]["ruff"]["lint"]["ignore"]) + str(
        PYPROJECT["tool"]["ruff"]["lint"]["per-file-ignores"]
    )
    assert "F401" not in ignored
    assert "F811" not in ignored


def test_the_changelog_has_a_place_for_what_comes():
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_readme_names_the_two_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in readme
    assert "make test" in readme
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
