"""A fit at a glance: as text, as HTML, and what should worry a reader."""

from __future__ import annotations

import dataclasses
import math
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl.program.program import Program

from . import weights as weighing
from .conversion import arviz_module, site_shape
from .lazy import LazyDraws
from .views import moving_numbers

if TYPE_CHECKING:
    from .posterior import Posterior

RHAT_LIMIT = 1.01
KHAT_LIMIT = 0.7
# A report shows sites of at most this many numbers one by one, and at most this many rows.
SMALL_SITE = 12
MOST_ROWS = 40
# R-hat is evaluated for at most this many numbers of the draws, shared latents first.
MOST_RHAT = 500


def method_text(method: Any) -> str:
    """A method on one line: what differs from its defaults, programs by name."""
    if not dataclasses.is_dataclass(method) or isinstance(method, type):
        return "no method" if method is None else _cut(repr(method).splitlines()[0])
    if (known := getattr(method, "text", None)) is not None and hasattr(method, "type"):
        return _cut(str(known).splitlines()[0])
    parts = []
    for field in dataclasses.fields(method):
        item = getattr(method, field.name)
        default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
        if item is default or (not isinstance(item, (Program, np.ndarray)) and item == default):
            continue
        if isinstance(item, Program):
            parts.append(f"{field.name}={item.name}")
        elif dataclasses.is_dataclass(item) and not isinstance(item, type):
            parts.append(f"{field.name}={method_text(item)}")
        else:
            parts.append(f"{field.name}={item!r}")
    return _cut(f"{type(method).__name__}({', '.join(parts)})")


def _cut(text: str, width: int = 160) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def unmade(fit: Posterior) -> bool:
    """Whether the draws have not been made yet; a report does not make them."""
    return isinstance(fit.draws, LazyDraws) and not fit.draws.made


# --- what to worry about --------------------------------------------------------------------------------------------


def largest_rhat(fit: Posterior) -> float | None:
    """The largest R-hat of an MCMC fit of several chains; None for other fits."""
    if "max_rhat" in fit.diagnostics:
        return float(fit.diagnostics["max_rhat"])
    if fit.kind != "samples" or fit.chains < 2 or fit.count < 4 or "resampled_from" in fit.diagnostics:
        return None
    numbers = moving_numbers(fit, MOST_RHAT)
    return None if numbers is None else float(np.nanmax(arviz_module().rhat(numbers)["x"].values))


def _by_row(fit: Posterior) -> bool:
    """Whether each row has a k-hat of its own; weights are joint, so a weighted fit has but one."""
    return fit.kind == "variational" and fit.independent_rows is not None


def divergences(fit: Posterior) -> int | None:
    """Number of divergent transitions; None where the sampler says nothing about them."""
    if "diverging" in fit.sample_stats:
        return int(np.sum(fit.sample_stats["diverging"]))
    return int(fit.diagnostics["divergences"]) if "divergences" in fit.diagnostics else None


def problems(fit: Posterior) -> list[str]:
    """What should be looked at before a fit is believed."""
    found = []
    if count := divergences(fit):
        found.append(
            f"{count} divergent transition{'s' if count > 1 else ''}: the sampler could not follow the posterior "
            "there. Raise target_accept, or reparameterise."
        )
    rhat = None if unmade(fit) else largest_rhat(fit)
    if rhat is not None and not rhat <= RHAT_LIMIT:
        found.append(
            f"R-hat reaches {rhat:.3f} (above {RHAT_LIMIT}): the chains disagree. Run longer, or reparameterise."
        )
    if fit.kind == "point":
        found.append("a point estimate: it says nothing about uncertainty.")
    elif not _by_row(fit) and fit.khat is not None and not fit.khat <= KHAT_LIMIT:
        found.append(
            f"Pareto k-hat is {fit.khat:.2f} (above {KHAT_LIMIT}): the approximation is far from the posterior. "
            "Use a richer guide, or NUTS."
        )
    if fit.weights is not None:
        worth, total = weighing.effective_draws(fit.weights), fit.weights.size
        if worth < 0.01 * total or worth < 10:
            found.append(f"the {total} weighted draws are worth {worth:.1f}: a few of them carry all the weight.")
    return found + [str(problem) for problem in fit.diagnostics.get("problems", ())]


# --- text -----------------------------------------------------------------------------------------------------------


def _shape_text(fit: Posterior, name: str) -> str:
    sizes = zip(fit.program.dims(name), site_shape(fit.program, name), strict=True)
    inside = ", ".join(f"{dim} {size}" for dim, size in sizes)
    return f"{name} ({inside})" if inside else name


def _draws_text(fit: Posterior) -> str:
    if unmade(fit) and fit._known_lead() is None:
        return "draws not made yet"
    if not len(fit.draws):
        return "no draws"
    what = {
        "samples": "draws",
        "variational": "draws of the guide",
        "weighted": "weighted draws",
        "point": "equal draws",
    }
    chains = f"{fit.chains} chains of " if fit.chains > 1 else ""
    return f"{chains}{fit.count} {what[fit.kind]}"


