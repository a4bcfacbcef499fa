"""How the families beyond the usual ones are written in Pyro and in NumPyro. Text only, as in `families`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ppl.language import dist as families
from ppl.language.dist import Distribution
from ppl.language.dist.algebra import Number, div, log, mul, sub
from ppl.program.values import lift

if TYPE_CHECKING:
    from .families import Library, Writer

# Families that a library has under our name, with our argument names in our order.
SHARED = frozenset(
    """
    AsymmetricLaplace SoftLaplace Kumaraswamy VonMises MultivariateStudentT DirichletMultinomial ProjectedNormal
    """.split()  # noqa: SIM905
)
ONLY_IN: dict[Library, frozenset[str]] = {
    "pyro": frozenset({"SkewLogistic", "GeneralizedPareto", "FisherSnedecor"}),
    "numpyro": frozenset({"BetaProportion", "Dagum", "Gompertz", "Levy", "LogUniform", "MatrixNormal"}),
}
_OWN_FUNCTIONS = "Inference by ppl.infer evaluates the program's own density, which has this family on both backends."


def _lacks(write: Writer, item: Distribution) -> str:
    library = {"pyro": "Pyro", "numpyro": "NumPyro"}[write.library]
    write.lacks(f"dist.{item.family}", f"{library} has no such distribution.", _OWN_FUNCTIONS)


def _text(write: Writer, value: Number) -> str:
    return write.text(lift(value))


def _tensor(write: Writer, item: Distribution, name: str) -> str:
    """A parameter where Pyro insists on a tensor."""
    text, value = write.param(item, name), item.params[name]
    return f"torch.tensor({text})" if write.library == "pyro" and value.op == "const" and not value.shape else text


def _transformed(write: Writer, base: str, *transforms: str) -> str:
    parts = ", ".join(f"dist.transforms.{t}" for t in transforms)
    return f"dist.TransformedDistribution({base}, [{parts}])"


def _logit_normal(write: Writer, item: Distribution) -> str:
    return _transformed(write, f"dist.Normal({write.arguments(item, 2)})", "SigmoidTransform()")


def _log_logistic(write: Writer, item: Distribution) -> str:
    loc, scale = log(item.params["scale"]), div(1.0, item.params["concentration"])
    return _transformed(write, f"dist.Logistic({_text(write, loc)}, {_text(write, scale)})", "ExpTransform()")


def _log_uniform(write: Writer, item: Distribution) -> str:
    if write.library == "numpyro":
        return f"dist.LogUniform({write.arguments(item, 2)})"
    low, high = (_text(write, log(v)) for v in item.params.values())
    return _transformed(write, f"dist.Uniform({low}, {high})", "ExpTransform()")


def _levy(write: Writer, item: Distribution) -> str:
    if write.library == "numpyro":
        return f"dist.Levy({write.arguments(item, 2)})"
    half = _text(write, mul(0.5, item.params["scale"]))
    return _transformed(write, f"dist.InverseGamma(0.5, {half})", f"AffineTransform({write.param(item, 'loc')}, 1.0)")


def _beta_proportion(write: Writer, item: Distribution) -> str:
    if write.library == "numpyro":
        return f"dist.BetaProportion({write.arguments(item, 2)})"
    mean, total = item.params.values()
    return f"dist.Beta({_text(write, mul(mean, total))}, {_text(write, mul(sub(1.0, mean), total))})"


def _continuous_bernoulli(write: Writer, item: Distribution) -> str:
    if write.library == "numpyro":
        _lacks(write, item)
    return f"dist.ContinuousBernoulli({write.arguments(item, 0)})"


def _ordered_logistic(write: Writer, item: Distribution) -> str:
    return f"dist.OrderedLogistic({_tensor(write, item, 'predictor')}, {write.param(item, 'cutpoints')})"


def _relaxed_bernoulli(write: Writer, item: Distribution) -> str:
    name = "probs" if "probs" in item.params else "logits"
    return f"dist.RelaxedBernoulli({_tensor(write, item, 'temperature')}, {name}={write.param(item, name)})"


def _relaxed_one_hot(write: Writer, item: Distribution) -> str:
    if write.library == "numpyro" or item.params["temperature"].shape:
        # torch takes one temperature for all vectors.
        _lacks(write, item)
    name = "probs" if "probs" in item.params else "logits"
    return f"dist.RelaxedOneHotCategorical({_tensor(write, item, 'temperature')}, {name}={write.param(item, name)})"


def _beta_negative_binomial(write: Writer, item: Distribution) -> str:
    if write.library == "pyro":
        _lacks(write, item)
    return f"dist.BetaNegativeBinomial({', '.join(write.param(item, name) for name in item.params)})"


def _hurdle(write: Writer, item: Distribution) -> str:
    if write.library == "pyro":
        _lacks(write, item)
    assert isinstance(item, families.Hurdle)
    return f"dist.HurdleDistribution({write.part(_wide(item.base, item), 0)}, gate={write.param(item, 'gate')})"


def _wide(base: Distribution, item: Distribution) -> Distribution:
    # The libraries' wrappers do not broadcast their base.
    return base if base.event_shape == item.event_shape else base.expand(item.event_shape)


def _folded(write: Writer, item: Distribution) -> str:
    assert isinstance(item, families.Folded)
    return f"dist.FoldedDistribution({write.part(_wide(item.base, item), 0)})"


def _sine_skewed(write: Writer, item: Distribution) -> str:
    assert isinstance(item, families.SineSkewed)
    return f"dist.SineSkewed({write.part(_wide(item.base, item), 1)}, {write.param(item, 'skewness')})"


def _soft_asymmetric_laplace(write: Writer, item: Distribution) -> str:
    if write.library == "numpyro":
        _lacks(write, item)
    write.lacks(
        "dist.SoftAsymmetricLaplace", "Pyro's own cannot be expanded, which a plate and .expand need.", _OWN_FUNCTIONS
    )


def _sphere_uniform(write: Writer, item: Distribution) -> str:
    size = item.static["size"]
    if size > 3:
        write.lacks(
            "dist.SphereUniform in more than three dimensions",
            "The library projects normal vectors of two or three entries only.",
            _OWN_FUNCTIONS,
        )
    zeros = {"pyro": "torch", "numpyro": "jnp"}[write.library]
    return f"dist.ProjectedNormal({zeros}.zeros({size}))"


def _von_mises_fisher(write: Writer, item: Distribution) -> str:
    loc, concentration = item.params.values()
    if write.library == "numpyro" or loc.shape[-1] != 3:
        _lacks(write, item)
    wide = concentration[..., None] if concentration.shape else concentration
    return f"dist.VonMises3D({_text(write, mul(wide, loc))})"


def _random_walk(write: Writer, item: Distribution) -> str:
    if write.library == "pyro":
        _lacks(write, item)
    return f"dist.GaussianRandomWalk({write.param(item, 'scale')}, num_steps={item.static['num_steps']})"


def _zero_sum_normal(write: Writer, item: Distribution) -> str:
    if write.library == "pyro":
        _lacks(write, item)
    scale, size = item.params["scale"], item.static["size"]
    if not scale.shape and not scale.plates:
        return f"dist.ZeroSumNormal({write.param(item, 'scale')}, event_shape=({size},))"
    # NumPyro's own would take a batch of scales for the scales of one vector's entries.
    base = f"dist.Normal(jnp.zeros({size - 1}), {_text(write, scale[..., None])}).to_event(1)"
    return _transformed(write, base, "ZeroSumTransform(1)")


def _car(write: Writer, item: Distribution) -> str:
    if write.library == "pyro":
        _lacks(write, item)
    loc, correlation, precision = (write.param(item, name) for name in item.params)
    matrix = np.asarray(item.static["adjacency"], dtype=float).tolist()
    return f"dist.CAR({loc}, {correlation}, {precision}, adj_matrix=jnp.array({matrix}))"


def _lkj(write: Writer, item: Distribution) -> str:
    size, concentration = item.static["dimension"], write.param(item, "concentration")
    if write.library == "numpyro":
        return f"dist.LKJ(dimension={size}, concentration={concentration})"
    # Pyro's own LKJ cannot be expanded, which a plate needs.
    factor = f"dist.LKJCholesky(dim={size}, concentration={concentration})"
    return _transformed(write, factor, "CorrMatrixCholeskyTransform().inv")


def _wishart(write: Writer, item: Distribution) -> str:
    names = {"pyro": {"df": "df", "scale_matrix": "covariance_matrix", "scale_tril": "scale_tril"}}
    ours = names.get(write.library, {"df": "concentration", "scale_matrix": "scale_matrix", "scale_tril": "scale_tril"})
    rest = ", ".join(f"{ours[name]}={write.param(item, name)}" for name in item.params if name != "df")
    return f"dist.Wishart({_tensor(write, item, 'df')}, {rest})"


def _inverse_wishart(write: Writer, item: Distribution) -> str:
    if write.library == "pyro":
        _lacks(write, item)
    return f"dist.InverseWishart({write.arguments(item, 1)})"


MORE: dict[str, Callable[[Writer, Distribution], str]] = {
    "LogitNormal": _logit_normal,
    "LogLogistic": _log_logistic,
    "LogUniform": _log_uniform,
    "Levy": _levy,
    "BetaProportion": _beta_proportion,
    "ContinuousBernoulli": _continuous_bernoulli,
    "OrderedLogistic": _ordered_logistic,
    "RelaxedBernoulli": _relaxed_bernoulli,
    "RelaxedOneHotCategorical": _relaxed_one_hot,
    "BetaNegativeBinomial": _beta_negative_binomial,
    "Hurdle": _hurdle,
    "Folded": _folded,
    "SineSkewed": _sine_skewed,
    "SoftAsymmetricLaplace": _soft_asymmetric_laplace,
    "SphereUniform": _sphere_uniform,
    "VonMisesFisher": _von_mises_fisher,
    "GaussianRandomWalk": _random_walk,
    "ZeroSumNormal": _zero_sum_normal,
    "CAR": _car,
    "LKJ": _lkj,
    "Wishart": _wishart,
    "InverseWishart": _inverse_wishart,
}
