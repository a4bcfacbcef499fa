"""Long sequences, and how long it takes to trace a model.

A hidden Markov model of 10,000 steps, 8 states and normal measurements: its states are summed out. Timed are the log
density with its gradient by transitions and locations on JAX, and how long it takes from the model function to a
compiled program of both. Peers are forward algorithms written by hand in log space: a `lax.scan` over the steps, and an
`associative_scan`, whose cost grows with the cube of the number of states and pays on many cores. One more scan, in
probabilities that are scaled in each step, is quicker, and wrong where a path that is the only possible one has a
probability below 1e-38 of the likeliest; it stands there for comparison.

A linear-Gaussian state space of 100,000 steps: the log density of given states and measurements in torch. Peers are a
loop over the steps, and the same sum written by hand for all steps at once.

Tracing: each model of the zoo, from the call of the model function to the observed program. Synthetic data, fixed seed,
but for the zoo, whose data are real.
"""

# Models are written as users write them: the names in them are symbolic values.
# pyright: reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false, reportIndexIssue=false

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from .harness import Block, Candidate, Case, Target
from .peers import LOG_SQRT_2PI, SEED
from .programs import Ran

STEPS, STATES = 10_000, 8
LONG = 100_000
PERSISTENCE, DRIFT, NOISE = 0.95, 0.3, 0.5
# Of the Dirichlet priors of all rows, and of the locations' normal ones.
PRIOR = STATES * math.lgamma(STATES) - STATES * (LOG_SQRT_2PI + math.log(5.0))


@cache
def hidden_markov_data() -> dict[str, np.ndarray]:
    """Measurements, and values of the unknowns at which the density is asked for."""
    rng = np.random.default_rng(SEED)
    rows = 0.9 * np.eye(STATES) + 0.1 * rng.dirichlet(np.ones(STATES), STATES)
    location = np.linspace(-4.0, 4.0, STATES)
    state, y = 0, np.empty(STEPS)
    for t in range(STEPS):
        state = rng.choice(STATES, p=rows[state])
        y[t] = location[state] + rng.normal()
    values = {"y": y, "transition": rows, "location": location}
    return {name: value.astype(np.float32) for name, value in values.items()}


@cache
def linear_gaussian_data() -> dict[str, np.ndarray]:
    """States and measurements."""
    rng = np.random.default_rng(SEED)
    z = np.empty(LONG)
    last = 0.0
    for t, shock in enumerate(rng.normal(size=LONG)):
        z[t] = last = PERSISTENCE * last + DRIFT * shock
    return {"z": z.astype(np.float32), "y": (z + NOISE * rng.normal(size=LONG)).astype(np.float32)}


# --- ours --------------------------------------------------------------------------------------------------------


def hidden_markov() -> Any:
    """The model, observed."""
    import ppl
    from ppl import dist, ops

    @ppl.model
    def model():
        with ppl.plate("states", size=STATES):
            transition = ppl.sample("transition", dist.Dirichlet(ops.ones(STATES)))
            location = ppl.sample("location", dist.Normal(0.0, 5.0))

        def step(previous, t):
            state = ppl.sample("state", dist.Categorical(probs=transition[previous]))
            ppl.sample("y", dist.Normal(location[state], 1.0))
            return state

        ppl.scan("time", step, 0, length=STEPS)

    return model().observe(y=hidden_markov_data()["y"])


def credo_density() -> Callable[[dict[str, Any]], Any]:
    """The emitted log density as a function of values on JAX, states summed out."""
    import ppl
    from ppl.program.ops import plate_sum
    from ppl.transforms.density import log_density, total_of
    from ppl.transforms.exact import exact_sites

    program = hidden_markov()
    side = ppl.compile(program, "numpyro")
    density = log_density(program, exact=exact_sites(program))
    total = total_of([plate_sum(t, density.plates[n]) for n, t in density.terms.items()])
    emitted = side.emitter(lead=False).emit("density", {"total": total}, single=True)
    function, data = side.load(emitted), side.bind(emitted)
    return lambda values: function({}, values, data, {})


