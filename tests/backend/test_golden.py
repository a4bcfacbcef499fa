"""The text that `to_source` emits, kept in `golden/` for people to read, and run from there as a user would run it.

After a change of the emitter, `CREDO_UPDATE_GOLDEN=1` writes the files anew; the difference is then read in review.
"""

from __future__ import annotations

import ast
import math
import os
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpyro
import numpyro.infer
import numpyro.infer.util
import optax
import pyro
import pyro.infer
import pyro.optim
import pytest
import torch
from numpyro.infer.autoguide import AutoNormal as NumPyroAutoNormal
from pyro.infer.autoguide import AutoNormal as PyroAutoNormal

import ppl
from ppl.program.program import Program
from tests.backend.golden_models import GOLDEN, in_jax, in_torch

FOLDER = Path(__file__).parent / "golden"
BACKENDS = ("numpyro", "pyro")
FILES = [(name, backend) for name in GOLDEN for backend in BACKENDS]
# What emitted text may import: the library, its array library, its networks. Credo is not among them.
ALLOWED = {"numpyro": {"numpyro", "jax", "equinox"}, "pyro": {"pyro", "torch"}}


def path_of(name: str, backend: str) -> Path:
    return FOLDER / f"{name}_{backend}.py"


def native(name: str, backend: str) -> Callable[..., Any]:
    """The function in a golden file; a network of the user's own is the one thing that it is given."""
    own = {"numpyro": lambda: in_jax(jax.random.key(0)), "pyro": in_torch}[backend]
    given = {"networks": {"net": own()}} if name == "own_network" else {}
    return runpy.run_path(str(path_of(name, backend)), init_globals=given)["model"]


def data_of(program: Program, backend: str) -> dict[str, Any]:
    return ppl.compile(program, backend).model_data


@pytest.mark.parametrize(("name", "backend"), FILES)
def test_text_is_as_it_was_read(name: str, backend: str) -> None:
    text = GOLDEN[name][0]().to_source(backend)
    if os.environ.get("CREDO_UPDATE_GOLDEN"):
        FOLDER.mkdir(exist_ok=True)
        path_of(name, backend).write_text(text, encoding="utf-8")
    assert text == path_of(name, backend).read_text(encoding="utf-8")


def test_no_file_is_left_over() -> None:
    assert {p.name for p in FOLDER.iterdir() if p.suffix == ".py"} == {path_of(*file).name for file in FILES}


@pytest.mark.parametrize(("name", "backend"), FILES)
def test_file_imports_only_the_library_and_uses_what_it_imports(name: str, backend: str) -> None:
    text = path_of(name, backend).read_text(encoding="utf-8")
    tree = ast.parse(text)
    imports = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    bound = {alias.asname or alias.name.split(".")[0] for node in imports for alias in node.names}
    modules = {
        module.split(".")[0]
        for node in imports
        for module in ([a.name for a in node.names] if isinstance(node, ast.Import) else [str(node.module)])
    }
    assert modules <= ALLOWED[backend]
    assert bound <= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not any(isinstance(node, (ast.Import, ast.ImportFrom)) for node in ast.walk(tree) if node not in imports)


@pytest.mark.parametrize(
    ("name", "backend"), [f for f in FILES if not GOLDEN[f[0]][0]().networks or f[0] == "bayesian_mlp"]
)
def test_density_under_the_librarys_handlers(name: str, backend: str) -> None:
    """The file, traced by the library with a draw of its own, has the density that the pure function computes."""
    program = GOLDEN[name][0]()
    compiled = ppl.compile(program, backend)
    model = native(name, backend)
    if backend == "numpyro":
        trace: Any = numpyro.handlers.trace(numpyro.handlers.seed(model, 3)).get_trace(**compiled.model_data)
        draws = {n: np.asarray(s["value"]) for n, s in trace.items()}
        total, _ = numpyro.infer.util.log_density(
            model,
            (),
            compiled.model_data,
            {n: v for n, v in draws.items() if n in {**program.latents, **program.params}},
        )
    else:
        pyro.clear_param_store()
        torch.manual_seed(3)
        trace = pyro.poutine.trace(model).get_trace(**compiled.model_data)
        draws = {n: s["value"].detach().numpy() for n, s in trace.nodes.items() if "value" in s and n[0] != "_"}
        total = trace.log_prob_sum().detach()
    sizes = {n: tuple(p.size for p in s.plates) + s.dist.event_shape for n, s in program.latents.items()}
    pure = compiled.log_density({n: draws[n].reshape(shape) for n, shape in sizes.items()})
    assert math.isclose(float(total), float(pure), rel_tol=2e-5)


