"""Parameters of every constrained type in the emitted models: kept by the library, or refused with the reason."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as numpyro_dist
import pyro
import pyro.poutine
import pytest
import torch
import torch.distributions

import ppl
from ppl import dist
from ppl.backend.compiled import Compiled
from ppl.errors import UnsupportedByBackend
from ppl.language.dist import support
from ppl.program.supports import Support
from tests.inference.test_constrained_types import PARAMS

LACKING = {
    ("pyro", "zero_sum"),
    ("numpyro", "sphere"),
    ("pyro", "real_matrix"),
    ("pyro", "falling"),
    ("numpyro", "falling"),
}
OTHERS: dict[str, tuple[Support, Any]] = {
    "real matrix": (support.real_matrix, np.eye(2)),
    "real vector": (support.real_vector, np.zeros(3)),
    "positive vector": (support.positive_vector, np.ones(3)),
    "unit interval": (support.unit_interval, 0.3),
    "greater than": (support.greater_than(-1.0), 0.3),
    "less than": (support.less_than(1.0), 0.3),
}
ALL = {name: row[:2] for name, row in PARAMS.items()} | OTHERS


def compiled(kept: Support, start: Any, backend: str) -> Compiled:
    @ppl.model
    def free():
        theta = ppl.param("theta", np.asarray(start, dtype=float), support=kept)
        ppl.sample("y", dist.Normal(theta, 1.0))

    return ppl.compile(free(), backend)


@pytest.mark.parametrize("backend", ["pyro", "numpyro"])
@pytest.mark.parametrize("name", ALL)
def test_the_library_keeps_the_parameter_there(name: str, backend: str):
    kept, start = ALL[name]
    native = compiled(kept, start, backend)
    if (backend, kept.kind) in LACKING:
        with pytest.raises(UnsupportedByBackend, match=f"a parameter with support {kept.kind} is not supported"):
            native.model  # noqa: B018 - the property compiles
        return
    if backend == "numpyro":
        trace = numpyro.handlers.trace(numpyro.handlers.seed(native.model, jax.random.key(0))).get_trace()
        site = trace["theta"]
        constraint = site["kwargs"]["constraint"]
        there: Any = numpyro_dist.biject_to(constraint)
        moved = np.asarray(there(there.inv(jnp.asarray(site["value"])) + 0.3))
        found = np.asarray(site["value"])
    else:
        pyro.clear_param_store()
        site = pyro.poutine.trace(native.model).get_trace().nodes["theta"]
        constraint = site["kwargs"]["constraint"]
        # What pyro.param does between its steps.
        transform = torch.distributions.transform_to(constraint)
        free = transform.inv(site["value"].detach())
        moved = transform(free + 0.3 * torch.ones_like(free)).numpy()
        found = site["value"].detach().numpy()
    np.testing.assert_allclose(found, np.asarray(start), atol=1e-5)
    inside = kept.contains(moved)
    assert inside is not None and np.all(inside)