def credo_linear_gaussian(steps: int) -> Block:
    """The emitted log density in torch."""
    import ppl
    from ppl import dist

    @ppl.model
    def model():
        def step(previous, t):
            z = ppl.sample("z", dist.Normal(PERSISTENCE * previous, DRIFT))
            ppl.sample("y", dist.Normal(z, NOISE))
            return z

        ppl.scan("time", step, 0.0, length=LONG)

    data = linear_gaussian_data()
    side = ppl.compile(model().observe(y=data["y"]), "pyro")
    emitted, function = side.density
    values, bound = side.value_arrays({"z": data["z"]}), side.bind(emitted)
    return repeated(lambda: side.total(function({}, values, bound, {})), steps)


# --- peers -------------------------------------------------------------------------------------------------------


def log_prior(values: dict[str, Any]) -> Any:
    """Of the unknowns, without constants."""
    import jax.numpy as jnp

    return PRIOR - 0.5 * jnp.sum((values["location"] / 5.0) ** 2)


def scanned(values: dict[str, Any]) -> Any:
    """The forward algorithm as one `lax.scan`."""
    import jax
    import jax.numpy as jnp

    pair = jnp.log(values["transition"])
    weights = -0.5 * (hidden_markov_data()["y"][:, None] - values["location"]) ** 2 - LOG_SQRT_2PI

    def step(alpha, weight):
        return jax.nn.logsumexp(alpha[:, None] + pair, 0) + weight, None

    alpha, _ = jax.lax.scan(step, pair[0] + weights[0], weights[1:])
    return jax.nn.logsumexp(alpha) + log_prior(values)


def associated(values: dict[str, Any]) -> Any:
    """The product of all steps' matrices by `associative_scan`."""
    import jax
    import jax.numpy as jnp

    pair = jnp.log(values["transition"])
    weights = -0.5 * (hidden_markov_data()["y"][:, None] - values["location"]) ** 2 - LOG_SQRT_2PI

    def times(a, b):
        return jax.nn.logsumexp(a[..., :, :, None] + b[..., None, :, :], -2)

    products = jax.lax.associative_scan(times, pair + weights[1:, None, :])
    return jax.nn.logsumexp((pair[0] + weights[0])[:, None] + products[-1]) + log_prior(values)


def scaled(values: dict[str, Any]) -> Any:
    """The forward algorithm as one `lax.scan` in probabilities, which are made to sum to one in each step."""
    import jax
    import jax.numpy as jnp

    rows = values["transition"]
    weights = -0.5 * (hidden_markov_data()["y"][:, None] - values["location"]) ** 2 - LOG_SQRT_2PI
    tops = weights.max(1)
    likely = jnp.exp(weights - tops[:, None])

    def step(alpha, chance):
        alpha = (alpha @ rows) * chance
        total = alpha.sum()
        return alpha / total, jnp.log(total)

    _, logs = jax.lax.scan(step, jnp.eye(STATES)[0], likely)
    return logs.sum() + tops.sum() + log_prior(values)


def looped(steps: int) -> Block:
    """The log density of the state space step by step in torch."""
    import torch

    z, y = (torch.from_numpy(linear_gaussian_data()[n]) for n in ("z", "y"))
    constant = -LONG * (2 * LOG_SQRT_2PI + math.log(DRIFT) + math.log(NOISE))

    def density() -> Any:
        total, last = torch.tensor(constant, dtype=torch.float64), torch.tensor(0.0)
        for now, measured in zip(z, y, strict=True):
            total = total - 0.5 * ((now - PERSISTENCE * last) / DRIFT) ** 2 - 0.5 * ((measured - now) / NOISE) ** 2
            last = now
        return total

    return repeated(density, steps)


def at_once(steps: int) -> Block:
    """The same for all steps at once."""
    import torch

    z, y = (torch.from_numpy(linear_gaussian_data()[n]) for n in ("z", "y"))
    constant = -LONG * (2 * LOG_SQRT_2PI + math.log(DRIFT) + math.log(NOISE))

    def density() -> Any:
        before = torch.cat([torch.zeros(1), z[:-1]])
        moves, errors = (z - PERSISTENCE * before) / DRIFT, (y - z) / NOISE
        return constant - 0.5 * (moves.square().sum() + errors.square().sum())

    return repeated(density, steps)


