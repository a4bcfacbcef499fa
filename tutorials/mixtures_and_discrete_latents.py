# %% [markdown]
# # Mixtures and discrete latents
#
# Which of a few groups does a flower belong to? Which digit is this? Such questions have an answer out of a short list,
# and samplers that follow gradients cannot walk through a list. So the answers have to leave the density before a
# gradient is taken: by a **sum** over all of them, which is exact, or by a guide that **draws** them.
#
# This notebook writes a mixture in three ways, brings the summed-out groups back as draws, tells components apart,
# chooses their number, says what has no sum, chooses gradient strategies site by site, and ends with a classifier that
# learns from a hundred labels. The data are scikit-learn's 150 irises and 1,797 handwritten digits. It takes about two
# minutes on one core.

# %%
import os
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits, load_iris
from sklearn.neural_network import MLPClassifier

import ppl
from ppl import dist, models, ops
from ppl.inference import ELBO, NUTS, SVI, Adam, AutoDelta, AutoNormal, Enumerate, LeaveOneOut, Reinforce

QUICK = os.environ.get("CREDO_QUICK") == "1"  # a run of a few seconds that tests everything and finds out nothing
SAMPLER = NUTS(chains=2, draws=100 if QUICK else 500, warmup=100 if QUICK else 500, progress=False)
STEPS = 100 if QUICK else 2000
OTHERS = () if QUICK else (3, 4, 5)  # numbers of groups beside two

iris: Any = load_iris()
species = np.asarray(iris.target_names)[iris.target]
length = (iris.data[:, 2] - iris.data[:, 2].mean()) / iris.data[:, 2].std()
print(f"{len(length)} petals, {iris.data[:, 2].min():.1f} to {iris.data[:, 2].max():.1f} cm long")

# %% [markdown]
# ## One mixture, three ways
#
# The lengths of the petals fall into two heaps, with a gap between them. A mixture says so: each flower belongs to a
# group, each group has a mean and a spread. The most direct way to write that is to **declare the group** as what it
# is, an unknown of each flower. Nothing has to be done about it: a site of few values is summed out by every method.


# %%
def groups_of(count, ordered=True):
    """Priors: the share, the mean and the spread of each group."""
    share = ppl.sample("share", dist.Dirichlet(2.0 * ops.ones(count)), dims=("group",))
    base = dist.Normal(0.0, 1.0).expand([count])
    centre = ppl.sample("centre", dist.Transformed(base, dist.Ordered()) if ordered else base, dims=("group",))
    spread = ppl.sample("spread", dist.LogNormal(-1.0, 0.7).expand([count]), dims=("group",))
    return share, centre, spread


@ppl.model
def with_a_site(flowers: int, groups: int = 2):
    share, centre, spread = groups_of(groups)
    with ppl.plate("flowers", size=flowers):
        g = ppl.sample("group_of", dist.Categorical(probs=share))
        ppl.sample("length", dist.Normal(centre[g], spread[g]))


# %% [markdown]
# The second way is a **family** that has summed already: `MixtureSameFamily`, or `Mixture` for components of several
# kinds. There is no group any more that could be asked for, and the program has one site less.


# %%
@ppl.model
def with_a_family(flowers: int, groups: int = 2, ordered: bool = True):
    share, centre, spread = groups_of(groups, ordered)
    with ppl.plate("flowers", size=flowers):
        ppl.sample("length", dist.MixtureSameFamily(share, dist.Normal(centre, spread)))


# %% [markdown]
# The third way is to sum **by hand**, in a factor. That leaves you free to write any density; but the data are an input
# then, so that the model cannot predict, and nobody checks your formula.


# %%
@ppl.model
def by_hand(length, groups: int = 2):
    share, centre, spread = groups_of(groups)
    with ppl.plate("flowers", length) as y:
        joint = ops.log(share) + dist.Normal(centre, spread).element_log_prob(y)
        ppl.factor("likelihood", ops.logsumexp(joint))


program = with_a_site(len(length)).observe(length=length)
print(program)

# %% [markdown]
# We sample the first form. Then we put the same draws into the densities of the other two.

