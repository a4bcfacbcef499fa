"""How each family and bijection is written in Pyro and in NumPyro: a table of names, and the exceptions.

Text only; neither library is imported. What a family means is stated once, in `ppl.language.dist`; the tests hold both
libraries' log densities to that statement.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NoReturn

from ppl.errors import UnsupportedByBackend
from ppl.language import dist as families
from ppl.language.dist import Bijection, Distribution
from ppl.program.supports import Support, real, unit_interval
from ppl.program.values import Value

from .more_families import MORE, ONLY_IN, SHARED

Library = Literal["pyro", "numpyro"]
# Writes a value in the backend's language; a parameter of the distribution at hand with its independent axes lined up.
ValueText = Callable[[Value], str]
# Writes a part of a distribution: its parameters lined up with its own independent axes, and expanded if it is.
DistributionText = Callable[[Distribution], str]


@dataclass(frozen=True)
class Writer:
    """What a text builder works with: the library, and how to write values and parts."""

    library: Library
    text: ValueText
    nested: DistributionText
    networks: Mapping[str, str]

    def param(self, item: Distribution, name: str) -> str:
        """A parameter of a distribution, its independent axes aligned."""
        return self.text(item.params[name])

    def operand(self, value: Value, rank: int) -> str:
        """An operand of a bijection that acts on `rank` event axes."""
        # Axes in front matter where something stands before them: a plate, or event axes of its own.
        missing = rank - value.ndim if value.plates or value.shape else 0
        return self.text(value[(None,) * missing] if missing > 0 else value)

    def part(self, item: Distribution, joint: int) -> str:
        """A part of a distribution, its last `joint` independent axes made one event."""
        return self.nested(item) + (f".to_event({joint})" if joint else "")

    def arguments(self, item: Distribution, positional: int) -> str:
        """All parameters of a distribution, as arguments of the library's constructor."""
        out = []
        for index, name in enumerate(item.params):
            text = self.param(item, name)
            out.append(text if index < positional and name not in ("probs", "logits") else f"{name}={text}")
        return ", ".join(out)

    def lacks(self, feature: str, why: str, alternative: str) -> NoReturn:
        """Refuse what the library cannot say.

        Raises:
            UnsupportedByBackend: always.
        """
        raise UnsupportedByBackend(self.library, feature, why, alternative)


Builder = Callable[[Writer, Distribution], str]

# Families that a library has under our name, with our argument names in our order.
PLAIN = frozenset(
    """
    Normal LogNormal HalfNormal HalfCauchy Cauchy StudentT Laplace Exponential Gamma InverseGamma Beta Dirichlet Uniform
    Logistic Gumbel Weibull Pareto Chi2 Bernoulli Binomial BetaBinomial Categorical Multinomial Poisson Geometric
    MultivariateNormal LowRankMultivariateNormal
    """.split()  # noqa: SIM905
)
PLAIN_IN: dict[Library, frozenset[str]] = {
    "pyro": PLAIN | SHARED | ONLY_IN["pyro"] | {"OneHotCategorical"},
    "numpyro": PLAIN | SHARED | ONLY_IN["numpyro"] | {"DiscreteUniform", "TruncatedNormal"},
}
_OWN_FUNCTIONS = "Inference by ppl.infer evaluates the program's own density, which has this family on both backends."


def native_text(
    library: Library,
    item: Distribution,
    text: ValueText,
    nested_text: DistributionText,
    networks: Mapping[str, str] | None = None,
) -> str:
    """A distribution as the library's own expression, without expansion, to_event or mask.

    Args:
        library: "pyro" or "numpyro".
        item: the distribution.
        text: writes a value.
        nested_text: writes a distribution that this one is made of, with its expansion but without to_event.
        networks: the variable that holds each network.

    Raises:
        UnsupportedByBackend: the library has no such family.
    """
    writer = Writer(library, text, nested_text, networks or {})
    item = item.spelled()
    custom = CUSTOM.get(item.family)
    if custom is not None:
        return custom(writer, item)
    if item.family not in PLAIN_IN[library]:
        why, alternative = MISSING.get((library, item.family), (f"{library} has no such distribution.", _OWN_FUNCTIONS))
        writer.lacks(f"dist.{item.family}", why, alternative)
    return f"dist.{item.family}({writer.arguments(item, item.positional)})"


