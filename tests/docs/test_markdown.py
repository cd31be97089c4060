"""The pages tell the truth: their Python code runs, top to bottom, and their links lead somewhere.

In a page, a fenced block marked `python` is executed, in one namespace for the page; a block with `>>>` prompts is
compared with its output, as doctest does. A block that cannot run stands after `<!-- not run: the reason -->`.
"""

import doctest
import linecache
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^(?P<indent>\s*)(?P<ticks>`{3,}|~{3,})\s*(?P<language>[\w+-]*)")
EXEMPT = re.compile(r"^\s*<!--\s*not run:\s*(?P<reason>.*?)\s*-->\s*$")
LINK = re.compile(r"(?<!\\)\[[^\]]*\]\((?P<target>[^)\s]+)(?:\s+\"[^\"]*\")?\)")
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line on which the text begins, and why it is not run."""

    language: str
    text: str
    line: int
    not_run: str | None = None


def blocks_of(text: str) -> list[Block]:
    """Find the fenced blocks of a page."""
    blocks: list[Block] = []
    lines = text.splitlines()
    number = 0
    reason: str | None = None
    while number < len(lines):
        opening = FENCE.match(lines[number])
        if opening is None:
            exempt = EXEMPT.match(lines[number])
            if exempt or lines[number].strip():
                reason = exempt["reason"] if exempt else None
            number += 1
            continue
        start = number + 1
        number = start
        while number < len(lines) and lines[number].strip() != opening["ticks"]:
            number += 1
        assert number < len(lines), f"the block that opens on line {start} is never closed"
        body = [line.removeprefix(opening["indent"]) for line in lines[start:number]]
        blocks.append(Block(opening["language"], "\n".join(body) + "\n", start + 1, reason))
        reason = None
        number += 1
    return blocks


def run_block(block: Block, page: Path, namespace: dict) -> None:
    """Execute a block; what fails is reported with the line of the page."""
    if ">>>" in block.text:
        test = doctest.DocTestParser().get_doctest(block.text, namespace, page.name, str(page), block.line - 1)
        report: list[str] = []
        runner = doctest.DocTestRunner(optionflags=OPTIONS)
        runner.run(test, out=report.append, clear_globs=False)
        assert runner.failures == 0, "".join(report)
        namespace.update(test.globs)
    else:
        # Empty lines above the code make the line numbers of a traceback those of the page.
        source = "\n" * (block.line - 1) + block.text
        exec(compile(source, str(page), "exec"), namespace)


def anchors_of(text: str) -> set[str]:
    """List the anchors of a page's headings, as code hosts make them."""
    without_code = re.sub(r"^(`{3,}|~{3,}).*?^\1\s*$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+\s+(.*?)\s*#*\s*$", without_code, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> list[str]:
    """List the links of a page to files or headings that are not there."""
    text = re.sub(r"^(`{3,}|~{3,}).*?^\1\s*$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    dead = []
    for match in LINK.finditer(re.sub(r"`[^`\n]*`", "", text)):
        file, _, anchor = match["target"].partition("#")
        if re.match(r"[a-z]+:", file):
            continue  # somewhere else on the web
        target = (page.parent / file).resolve() if file else page
        if not target.exists():
            dead.append(match["target"])
        elif anchor and target.suffix == ".md" and anchor not in anchors_of(target.read_text(encoding="utf-8")):
            dead.append(match["target"])
    return dead


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_runs(page, tmp_path, monkeypatch):
    blocks = [block for block in blocks_of(page.read_text(encoding="utf-8")) if block.language in ("python", "pycon")]
    assert all(block.not_run is None or len(block.not_run) > 10 for block in blocks), "a block not run needs a reason"
    monkeypatch.chdir(tmp_path)
    namespace: dict = {"__name__": "__page__"}
    linecache.checkcache(str(page))
    for block in blocks:
        if block.not_run is None:
            run_block(block, page, namespace)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    assert dead_links(page) == []


PAGE = """# A page
```python
x = 2
```
1. A list:

   ```python
   >>> x + 1
   3
   ```

<!-- not run: shows the shape of the idea only -->
```python
undefined
```
```sh
make test
```
"""


def test_the_collector_finds_blocks_and_lines():
    blocks = blocks_of(PAGE)
    assert [(b.language, b.line) for b in blocks] == [("python", 3), ("python", 8), ("python", 14), ("sh", 17)]
    assert [b.not_run for b in blocks] == [None, None, "shows the shape of the idea only", None]
    namespace: dict = {}
    for block in blocks[:2]:
        run_block(block, Path("page.md"), namespace)
    assert namespace["x"] == 2


def test_the_collector_sees_wrong_output_and_dead_links(tmp_path):
    with pytest.raises(AssertionError, match="Expected:"):
        run_block(Block("python", ">>> 1 + 1\n3\n", 1), Path("page.md"), {})
    with pytest.raises(ZeroDivisionError):
        run_block(Block("python", "1 / 0\n", 7), Path("page.md"), {})
    page = tmp_path / "page.md"
    page.write_text("# The `one` way\n[a](#the-one-way) [b](#no) [c](gone.md) [d](https://example.org)\n")
    assert dead_links(page) == ["#no", "gone.md"]
