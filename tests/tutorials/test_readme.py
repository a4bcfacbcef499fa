"""The README's Python runs as written, and prints what the README says it prints."""

import io
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

import ppl
from tests.tutorials.mistakes import MISTAKES

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
ERROR = re.compile(r"\w+Error: ")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the name it runs under, and the text block right after it, if any."""

    language: str
    body: str
    file: str
    printed: str | None

    @property
    def emitted(self) -> str | None:
        """The backend that this block is emitted code of."""
        found = re.search(r"^import (numpyro|pyro)$", self.body, re.MULTILINE)
        return found[1] if found and "def model(" in self.body else None


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a Markdown text, in order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    for (language, body), (following, printed) in pairwise([*found, ("", "")]):
        file = re.search(r"(\w+\.py):\d+", printed)
        yield Block(language, body, file[1] if file else "readme.py", printed if following == "text" else None)


def outcome(block: Block, namespace: dict[str, object]) -> str:
    """What a block prints, or the error it ends with."""
    output = io.StringIO()
    try:
        with redirect_stdout(output):
            exec(compile(block.body, block.file, "exec"), namespace)  # noqa: S102 - the README's own code
    except ppl.errors.PPLError as error:
        return f"{type(error).__name__}: {error}\n"
    return output.getvalue()


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that examples may write to, and plots that go nowhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    return tmp_path


def test_examples_run_and_print_what_they_say(workshop: Path) -> None:
    namespace: dict[str, object] = {}
    python = [b for b in blocks(README) if b.language == "python"]
    assert {b.emitted for b in python} == {None, "numpyro", "pyro"}
    for block in python:
        if block.emitted:
            program = namespace["program"]
            assert isinstance(program, ppl.Program)
            assert block.body.strip() == program.to_source(block.emitted).strip()
            continue
        result = outcome(block, namespace)
        failed = ERROR.match(result) is not None
        assert not failed or block.printed is not None, result
        if block.printed is not None:
            assert result == block.printed
    assert [p.name for p in workshop.iterdir()] == ["schools.credo"]


@pytest.mark.slow
def test_opening_example_at_two_thousand_steps(workshop: Path) -> None:
    opening = next(b for b in blocks(README) if b.language == "python")
    assert opening.body.count("steps=500") == 1
    namespace: dict[str, object] = {}
    exec(opening.body.replace("steps=500", "steps=2000"), namespace)  # noqa: S102 - the README's own code
    posterior = namespace["posterior"]
    assert isinstance(posterior, ppl.Posterior)
    assert posterior.diagnostics["steps"] == 2000
    objective = posterior.diagnostics["objective"] / 1797
    # Nats an image: 64 fair coins would have -44.
    assert objective[-100:].mean() > -20.0 > objective[:10].mean()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_table_quotes_the_messages(mistake: str) -> None:
    with pytest.raises(ppl.errors.PPLError) as caught:
        MISTAKES[mistake]()
    assert f"| `{type(caught.value).__name__}`: {caught.value.summary.rstrip('.')} |" in README


def test_links_lead_somewhere() -> None:
    root = Path(__file__).resolve().parents[2]
    targets = re.findall(r"\]\((?!https?://)([^)#]+)\)", README)
    assert targets
    # The benchmarks write this one.
    missing = [t for t in targets if not (root / t).exists()]
    assert not missing


def test_blocks_are_told_apart() -> None:
    text = "```python\na = 1\n```\n\n```text\nx  # own.py:3\n```\n\n```python\nimport pyro\ndef model(): ...\n```\n"
    first, output, emitted = blocks(text)
    assert (first.printed, first.file, first.emitted) == ("x  # own.py:3\n", "own.py", None)
    assert output.language == "text"
    assert (emitted.printed, emitted.emitted) == (None, "pyro")
