"""The NumPyro backend: JAX arrays, equinox modules, optax optimisers, NumPyro's samplers.

NumPyro and equinox are imported where they are used: a variational fit needs neither, and starts a second sooner.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ppl.errors import UnsupportedByBackend
from ppl.program.networks import NetworkSpec
from ppl.program.program import Program
from ppl.program.statements import Network

from .emit import Emitted, execute
from .jax_arrays import draw_noise, x64
from .jax_chunks import chunked
from .jax_foreign import foreign_function, module_shape
from .jax_optimization import JaxOptimization
from .jax_runtime import leaf_name
from .native_names import native_values, network_variables, variable_names
from .native_networks import is_library_made
from .protocol import Arrays, Averaging, ChunkRound, NoiseShape, NUTSResult, NUTSSettings, OptimizerSpec, Part
from .spelling import JAX, Spelling


class NumPyroBackend:
    """Compiles to NumPyro and JAX."""

    name = "numpyro"
    spelling: Spelling = JAX

    def versions(self) -> dict[str, str]:
        """Versions of the libraries in use."""
        return {name: version(name) for name in ("jax", "numpyro", "optax", "equinox")}

    def array(self, item: Any, kind: str, precision: str) -> jax.Array:
        """A JAX array of a dtype kind."""
        # Under float64, the libraries turn counts of 32 bits into real numbers of 32 bits.
        dtype = {"float": precision, "int": "int64" if precision == "float64" else "int32", "bool": "bool"}[kind]
        with x64(precision):
            return jnp.asarray(item if isinstance(item, jax.Array) else np.asarray(item), dtype=dtype)

    def to_numpy(self, array: Any) -> np.ndarray:
        """A numpy array."""
        return np.asarray(array)

    def key(self, seed: int) -> jax.Array:
        """A JAX key from a seed."""
        return jax.random.key(seed)

    def split(self, key: jax.Array, count: int) -> list[jax.Array]:
        """Independent keys."""
        return list(jax.random.split(key, count))

    def copy(self, key: jax.Array) -> jax.Array:
        """The key itself: keys have no state."""
        return key

    def noise(self, key: jax.Array, shapes: Sequence[NoiseShape], precision: str) -> Arrays:
        """Random arguments."""
        with x64(precision):
            return draw_noise(key, tuple(shapes), precision)

    def function(self, emitted: Emitted, precision: str, networks: Mapping[str, Any], label: str) -> Callable[..., Any]:
        """The emitted function."""
        namespace: dict[str, Any] = {"networks": dict(networks)}
        with x64(precision):
            for name, item in emitted.constants.items():
                kind = {"f": "float", "b": "bool"}.get(item.dtype.kind, "int")
                namespace[name] = self.array(item, kind, precision)
        return execute(emitted.source, emitted.name, namespace, f"{label} numpyro")

    def jit(self, function: Callable[..., Any], precision: str, static: tuple[str, ...] = ()) -> Callable[..., Any]:
        """The function compiled by XLA."""
        compiled = jax.jit(function, static_argnames=static)
        if precision != "float64":
            return compiled

        def call(*args: Any, **kwargs: Any) -> Any:
            with x64(precision):
                return compiled(*args, **kwargs)

        return call

    def gradient(self, function: Callable[..., Any], argument: int, precision: str) -> Callable[..., Arrays]:
        """The gradient of a function with one number as its result, by one of its arguments."""
        return self.jit(jax.grad(function, argnums=argument), precision)

    def context(self, precision: str) -> contextlib.AbstractContextManager[None]:
        """Where arrays of this precision may be computed with."""
        return x64(precision)

    # --- native programs ------------------------------------------------------------------------------------------

    def native(self, program: Program, source: str, precision: str, params: Mapping[str, np.ndarray] | None) -> Any:
        """The NumPyro model function; its networks hold `params`."""
        return self._executed(program, source, precision, params)["model"]

    def module(
        self, program: Program, name: str, source: str, precision: str, params: Mapping[str, np.ndarray] | None
    ) -> Any:
        """A network of the program as an equinox module."""
        return self._executed(program, source, precision, params)[network_variables(program)[name]]

    def module_arrays(self, module: Any, name: str) -> dict[str, np.ndarray]:
        """The arrays of an equinox module, by name."""
        import equinox as eqx

        leaves, _ = jax.tree_util.tree_flatten_with_path(eqx.filter(module, eqx.is_inexact_array))
        return {name + jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}

    def _executed(
        self, program: Program, source: str, precision: str, params: Mapping[str, np.ndarray] | None
    ) -> dict[str, Any]:
        """What the native source defines, its networks filled with `params`."""
        namespace: dict[str, Any] = {"networks": {}}
        for network in program.networks.values():
            if network.spec.foreign is not None:
                namespace["networks"][network.name] = self.foreign_module(network.spec, 0)[0]
        with x64(precision):
            # The weights that the source draws give way to `params`: the generator that compiles fastest will do.
            with jax.default_prng_impl("rbg") if params else contextlib.nullcontext():
                execute(source, "model", namespace, f"{program.name} numpyro model")
            if params:
                for network in program.networks.values():
                    name = network_variables(program)[network.name]
                    if name in namespace and not network.spec.is_function:
                        namespace[name] = fill_module(network, namespace[name], params, precision)
        return namespace

    def native_data(self, program: Program, precision: str) -> Arrays:
        """Keyword arguments of the native model."""
        kinds = {i.name: i.dtype for i in program.inputs} | {n: s.dist.dtype for n, s in program.observed.items()}
        names = variable_names(program)
        return {
            names[name]: self.array(item, kinds[name], precision)
            for name, item in program.data.items()
            if name in kinds
        }

    def native_log_density(
        self,
        program: Program,
        source: str,
        values: Mapping[str, np.ndarray],
        params: Mapping[str, np.ndarray],
        precision: str,
    ) -> dict[str, float]:
        """Log density of each site by NumPyro's handlers."""
        from numpyro.infer.util import log_density as native_log_density

        with x64(precision):
            model = self.native(program, source, precision, params)
            given = {
                k: self.array(v, program.sites[k].dist.dtype, precision)
                for k, v in native_values(program, values, stacked=True).items()
            }
            given |= {k: jnp.asarray(v, dtype=precision) for k, v in params.items() if k in program.params}

            # Compiled as a whole: run op by op, each op would be compiled on its own, which takes many times longer.
            @jax.jit
            def by_site(data: Arrays, given: Arrays) -> Arrays:
                _, trace = native_log_density(model, (), data, given)
                samples = {name: site for name, site in trace.items() if site["type"] == "sample"}
                return {name: jnp.sum(site["fn"].log_prob(site["value"])) for name, site in samples.items()}

            terms = by_site(self.native_data(program, precision), given)
            return {name: float(term) for name, term in terms.items()}

    def foreign_module(self, spec: NetworkSpec, seed: int) -> tuple[Any, dict[str, np.ndarray]]:
        """The user's equinox module and its arrays by name."""
        assert spec.foreign is not None
        if spec.is_function:
            return foreign_function(spec, self.name), {}
        import equinox as eqx

        if spec.foreign.jax is None:
            raise UnsupportedByBackend(
                self.name,
                f"network {spec.name!r}",
                "nn.module was given no `jax` factory",
                "Pass jax=a function of a key that makes an equinox module, or use backend='pyro'.",
            )
        module = spec.foreign.jax(jax.random.key(seed))
        arrays = eqx.filter(module, eqx.is_inexact_array)
        leaves, _ = jax.tree_util.tree_flatten_with_path(arrays)
        return module, {f"{spec.name}{leaf_name(path)}": np.asarray(leaf) for path, leaf in leaves}

    def module_shape(self, module: Any, shape: tuple[int, ...], kind: str) -> tuple[int, ...] | None:
        """The event shape that an equinox module gives for one element."""
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
        """JAX compiles every step, recurrences as loops."""

    def optimization(
        self,
        loss: Callable[..., Any],
        params: Mapping[str, np.ndarray],
        data: Arrays,
        noise: Sequence[NoiseShape],
        optimizer: OptimizerSpec | tuple[Part, ...],
        key: jax.Array,
        precision: str,
        compile: bool,
        averaging: Averaging | None = None,
    ) -> JaxOptimization:
        """Start an optimisation; steps are fused by `lax.scan`."""
        return JaxOptimization(loss, params, data, tuple(noise), optimizer, key, precision, averaging)

    def nuts(
        self,
        log_density: Callable[..., Any],
        initial: Mapping[str, np.ndarray],
        params: Arrays,
        data: Arrays,
        settings: NUTSSettings,
        key: jax.Array,
        precision: str,
    ) -> NUTSResult:
        """NumPyro's NUTS; chains run vectorised."""
        from numpyro.infer import MCMC, NUTS

        flat = FlatPotential(log_density, {k: v.shape[1:] for k, v in initial.items()}, params, data)
        with x64(precision):
            kernel = NUTS(
                potential_fn=flat,
                target_accept_prob=settings.target_accept,
                max_tree_depth=settings.max_tree_depth,
                dense_mass=settings.dense_mass,
            )
            mcmc = MCMC(
                kernel,
                num_warmup=settings.warmup,
                num_samples=settings.draws,
                num_chains=settings.chains,
                chain_method="vectorized",
                progress_bar=settings.progress,
            )
            start = jnp.asarray(flat.join(initial), dtype=precision)
            start = start if settings.chains > 1 else start[0]
            fields = ("diverging", "energy", "accept_prob", "num_steps", "potential_energy")
            mcmc.run(key, init_params=start, extra_fields=fields)
            # Samples of a kernel whose state is one array come as that array.
            draws = flat.split(np.asarray(mcmc.get_samples(group_by_chain=True)))
            extra = {k: np.asarray(v) for k, v in mcmc.get_extra_fields(group_by_chain=True).items()}
        stats = {
            "diverging": extra["diverging"],
            "energy": extra["energy"],
            "acceptance_rate": extra["accept_prob"],
            "n_steps": extra["num_steps"],
            "tree_depth": np.ceil(np.log2(extra["num_steps"] + 1)).astype(int),
            "lp": -extra["potential_energy"],
        }
        return NUTSResult(draws, stats)


