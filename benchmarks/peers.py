"""Training and sampling loops as an expert would write them, shared by the workloads.

Each returns a block for `harness.Candidate`. Frameworks are imported inside: a worker loads only the one it times.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .harness import Block, Candidate, Case, Target
from .programs import Program, Ran

SEED = 0
LOG_SQRT_2PI = 0.5 * float(np.log(2 * np.pi))
INITIAL_SCALE = 0.1  # of a mean-field guide, as in NumPyro's and Pyro's AutoNormal
INITIAL_RAW_SCALE = float(np.log(np.expm1(INITIAL_SCALE)))  # both map it through softplus


def schedule(rows: int, batch: int, steps: int, seed: int = SEED) -> np.ndarray:
    """Row numbers of each step's minibatch, [steps, batch]: a new permutation every epoch, its remainder dropped."""
    rng = np.random.default_rng(seed)
    per_epoch = rows // batch
    epochs = -(-steps // per_epoch)
    picked = [rng.permutation(rows)[: per_epoch * batch].reshape(per_epoch, batch) for _ in range(epochs)]
    return np.concatenate(picked)[:steps].astype(np.int32)


def mean_field_params(initial: np.ndarray) -> np.ndarray:
    """Locations and raw scales of a mean-field guide over one flat unconstrained vector, [2, size]."""
    return np.stack([initial, np.full_like(initial, INITIAL_RAW_SCALE)]).astype(np.float32)


# --- JAX ---------------------------------------------------------------------------------------------------------


def raw_jax(
    loss: Callable[[Any, Any, Any, Any], Any],
    params: Any,
    data: Any,
    steps: int,
    *,
    learning_rate: float,
    indices: np.ndarray | None = None,
    fused: bool = True,
) -> Block:
    """Adam on `loss(params, key, data, rows)`; `fused` runs a block as one `lax.scan`, else one jitted call a step."""
    import jax
    import jax.numpy as jnp
    import optax

    optimizer = optax.adam(learning_rate)
    gradient = jax.value_and_grad(loss)

    def step(state, rows, data):
        params, opt_state, key = state
        key, subkey = jax.random.split(key)
        value, grads = gradient(params, subkey, data, rows)
        updates, opt_state = optimizer.update(grads, opt_state)
        return (optax.apply_updates(params, updates), opt_state, key), value

    params, data = jax.tree.map(jnp.array, (params, data))
    state = (params, optimizer.init(params), jax.random.key(SEED))
    all_rows = None if indices is None else jnp.asarray(indices)

    # Donation lets XLA update parameters and moments in place.
    if fused:

        def scan(state, all_rows, data):
            return jax.lax.scan(lambda s, rows: step(s, rows, data), state, all_rows, length=steps)

        run = jax.jit(scan, donate_argnums=0)

        def block() -> Ran:
            nonlocal state
            state, losses = run(state, all_rows, data)
            return Ran(steps, np.asarray(losses))
    else:
        run = jax.jit(step, donate_argnums=0)
        rows_of_steps = [None] * steps if all_rows is None else list(all_rows)

        def block() -> Ran:
            nonlocal state
            losses = []
            for rows in rows_of_steps:
                state, value = run(state, rows, data)
                losses.append(value)  # stays on the device: reading it here would stall the queue
            return Ran(steps, np.asarray(jnp.stack(losses)))

    return block


def mean_field_jax(log_joint: Callable[[Any, Any], Any]) -> Callable[[Any, Any, Any, Any], Any]:
    """Negative ELBO of a mean-field normal guide, one draw; `log_joint(unconstrained, data)` includes the Jacobian."""
    import jax
    import jax.numpy as jnp

    def loss(params, key, data, rows):
        loc, raw_scale = params
        scale = jax.nn.softplus(raw_scale)
        noise = jax.random.normal(key, loc.shape)
        log_guide = -jnp.sum(jnp.log(scale) + 0.5 * noise**2) - loc.size * LOG_SQRT_2PI
        return log_guide - log_joint(loc + scale * noise, data)

    return loss


def numpyro_svi(
    model: Callable[..., None],
    guide: Callable[..., Any],
    elbo: Any,
    data: tuple[Any, ...],
    steps: int,
    *,
    learning_rate: float,
    indices: np.ndarray | None = None,
) -> Block:
    """`svi.update` under `lax.scan`, as `SVI.run` does without a progress bar, jitted once with the data as arguments.

    With `indices`, model and guide get the selected rows of each array in `data`.
    """
    import jax
    import jax.numpy as jnp
    import numpyro

    svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(learning_rate), elbo)
    data = jax.tree.map(jnp.asarray, data)
    select = (lambda data, rows: data) if indices is None else (lambda data, rows: tuple(d[rows] for d in data))
    all_rows = None if indices is None else jnp.asarray(indices)
    state = svi.init(jax.random.key(SEED), *select(data, None if all_rows is None else all_rows[0]))

    @jax.jit
    def run(state, all_rows, data):
        return jax.lax.scan(lambda s, rows: svi.update(s, *select(data, rows)), state, all_rows, length=steps)

    def block() -> Ran:
        nonlocal state
        state, losses = run(state, all_rows, data)
        return Ran(steps, np.asarray(losses))

    return block


