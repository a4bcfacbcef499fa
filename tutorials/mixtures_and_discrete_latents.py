# %% [markdown]
# # Mixtures and discrete latents
#
# Which of a few groups does a flower belong to? Which digit is this? Such questions have an answer out of a short list,
# and samplers that follow gradients cannot walk through a list. So the answers have to leave the density before a
# gradient is taken: by a **sum** over all of them, which is exact, or by a guide that **draws** them.
#
# This notebook writes a mixture in three ways, tells its components apart, brings the summed-out groups back as draws,
# says what has no sum, chooses the number of components, and ends with discrete latents inside of autoencoders. The
# data are scikit-learn's 150 irises and 1,797 handwritten digits. It takes about two minutes on one core.

# %%
import os
import time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits, load_iris
from sklearn.mixture import GaussianMixture
from sklearn.neural_network import MLPClassifier

import ppl
from ppl import dist, models, ops
from ppl.inference import ELBO, NUTS, SVI, Adam, AutoNormal

QUICK = os.environ.get("CREDO_QUICK") == "1"  # a run of a few seconds that tests everything and finds out nothing
SAMPLER = NUTS(chains=2, draws=100 if QUICK else 500, warmup=100 if QUICK else 500, progress=False)
STEPS = 100 if QUICK else 2000

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


forms = {
    "a site": with_a_site(len(length)).observe(length=length),
    "a family": with_a_family(len(length)).observe(length=length),
    "by hand": by_hand(length),
}
print(forms["a site"], end="\n\n")
fits = {}
for name, program in forms.items():
    began = time.perf_counter()
    fit = fits[name] = ppl.infer(program, SAMPLER)
    took = time.perf_counter() - began
    low, high = fit.mean("centre").values
    print(f"{name:<8} centres {low:.3f} and {high:.3f}, log density {float(fit.log_p.mean()):.2f}, {took:.0f} s")
    print(f"         draws of {', '.join(fit.draws)}")

# %% [markdown]
# One posterior, three spellings: the log densities agree because the sum is the same. Prefer the first. It costs no
# more, it says what is meant, and it keeps the group.
#
# ### The groups come back
#
# `group_of` was summed out while the sampler ran. Afterwards it was drawn, for each draw of the other unknowns, from
# its exact distribution given these. So its draws are draws of the joint posterior like all others. We check that
# against the formula of Bayes, averaged over the draws.

# %%
site = fits["a site"]
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
print("free labels, mean of each chain:", np.round(free.draws["centre"].mean(1), 2).tolist())

# %% [markdown]
# Two cures. **Order** something in the prior, as above: `dist.Transformed(base, dist.Ordered())` keeps one copy of the
# K! and samplers see nothing of it. Or leave the labels free and ask only what does not depend on them: predictions,
# the density of a point, whether two flowers are in one group. Sorting each draw afterwards makes labels out of free
# draws, if the groups are far apart.

# %%
ordered = np.sort(free.draws["centre"], axis=-1)
print("sorted draw by draw:", np.round(ordered.mean(1), 2).tolist())
together = site["group_of"].values[..., [50, 70, 0]]
print(
    f"flowers 50 and 70 in one group: {np.mean(together[..., 0] == together[..., 1]):.3f}; "
    f"50 and 0: {np.mean(together[..., 0] == together[..., 2]):.3f}"
)

# %% [markdown]
# ## How many groups?
#
# Leave-one-out cross-validation asks how well the other flowers predict a flower. What is compared are the log
# densities of single flowers, with the group of each summed out: a density given the drawn group would pretend that the
# group of a flower that nobody has seen is known. `loo` sums it out of either form.


# %%
def leave_one_out(fit):
    """Log density of each flower given the others, in nats; arviz has two names for it."""
    result = fit.loo(pointwise=True)
    return np.asarray(result.loo_i if hasattr(result, "loo_i") else result.elpd_i)


counts = {k: ppl.infer(with_a_family(len(length), k).observe(length=length), SAMPLER) for k in (1, 2, 3, 4)}
scores = {k: leave_one_out(fit) for k, fit in counts.items()}
best = max(scores, key=lambda k: scores[k].sum())
for k, score in scores.items():
    gap = score - scores[best]
    print(f"{k} groups: {score.sum():8.2f}   {gap.sum():7.2f} ± {gap.std() * len(gap) ** 0.5:.2f} from the best")
print(f"2 groups, with a site: {leave_one_out(site).sum():.2f}")

# %% [markdown]
# Read the last column as differences with standard errors. One group is far off. Beyond two or three the score hardly
# moves: a component too many is given a small share, and does little harm. What `loo` finds is the number that
# **predicts** best, which need not be the number of species.

