"""Weights that turn draws of a guide into weighted draws of the posterior."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ppl.errors import ModelError, StrategyError

from .loo import khat

if TYPE_CHECKING:
    from .posterior import Posterior


def importance_corrected(fit: Posterior) -> Posterior:
    """See `Posterior.importance_corrected`."""
    if fit.kind != "variational" or fit.log_p is None or fit.log_q is None:
        raise ModelError(
            "only draws of a guide can be corrected by their densities.",
            model=fit.program.name,
            expected="a variational or amortised fit, which holds log_p and log_q of each draw",
            got=f"a fit of kind {fit.kind!r}",
        )
    weights = np.asarray(fit.log_p, dtype=float) - np.asarray(fit.log_q, dtype=float)
    finite = np.isfinite(weights)
    if not finite.any():
        raise StrategyError(
            "every importance weight is zero: no draw of the guide is possible in the model.",
            model=fit.program.name,
            remedy="Fit the guide longer, or use a richer one.",
        )
    top = weights[finite].max()
    total = top + np.log(np.exp(weights - top).sum())
    normalised = weights - total
    facts = {n: item for n, item in fit.diagnostics.items() if n != "khat"}
    tail = khat(fit)
    facts |= {"ess": float(1.0 / np.exp(2.0 * normalised).sum())} | ({} if tail is None else {"khat": tail})
    return fit.replace(log_weights=normalised, log_evidence=float(total - np.log(weights.size)), diagnostics=facts)
