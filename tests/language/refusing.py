"""How the refusal tables are read: each row is a program that must not pass, with the words it must be refused with."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ppl
from ppl import dist, nn, ops
from ppl.errors import PPLError
from ppl.program.program import Program


@dataclass(frozen=True)
class Row:
    """One refusal.

    Attributes:
        error: the class of the error, exactly.
        match: what the first line says.
        remedy: what the last lines say.
        site: the site at fault, where there is one.
        plate: the plate concerned starts with this.
        expected, got: what the facts say.
    """

    error: type[PPLError]
    match: str
    remedy: str
    site: str | None = None
    plate: str | None = None
    expected: str = ""
    got: str = ""


Body = Callable[[], Any]


class Table:
    """Rows by name; a row is entered by the function that makes the mistake, under the words of its name."""

    def __init__(self) -> None:
        self.cases: dict[str, tuple[Body, Row]] = {}

    def model(self, error: type[PPLError], match: str, remedy: str, **facts: Any) -> Callable[[Body], Body]:
        """The function is the body of a model without inputs."""
        return self._enter(traced, Row(error, match, remedy, **facts))

    def call(self, error: type[PPLError], match: str, remedy: str, **facts: Any) -> Callable[[Body], Body]:
        """The function is called as it is."""
        return self._enter(lambda body: body(), Row(error, match, remedy, **facts))

    def _enter(self, run: Callable[[Body], Any], row: Row) -> Callable[[Body], Body]:
        def enter(body: Body) -> Body:
            name = body.__name__.strip("_").replace("_", " ")
            assert name not in self.cases
            self.cases[name] = (lambda: run(body)), row
            return body

        return enter


def assert_refused(function: Callable[[], Any], row: Row, file: str) -> PPLError:
    """The error says which, where, expected, got and remedy, in its text and as attributes alike."""
    with pytest.raises(row.error, match=row.match) as caught:
        function()
    error = caught.value
    assert type(error) is row.error
    text = str(error)
    first, *rest = text.splitlines()
    assert re.search(row.match, error.summary)
    assert error.summary in first
    assert error.declared_at is not None
    # The line is the user's, be it in the table or in the helper below; never one of Credo's own.
    assert Path(error.declared_at.file).name in (Path(file).name, Path(__file__).name)
    assert f"  declared at   {error.declared_at}" in rest
    for fact, wanted in (("expected", row.expected), ("got", row.got)):
        found = getattr(error, fact)
        assert found, f"the error does not say what was {fact}: {text}"
        assert re.search(wanted, found), found
        assert any(line.startswith(f"  {fact}") for line in rest)
    assert error.remedy
    assert text.endswith(error.remedy)
    assert re.search(row.remedy, error.remedy), error.remedy
    if row.site is not None:
        assert error.site == row.site
        assert first.startswith(f"site {row.site!r} in model ")
    if row.plate is not None:
        assert error.plate is not None
        assert error.plate.startswith(row.plate)
    return error


def traced(body: Callable[[], Any]) -> Program:
    """A model without inputs, traced."""

    @ppl.model
    def small():
        return body()

    return small()


def normal(name: str, shape: tuple[int, ...] = (), loc: Any = 0.0) -> Any:
    """A site to work with."""
    return ppl.sample(name, dist.Normal(loc, 1.0).expand(list(shape)) if shape else dist.Normal(loc, 1.0))


@ppl.model
def regression(x, group):
    w = ppl.sample("w", dist.Normal(0.0, 1.0).expand([3]))
    s = ppl.sample("s", dist.HalfNormal(1.0))
    bias = ppl.param("bias", 0.0)
    total = ppl.deterministic("total", ops.sum(w))
    ppl.factor("pull", -(total**2))
    with ppl.plate("rows", (x, group)) as (row, g):
        ppl.sample("y", dist.Normal(row @ w + bias, s))
        ppl.sample("n", dist.Poisson(ops.exp(w[g])))


@ppl.model
def vae(images):
    decoder = nn.MLP("decoder", [2, 28])
    with ppl.plate("images", images):
        z = ppl.sample("z", dist.Normal(0.0, 1.0).expand([2]))
        ppl.sample("x", dist.Bernoulli(logits=decoder(z)))


def program() -> ppl.Program:
    """The regression on five rows."""
    return regression(np.zeros((5, 3)), np.zeros(5, dtype=int))
