"""The seam: what a backend has to be able to do, at the level of programs.

Everything above this room is written once against `Backend`; there is no branch on a backend's name anywhere else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ppl.program.networks import NetworkSpec
from ppl.program.program import Program

from .curves import CurveSpec
from .emit import Emitted
from .spelling import Spelling

Array = Any
Arrays = dict[str, Any]
Key = Any


@dataclass(frozen=True)
class NoiseShape:
    """One random argument with its full shape.

    Attributes:
        name: key in the `noise` argument.
        kind: "normal", "uniform" or "key".
        shape: leading axes, plates (as evaluated), event.
    """

    name: str
    kind: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class OptimizerSpec:
    """An optimiser as data; the backend maps it to `optax` or `torch.optim`.

    Attributes:
        name: "adam", "adamw", "sgd" or "rmsprop".
        learning_rate: step size.
        settings: further settings by name.
        decay: what the step size is multiplied by, step by step; None for one.
        clip_norm: gradients of a larger Euclidean norm are scaled down to it; None for no clipping.
    """

    name: str
    learning_rate: float
    settings: tuple[tuple[str, float], ...] = ()
    decay: CurveSpec | None = None
    clip_norm: float | None = None


@dataclass(frozen=True)
class UpdateSpec:
    """An optimiser as a formula of our own.

    Attributes:
        function: emitted function of (params, values, data, noise) to new parameters and new numbers by name; `values`
            holds the numbers, `gradient of NAME` of each parameter, and `rate`.
        source: its text.
        state: the numbers that it keeps from step to step, and what they start from.
        learning_rate: step size.
        decay: what the step size is multiplied by, step by step; None for one.
    """

    function: Callable[..., Any]
    source: str
    state: Mapping[str, np.ndarray]
    learning_rate: float
    decay: CurveSpec | None = None

    def values(self, gradients: Mapping[str, Array], state: Mapping[str, Array], steps: Any, xp: Any) -> Arrays:
        """What the function is called with.

        Args:
            gradients: of the loss, by parameter.
            state: the numbers that it keeps.
            steps: how many were taken before.
            xp: numpy, or what answers to the same names.
        """
        rate = self.learning_rate * (1.0 if self.decay is None else self.decay.at(steps, xp))
        return {**state, "rate": rate, **{f"gradient of {n}": g for n, g in gradients.items()}}


@dataclass(frozen=True)
class Averaging:
    """A running mean of the parameters over the steps.

    Attributes:
        decay: weight of a step against the one after it; 1 gives the mean of all.
        start: steps before the first that counts.
    """

    decay: float
    start: int = 0

    def rate(self, steps: Any, xp: Any) -> Any:
        """How far the mean moves towards the newest parameters after some steps.

        The weights of what counts so far sum to one, so that the start leaves no trace.
        """
        counted = xp.maximum(steps - self.start, 1)
        if self.decay == 1.0:
            return 1.0 / counted
        return (1.0 - self.decay) / -xp.expm1(counted * math.log(self.decay))


@dataclass(frozen=True)
class ChunkRound:
    """One round of a loss that is computed for some particles at a time.

    Attributes:
        before: emitted function of values for all particles that the chunks read; None for none.
        inside: emitted function of what a chunk hands out.
        sliced: names of values of which each chunk reads its part.
        outputs: names of what a chunk hands out.
        places: for these names the number of the particles' axis.
    """

    before: Callable[..., Any] | None
    inside: Callable[..., Any]
    sliced: tuple[str, ...]
    outputs: tuple[str, ...]
    places: Mapping[str, int]


@dataclass(frozen=True)
class Part:
    """Some parameters with an optimiser of their own.

    Attributes:
        names: the parameters.
        optimizer: their optimiser.
        turns: (period, first, stop): they move at steps first ... stop - 1 of each period; None for every step.
    """

    names: tuple[str, ...]
    optimizer: OptimizerSpec | UpdateSpec
    turns: tuple[int, int, int] | None = None


class Optimization(Protocol):
    """A running stochastic optimisation: parameters, optimiser state and random state."""

    def run(
        self, steps: int, index: Mapping[str, np.ndarray], meanwhile: Callable[[], None] | None = None
    ) -> np.ndarray:
        """Advance by some steps, or until the loss or its gradient is not finite: that step is not taken.

        Args:
            steps: how many.
            index: for each subsampled plate the rows of each step, shape (steps, batch); for each curve that the loss
                reads its numbers, shape (steps,).
            meanwhile: what else there is to do; called where the steps run without this thread.

        Returns:
            The loss at each step that was taken, in nats.
        """
        ...

    def params(self) -> Arrays:
        """The parameters now, as arrays of the backend."""
        ...

    def averaged(self) -> Arrays:
        """The mean of the parameters over the steps so far, if it was asked for; else the parameters now."""
        ...

    def state(self) -> dict[str, np.ndarray]:
        """Everything that is needed to go on later, as numpy arrays by name."""
        ...

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go back to a state."""
        ...


@dataclass(frozen=True)
class NUTSSettings:
    """Settings of the No-U-Turn sampler."""

    chains: int
    warmup: int
    draws: int
    target_accept: float
    max_tree_depth: int
    dense_mass: bool
    progress: bool