# %%
site = ppl.infer(program, SAMPLER)
print(site.summary(["share", "centre", "spread"]).to_string())
values = {name: site.draws[name] for name in ("share", "centre", "spread")}
for name, form in {"family": with_a_family(len(length)).observe(length=length), "by hand": by_hand(length)}.items():
    gap = np.asarray(ppl.compile(form).log_density(values)) - np.asarray(site.log_p)
    print(f"{name}: largest difference from the site, of {gap.size} log densities: {np.abs(gap).max():.1e} nats")

# %% [markdown]
# One posterior, three spellings. Prefer the first: it costs no more, it says what is meant, and it keeps the group.
#
# ### The groups come back
#
# `group_of` was summed out while the sampler ran. Afterwards it was drawn, for each draw of the other unknowns, from
# its exact distribution given these. So its draws are draws of the joint posterior like all others. We check that
# against the formula of Bayes, averaged over the draws.

# %%
share, centre, spread = (site.draws[n].reshape(-1, 1, 2) for n in ("share", "centre", "spread"))
weight = share / spread * np.exp(-0.5 * ((length[:, None] - centre) / spread) ** 2)
by_bayes = (weight / weight.sum(-1, keepdims=True))[..., 1].mean(0)
drawn = site["group_of"].mean(("chain", "draw")).values
error = np.sqrt(by_bayes * (1 - by_bayes) / len(weight))
print(f"largest difference {np.max(np.abs(drawn - by_bayes)):.3f}; one standard error is up to {error.max():.3f}")
print(pd.crosstab(species, np.where(drawn > 0.5, "long group", "short group")).to_string())

# %% [markdown]
# The species were never used: one of the three is a heap of its own, and the other two share a heap.
#
# ## Labels switch
#
# Why were the centres ordered? Nothing in a mixture tells group 0 from group 1. Exchange them, and the density is the
# same: with K groups the posterior has K! copies of each mode. A chain that stays in one copy, while another chain
# stays in another, gives means that mean nothing; R-hat notices. A chain that wanders between copies is worse, for then
# all means are equal and no diagnostic complains.

# %%
free = ppl.infer(
    with_a_family(len(length), ordered=False).observe(length=length),
    NUTS(chains=4, draws=SAMPLER.draws, warmup=SAMPLER.warmup, progress=False),
)
print("free labels, mean of each chain:", *free.draws["centre"].mean(1).round(2).astype(str).tolist())

# %% [markdown]
# Two cures. **Order** something in the prior, as above: `dist.Transformed(base, dist.Ordered())` keeps one copy of the
# K! and samplers see nothing of it. Or leave the labels free and ask only what does not depend on them: predictions,
# the density of a point, whether two flowers are in one group. Sorting each draw afterwards makes labels out of free
# draws, if the groups are far apart.

# %%
ordered = np.sort(free.draws["centre"], axis=-1)
print("sorted draw by draw:", *ordered.mean(1).round(2).astype(str).tolist())
together = site["group_of"].values[..., [50, 70, 0]]
print(
    f"flowers 50 and 70 in one group: {np.mean(together[..., 0] == together[..., 1]):.3f}; "
    f"50 and 0: {np.mean(together[..., 0] == together[..., 2]):.3f}"
)

# %% [markdown]
# ## How many groups?
#
# Leave-one-out cross-validation asks how well the other flowers predict a flower. What is compared are log densities of
# single flowers, and the group of a flower that nobody has seen is unknown: it has to be summed out. So take the form
# with a **family** here. In the form with a site the density of a flower is the one given the group that was drawn for
# it; `loo` then warns, with reason. The fit with free labels will do for two groups: no density depends on labels.


# %%
def leave_one_out(fit):
    """Log density of each flower given the others, in nats; arviz has two names for it."""
    result = fit.loo(pointwise=True)
    return np.asarray(result.loo_i if hasattr(result, "loo_i") else result.elpd_i)


