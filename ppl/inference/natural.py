"""Optimisers for the parameters of normal guides: natural gradients, and variational online Newton steps.

Each is a formula from parameters and gradients to new parameters, written once for both backends. For q = N(mu, Sigma)
a step of length r along the gradient of the loss (minus the objective) in the mean parameters of the exponential family
takes the natural parameters to

    Sigma'^-1 = Sigma^-1 + 2 r dloss/dSigma,      mu' = mu - r Sigma' dloss/dmu,

which with r = 1 is the posterior itself if the model is conjugate and the gradients are exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ppl.backend.compiled import Compiled
from ppl.backend.protocol import UpdateSpec
from ppl.errors import ModelError, StrategyError, user_location
from ppl.language.dist import MultivariateNormal, Normal, Transformed
from ppl.language.dist.algebra import swap_last
from ppl.language.dist.matrix_bijections import LowerCholesky
from ppl.language.ops import eigh
from ppl.posterior.methods import register
from ppl.program.distributions import Distribution
from ppl.program.ops import apply
from ppl.program.program import Program, expressions
from ppl.program.statements import Sample
from ppl.program.values import Value, reference, walk
from ppl.transforms.unconstrain import unconstrained_params

from .schedules import Curve


@dataclass(frozen=True)
class Pair:
    """The parameters of one normal distribution of a guide.

    Attributes:
        loc: name of the mean.
        scale: name of the standard deviations, or of the Cholesky factor of the covariance.
        full: whether it is the latter.
    """

    loc: str
    scale: str
    full: bool


def normal_pairs(guide: Program) -> list[Pair]:
    """The normal distributions of a guide whose parameters are parameters, each read by that distribution alone."""
    reads: dict[str, int] = {}
    for statement in guide.statements:
        for node in walk(list(expressions(statement))):
            if node.op == "param":
                reads[node.attr("name")] = reads.get(node.attr("name"), 0) + 1
    found: list[Pair] = []
    for site in guide.sites.values():
        base = site.dist
        while isinstance(base, Transformed) and base.mask_value is None:
            base = base.base
        pair = _pair(guide, site, base)
        if pair is not None and reads.get(pair.loc) == reads.get(pair.scale) == 1:
            found.append(pair)
    return found


def _pair(guide: Program, site: Sample, dist: Distribution) -> Pair | None:
    if dist.mask_value is not None or not isinstance(dist, Normal | MultivariateNormal):
        return None
    full = isinstance(dist, MultivariateNormal)
    loc, scale = dist.params["loc"], dist.params.get("scale_tril" if full else "scale")
    if scale is None or loc.op != "param" or scale.op != "param":
        return None
    names = loc.attr("name"), scale.attr("name")
    if any(n not in guide.params or guide.params[n].plates != site.plates for n in names):
        return None
    kinds = [guide.params[n].support.kind for n in names]
    if kinds[1] != ("lower_cholesky" if full else "positive") or kinds[0] not in ("real", "real_vector"):
        return None
    # A mean that several draws share has another geometry.
    if loc.shape != dist.event_shape or (not full and scale.shape != loc.shape) or (full and loc.ndim != 1):
        return None
    return Pair(*names, full)


@dataclass(frozen=True)
class Terms:
    """What an update is a formula of, for one pair.

    Attributes:
        loc: the mean.
        scale: standard deviations, or the Cholesky factor.
        by_loc: gradient of the loss by the mean.
        by_scale: gradient of the loss by the unconstrained scale.
        rate: the learning rate.
        state: the optimiser's own numbers, by name.
    """

    loc: Value
    scale: Value
    by_loc: Value
    by_scale: Value
    rate: Value
    state: Mapping[str, Value]


@dataclass(frozen=True)
class GaussianOptimizer:
    """What both have.

    Attributes:
        learning_rate: step size, a number or a curve.
    """

    learning_rate: float | Curve
    full: ClassVar[bool]

    def __post_init__(self) -> None:
        rate, own = self.learning_rate, type(self).__name__
        low, high = (rate.lowest, rate.highest) if isinstance(rate, Curve) else (rate, rate)
        if not (low >= 0 and 0 < high <= 1):
            raise ModelError(
                f"{own} takes steps of a length above 0 and up to 1.",
                declared_at=user_location(),
                got=repr(rate),
                remedy="A step of 1 goes all the way to where the gradient points.",
            )

    @property
    def memory(self) -> dict[str, float]:
        """The numbers that it keeps for each mean, by name, and what they start from."""
        return {}

    def moved(self, terms: Terms, full: bool) -> tuple[Value, Value, dict[str, Value]]:
        """New mean, new scale (or factor), and the new numbers that it keeps."""
        raise NotImplementedError

    def spec(self, key: str, names: Sequence[str], guide: Compiled) -> UpdateSpec:
        """What the backend is given for some parameters.

        Args:
            key: what they are called in `optimizer={...}`.
            names: the parameters.
            guide: the guide.

        Raises:
            StrategyError: one of them belongs to no normal distribution that this optimiser moves.
        """
        program = guide.program
        pairs = [p for p in normal_pairs(program) if p.loc in names and p.scale in names and (self.full or not p.full)]
        covered = {n for p in pairs for n in (p.loc, p.scale)}
        for name in names:
            if name not in covered:
                raise self._refused(key, name, program)
        outputs: dict[str, Value] = {}
        state: dict[str, np.ndarray] = {}
        forward, _ = unconstrained_params(program)
        rate = reference("site", "rate", (), (), "float")
        for pair in pairs:
            loc, scale = program.params[pair.loc], program.params[pair.scale]
            raw = reference("param", pair.scale, scale.plates, _raw_shape(scale), "float")
            own: dict[str, Value] = {}
            for kept, start in self.memory.items():
                label = f"{kept} of {pair.loc}"
                own[kept] = reference("site", label, loc.plates, loc.event_shape, "float")
                sizes = tuple(p.size for p in loc.plates)
                state[label] = np.full(sizes + loc.event_shape, start)
            terms = Terms(
                loc.value,
                forward[pair.scale],
                reference("site", f"gradient of {pair.loc}", loc.plates, loc.event_shape, "float"),
                reference("site", f"gradient of {pair.scale}", scale.plates, raw.shape, "float"),
                rate,
                own,
            )
            new_loc, new_scale, kept_now = self.moved(terms, pair.full)
            outputs[pair.loc] = new_loc
            outputs[pair.scale] = _inverse(scale, new_scale)
            outputs |= {f"{k} of {pair.loc}": v for k, v in kept_now.items()}
        emitted = guide.emitter(lead=False).emit("update", outputs)
        curve = self.learning_rate.spec if isinstance(self.learning_rate, Curve) else None
        number = 1.0 if isinstance(self.learning_rate, Curve) else float(self.learning_rate)
        return UpdateSpec(guide.load(emitted), emitted.source, state, number, curve)

    def _refused(self, key: str, name: str, guide: Program) -> StrategyError:
        own = type(self).__name__
        kinds = "a normal distribution" + ("" if self.full else " of independent numbers")
        return StrategyError(
            f"{own} moves the mean and scale of {kinds} in the guide, and parameter {name!r} is none.",
            model=guide.name,
            declared_at=guide.params[name].location if name in guide.params else None,
            expected=f"parameters that are read by one {kinds.removeprefix('a ')} alone, as in AutoNormal()",
            got=f"{name!r} among the parameters of {key!r}",
            remedy=f'Give it an optimiser of its own: optimizer={{"guide": {own}(), {name!r}: Adam()}}, or '
            'optimizer={"model": Adam(), "guide": ...} for those of the model.',
        )


def _raw_shape(scale: Any) -> tuple[int, ...]:
    if scale.support.kind == "lower_cholesky":
        return LowerCholesky().inverse_shape(scale.event_shape)
    return scale.event_shape


def _inverse(scale: Any, value: Value) -> Value:
    return LowerCholesky().inverse(value) if scale.support.kind == "lower_cholesky" else apply("log", value)


def _bounded(ratio: Value, growth: float) -> Value:
    """Ratios of precisions that stay positive.

    Where a noisy gradient asks for a precision near zero or below, a step along the geodesic's second order is taken
    instead (Lin, Schmidt and Khan, 2020), which never leaves the positive numbers.
    """
    return apply("where", apply("greater", ratio, 1.0 / growth), ratio, 0.5 * (1.0 + apply("square", ratio)))


@register
@dataclass(frozen=True)
class NaturalGradient(GaussianOptimizer):
    """Natural gradients for normal guides, with independent numbers or a full covariance.

    A step of 1 is the posterior of a conjugate model where gradients are exact; where they are estimated, their noise
    enters in full, so that steps of 0.01 to 0.1 or a falling curve are usual. Means and covariances move together.

    Attributes:
        learning_rate: step size, above 0 and up to 1, a number or a curve.
        growth: what a variance grows by in one step at most; steps that ask for more are taken for noise.

    References: Khan and Lin (2017), Conjugate-computation variational inference; Khan and Rue (2023), The Bayesian
    learning rule; Lin, Schmidt and Khan (2020), Handling the positive-definite constraint in the Bayesian learning
    rule.
    """

    learning_rate: float | Curve = 0.05
    growth: float = 1e4
    full: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.growth > 2:
            raise ModelError(
                "NaturalGradient lets variances grow by a factor above 2.",
                declared_at=user_location(),
                got=str(self.growth),
            )

    def moved(self, terms: Terms, full: bool) -> tuple[Value, Value, dict[str, Value]]:
        """The natural parameters after one step."""
        if not full:
            # The scale is the exponential of what is fitted, so that this gradient is scale * dloss/dscale.
            ratio = _bounded(1.0 + terms.rate * terms.by_scale, self.growth)
            scale = terms.scale / apply("sqrt", ratio)
            loc = terms.loc - terms.rate * apply("square", scale) * terms.by_loc
            return loc, scale, {}
        factor, side = terms.scale, terms.loc.shape[-1]
        by_factor = _by_factor(terms.by_scale, factor, side)
        # In coordinates in which the covariance is the identity.
        product = apply("tril", apply("matmul", swap_last(factor), by_factor))
        half = product - 0.5 * apply("diag_embed", apply("diagonal", product))
        whitened = apply("add", np.eye(side), terms.rate * (half + swap_last(half)))
        values, vectors = eigh(whitened)
        ratio = _bounded(values, self.growth)
        # Any root of the new covariance; its triangular one comes from a Cholesky factor of the product.
        root = apply("matmul", factor, vectors) / apply("sqrt", ratio)[..., None, :]
        covariance = apply("matmul", root, swap_last(root))
        change = apply("matmul", covariance, terms.by_loc[..., None])[..., 0]
        return terms.loc - terms.rate * change, apply("cholesky", covariance), {}


@register
@dataclass(frozen=True)
class IVON(GaussianOptimizer):
    """Variational online Newton steps for guides of independent normal numbers, such as `AutoNormal` on weights.

    The precision follows a running mean of reparameterised curvature estimates, the mean moves by a momentum of its
    gradient divided by that precision: an Adam that keeps a posterior. In the source the prior's gradient bypasses the
    momentum; here it is part of the objective, and goes through it.

    Attributes:
        learning_rate: step size of the means, above 0 and up to 1, a number or a curve.
        beta1: weight of the momentum.
        beta2: weight of the precision against a new estimate.

    Reference: Shen et al. (2024), Variational learning is effective for large deep networks, algorithm 1.
    """

    learning_rate: float | Curve = 0.1
    beta1: float = 0.9
    beta2: float = 0.999
    full: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ModelError(
                    f"IVON needs a {name} from 0 to below 1.",
                    declared_at=user_location(),
                    got=str(getattr(self, name)),
                )

    @property
    def memory(self) -> dict[str, float]:
        """The momentum, and what is left of the weight of its start."""
        return {"momentum": 0.0, "start": 1.0}

    def moved(self, terms: Terms, full: bool) -> tuple[Value, Value, dict[str, Value]]:
        """One step."""
        step = (1.0 - self.beta2) * terms.by_scale
        # 1 + step + step^2 / 2 is positive whatever the gradient.
        scale = terms.scale / apply("sqrt", 0.5 * (1.0 + apply("square", 1.0 + step)))
        momentum = self.beta1 * terms.state["momentum"] + (1.0 - self.beta1) * terms.by_loc
        start = self.beta1 * terms.state["start"]
        change = momentum / (1.0 - start)
        loc = terms.loc - terms.rate * apply("square", scale) * change
        return loc, scale, {"momentum": momentum, "start": start}


def _by_factor(gradient: Value, factor: Value, side: int) -> Value:
    """The gradient by a Cholesky factor, from that by its entries below the diagonal and the logarithms on it."""
    # The bijection that fills the triangle takes exponentials on the diagonal: it is given what they undo.
    below = gradient.shape[-1] - side
    diagonal = gradient[..., below:] / apply("diagonal", factor)
    if side == 1:
        return diagonal[..., None]
    zeros = apply("concat", gradient[..., :below], 0.0 * gradient[..., below:], axis=-1)
    filled = LowerCholesky().forward(zeros)
    return filled + apply("diag_embed", diagonal - 1.0)
