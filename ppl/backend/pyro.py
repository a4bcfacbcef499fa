"""The Pyro backend: torch tensors, torch.nn modules, torch.optim optimisers, Pyro's samplers.

Pyro is imported where it is used: a variational fit does without it, and starts sooner.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ppl.errors import UnsupportedByBackend
from ppl.program.networks import NetworkSpec
from ppl.program.program import Program

from .emit import Emitted, execute
from .native_names import native_owners, native_values, network_variables, variable_names
from .protocol import Arrays, Averaging, ChunkRound, NoiseShape, NUTSResult, NUTSSettings, OptimizerSpec, Part
from .spelling import TORCH, Spelling
from .torch_chunks import chunked
from .torch_foreign import foreign_function, module_shape
from .torch_optimization import TorchOptimization
from .torch_steps import Noise

# Steps of a recurrence that are worth unrolling into a compiled graph.
LONGEST_UNROLLED = 20


def dtype_of(kind: str, precision: str) -> torch.dtype:
    """The torch dtype of a dtype kind."""
    return {"float": getattr(torch, precision), "int": torch.int64, "bool": torch.bool}[kind]


@contextlib.contextmanager
def default_dtype(precision: str) -> Iterator[None]:
    """Native models write bare numbers; inside, they become tensors of this precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, precision))
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class PyroBackend:
    """Compiles to Pyro and torch."""

    name = "pyro"
    spelling: Spelling = TORCH

    def versions(self) -> dict[str, str]:
        """Versions of the libraries in use."""
        return {"torch": torch.__version__, "pyro-ppl": version("pyro-ppl")}

    def array(self, item: Any, kind: str, precision: str) -> Tensor:
        """A tensor of a dtype kind."""
        dtype = dtype_of(kind, precision)
        if isinstance(item, Tensor):
            return item.detach().to(dtype)
        array = np.asarray(item)
        if not array.ndim:
            return torch.as_tensor(array.item(), dtype=dtype)
        # Emitted functions write to no argument, so data may stay where it is; but torch takes no read-only memory, and
        # none that runs backwards.
        borrowed = array.flags.writeable and min(array.strides) >= 0
        return torch.as_tensor(array if borrowed else array.copy(), dtype=dtype)

    def to_numpy(self, array: Any) -> np.ndarray:
        """A numpy array."""
        return array.detach().cpu().numpy() if isinstance(array, Tensor) else np.asarray(array)

    def key(self, seed: int) -> torch.Generator:
        """A generator from a seed."""
        return torch.Generator().manual_seed(seed)

    def split(self, key: torch.Generator, count: int) -> list[torch.Generator]:
        """Independent generators."""
        seeds = torch.randint(2**62, (count,), generator=key).tolist()
        return [self.key(s) for s in seeds]

    def copy(self, key: torch.Generator) -> torch.Generator:
        """A generator in the same state."""
        return key.clone_state()

    def noise(self, key: torch.Generator, shapes: Sequence[NoiseShape], precision: str) -> Arrays:
        """Random arguments."""
        noise = Noise(shapes, getattr(torch, precision))
        return noise.unpack(noise.draw(key), key)

    def function(self, emitted: Emitted, precision: str, networks: Mapping[str, Any], label: str) -> Callable[..., Any]:
        """The emitted function."""
        namespace: dict[str, Any] = {"networks": dict(networks)}
        for name, item in emitted.constants.items():
            kind = {"f": "float", "b": "bool"}.get(item.dtype.kind, "int")
            namespace[name] = self.array(item, kind, precision)
        return execute(emitted.source, emitted.name, namespace, f"{label} pyro")

    def context(self, precision: str) -> contextlib.AbstractContextManager[None]:
        """Where arrays of this precision may be computed with: anywhere, in torch."""
        return contextlib.nullcontext()

    def jit(self, function: Callable[..., Any], precision: str, static: tuple[str, ...] = ()) -> Callable[..., Any]:
        """The function itself, without gradient tracking: torch runs eagerly."""

        def call(*args: Any, **kwargs: Any) -> Any:
            with torch.no_grad():
                return function(*args, **kwargs)

        return call

    def gradient(self, function: Callable[..., Any], argument: int, precision: str) -> Callable[..., Arrays]:
        """The gradient of a function with one number as its result, by one of its arguments."""

        def call(*args: Any) -> Arrays:
            given = {k: v.detach().clone().requires_grad_() for k, v in args[argument].items()}
            result = function(*args[:argument], given, *args[argument + 1 :])
            if not result.requires_grad:
                return {k: torch.zeros_like(v) for k, v in given.items()}
            found = torch.autograd.grad(result, list(given.values()), allow_unused=True, materialize_grads=True)
            return dict(zip(given, found, strict=True))

        return call

    # --- native programs ------------------------------------------------------------------------------------------

    def native(self, program: Program, source: str, precision: str, params: Mapping[str, np.ndarray] | None) -> Any:
        """The Pyro model function; its networks hold `params`."""
        return self._executed(program, source, precision, params)["model"]

    def module(
        self, program: Program, name: str, source: str, precision: str, params: Mapping[str, np.ndarray] | None
    ) -> torch.nn.Module:
        """A network of the program as a torch module."""
        return self._executed(program, source, precision, params)[network_variables(program)[name]]

    def module_arrays(self, module: torch.nn.Module, name: str) -> dict[str, np.ndarray]:
        """The weights and buffers of a torch module, by name."""
        return {f"{name}.{own}": self.to_numpy(array) for own, array in module.state_dict().items()}

    def _executed(
        self, program: Program, source: str, precision: str, params: Mapping[str, np.ndarray] | None
    ) -> dict[str, Any]:
        """What the native source defines, its networks filled with `params`."""
        namespace: dict[str, Any] = {"networks": {}}
        with default_dtype(precision):
            for network in program.networks.values():
                if network.spec.foreign is not None:
                    namespace["networks"][network.name] = self.foreign_module(network.spec, 0)[0]
            execute(source, "model", namespace, f"{program.name} pyro model")
        for network in program.networks.values():
            module = namespace.get(network_variables(program)[network.name])
            if module is not None and params and not network.spec.is_function:
                fill_module(module, network.name, params)
        return namespace

    def native_data(self, program: Program, precision: str) -> Arrays:
        """Keyword arguments of the native model: Pyro wants real tensors for counts and coin flips."""
        out: Arrays = {}
        names = variable_names(program)
        for i in program.inputs:
            if i.name in program.data:
                out[names[i.name]] = self.array(program.data[i.name], i.dtype, precision)
        for name, site in program.observed.items():
            kind = "int" if site.dist.family == "Categorical" else "float"
            out[names[name]] = self.array(program.data[name], kind, precision)
        return out

    def native_log_density(
        self,
        program: Program,
        source: str,
        values: Mapping[str, np.ndarray],
        params: Mapping[str, np.ndarray],
        precision: str,
    ) -> dict[str, float]:
        """Log density of each site by Pyro's handlers."""
        import pyro

        # The scope leaves the user's own parameter store as it was.
        with pyro.get_param_store().scope(), default_dtype(precision), torch.no_grad():
            model = self.native(program, source, precision, params)
            owner = native_owners(program)
            given = {}
            for name, item in native_values(program, values, stacked=False).items():
                site = program.sites[owner.get(name, name)]
                kind = "int" if site.dist.family == "Categorical" else "float"
                given[name] = self.array(item, kind, precision)
            for name in program.params:
                given[name] = self.array(params[name], "float", precision)
            for name in program.params:
                pyro.get_param_store().setdefault(name, given[name])
            sites = {n: v for n, v in given.items() if n not in program.params}
            trace = pyro.poutine.trace(pyro.poutine.condition(model, data=sites)).get_trace(
                **self.native_data(program, precision)
            )
            trace.compute_log_prob()
            nodes: dict[str, Any] = dict(trace.nodes)
            out: dict[str, float] = {}
            for name, node in nodes.items():
                if "log_prob_sum" in node:
                    site = owner.get(name, name)
                    out[site] = out.get(site, 0.0) + float(node["log_prob_sum"])
        return {
            n: v
            for n, v in out.items()
            if n not in program.deterministics and n not in {p.name for p in program.plates}
        }

    def foreign_module(self, spec: NetworkSpec, seed: int) -> tuple[Any, dict[str, np.ndarray]]:
        """The user's torch module and its parameters by name."""
        assert spec.foreign is not None
        if spec.is_function:
            return foreign_function(spec, self.name), {}
        if spec.foreign.torch is None:
            raise UnsupportedByBackend(
                self.name,
                f"network {spec.name!r}",
                "nn.module was given no `torch` factory",
                "Pass torch=a function that makes a torch.nn.Module, or use backend='numpyro'.",
            )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            module = spec.foreign.torch()
        return module, {f"{spec.name}.{n}": p.detach().numpy().copy() for n, p in module.named_parameters()}

    def module_shape(self, module: Any, shape: tuple[int, ...], kind: str) -> tuple[int, ...] | None:
        """The event shape that a torch module gives for one element; None if it cannot run without data."""
        return module_shape(module, shape, kind)

    # --- algorithms -----------------------------------------------------------------------------------------------

    def chunked(
        self,
        rounds: Sequence[ChunkRound],
        last: Callable[..., Any],
        noise: Mapping[str, int],
        size: int,
        chunk: int,
    ) -> Callable[..., Any]:
        """A loss out of its parts, one chunk of particles at a time."""
        return chunked(rounds, last, noise, size, chunk)

    def check_step(self, emitted: Emitted, compile: bool) -> None:
        """Refuse to compile long recurrences: `torch.compile` unrolls loops.

        Raises:
            UnsupportedByBackend: a recurrence has more steps than can be unrolled in reasonable time.
        """
        if compile and emitted.longest_scan > LONGEST_UNROLLED:
            raise UnsupportedByBackend(
                self.name,
                f"SVI(compile=True) with a recurrence of {emitted.longest_scan} steps",
                f"torch.compile unrolls loops, which takes minutes beyond {LONGEST_UNROLLED} steps",
                "Leave `compile` out, or use backend='numpyro', which compiles loops as loops.",
            )

    def optimization(
        self,
        loss: Callable[..., Any],
        params: Mapping[str, np.ndarray],
        data: Arrays,
        noise: Sequence[NoiseShape],
        optimizer: OptimizerSpec | tuple[Part, ...],
        key: torch.Generator,
        precision: str,
        compile: bool,
        averaging: Averaging | None = None,
    ) -> TorchOptimization:
        """Start an optimisation."""
        dtype = getattr(torch, precision)
        return TorchOptimization(loss, params, data, noise, optimizer, key, dtype, compile, averaging)

    def nuts(
        self,
        log_density: Callable[..., Any],
        initial: Mapping[str, np.ndarray],
        params: Arrays,
        data: Arrays,
        settings: NUTSSettings,
        key: torch.Generator,
        precision: str,
    ) -> NUTSResult:
        """Pyro's NUTS, one chain after the other."""
        dtype = getattr(torch, precision)
        seeds = torch.randint(2**31, (settings.chains,), generator=key).tolist()
        draws: dict[str, list[np.ndarray]] = {k: [] for k in initial}
        stats: dict[str, list[np.ndarray]] = {}

        def potential(values: Arrays) -> Tensor:
            return -log_density(params, values, data, {})

        for chain in range(settings.chains):
            start = {k: torch.as_tensor(v[chain], dtype=dtype) for k, v in initial.items()}
            one, info = _one_chain(potential, start, settings, seeds[chain], chain)
            for k, v in one.items():
                draws[k].append(v)
            for k, v in info.items():
                stats.setdefault(k, []).append(v)
        return NUTSResult({k: np.stack(v) for k, v in draws.items()}, {k: np.stack(v) for k, v in stats.items()})