@pytest.mark.parametrize(("name", "backend"), FILES)
def test_predictive(name: str, backend: str) -> None:
    """Draws of the library's `Predictive` have the program's plates and events, singleton axes aside."""
    program = GOLDEN[name][0]()
    model, data = native(name, backend), data_of(program, backend)
    data = {k: v for k, v in data.items() if k not in program.observed}
    if backend == "numpyro":
        draws: Any = numpyro.infer.Predictive(model, num_samples=3)(jax.random.key(0), **data)
    else:
        pyro.clear_param_store()
        draws = pyro.infer.Predictive(model, num_samples=3)(**data)
    for site, statement in program.sites.items():
        wanted = tuple(p.size for p in statement.plates) + statement.dist.event_shape
        assert [n for n in draws[site].shape if n > 1] == [n for n in (3, *wanted) if n > 1]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["linear_regression", "vae", "own_network", "factors"])
def test_svi_trains_every_parameter(name: str, backend: str) -> None:
    """With the golden guide where there is one, with `AutoNormal` for other latents, else by maximum likelihood."""
    program = GOLDEN[name][0]()
    model, data = native(name, backend), data_of(program, backend)
    guides = [n for n, (_, target) in GOLDEN.items() if target == name]
    inputs = {k: v for k, v in data.items() if k not in program.observed}
    guide: Any
    if guides:
        own = native(guides[0], backend)
        guide = lambda **kwargs: own(**{k: kwargs[k] for k in inputs})
    elif program.latents:
        guide = {"numpyro": NumPyroAutoNormal, "pyro": PyroAutoNormal}[backend](model)
    else:
        guide = lambda **_: None
    if backend == "numpyro":
        svi = numpyro.infer.SVI(model, guide, optax.sgd(1e-3), numpyro.infer.Trace_ELBO())
        state = svi.init(jax.random.key(0), **data)
        before: list[Any] = jax.tree.leaves(svi.get_params(state))
        names = list(svi.get_params(state))
        for _ in range(2):
            state, loss = svi.update(state, **data)
            assert np.isfinite(float(loss))
        after: list[Any] = jax.tree.leaves(svi.get_params(state))
        names = [n.removesuffix("$params") for n in names]
    else:
        pyro.clear_param_store()
        torch.manual_seed(0)
        optimizer: Any = pyro.optim.SGD({"lr": 1e-3})  # pyright: ignore[reportAttributeAccessIssue]
        torch_svi: Any = pyro.infer.SVI(model, guide, optimizer, pyro.infer.Trace_ELBO())
        torch_svi.loss(model, guide, **data)
        before = [p.detach().clone() for _, p in pyro.get_param_store().named_parameters()]
        for _ in range(2):
            assert np.isfinite(torch_svi.step(**data))
        after = [p.detach() for _, p in pyro.get_param_store().named_parameters()]
        names = [n.split("$$$")[0] for n in pyro.get_param_store()]
    programs = [program, *(GOLDEN[g][0]() for g in guides)]
    assert {n for p in programs for n in (*p.params, *p.networks)} <= set(names)
    assert len(before) == len(after) > 0
    assert not [n for n, (a, b) in enumerate(zip(before, after, strict=True)) if np.array_equal(a, b)]