counts = {k: ppl.infer(with_a_family(len(length), k).observe(length=length), SAMPLER) for k in OTHERS} | {2: free}
scores = {k: leave_one_out(fit) for k, fit in counts.items()}
best = max(scores, key=lambda k: scores[k].sum())
for k, score in sorted(scores.items()):
    gap = score - scores[best]
    print(f"{k} groups: {score.sum():8.2f}   {gap.sum():7.2f} ± {gap.std() * len(gap) ** 0.5:.2f} from the best")

# %% [markdown]
# Read the last column as differences with standard errors. A component too many is given a small share, and does little
# harm. What `loo` finds is the number that **predicts** best, which need not be the number of species.

# %%
grid = np.linspace(-2, 2, 300)
picture, ax = plt.subplots(figsize=(7.2, 3.2))
ax.hist(length, bins=30, density=True, color="#d5dae1")
for k in sorted(counts):
    share, centre, spread = (counts[k].draws[n].reshape(-1, 1, k) for n in ("share", "centre", "spread"))
    normal = np.exp(-0.5 * ((grid[:, None] - centre) / spread) ** 2) / spread / np.sqrt(2 * np.pi)
    ax.plot(grid, (share * normal).sum(-1).mean(0), label=f"{k} groups")
ax.set(xlabel="length of the petal, standardised", ylabel="density")
ax.legend()

# %% [markdown]
# ## What has no sum
#
# A sum over a site is exact as long as the cost stays that of the site. Credo refuses what would be wrong or endless,
# before anything runs, and says what stands in the way:
#
# 1. a statement that reads the groups of **all** flowers at once: every combination would count, 2 to the 150;
# 2. a count without an upper end;
# 3. many sites that meet in one density;
# 4. a switch for the whole data set in a fit by **minibatches**: the logarithm of its sum needs all rows.


# %%
@ppl.model
def reads_all_groups(flowers: int):
    centre = ppl.sample("centre", dist.Normal(0.0, 1.0))
    with ppl.plate("flowers", size=flowers):
        g = ppl.sample("group_of", dist.Bernoulli(probs=0.5))
    ppl.sample("total", dist.Normal(centre + ops.sum(g), 1.0))


@ppl.model
def without_end(flowers: int):
    rate = ppl.sample("rate", dist.HalfNormal(1.0))
    with ppl.plate("flowers", size=flowers):
        count = ppl.sample("count", dist.Poisson(3.0))
        ppl.sample("length", dist.Normal(rate * count, 1.0))


@ppl.model
def one_switch(flowers: int):
    centre = ppl.sample("centre", dist.Normal(0.0, 1.0))
    shifted = ppl.sample("shifted", dist.Bernoulli(probs=0.5))
    with ppl.plate("flowers", size=flowers):
        ppl.sample("length", dist.Normal(centre + shifted, 1.0))


grey, digit = map(np.asarray, load_digits(return_X_y=True))
images = (grey >= 8).astype(np.float32)
for program, method in (
    (reads_all_groups(len(length)).observe(total=70.0), SVI(guide=AutoNormal())),
    (without_end(len(length)).observe(length=length), SVI(guide=AutoNormal())),
    (models.categorical_vae(images, codes=20, values=10).observe(x=images), SVI(guide=AutoDelta())),
    (one_switch(len(length)).observe(length=length), SVI(guide=AutoNormal(), batch_size=50)),
):
    try:
        method.check(program)
    except ppl.errors.PPLError as error:
        print(f"{type(error).__name__}: {error}\n")

# %% [markdown]
# The remedies are in the messages. Often a count has an upper end that can be said (`dist.Binomial(10, p)` instead of a
# Poisson). And where no sum is feasible, a guide can draw the site, as below.
#
# ## Draws instead of a sum: a strategy for each site
#
# Here two codes of eight values each describe an image. Their 64 combinations are few, so the sum is exact. But look at
# what a guide does with them, because it works for twenty codes as well: it draws each code, and each draw needs a way
# for the gradient to pass. `strategies` names one for each site; sites that are not named get a default, and `check`
# says which, whether it is unbiased, and why. (From here on we fit in torch, which has nothing to compile.)