MISSING: dict[tuple[str, str], tuple[str, str]] = {
    ("pyro", "TruncatedNormal"): ("Pyro has no truncated distributions.", _OWN_FUNCTIONS),
    ("pyro", "DiscreteUniform"): (
        "Pyro has no uniform distribution over integers.",
        "Use dist.Categorical with equal weights, and add the lower bound to its value.",
    ),
}


def _one_hot(write: Writer, item: Distribution) -> str:
    argument = write.arguments(item, 0)
    # NumPyro has none; counts of a single draw are unit vectors.
    return f"dist.OneHotCategorical({argument})" if write.library == "pyro" else f"dist.Multinomial(1, {argument})"


def _codebook(write: Writer, item: Distribution) -> str:
    if item.element_shape:
        write.lacks("dist.Codebook with repetitions", "Its rows would be mixed.", "Put the repetitions in a plate.")
    rows, logits = write.param(item, "codebook"), write.param(item, "logits")
    return f"dist.MixtureSameFamily(dist.Categorical(logits={logits}), dist.Delta({rows}, event_dim=1))"


def _half_student(write: Writer, item: Distribution) -> str:
    df, scale = write.param(item, "df"), write.param(item, "scale")
    return f"dist.FoldedDistribution(dist.StudentT({df}, 0.0, {scale}))"


def _negative_binomial(write: Writer, item: Distribution) -> str:
    if "mean" not in item.params:
        return f"dist.NegativeBinomial({write.arguments(item, 0)})"
    mean, concentration = write.param(item, "mean"), write.param(item, "concentration")
    if write.library == "numpyro":
        return f"dist.NegativeBinomial2({mean}, {concentration})"
    return f"dist.GammaPoisson({concentration}, {_tight(concentration)} / {_tight(mean)})"


def _tight(text: str) -> str:
    return text if text.replace(".", "").replace("_", "").isalnum() else f"({text})"


def _lkj(write: Writer, item: Distribution) -> str:
    size = {"pyro": "dim", "numpyro": "dimension"}[write.library]
    return f"dist.LKJCholesky({size}={item.static['dimension']}, concentration={write.param(item, 'concentration')})"


def _delta(write: Writer, item: Distribution) -> str:
    value = item.params["value"]
    text = write.text(value)
    if write.library == "pyro" and value.op == "const" and not value.shape:
        text = f"torch.tensor({text})"
    parts = [text]
    if not (item.params["log_density"].op == "const" and item.params["log_density"].attrs[0][1] == 0):
        parts.append(f"log_density={write.text(item.params['log_density'])}")
    if item.event_rank:
        parts.append(f"event_dim={item.event_rank}")
    return f"dist.Delta({', '.join(parts)})"


def _same_family(write: Writer, item: Distribution) -> str:
    assert isinstance(item, families.MixtureSameFamily)
    lead = len(item.element_shape)
    mixing, components = _ranked(item.mixing, lead), _ranked(item.components, lead)
    joint = item.event_rank - components.event_rank
    return f"dist.MixtureSameFamily({write.part(mixing, 0)}, {write.part(components, joint)})"


def _ranked(part: Distribution, lead: int) -> Distribution:
    # The libraries expand a mixture as a whole; its parts only need their axes in the right places.
    out = copy.copy(part)
    out.event_shape = (1,) * lead + part.event_shape
    return out


def _mixture(write: Writer, item: Distribution) -> str:
    assert isinstance(item, families.Mixture)
    if write.library == "pyro":
        write.lacks(
            "dist.Mixture of different families",
            "Pyro mixes components of one family only.",
            "Use dist.MixtureSameFamily, or a Categorical site with its own branch of ops.where.",
        )
    lead = len(item.element_shape)
    parts = [_ranked(c, lead) for c in item.components]
    inner = ", ".join(write.part(c, item.event_rank - c.event_rank) for c in parts)
    return f"dist.MixtureGeneral({write.part(_ranked(item.mixing, lead), 0)}, [{inner}])"


def _truncated(write: Writer, item: Distribution) -> str:
    assert isinstance(item, families.Truncated)
    bounds = "".join(f", {name}={write.param(item, name)}" for name in item.params)
    known = isinstance(item.base, families.Normal | families.Cauchy | families.Laplace | families.Logistic)
    if write.library == "pyro" or not known:
        why = "Pyro has no truncated distributions." if write.library == "pyro" else "NumPyro truncates others only."
        write.lacks(f"dist.Truncated of {item.base.family}", why, _OWN_FUNCTIONS)
    return f"dist.TruncatedDistribution({write.part(_wide(item.base, item), 0)}{bounds})"