def numpyro_nuts(
    model: Callable[..., None] | None,
    data: tuple[Any, ...],
    draws: int,
    *,
    chains: int = 1,
    warmup: int = 500,
    potential: Callable[[Any], Any] | None = None,
    initial: np.ndarray | None = None,
) -> Block:
    """Draws after warm-up; a step is a leapfrog step, summed over the chains (several chains run vectorised).

    The kernel is driven by a jitted scan of its own: `MCMC.run` traces its post-processing anew at each call, which is
    no part of a leapfrog step. `potential` of a flat vector may stand in place of the model.
    """
    import jax
    import jax.numpy as jnp
    from numpyro.infer import MCMC, NUTS, init_to_feasible

    kernel = NUTS(model, potential_fn=potential, init_strategy=init_to_feasible)
    data = jax.tree.map(jnp.asarray, data)
    mcmc = MCMC(
        kernel, num_warmup=warmup, num_samples=1, num_chains=chains, chain_method="vectorized", progress_bar=False
    )
    start = None
    if initial is not None:
        start = jnp.asarray(initial) if chains == 1 else jnp.tile(jnp.asarray(initial), (chains, 1))
    mcmc.warmup(jax.random.key(SEED), *data, init_params=start)
    state = mcmc.post_warmup_state

    @jax.jit
    def run(state, data):
        def step(state, _):
            state = kernel.sample(state, data, {})
            return state, (state.num_steps, state.potential_energy)

        return jax.lax.scan(step, state, length=draws)

    def block() -> Ran:
        nonlocal state
        state, (leapfrogs, energies) = run(state, data)
        return Ran(int(leapfrogs.sum()), np.asarray(energies).reshape(draws, -1).mean(1))

    return Program(block, lambda: run.lower(state, data).compile().as_text() or "")


# --- torch -------------------------------------------------------------------------------------------------------


def raw_torch(
    loss: Callable[..., Any],
    params: list[np.ndarray],
    noise_shape: tuple[int, ...],
    data: Any,
    steps: int,
    *,
    learning_rate: float,
    indices: np.ndarray | None = None,
    compile: bool = False,
) -> Block:
    """Adam on `loss(params, noise, data, rows)`.

    Eager: `backward` and `torch.optim.Adam(fused=True)`, the fastest of torch's own variants here for one flat vector
    as well as for the networks. Compiled: loss, gradient and Adam's arithmetic as one graph, for which the gradient has
    to be a function (`torch.func`); compiling the loss alone leaves most of a small step's overhead where it was.
    """
    import torch

    torch.manual_seed(SEED)
    tensors = [torch.tensor(p, requires_grad=not compile) for p in params]
    all_rows = [None] * steps if indices is None else list(torch.from_numpy(indices.astype(np.int64)))

    if compile:
        first, second = ([torch.zeros_like(p) for p in tensors] for _ in range(2))
        count = torch.zeros(())
        beta1, beta2, epsilon = 0.9, 0.999, 1e-8

        @torch.compile
        def step(params, first, second, count, noise, data, rows):
            grads, value = torch.func.grad_and_value(loss)(params, noise, data, rows)
            count.add_(1)
            for p, m, v, g in zip(params, first, second, grads, strict=True):
                m.lerp_(g, 1 - beta1)
                v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
                p.sub_(learning_rate * (m / (1 - beta1**count)) / ((v / (1 - beta2**count)).sqrt() + epsilon))
            return value

        def block() -> Ran:
            losses = []
            with torch.no_grad():
                for rows in all_rows:
                    value = step(tensors, first, second, count, torch.randn(noise_shape), data, rows)
                    losses.append(value.item())
            return Ran(steps, losses)
    else:
        optimizer = torch.optim.Adam(tensors, lr=learning_rate, fused=True)

        def block() -> Ran:
            losses = []
            for rows in all_rows:
                optimizer.zero_grad(set_to_none=True)
                value = loss(tensors, torch.randn(noise_shape), data, rows)
                value.backward()
                optimizer.step()
                losses.append(value.item())
            return Ran(steps, losses)

    return block


