"""`ppl.agreement`: what one program says on both backends, by pure functions and by native models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ppl.errors import UnsupportedByBackend
from ppl.program.program import Program

from .compiled import Compiled, compile


@dataclass(frozen=True)
class Agreement:
    """Per-site log densities of one program on both backends, in nats, at shared draws.

    Attributes:
        program: name of the model.
        precision: working precision.
        columns: what was compared: "numpyro", "pyro", "numpyro native", "pyro native", less what is left out.
        rows: for each site, its log density in each column.
        difference: the largest difference, relative to max(1, |log density|).
        left_out: native columns that a library cannot have, with the reason.
    """

    program: str
    precision: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[float, ...]]
    difference: float
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        width = max([len("site"), *(len(n) for n in self.rows)])
        lines = [f"{'site':<{width}}  " + "  ".join(f"{c:>16}" for c in self.columns)]
        for name, row in self.rows.items():
            lines.append(f"{name:<{width}}  " + "  ".join(f"{v:16.6f}" for v in row))
        lines.append(f"largest difference {self.difference:.2e} ({self.precision}, relative to max(1, |log density|))")
        lines += [f"left out: {column}, since {reason}" for column, reason in self.left_out.items()]
        return "\n".join(lines)

    __repr__ = __str__


def agreement(
    program: Program, *, seed: int = 0, precision: str = "float32", params: Mapping[str, Any] | None = None
) -> Agreement:
    """Compare both backends, pure and native, site by site at shared draws.

    Args:
        program: any program; latent sites are drawn from it once, by JAX.
        seed: for the draws and the networks' starting values.
        precision: "float32" or "float64".
        params: parameters that differ from the starting values, such as the `params` of a fit.

    Returns:
        The table of log densities in nats; printing it shows it. Where a library lacks something that its native model
        would need, that column is left out, and the table says why.
    """
    jax_side = compile(program, "numpyro", precision=precision, seed=seed)
    torch_side = compile(program, "pyro", precision=precision, seed=seed)
    draws = jax_side.simulate(key=jax_side.backend.key(seed), params=params, observed=True)
    values = {n: jax_side.backend.to_numpy(draws[n]) for n in program.latents}
    columns: dict[str, dict[str, float]] = {}
    left_out: dict[str, str] = {}
    for side in (jax_side, torch_side):
        terms = side.log_density(values, params, by_site=True)
        columns[side.backend.name] = {n: float(side.backend.to_numpy(side.plate_total(n, t))) for n, t in terms.items()}
    for side in (jax_side, torch_side):
        name = f"{side.backend.name} native"
        try:
            columns[name] = _native(side, values, params)
        except UnsupportedByBackend as error:
            left_out[name] = f"{error.feature} is not supported: {error.why}".removesuffix(".")
    rows = {n: tuple(c[n] for c in columns.values()) for n in columns["numpyro"]}
    worst = max((_relative(row) for row in rows.values()), default=0.0)
    return Agreement(program.name, precision, tuple(columns), rows, worst, left_out)


def _native(side: Compiled, values: Mapping[str, np.ndarray], params: Mapping[str, Any] | None) -> dict[str, float]:
    given = {n: np.asarray((params or {}).get(n, start)) for n, start in side.params.items()}
    return side.backend.native_log_density(side.program, side.source, values, given, side.precision)


def _relative(row: Sequence[float]) -> float:
    if all(np.isneginf(v) for v in row):
        return 0.0
    low, high = min(row), max(row)
    return float((high - low) / max(1.0, abs(low), abs(high))) if np.isfinite([low, high]).all() else float("inf")