@dataclass(frozen=True)
class NUTSResult:
    """Draws of a sampler in unconstrained space, and what there is to look at.

    Attributes:
        draws: for each site an array (chains, draws, ...).
        stats: `diverging`, `energy`, `acceptance_rate`, `n_steps`, `tree_depth`, each (chains, draws), where known.
    """

    draws: dict[str, np.ndarray]
    stats: dict[str, np.ndarray]


class Backend(Protocol):
    """One array library with its probabilistic library."""

    name: str
    spelling: Spelling

    def versions(self) -> dict[str, str]:
        """Versions of the libraries in use."""
        ...

    def array(self, item: Any, kind: str, precision: str) -> Array:
        """An array of the backend from anything array-like, of a dtype kind at a precision; it may share its memory."""
        ...

    def to_numpy(self, array: Array) -> np.ndarray:
        """A numpy array."""
        ...

    def key(self, seed: int) -> Key:
        """A random state from a seed."""
        ...

    def split(self, key: Key, count: int) -> list[Key]:
        """Independent random states."""
        ...

    def copy(self, key: Key) -> Key:
        """A random state that gives the numbers again which this one gives from now on."""
        ...

    def noise(self, key: Key, shapes: Sequence[NoiseShape], precision: str) -> Arrays:
        """The random arguments of an emitted function."""
        ...

    def function(self, emitted: Emitted, precision: str, networks: Mapping[str, Any], label: str) -> Callable[..., Any]:
        """The emitted function, ready to call."""
        ...

    def jit(self, function: Callable[..., Any], precision: str, static: tuple[str, ...] = ()) -> Callable[..., Any]:
        """The function compiled where the library compiles; gradients are not tracked."""
        ...

    def gradient(self, function: Callable[..., Any], argument: int, precision: str) -> Callable[..., Arrays]:
        """The gradient of a function with one number as its result, by one of its arguments, a dict of arrays."""
        ...

    def context(self, precision: str) -> AbstractContextManager[None]:
        """Where arrays of this precision may be computed with."""
        ...

    def native(self, program: Program, source: str, precision: str, params: Mapping[str, np.ndarray] | None) -> Any:
        """The native model function from its source, with network parameters filled in."""
        ...

    def module(
        self, program: Program, name: str, source: str, precision: str, params: Mapping[str, np.ndarray] | None
    ) -> Any:
        """A network of the native model as a module of its library, with its parameters filled in."""
        ...

    def module_arrays(self, module: Any, name: str) -> dict[str, np.ndarray]:
        """The weights of such a module, by the names that its library gives them behind the network's own."""
        ...

    def native_data(self, program: Program, precision: str) -> Arrays:
        """Keyword arguments for the native model from the program's data, in the dtypes the library wants."""
        ...

    def native_log_density(
        self,
        program: Program,
        source: str,
        values: Mapping[str, np.ndarray],
        params: Mapping[str, np.ndarray],
        precision: str,
    ) -> dict[str, float]:
        """Log density of each site by the library's own handlers, in nats."""
        ...

    def foreign_module(self, spec: NetworkSpec, seed: int) -> tuple[Any, dict[str, np.ndarray]]:
        """The user's own module and its initial parameters by name."""
        ...

    def module_shape(self, module: Any, shape: tuple[int, ...], kind: str) -> tuple[int, ...] | None:
        """The event shape that a user's own module gives for one element; None if that takes numbers to find out."""
        ...

    def chunked(
        self,
        rounds: Sequence[ChunkRound],
        last: Callable[..., Any],
        noise: Mapping[str, int],
        size: int,
        chunk: int,
    ) -> Callable[..., Any]:
        """A loss out of its parts, which holds one chunk of particles at a time, for gradients too.

        Args:
            rounds: what is computed before the loss.
            last: emitted function of the loss.
            noise: for random arguments that particles have of their own, the number of the particles' axis.
            size: number of particles.
            chunk: number of particles in a chunk; the last chunk may be smaller.
        """
        ...

    def check_step(self, emitted: Emitted, compile: bool) -> None:
        """Refuse a loss whose steps cannot be compiled as wanted.

        Args:
            emitted: the loss.
            compile: whether each step is to be one compiled graph.

        Raises:
            UnsupportedByBackend: the compiler cannot take it.
        """
        ...

    def optimization(
        self,
        loss: Callable[..., Any],
        params: Mapping[str, np.ndarray],
        data: Arrays,
        noise: Sequence[NoiseShape],
        optimizer: OptimizerSpec | tuple[Part, ...],
        key: Key,
        precision: str,
        compile: bool,
        averaging: Averaging | None = None,
    ) -> Optimization:
        """Start an optimisation of loss(params, values, data, noise, index) over `params`."""
        ...

    def nuts(
        self,
        log_density: Callable[..., Any],
        initial: Mapping[str, np.ndarray],
        params: Arrays,
        data: Arrays,
        settings: NUTSSettings,
        key: Key,
        precision: str,
    ) -> NUTSResult:
        """Run the library's own NUTS on an emitted unconstrained log density."""
        ...
