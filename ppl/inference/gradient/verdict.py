"""What is known of a gradient estimate before it is used: whether it is unbiased, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ppl.inference.objective.expression import SIR, Expect, Expression
from ppl.posterior.methods import register
from ppl.program.program import Program

from .contract import Strategy
from .resolve import Resolution

REASONS = {
    "Reparam": "the draw is a smooth function of its parameters and is used smoothly",
    "Reinforce": "costs are multiplied by the score of all draws they depend on",
    "Enumerate": "all values are summed, weighted by their probabilities",
    "MVD": "weak derivatives hold for every cost",
    "ARM": "antithetic draws have the right distribution each",
    "DisARM": "antithetic draws have the right distribution each",
    "REBAR": "the control variate has a known gradient in expectation",
}
ENTROPIES = {
    "stl": "; the score of the site's own density is left out, and its expectation is zero",
    "dreg": "; doubly reparameterised: that score is replaced by a pathwise gradient of the same expectation",
}


@register
@dataclass(frozen=True)
class Verdict:
    """Whether the gradient of one objective with respect to one site's distribution is unbiased.

    Attributes:
        objective: the objective, as it prints.
        site: the site of the guide.
        strategy: its strategy, as it prints.
        unbiased: whether the expectation of the estimate is the gradient.
        because: why.
    """

    objective: str
    site: str
    strategy: str
    unbiased: bool
    because: str

    def __str__(self) -> str:
        answer = "yes" if self.unbiased else "no"
        return f"{self.site}: {self.strategy}, unbiased: {answer}, because {self.because}"


@dataclass(frozen=True)
class Report:
    """What `method.check(program)` found: nothing that would be wrong, and these verdicts.

    Attributes:
        verdicts: one for each objective and site.
        blocks: where plates stand in nonlinear reducers.
        notes: what else is worth knowing.
    """

    verdicts: tuple[Verdict, ...] = ()
    blocks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines: list[str] = []
        for objective in dict.fromkeys(v.objective for v in self.verdicts):
            lines.append(f"objective {objective}")
            lines += [f"  {v}" for v in self.verdicts if v.objective == objective]
        lines += [f"  {text}" for text in (*self.blocks, *self.notes)]
        return "\n".join(lines)

    __repr__ = __str__


def verdicts(groups: Mapping[str, Expression], guide: Program, resolution: Resolution) -> tuple[Verdict, ...]:
    """One verdict for each objective that trains the guide and each of its sites."""
    out: list[Verdict] = []
    for key, expression in groups.items():
        if key == "model":
            continue
        wake = any(isinstance(n, Expect) and isinstance(n.under, SIR) and n.under.detached for n in expression.walk())
        for name in guide.sites:
            strategy = resolution.strategies[name]
            out.append(_verdict(repr(expression), name, strategy, wake, resolution.notes.get(name)))
    return tuple(out)


def _verdict(objective: str, name: str, strategy: Strategy, wake: bool, note: str | None) -> Verdict:
    if wake:
        because = (
            "the update is self-normalised: unbiased for the expectation under resampled draws of that many particles, "
            "not for the forward divergence"
        )
        return Verdict(objective, name, repr(strategy), False, because)
    if strategy.bias is not None:
        return Verdict(objective, name, repr(strategy), False, f"of bias={strategy.bias!r}, which was asked for")
    because = REASONS[type(strategy).__name__] + ENTROPIES.get(getattr(strategy, "entropy", None) or "", "")
    return Verdict(objective, name, repr(strategy), True, because + (f" ({note})" if note else ""))