# --- blocks ------------------------------------------------------------------------------------------------------


def repeated(function: Callable[[], Any], steps: int) -> Block:
    """A block that evaluates something `steps` times; losses are the negative values."""

    def block() -> Ran:
        return Ran(steps, [-float(function()) for _ in range(steps)])

    return block


def value_and_gradient(make: Callable[[], Callable[[dict[str, Any]], Any]], steps: int) -> Block:
    """Log density and gradient on JAX, compiled before the clock starts."""
    import jax

    compiled, values = compile_gradient(make())

    def evaluate() -> Any:
        value, gradient = compiled(values)
        jax.block_until_ready(gradient)
        return value

    return repeated(evaluate, steps)


def compile_gradient(density: Callable[[dict[str, Any]], Any]) -> tuple[Any, dict[str, Any]]:
    """The compiled program of a density and its gradient, with values to call it with."""
    import jax
    import jax.numpy as jnp

    data = hidden_markov_data()
    values = {n: jnp.asarray(data[n]) for n in ("transition", "location")}
    return jax.jit(jax.value_and_grad(density)).lower(values).compile(), values


def compilation(make: Callable[[], Callable[[dict[str, Any]], Any]], steps: int) -> Block:
    """From the model function, or the function written by hand, to a compiled program."""

    def block() -> Ran:
        for _ in range(steps):
            compile_gradient(make())
        return Ran(steps)

    return block


def tracing(build: Callable[[], Any], steps: int) -> Block:
    """Call of the model function on data that is there, and of `observe`."""

    def block() -> Ran:
        for _ in range(steps):
            build()
        return Ran(steps)

    return block


# --- cases -------------------------------------------------------------------------------------------------------

PEERS = {"raw JAX, lax.scan": scanned, "raw JAX, associative_scan": associated}


def chain_candidates(block: Callable[..., Block], steps: int) -> list[Candidate]:
    """Ours and the forward algorithms by hand."""
    made = [Candidate("Credo", partial(block, credo_density), steps)]
    for name, function in {**PEERS, "raw JAX, lax.scan of scaled probabilities": scaled}.items():
        made.append(Candidate(name, partial(block, partial(lambda f: f, function)), steps))
    return made


def linear_gaussian_candidates() -> list[Candidate]:
    """Ours, the loop, and all steps at once by hand."""
    return [
        Candidate("Credo", credo_linear_gaussian, 50),
        Candidate("raw torch, a loop", looped, 1),
        Candidate("raw torch, all steps at once", at_once, 50),
    ]


def zoo() -> dict[str, Callable[[], Any]]:
    """Models and guides of the zoo, by name."""
    from tests.models.cases import CASES, GUIDES

    return {**CASES, **{name: build for name, (_, build) in GUIDES.items()}}


def zoo_names() -> list[str]:
    """Known without loading the zoo: the parent process stays small."""
    import ast
    from pathlib import Path

    text = (Path(__file__).parents[1] / "ppl/models/__init__.py").read_text()
    names = next(n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Assign))
    return [name for name in ast.literal_eval(names) if name.islower()]


def cases() -> list[Case]:
    """A chain on JAX, a state space in torch, the zoo."""
    return [
        Case(
            "HMM of 10,000 steps, density and gradient, JAX",
            "jax",
            1,
            partial(chain_candidates, value_and_gradient, 5),
            tuple(Target("Credo", name, 1.2) for name in PEERS),
            unit="evaluation",
            check_steps=4,
        ),
        Case(
            "HMM of 10,000 steps, trace, lower and compile, JAX",
            "jax",
            1,
            partial(chain_candidates, compilation, 1),
            (Target("Credo", "", 3.0, "seconds"),),
            unit="program",
            rounds=7,
        ),
        Case(
            "linear-Gaussian state space of 100,000 steps, density, torch",
            "torch",
            1,
            linear_gaussian_candidates,
            (Target("Credo", "raw torch, a loop", 1 / 20),),
            unit="evaluation",
            check_steps=4,
            rounds=7,
        ),
    ]