def _zero_inflated(write: Writer, item: Distribution) -> str:
    assert isinstance(item, families.ZeroInflated | families.ZeroInflatedNegativeBinomial)
    gate = write.param(item, "gate")
    if write.library == "pyro" and item.gate.op == "const" and not item.gate.shape:
        gate = f"torch.tensor({gate})"
    return f"dist.ZeroInflatedDistribution({write.part(_wide(item.base, item), 0)}, gate={gate})"


def _wide(base: Distribution, item: Distribution) -> Distribution:
    # The library's wrappers do not broadcast their base.
    return base if base.event_shape == item.event_shape else base.expand(item.event_shape)


def _zero_inflated_poisson(write: Writer, item: Distribution) -> str:
    rate, gate = write.param(item, "rate"), write.param(item, "gate")
    if write.library == "numpyro":
        return f"dist.ZeroInflatedPoisson(gate={gate}, rate={rate})"
    if item.params["gate"].op == "const" and not item.params["gate"].shape:
        gate = f"torch.tensor({gate})"
    return f"dist.ZeroInflatedPoisson({rate}, gate={gate})"


def _transformed(write: Writer, item: Distribution) -> str:
    assert isinstance(item, families.Transformed)
    base = item.wide_base
    parts = []
    support = base.support
    shape = base.event_shape
    for bijection in item.bijections:
        parts.append(bijection_text(write, bijection, support, len(shape)))
        support, shape = bijection.image(support), bijection.forward_shape(shape)
    joint = item.base_rank - base.event_rank
    return f"dist.TransformedDistribution({write.part(base, joint)}, [{', '.join(parts)}])"


CUSTOM: dict[str, Builder] = {
    "OneHotCategorical": _one_hot,
    "HalfStudentT": _half_student,
    "NegativeBinomial": _negative_binomial,
    "LKJCholesky": _lkj,
    "Codebook": _codebook,
    "Delta": _delta,
    "MixtureSameFamily": _same_family,
    "Mixture": _mixture,
    "Truncated": _truncated,
    "ZeroInflated": _zero_inflated,
    "ZeroInflatedNegativeBinomial": _zero_inflated,
    "ZeroInflatedPoisson": _zero_inflated_poisson,
    "Transformed": _transformed,
    **MORE,
}


# --- bijections --------------------------------------------------------------------------------------------------

SIMPLE: dict[str, str] = {
    "Exp": "ExpTransform()",
    "Softplus": "SoftplusTransform()",
    "Sigmoid": "SigmoidTransform()",
    "StickBreaking": "StickBreakingTransform()",
    "Ordered": "OrderedTransform()",
    "CorrCholesky": "CorrCholeskyTransform()",
    "CorrMatrix": "ComposeTransform([dist.transforms.CorrCholeskyTransform(), "
    "dist.transforms.CorrMatrixCholeskyTransform().inv])",
}
PYRO_BIJECTIONS: dict[str, str] = {**SIMPLE, "Tanh": "TanhTransform()", "Identity": "identity_transform"}
NUMPYRO_BIJECTIONS: dict[str, str] = {
    **SIMPLE,
    "Identity": "IdentityTransform()",
    "LowerCholesky": "LowerCholeskyTransform()",
}