# %%
held_out = np.arange(len(images)) % 5 == 4
train, test = images[~held_out], images[held_out]
codes = models.categorical_vae(train).observe(x=train)
encoder = models.categorical_encoder(train)
shared = {"optimizer": Adam(5e-3), "steps": STEPS, "batch_size": 100, "draws": 1, "progress": False}
by_strategy = {
    "the exact sum": SVI(guide=AutoDelta(), **shared),
    "one of each": SVI(
        ELBO(4), encoder, strategies={"code0": Enumerate(), "code1": Reinforce(LeaveOneOut())}, **shared
    ),
    "scores": SVI(ELBO(4), encoder, strategies={f"code{i}": Reinforce(LeaveOneOut()) for i in (0, 1)}, **shared),
}
for name, method in by_strategy.items():
    print(f"{name}:\n{method.check(codes)}")
    reached = ppl.infer(codes, method, backend="pyro").diagnostics["objective"][-50:].mean() / len(train)
    print(f"  after {STEPS} steps {reached:.2f} nats an image\n")

# %% [markdown]
# All gradients are unbiased. The first is that of the log evidence; the others are those of a bound below it, which a
# guide of two independent codes cannot close. They differ in noise, and so in how far a number of steps takes them. Sum
# where you can; where a site has too many values or too many companions, draw it.
#
# A strategy that cannot work is refused like all else: no draw of a category is a smooth function of its probabilities.

# %%
try:
    SVI(guide=encoder, strategies={"code0": ppl.inference.Reparam()}).check(codes)
except ppl.errors.PPLError as error:
    print(f"{type(error).__name__}: {error}")

# %% [markdown]
# ## A hundred labels
#
# M2 has the digit itself for a latent: observed for a hundred images, unknown for the others. Its code is for what else
# there is to say about an image, given the digit; so the guide of the code needs to know the digit, and has to draw one
# first. By default the draw of a digit is summed over all ten in each step, each with a code of its own.

# %%
chosen = np.concatenate([np.flatnonzero(digit[~held_out] == d)[:10] for d in range(10)])
rest = np.delete(np.arange(len(train)), chosen)
labelled, labels, others = train[chosen], digit[~held_out][chosen], train[rest]
program = models.m2(labelled, others).observe(labelled_x=labelled, given=labels, guess=labels, x=others)
settings = {**shared, "batch_size": {"images": 100}, "draws": 20}
method = SVI(guide=models.m2_encoder(labelled, labels, others), **settings)
print(method.check(program))
semi = ppl.infer(program, method, backend="pyro")

# %%
guesses = semi.predict(images=test)["label"].values.reshape(-1, len(test))
mode = np.array([np.bincount(c, minlength=10).argmax() for c in guesses.T])
alone = MLPClassifier((128,), max_iter=2000, random_state=0).fit(labelled, labels)
print(f"held-out accuracy: {np.mean(mode == digit[held_out]):.3f} with images that have no label,")
print(f"                   {alone.score(test, digit[held_out]):.3f} of a network on the hundred labelled ones alone")

# %% [markdown]
# `do` on the digit and on the code shows what the code has learnt: one hand in each row, which writes all ten digits.

# %%
hands = np.random.default_rng(0).normal(size=(6, 8))
values = {"label": np.tile(np.arange(10), 6), "code": np.repeat(hands, 10, axis=0)}
written = models.m2(labelled, ppl.spec((60, 64))).do(**values)
pixels = ppl.simulate(written, 50, params=semi.model_params, backend="pyro")["x"].mean("draw").values
plot, axes = plt.subplots(6, 10, figsize=(6, 3.7))
for ax, image in zip(axes.ravel(), pixels, strict=True):
    ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])

# %% [markdown]
# ## In short
#
# 1. Declare a discrete unknown as a site. If it takes few values, every method sums it out, and its draws come back.
# 2. Order something, or ask questions that do not depend on labels.
# 3. Compare numbers of components by `loo`, on a family that has summed the groups out.
# 4. If there is no sum, a guide draws the site, and a strategy carries the gradient; `check` says which, and whether it
#    is unbiased.