def figures(fit: Posterior) -> list[tuple[str, str]]:
    """The facts about a whole fit, as name and text."""
    rows = [("draws", _draws_text(fit))]
    if fit.params:
        count = sum(array.size for array in fit.params.values())
        rows.append(("parameters", f"{count:,} numbers in {len(fit.params)} arrays"))
    if fit.log_evidence is not None:
        rows.append(("log evidence", f"{fit.log_evidence:.3f} nats"))
    if (rhat := None if unmade(fit) else largest_rhat(fit)) is not None:
        rows.append(("largest R-hat", f"{rhat:.3f}"))
    if (count := divergences(fit)) is not None:
        rows.append(("divergences", str(count)))
    if fit.khat is not None and fit.kind != "point":
        what = f"{fit.khat:.2f}"
        if _by_row(fit):
            assert fit.independent_rows is not None
            count = fit.program.plate(fit.independent_rows).size
            what = f"{what} for all {count:,} rows of {fit.independent_rows} together; khat_by_row() has each"
        rows.append(("Pareto k-hat", what))
    if fit.weights is not None:
        rows.append(("effective draws", f"{weighing.effective_draws(fit.weights):.0f} of {fit.weights.size}"))
    objective = fit.diagnostics.get("objective")
    if isinstance(objective, np.ndarray) and objective.size:
        tail = objective[-max(1, objective.size // 20) :]
        rows.append(
            ("objective", f"{float(tail.mean()):.2f} nats, the mean of the last {tail.size} of {objective.size} steps")
        )
    return rows


def text(fit: Posterior) -> str:
    """A fit in a few lines."""
    where = f"{fit.backend} ({fit.precision}, seed {fit.seed})"
    lines = [f"Posterior of {fit.program.name!r} by {method_text(fit.method)} on {where}"]
    lines += ["  sites: " + (", ".join(_shape_text(fit, n) for n in fit.draws) or "none")]
    lines += [f"  {name}: {fact}" for name, fact in figures(fit)]
    lines += [f"  warning: {problem}" for problem in problems(fit)]
    return "\n".join(lines)


# --- HTML -----------------------------------------------------------------------------------------------------------

STYLE = (
    "<style>.credo table{border-collapse:collapse;margin:.4em 0}"
    ".credo td,.credo th{padding:.15em .7em;text-align:right}"
    ".credo th:first-child,.credo td:first-child{text-align:left}.credo .warn{color:#a40000}"
    ".credo .quiet{color:#777}</style>"
)


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else str(value)


def table_rows(fit: Posterior) -> list[tuple[str, ...]]:
    """One row (name, mean, sd, 5 %, median, 95 %) for each number of the small sites, and one for each large site."""
    rows: list[tuple[str, ...]] = []
    for name in fit.draws:
        shape = site_shape(fit.program, name)
        if math.prod(shape) > SMALL_SITE:
            rows.append((_shape_text(fit, name), f"{math.prod(shape):,} numbers"))
            continue
        flat, own = fit._flat(name)
        values = flat.reshape(len(flat), -1).astype(float)
        moments = (
            weighing.mean(values, own),
            weighing.std(values, own),
            *weighing.quantile(values, own, [0.05, 0.5, 0.95]),
        )
        for i, index in enumerate(np.ndindex(*shape)):
            label = f"{name}[{', '.join(_label(fit, name, d, k) for d, k in enumerate(index))}]" if shape else name
            rows.append((label, *(_number(float(m[i])) for m in moments)))
    return rows


def _label(fit: Posterior, name: str, axis: int, position: int) -> str:
    dim = fit.program.dims(name)[axis]
    return str(fit.coords[dim][position]) if dim in fit.coords else str(position)


def html(fit: Posterior) -> str:
    """A fit as a compact HTML fragment; all text in it is escaped."""
    parts = [STYLE, f"<b>Posterior of {escape(fit.program.name)}</b> by {escape(method_text(fit.method))}"]
    parts.append(f' <span class="quiet">{escape(fit.backend)}, {escape(fit.precision)}, seed {fit.seed}</span>')
    parts += [f'<div class="warn">&#9888; {escape(problem)}</div>' for problem in problems(fit)]
    facts = "".join(f"<tr><td>{escape(name)}</td><td>{escape(fact)}</td></tr>" for name, fact in figures(fit))
    parts.append(f"<table>{facts}</table>")
    if not unmade(fit) and len(fit.draws):
        rows = table_rows(fit)
        names = ("", "mean", "sd", "5 %", "median", "95 %")
        body = ["<tr>" + "".join(f"<th>{n}</th>" for n in names) + "</tr>"]
        for label, *cells in rows[:MOST_ROWS]:
            if len(cells) == 1:
                body.append(f'<tr><td>{escape(label)}</td><td colspan="5" class="quiet">{escape(cells[0])}</td></tr>')
            else:
                body.append("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in (label, *cells)) + "</tr>")
        parts.append(f"<table>{''.join(body)}</table>")
        if len(rows) > MOST_ROWS:
            parts.append(f'<div class="quiet">and {len(rows) - MOST_ROWS} more rows; see summary()</div>')
    return f'<div class="credo">{"".join(parts)}</div>'