def bijection_text(write: Writer, bijection: Bijection, domain: Support, rank: int) -> str:
    """A bijection as the library's own transform.

    Args:
        write: the library and how to write values.
        bijection: the bijection.
        domain: support of what it is applied to.
        rank: event axes of what it is applied to.

    Raises:
        UnsupportedByBackend: the library has no such transform.
    """
    names = PYRO_BIJECTIONS if write.library == "pyro" else NUMPYRO_BIJECTIONS
    kind = type(bijection).__name__
    prefix = "dist.transforms."
    if kind in names:
        return prefix + names[kind]
    weights = bijection.weights if isinstance(bijection, families.Flow) else {}
    operands = {name: write.operand(v, rank) for name, v in bijection.params.items() if name not in weights}
    match bijection:
        case families.Compose():
            inner = []
            for part in bijection.parts:
                inner.append(bijection_text(write, part, domain, rank))
                domain, rank = part.image(domain), rank + part.codomain_rank - part.rank
            return f"{prefix}ComposeTransform([{', '.join(inner)}])"
        case families.Inverse():
            (part,) = bijection.parts
            rank += bijection.codomain_rank - bijection.rank
            return f"{bijection_text(write, part, bijection.image(domain), rank)}.inv"
        case families.Affine():
            return _affine(write, operands["loc"], operands["scale"], domain, rank)
        case families.Interval():
            low, high = operands["low"], operands["high"]
            width = f"{_tight(high)} - {_tight(low)}"
            affine = _affine(write, low, width, unit_interval, rank)
            return f"{prefix}ComposeTransform([{prefix}SigmoidTransform(), {affine}])"
        case families.Power():
            exponent = operands["exponent"]
            if write.library == "pyro" and bijection.params["exponent"].op == "const":
                exponent = f"torch.tensor({exponent})"
            return f"{prefix}PowerTransform({exponent})"
        case families.Flow():
            return _flow(write, bijection, operands)
        case families.Permute():
            order = list(bijection.static["permutation"])
            if write.library == "pyro":
                return f"{prefix}Permute(torch.tensor({order}))"
            return f"{prefix}PermuteTransform(jnp.array({order}))"
        case families.Tanh():
            affine = (_affine(write, "0.0", "2.0", real, 0), _affine(write, "-1.0", "2.0", unit_interval, 0))
            return f"{prefix}ComposeTransform([{affine[0]}, {prefix}SigmoidTransform(), {affine[1]}])"
        case families.PositiveDefinite() if write.library == "numpyro":
            lower, square = f"{prefix}LowerCholeskyTransform()", f"{prefix}CholeskyTransform().inv"
            return f"{prefix}ComposeTransform([{lower}, {square}])"
    write.lacks(
        f"dist.{kind}",
        "torch fills the triangle from a matrix, not from a vector." if kind.startswith(("Lower", "Pos")) else "",
        _OWN_FUNCTIONS,
    )


def _flow(write: Writer, flow: families.Flow, operands: Mapping[str, str]) -> str:
    given = list(operands.values())
    if any(v.op != "network" for v in flow.weights.values()):
        rows = [f'"{name.removeprefix(f"{flow.name}.")}": {write.text(v)}' for name, v in flow.weights.items()]
        given.append(f"weights={{{', '.join(rows)}}}")
    return f"{write.networks[flow.name]}.given({', '.join(given)})"


def _affine(write: Writer, loc: str, scale: str, domain: Support, rank: int) -> str:
    # NumPyro derives the support from the domain; torch takes every affine image for all the reals.
    if write.library == "pyro" or domain.kind in ("real", "real_vector", "real_matrix"):
        return f"dist.transforms.AffineTransform({loc}, {scale})"
    return f"dist.transforms.AffineTransform({loc}, {scale}, domain={support_text(write, domain, rank)})"


def support_text(write: Writer, support: Support, rank: int) -> str:
    """A support of numbers as the library's constraint.

    Raises:
        UnsupportedByBackend: a support that is no interval.
    """
    if support.kind in ("real", "positive", "nonnegative", "unit_interval"):
        return f"dist.constraints.{support.kind}"
    if support.kind in ("interval", "greater_than", "less_than"):
        bounds = ", ".join(write.operand(b, rank) for b in support.bounds)
        return f"dist.constraints.{support.kind}({bounds})"
    write.lacks(f"an affine map of {support}", "The library knows intervals only.", _OWN_FUNCTIONS)


def support_is_known(library: Library, item: Distribution) -> bool:
    """Whether the library's own `.support` of a distribution is the declared one.

    torch takes the image of every affine map for all the reals, and of every power for all positive numbers; a sampler
    that asks a Pyro distribution for its support would leave the declared one.
    """
    if library == "numpyro" or not isinstance(item, families.Transformed):
        return all(support_is_known(library, part) for part in item.nested().values())
    last = item.bijections[-1]
    while isinstance(last, families.Compose):
        last = last.parts[-1]
    reals = families.Affine | families.Power | families.Interval | families.Inverse | families.Identity
    moves = isinstance(last, reals)
    return not moves or item.support.kind == ("positive" if isinstance(last, families.Power) else "real")