class FlatPotential:
    """Minus a log density as a function of one vector: the sampler then moves one array and not one for each site.

    Args:
        log_density: function of (params, values, data, noise), in nats.
        shapes: shape of each value.
        params: parameters.
        data: data.
    """

    def __init__(
        self, log_density: Callable[..., Any], shapes: Mapping[str, tuple[int, ...]], params: Arrays, data: Arrays
    ) -> None:
        self.log_density = log_density
        self.shapes = dict(shapes)
        self.ends = np.cumsum([int(np.prod(s)) for s in shapes.values()]).tolist()
        self.params, self.data = params, data

    def __call__(self, vector: jax.Array) -> jax.Array:
        """The potential energy, in nats."""
        return -self.log_density(self.params, self.split(vector), self.data, {})

    def split(self, vectors: Any) -> dict[str, Any]:
        """Values by name, of vectors with any leading axes."""
        starts = [0, *self.ends]
        return {
            name: vectors[..., start:end].reshape(*vectors.shape[:-1], *shape)
            for (name, shape), start, end in zip(self.shapes.items(), starts, self.ends, strict=False)
        }

    def join(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Vectors from values with one leading axis."""
        return np.concatenate([np.reshape(values[n], (len(values[n]), -1)) for n in self.shapes], axis=1)


def fill_module(network: Network, module: Any, params: Mapping[str, np.ndarray], precision: str) -> Any:
    """An equinox module with its arrays taken from parameters by name."""
    import equinox as eqx

    spec = network.spec
    if spec.foreign is not None:
        arrays, static = eqx.partition(module, eqx.is_inexact_array)
        leaves, tree = jax.tree_util.tree_flatten_with_path(arrays)
        own = [jnp.asarray(params[f"{spec.name}{leaf_name(path)}"], dtype=precision) for path, _ in leaves]
        return eqx.combine(jax.tree_util.tree_unflatten(tree, own), static)
    if not is_library_made(spec):
        filled = {n: jnp.asarray(params[f"{spec.name}.{n}"], dtype=precision) for n in module.weights}
        return eqx.tree_at(lambda m: m.weights, module, filled)
    layers = list(module.layers)
    for i, layer in enumerate(spec.layers):
        for w in layer.weights:
            array = np.asarray(params[f"{spec.name}.{layer.name}.{w.name}"])
            rank = int(layer.kind[-2]) if layer.kind.startswith("conv") else 0
            if layer.kind.startswith("conv_transpose") and w.name == "weight":
                # equinox writes the transposed convolution as a dilated one: channels swapped, kernel reversed
                array = np.flip(array.swapaxes(0, 1), tuple(range(-rank, 0)))
            if rank and w.name == "bias":
                array = array.reshape(-1, *(1,) * rank)
            value = jnp.asarray(array, dtype=precision)
            layers[i] = eqx.tree_at(lambda m, n=w.name: getattr(m, n), layers[i], value)
    return eqx.tree_at(lambda m: m.layers, module, tuple(layers))