# %%
grid = np.linspace(-2, 2, 300)
picture, ax = plt.subplots(figsize=(7.2, 3.2))
ax.hist(length, bins=30, density=True, color="#d5dae1")
for k in (1, 2, 3):
    share, centre, spread = (counts[k].draws[n].reshape(-1, 1, k) for n in ("share", "centre", "spread"))
    normal = np.exp(-0.5 * ((grid[:, None] - centre) / spread) ** 2) / spread / np.sqrt(2 * np.pi)
    ax.plot(grid, (share * normal).sum(-1).mean(0), label=f"{k} group{'s' if k > 1 else ''}")
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
for program, settings in (
    (reads_all_groups(len(length)).observe(total=70.0), {}),
    (without_end(len(length)).observe(length=length), {}),
    (models.categorical_vae(images[:100], codes=20, values=10).observe(x=images[:100]), {"guide": None}),
    (one_switch(len(length)).observe(length=length), {"batch_size": 50}),
):
    try:
        guide = AutoNormal() if "guide" not in settings else ppl.inference.AutoDelta()
        SVI(guide=guide, batch_size=settings.get("batch_size")).check(program)
    except ppl.errors.PPLError as error:
        print(f"{type(error).__name__}: {error}\n")

# %% [markdown]
# The remedies are in the messages. Often a count has an upper end that can be said (`dist.Binomial(10, p)` instead of a
# Poisson). And where no sum is feasible, a guide can draw the site, as below.
#
# ## Discrete latents in autoencoders
#
# ### Clusters of codes
#
# A clustering autoencoder (VaDE) is a mixture one floor up: the codes of images, not the images, belong to clusters.
# `models.vade` declares the cluster as a site; it is summed out given the code, so that the guide is that of a plain
# autoencoder. Its clusters start from a mixture of the codes of such an autoencoder.

# %%
held_out = np.arange(len(images)) % 5 == 4
train, test = images[~held_out], images[held_out]
sizes = {"latent": 5, "hidden": 128}


def training(guide, **settings):
    """The method of all fits from here on."""
    fixed = {"objective": ELBO(), "guide": guide, "optimizer": Adam(2e-3), "steps": STEPS, "batch_size": 100}
    return SVI(**{**fixed, "draws": 20, "progress": False, **settings})


plain = ppl.infer(models.vae(train, **sizes).observe(x=train), training(models.vae_encoder(train, **sizes)))
codes = plain.draws["z"][0]
mixture: Any = GaussianMixture(10, covariance_type="diag", random_state=0, n_init=3).fit(codes.mean(0))
start = {
    **plain.params,
    "logits": np.log(mixture.weights_),
    "mean": mixture.means_,
    "log_scale": 0.5 * np.log(mixture.covariances_ + codes.var(0).mean(0)),
}
program = models.vade(train, **sizes).observe(x=train)
clustered = ppl.infer(program, training(models.vae_encoder(train, **sizes), params=start))
for name, fit in {"one normal": plain, "ten clusters": clustered}.items():
    print(f"prior of {name:<13} bound {fit.diagnostics['objective'][-50:].mean() / len(train):.2f} nats an image")
clusters = np.array([np.bincount(c, minlength=10).argmax() for c in clustered.draws["cluster"][0].T])
print(pd.crosstab(clusters, digit[~held_out], rownames=["cluster"], colnames=["digit"]).to_string())

# %% [markdown]
# The model is a simulator, and `do` sets what is drawn: images of each cluster.

# %%
wanted = np.repeat(np.arange(10), 12)
drawn = ppl.simulate(models.vade(ppl.spec((120, 64)), **sizes).do(cluster=wanted), 50, params=clustered.model_params)[
    "x"
].mean("draw")
plot, axes = plt.subplots(10, 12, figsize=(6, 5))
for ax, pixels in zip(axes.ravel(), drawn.values, strict=True):
    ax.imshow(pixels.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])

# %% [markdown]
# ### A hundred labels
#
# M2 has the digit itself for a latent: observed for a hundred images, unknown for the others. Its code is for what else
# there is to say about an image, given the digit; so the guide of the code needs to know the digit, and has to draw one
# first. That is what a **gradient strategy** is for: how do gradients pass through a draw out of ten? `check` names the
# one that was chosen. `Enumerate` sums over all ten, each with a code of its own; `strategies={"label": ...}` would
# choose another.

# %%
chosen = np.concatenate([np.flatnonzero(digit[~held_out] == d)[:10] for d in range(10)])
rest = np.delete(np.arange(len(train)), chosen)
labelled, labels, others = train[chosen], digit[~held_out][chosen], train[rest]
program = models.m2(labelled, others).observe(labelled_x=labelled, given=labels, guess=labels, x=others)
method = training(models.m2_encoder(labelled, labels, others), batch_size={"images": 100}, optimizer=Adam(3e-3))
print(method.check(program))
semi = ppl.infer(program, method)

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
settings = {"label": np.tile(np.arange(10), 6), "code": np.repeat(hands, 10, axis=0)}
written = models.m2(labelled, ppl.spec((60, 64))).do(**settings)
pixels = ppl.simulate(written, 50, params=semi.model_params)["x"].mean("draw").values
plot, axes = plt.subplots(6, 10, figsize=(6, 3.7))
for ax, image in zip(axes.ravel(), pixels, strict=True):
    ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])

# %% [markdown]
# ## In short
#
# 1. Declare a discrete unknown as a site. If it takes few values, every method sums it out, and its draws come back.
# 2. Order something, or ask questions that do not depend on labels.
# 3. Compare numbers of components by `loo`, with the groups summed out.
# 4. If there is no sum, a guide draws the site, and a strategy carries the gradient; `check` says which, and whether it
#    is unbiased.