def _one_chain(
    potential: Callable[[Arrays], Tensor], start: Arrays, settings: NUTSSettings, seed: int, chain: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    from pyro.infer.mcmc import NUTS
    from tqdm.auto import trange

    kernel = NUTS(
        potential_fn=potential,
        target_accept_prob=settings.target_accept,
        max_tree_depth=settings.max_tree_depth,
        full_mass=settings.dense_mass,
        jit_compile=False,
    )
    # Pyro's samplers draw from torch's global generator; the fork gives it back as it was.
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        kernel.initial_params = start
        kernel.setup(settings.warmup)
        params = kernel.initial_params
        kept: dict[str, list[np.ndarray]] = {k: [] for k in start}
        info: dict[str, list[Any]] = {"diverging": [], "lp": [], "acceptance_rate": []}
        total = settings.warmup + settings.draws
        bar = trange(
            total, desc=f"NUTS chain {chain + 1}/{settings.chains}", disable=not settings.progress, leave=False
        )
        seen, running = 0, 0.0
        for i in bar:
            params = kernel.sample(params)
            if i < settings.warmup:
                continue
            for k, v in params.items():
                kept[k].append(v.detach().numpy().copy())
            flagged = len(kernel._divergences)
            info["diverging"].append(flagged > seen)
            seen = flagged
            info["lp"].append(-float(kernel._potential_energy_last or 0.0))
            # The kernel keeps a running mean over the draws after warm-up; its steps give back each draw's own rate.
            mean, n = float(kernel._mean_accept_prob), i - settings.warmup + 1
            info["acceptance_rate"].append(mean * n - running * (n - 1))
            running = mean
        kernel.cleanup()
    return {k: np.stack(v) for k, v in kept.items()}, {k: np.asarray(v) for k, v in info.items()}


def fill_module(module: torch.nn.Module, name: str, params: Mapping[str, np.ndarray]) -> None:
    """Set the parameters of a module by name."""
    with torch.no_grad():
        for own, parameter in module.named_parameters():
            # a copy: arrays that come from JAX are not writable, and torch warns about those
            parameter.copy_(torch.as_tensor(np.array(params[f"{name}.{own}"]), dtype=parameter.dtype))