def mean_field_torch(log_joint: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Negative ELBO of a mean-field normal guide, one draw; `log_joint(unconstrained, data)` includes the Jacobian."""
    import torch

    def loss(params, noise, data, rows):
        loc, raw_scale = params[0].unbind()
        scale = torch.nn.functional.softplus(raw_scale)
        log_guide = -scale.log().sum() - (0.5 * torch.dot(noise, noise) + len(noise) * LOG_SQRT_2PI)
        return log_guide - log_joint(torch.addcmul(loc, scale, noise), data)

    return loss


def pyro_svi(
    model: Callable[..., None],
    guide: Callable[..., Any],
    elbo: Any,
    data: tuple[Any, ...],
    steps: int,
    *,
    learning_rate: float,
    indices: np.ndarray | None = None,
    validate: bool = False,
) -> Block:
    """`SVI.step` in a loop. With `indices`, model and guide get the rows of the step after the arrays of `data`.

    Pyro keeps parameters in a global store and validation in a global switch; both are swapped in for each block, so
    that several candidates can live in one process.
    """
    import pyro
    import torch
    from pyro.infer import SVI
    from pyro.optim import PyroOptim

    svi = SVI(model, guide, PyroOptim(torch.optim.Adam, {"lr": learning_rate}), elbo)
    store = pyro.get_param_store()
    all_args = [data] * steps
    if indices is not None:
        all_args = [(*data, rows) for rows in torch.from_numpy(indices.astype(np.int64))]
    pyro.set_rng_seed(SEED)
    with store.scope() as scope:
        pass

    def block() -> Ran:
        nonlocal scope
        with store.scope(scope) as scope, pyro.validation_enabled(validate):
            losses: list[Any] = [svi.step(*args) for args in all_args]
        return Ran(steps, losses)

    return block


def pyro_nuts(model: Callable[..., None], data: tuple[Any, ...], draws: int, *, warmup: int = 100) -> Block:
    """Draws after warm-up of one chain; a step is a leapfrog step, counted as one evaluation of the model."""
    import pyro
    import torch
    from pyro.infer import NUTS
    from pyro.infer.autoguide.initialization import init_to_feasible

    data = tuple(torch.from_numpy(d) if isinstance(d, np.ndarray) else d for d in data)
    evaluations = 0

    def counted(*args):
        nonlocal evaluations
        evaluations += 1
        return model(*args)

    pyro.set_rng_seed(SEED)
    with pyro.validation_enabled(False):
        kernel: Any = NUTS(counted, init_strategy=init_to_feasible)
        kernel.setup(warmup, *data)
        values = kernel.initial_params
        for _ in range(warmup):
            values = kernel.sample(values)
        kernel.end_warmup()

    def block() -> Ran:
        nonlocal values, evaluations
        evaluations = 0
        energies = []
        with pyro.validation_enabled(False):
            for _ in range(draws):
                values = kernel.sample(values)
                energies.append(float(kernel._potential_energy_last))
        return Ran(evaluations, energies)

    return block


# --- mean-field guides and the small models ----------------------------------------------------------------------


def numpyro_auto_normal(
    model: Callable[..., None],
    data: tuple[Any, ...],
    steps: int,
    *,
    learning_rate: float,
    initial: dict[str, np.ndarray] | None = None,
    guided: Callable[..., Any] | None = None,
    enumerate: bool = False,
) -> Block:
    """AutoNormal over `guided` (default: the model), its unconstrained coordinates started at 0 or at `initial`."""
    from numpyro.infer import Trace_ELBO, TraceEnum_ELBO, init_to_feasible, init_to_value
    from numpyro.infer.autoguide import AutoNormal

    start = init_to_feasible if initial is None else init_to_value(values=initial)
    guide = AutoNormal(guided or model, init_loc_fn=start, init_scale=INITIAL_SCALE)
    elbo = TraceEnum_ELBO() if enumerate else Trace_ELBO()
    return numpyro_svi(model, guide, elbo, data, steps, learning_rate=learning_rate)


def pyro_auto_normal(
    model: Callable[..., None],
    data: tuple[Any, ...],
    steps: int,
    *,
    learning_rate: float,
    initial: dict[str, np.ndarray] | None = None,
    guided: Callable[..., Any] | None = None,
    enumerate: bool = False,
    diagonal: bool = False,
    jit: bool = False,
    validate: bool = False,
) -> Block:
    """The same in Pyro; `diagonal` takes AutoDiagonalNormal, the same family as one site; `jit` uses `torch.jit`."""
    import torch
    from pyro.infer import JitTrace_ELBO, JitTraceEnum_ELBO, Trace_ELBO, TraceEnum_ELBO
    from pyro.infer.autoguide import AutoDiagonalNormal, AutoNormal
    from pyro.infer.autoguide.initialization import init_to_feasible, init_to_value

    data = tuple(torch.from_numpy(d) if isinstance(d, np.ndarray) else d for d in data)
    start = init_to_feasible
    if initial is not None:
        start = init_to_value(values={k: torch.tensor(v) for k, v in initial.items()}, fallback=init_to_feasible)
    guide = (AutoDiagonalNormal if diagonal else AutoNormal)(
        guided or model, init_loc_fn=start, init_scale=INITIAL_SCALE
    )
    if jit:
        options = {"ignore_jit_warnings": True}
        elbo = JitTraceEnum_ELBO(max_plate_nesting=1, **options) if enumerate else JitTrace_ELBO(**options)
    else:
        elbo = TraceEnum_ELBO(max_plate_nesting=1) if enumerate else Trace_ELBO()
    return pyro_svi(model, guide, elbo, data, steps, learning_rate=learning_rate, validate=validate)


def numpyro_nuts_closed_form(
    log_joint: Callable[[Any, Any], Any], data: tuple[Any, ...], initial: np.ndarray, draws: int, *, chains: int = 1
) -> Block:
    """NumPyro's NUTS on minus a log density of a flat unconstrained vector."""
    import jax
    import jax.numpy as jnp

    arrays = jax.tree.map(jnp.asarray, data)
    return numpyro_nuts(
        None,
        (),
        draws,
        chains=chains,
        potential=lambda u: -log_joint(u, arrays),
        initial=initial.astype(np.float32),
    )


@dataclass(frozen=True)
class SmallModel:
    """The two SVI cases, one per framework, that each small model has."""

    credo_jax: Callable[[int], Block]
    credo_torch: Callable[..., Block]
    raw_jax: Callable[..., Block]
    raw_torch: Callable[..., Block]
    numpyro: dict[str, Callable[[int], Block]]
    pyro: dict[str, Callable[[int], Block]]  # the first is the one the targets speak of
    steps_jax: int
    steps_torch: int
    check_steps: int = 2000

    def cases(self) -> list[Case]:
        """SVI, JAX; SVI, torch."""

        def jax_candidates() -> list[Candidate]:
            peers = {"Credo": self.credo_jax, "raw JAX": self.raw_jax, **self.numpyro}
            return [Candidate(name, setup, self.steps_jax) for name, setup in peers.items()]

        def torch_candidates() -> list[Candidate]:
            peers = {
                "Credo": self.credo_torch,
                "Credo, compiled": partial(self.credo_torch, compile=True),
                "raw torch": self.raw_torch,
                "raw torch, compiled": partial(self.raw_torch, compile=True),
                **self.pyro,
            }
            # Pyro's steps take several times longer: shorter blocks keep the run short.
            return [
                Candidate(name, setup, self.steps_torch if name in self.pyro else 3 * self.steps_torch)
                for name, setup in peers.items()
            ]

        first = next(iter(self.pyro))
        jax_targets = tuple(Target("Credo", name, 1.0) for name in self.numpyro)
        torch_targets = (Target("Credo", first, 1 / 3), Target("Credo, compiled", first, 1 / 5))
        return [
            Case("SVI, JAX", "jax", 1, jax_candidates, jax_targets, check_steps=self.check_steps),
            Case("SVI, torch", "torch", 1, torch_candidates, torch_targets, check_steps=self.check_steps),
        ]
