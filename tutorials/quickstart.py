# %% [markdown]
# # Credo in one sitting
#
# You declare a probabilistic model once, as a Python function. Credo compiles it to Pyro (torch) and to NumPyro (JAX),
# shows you both programs, checks that they agree, and fits either one.
#
# Two real data sets take us through it:
#
# 1. **1,797 handwritten digits** and a variational autoencoder, trained on both backends with the same settings;
# 2. **442 diabetes patients** and a Bayesian linear regression, sampled by NUTS.
#
# The whole notebook takes about a minute or two on two cores. Run it as a script (`make demo`) or cell by cell. It ends
# by writing everything it found to one HTML file, `build/quickstart.html`.

# %%
import os
import time

# These networks are small: on a busy machine, more threads make them slower. Has to be said before torch is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from report import BLUE, INK, ORANGE, PLOT_STYLE, output_folder
from sklearn.datasets import load_diabetes, load_digits

import ppl
from ppl import dist, nn, ops
from ppl.inference import ELBO, NUTS, SVI, Adam

QUICK = os.environ.get("CREDO_QUICK") == "1"  # a run of a few seconds that tests everything and finds out nothing
BACKENDS = {"numpyro": "NumPyro (JAX)", "pyro": "Pyro (torch)"}
started = time.perf_counter()


def headline(words: str) -> None:
    """Say what comes next, and how much time has passed."""
    print(f"\n[{time.perf_counter() - started:5.1f} s] {words}\n" + "-" * 100)


plt.style.use(PLOT_STYLE)

# %% [markdown]
# ## Part 1. A variational autoencoder
#
# scikit-learn brings 1,797 images of 8 × 8 pixels with 17 grey levels. We cut the grey values at half their range, so
# that each pixel is on or off, and keep every fifth image aside: no fit sees those.

# %%
headline("The data: handwritten digits")
grey, labels = map(np.asarray, load_digits(return_X_y=True))
images = (grey >= 8).astype(np.float32)
held_out = np.arange(len(images)) % 5 == 4
train, test, test_labels = images[~held_out], images[held_out], labels[held_out]
print(f"{len(train)} images to fit, {len(test)} held out; {images.shape[1]} pixels each, {images.mean():.0%} on")

# %% [markdown]
# ### Declare it
#
# The model says how an image comes about: eight numbers `z` are drawn, and a network turns them into the probability
# that each pixel is on. The plate is the loop over images; everything inside it is about **one** image, so there are
# no batch dimensions to keep in mind.
#
# The guide goes the other way, from an image to the `z` that may have made it. A guide is a model too: it samples the
# latent sites. Neither of them mentions data for its random sites. Data comes from outside, through `observe`.


# %%
@ppl.model
def vae(images, latent: int = 8):
    decoder = nn.MLP("decoder", [latent, 256, 64], activation="tanh")
    with ppl.plate("images", images):
        z = ppl.sample("z", dist.Normal(0.0, 1.0).expand([latent]), dims=("code",))
        ppl.sample("x", dist.Bernoulli(logits=decoder(z)), dims=("pixel",))


@ppl.model
def encoder(images, latent: int = 8):
    net = nn.MLP("encoder", [64, 256, 2 * latent])
    with ppl.plate("images", images) as image:
        h = net(image)
        ppl.sample("z", dist.Normal(h[:latent], ops.exp(h[latent:])))


headline("The model, traced and checked")
program = vae(train).observe(x=train)
guide = encoder(train)
print(program)
print()
print(guide)

# %% [markdown]
# Calling a model traces it and checks it; nothing numerical happens yet. What is printed is the program: the form
# that every later step reads. `program.render()` draws it in plate notation.

# %%
program.render()

# %% [markdown]
# ### Read what it compiles to
#
# The compiled program is text. It is the code you would have written by hand, and it depends on Credo no longer: copy
# it, read it, give it to any tool of Pyro or NumPyro.

# %%
for name, title in BACKENDS.items():
    headline(f"The same model as {title}")
    print(program.to_source(name))

# %% [markdown]
# ### Check that both mean the same
#
# `ppl.agreement` draws every latent once and evaluates the log density of each site four times: by the pure function
# and by the native model, on both backends.

# %%
headline("Do the backends agree? Log density of each site, in nats, at shared draws")
agreement = ppl.agreement(program)
print(agreement)

# %% [markdown]
# ### Mistakes are refused
#
# Before we fit anything: what happens if the guide does not fit the model? Here one proposes seven numbers where the
# model has eight; and here are images of the wrong size. Both are found before anything runs.

# %%
headline("Two mistakes, and what Credo says about them")


@ppl.model
def careless(images):
    with ppl.plate("images", images):
        ppl.sample("z", dist.Normal(0.0, 1.0).expand([7]))


refusals = []
for mistake in (lambda: program.check(careless(train)), lambda: vae(train).observe(x=train[:, :28])):
    try:
        mistake()
    except ppl.errors.PPLError as error:
        refusals.append(f"{type(error).__name__}: {error}")
        print(refusals[-1], end="\n\n")

# %% [markdown]
# ### Fit it, on both backends
#
# A method is a value: it prints, compares and is stored with its result. We maximise the evidence lower bound over
# minibatches of 128 images. `SVI(objective=IWELBO(16), ...)` would maximise a tighter bound with 16 draws for each
# image; everything else would stay as it is.

# %%
method = SVI(
    objective=ELBO(),
    guide=guide,
    optimizer=Adam(3e-3),
    steps=200 if QUICK else 2500,
    batch_size=128,
    draws=40 if QUICK else 200,
)
fits, near = {}, {}
for name, title in BACKENDS.items():
    headline(f"SVI on {title}: {method.steps} steps")
    fits[name] = ppl.infer(program, method, backend=name)
    print(fits[name])
    near[name] = np.mean(np.asarray(fits[name].khat_by_row()) < 0.7)
    print(f"  the guide is near the posterior (k-hat below 0.7) for {near[name]:.0%} of the images")

# %% [markdown]
# Pareto k-hat says how far the guide is from the posterior it stands for: below 0.7, importance weights can make up for
# the difference. For all images together they never could, since thousands of small errors add up; what matters is
# each image by itself.
#
# ### How good is it?
#
# The yardstick is the probability of images that were held out. It cannot be computed exactly, but weighted draws of
# the guide bound it from below: the more draws, the tighter. `bound` does that for any fitted guide that is amortised.
# The latents of this model live in one plate, so each image gets a bound of its own.

# %%
headline("Held-out images: log probability of an image in nats, bounded from below; larger is better")
particles = 20 if QUICK else 500
rows, bounds = {}, {}
for name, title in BACKENDS.items():
    elbo = fits[name].bound({"images": test}, {"x": test}, particles=1)
    bound = fits[name].bound({"images": test}, {"x": test}, particles=particles)
    bounds[title] = float(bound.mean())
    rows[title] = {
        "held-out bound": f"{float(bound.mean()):.2f} ± {float(bound.std()) / np.sqrt(len(bound)):.2f}",
        "ELBO (1 draw)": f"{float(elbo.mean()):.2f}",
        "k-hat < 0.7": f"{near[name]:.0%} of images",
        "time per step": f"{1e3 * fits[name].diagnostics['seconds_per_step']:.2f} ms",
        "all steps": f"{fits[name].diagnostics['seconds']:.1f} s",
    }
results = pd.DataFrame.from_dict(rows, orient="index")
print(results.to_string())
print(f"\n{particles} draws for each of {len(test)} images; ± is one standard error over images.")
print("The time per step is a median without compilation; the time of all steps includes it.")

# %% [markdown]
# Both fits started from the same weights and saw the same minibatches. Only the noise is different, and the bounds all
# but coincide.
#
# ### Move the fit
#
# A fit knows its parameters by name, so it moves. Here is the table of agreement once more, with the network that JAX
# trained (its draws come from the prior, so these images are as improbable as they should be); and `network` hands out
# the decoder as an ordinary `torch.nn.Module`.

# %%
headline("The fit from NumPyro, carried over to Pyro")
fit = fits["numpyro"]
moved = fit.to_backend("pyro")
print(ppl.agreement(program, params=fit.params))
print()
print(moved.network("decoder"))

# %% [markdown]
# ### Look at it
#
# The objective of both fits, in nats for each image.

# %%
headline("Pictures")


def smooth(trace, width):
    """Running mean."""
    return np.convolve(trace, np.full(width, 1 / width), mode="valid")


curves, ax = plt.subplots(figsize=(7.6, 3.3))
window = max(1, method.steps // 50)
low = []
for (name, title), colour in zip(BACKENDS.items(), (BLUE, ORANGE), strict=True):
    trace = fits[name].diagnostics["objective"] / len(train)
    steps = np.arange(window, len(trace) + 1)
    ax.plot(np.arange(1, len(trace) + 1), trace, color=colour, alpha=0.18, linewidth=0.6)
    ax.plot(steps, smooth(trace, window), color=colour, label=title)
    low.append(smooth(trace, window)[len(trace) // 25])
ax.set(xlabel="step", ylabel="ELBO, nats per image", xlim=(0, method.steps), ylim=(min(low), None))
ax.legend(loc="lower right")

# %% [markdown]
# `predict` takes new images: the guide draws their latents, the model draws the pixels anew. The mean over draws is the
# reconstruction. Nobody had to say which latents belong to new rows; the plate does.

# %%
shown = np.array([np.flatnonzero(test_labels == digit)[i] for i in (0, 1) for digit in range(10)])
predicted = {name: fits[name].predict(images=test) for name in BACKENDS}
rebuilt = {name: p["x"].mean(("chain", "draw")).values for name, p in predicted.items()}


def show_images(rows, labels):
    """Rows of images, a label before each; matplotlib figure."""
    count = len(rows[0])
    plot, axes = plt.subplots(len(rows), count, figsize=(1.4 + 0.46 * count, 0.5 * len(rows)), squeeze=False)
    for row, label, line in zip(rows, labels, axes, strict=True):
        for pixels, ax in zip(row, line, strict=True):
            ax.imshow(np.asarray(pixels).reshape(8, 8), vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set(visible=True, color="#d5dae1", linewidth=0.6)
        line[0].text(-0.25, 0.5, label, ha="right", va="center", transform=line[0].transAxes, color=INK)
    plot.subplots_adjust(wspace=0.12, hspace=0.12)
    return plot


reconstructions = show_images(
    [test[shown], rebuilt["numpyro"][shown], rebuilt["pyro"][shown]],
    ["held out", *BACKENDS.values()],
)

# %% [markdown]
# The same declaration is a simulator. `ppl.simulate` draws from the prior; with `do` we set the latents ourselves, here
# to a straight line between the codes of two held-out images. `ppl.spec` stands in for images that are not needed.


# %%
def decode(codes, draws=400):
    """Probability that each pixel is on, for given codes: an average over simulated images."""
    intervened = vae(ppl.spec((len(codes), 64))).do(z=codes)
    return ppl.simulate(intervened, draws, params=fit.params)["x"].mean("draw").values


prior = ppl.simulate(vae(ppl.spec((20, 64))), 1, seed=3, params=fit.params)
samples = show_images(
    [prior["x"][0], decode(prior["z"][0].values)],
    ["drawn pixels", "their probabilities"],
)

codes = predicted["numpyro"]["z"].mean(("chain", "draw")).values
first, last = (np.flatnonzero(test_labels == digit)[2] for digit in (0, 7))
line = np.linspace(0, 1, 20)[:, None] * (codes[last] - codes[first]) + codes[first]
walk = show_images([decode(line)], ["from a 0 to a 7"])

# %% [markdown]
# Labels were never used. Still, the codes of held-out images fall into groups: here on the plane in which they vary
# most (principal components, by numpy).

# %%
centred = codes - codes.mean(axis=0)
_, spread, axes_of_codes = np.linalg.svd(centred, full_matrices=False)
plane = centred @ axes_of_codes[:2].T
share = spread[:2] ** 2 / np.sum(spread**2)

latent_map, ax = plt.subplots(figsize=(6.4, 5.0))
for digit in range(10):
    group, colour = plane[test_labels == digit], f"C{digit}"
    ax.scatter(group[:, 0], group[:, 1], s=16, color=colour, alpha=0.6, linewidths=0)
    x, y = np.median(group, axis=0)
    ax.text(x, y, str(digit), color=colour, fontsize=14, weight="bold", ha="center", va="center").set_bbox(
        {"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
    )
ax.set(xlabel=f"first component ({share[0]:.0%} of the variance)", ylabel=f"second component ({share[1]:.0%})")

# %% [markdown]
# ## Part 2. A Bayesian regression
#
# Ten measurements of 442 diabetes patients, and how far the disease had progressed a year later. All are standardised,
# so a slope says how many standard deviations the outcome moves with one standard deviation of the measurement.
# `dims=` names an axis; the name stays with it through draws, tables and plots.

# %%
headline("A Bayesian linear regression on the diabetes data, by NUTS")
X, y = map(np.asarray, load_diabetes(return_X_y=True, scaled=False))
names = ["age", "sex", "bmi", "blood pressure", "total chol.", "LDL", "HDL", "chol. / HDL", "log triglyc.", "glucose"]
measurements, progression = (X - X.mean(axis=0)) / X.std(axis=0), (y - y.mean()) / y.std()


@ppl.model
def regression(measurements):
    intercept = ppl.sample("intercept", dist.Normal(0.0, 1.0))
    slopes = ppl.sample("slopes", dist.Normal(0.0, 1.0).expand([measurements.shape[-1]]), dims=("measurement",))
    noise = ppl.sample("noise", dist.HalfNormal(1.0))
    with ppl.plate("patients", measurements) as row:
        ppl.sample("y", dist.Normal(intercept + row @ slopes, noise))


patients = regression(measurements).observe(y=progression)
print(patients)
print()
print(ppl.agreement(patients))

# %%
sampler = NUTS(chains=4, draws=50 if QUICK else 500, warmup=50 if QUICK else 500)
headline(f"{sampler.chains} chains of {sampler.draws} draws on NumPyro")
posterior = ppl.infer(patients, sampler).with_coords(measurement=names)
print(posterior)
print()
summary = posterior.summary()
print(summary.to_string())

# %% [markdown]
# Everything arviz can do works on it: `to_arviz()` has all the groups, pointwise log likelihoods included, so
# leave-one-out cross-validation is one call, and the plots are arviz's own.

# %%
print(posterior.loo())

posterior.plot_trace()
traces = plt.gcf()
traces.set(size_inches=(9.4, 5.4), layout_engine="tight")

# %% [markdown]
# A plot of one's own is as easy: `quantile`, `mean` and `std` give arrays with named dimensions.

# %%
slopes = posterior.quantile("slopes", [0.05, 0.25, 0.5, 0.75, 0.95]).values
order = np.argsort(slopes[2])

intervals, ax = plt.subplots(figsize=(5.4, 3.9))
ax.axvline(0, color="#c3cad3", linewidth=1)
ax.hlines(range(10), slopes[0, order], slopes[4, order], color=BLUE, linewidth=1.4)
ax.hlines(range(10), slopes[1, order], slopes[3, order], color=BLUE, linewidth=4.5)
ax.plot(slopes[2, order], range(10), "o", color="white", markeredgecolor=BLUE, markersize=5.5)
ax.set(yticks=range(10), yticklabels=[names[i] for i in order], xlabel="slope (50 % and 90 % intervals)")
ax.tick_params(axis="y", length=0, labelcolor=INK)

# %% [markdown]
# ## Keep it
#
# `save` writes program, data, method, seed, versions and draws to one file without pickle; `load` brings them back.

# %%
headline("Saving, and the report")
folder = output_folder()
folder.mkdir(parents=True, exist_ok=True)
path = posterior.save(folder / "diabetes.credo")
again = ppl.Posterior.load(path)
print(f"{path}: {os.path.getsize(path) / 1e6:.1f} MB, reads back equal: {again.program == posterior.program}")

# %% [markdown]
# Last, the report: one HTML file with everything in it.

# %%
from report import Report, cards, code, columns, figure, svg, table, text

report = Report(
    "Credo: one model, two backends",
    "A variational autoencoder of handwritten digits on Pyro and NumPyro, and a Bayesian regression by NUTS. "
    "Written by `tutorials/quickstart.py`; every number and picture on this page comes from that run.",
    cards(
        {f"held-out bound, {title}": f"−{-bound:.2f} nats" for title, bound in bounds.items()}
        | {f"an SVI step, {title}": row["time per step"] for title, row in rows.items()}
        | {"largest difference of the backends": f"{agreement.difference:.0e}"}
    ),
)
report.section(
    "The model",
    text(
        "Eight numbers `z` for each image, and a network that turns them into the probability that a pixel is on. The "
        "declaration is traced once; what is printed here is the program that every later step reads."
    ),
    code(str(program), "print(program)"),
    columns(
        svg(program.render().svg, "The model. The shaded node is observed; the box is the plate, one for each image."),
        svg(guide.render().svg, "The guide, which proposes `z` for a given image."),
    ),
)
report.section(
    "Emitted code",
    text("The emitted programs, as text. Each is an ordinary model of its library and runs without Credo."),
    *(code(program.to_source(name), title) for name, title in BACKENDS.items()),
)
report.section(
    "Agreement",
    text(
        "Log density of each site in nats, at shared draws: by the pure functions that inference uses, and by the "
        "emitted native models, on both backends."
    ),
    code(str(agreement), "print(ppl.agreement(program))", python=False),
)
report.section(
    "Refusals",
    text("A guide with seven numbers where the model has eight, and images of the wrong size. Neither gets to run."),
    *(code(refusal, python=False) for refusal in refusals),
)
report.section(
    "Training",
    text(f"Both backends, same settings: {method.steps} steps of Adam on the ELBO, {method.batch_size} images a step."),
    figure(curves, f"The objective at each step, and its running mean over {window} steps."),
    table(
        results,
        f"The bound is importance-weighted, {particles} draws for each of {len(test)} images that were held out; ± is "
        "one standard error over images. k-hat is that of the fitted images, each by itself. "
        "The time per step is a "
        "median without compilation; that of all steps has it.",
    ),
)
report.section(
    "Reconstructions",
    figure(reconstructions, "Held-out images, and the posterior mean of their pixels under the fit of each backend."),
)
report.section(
    "Samples",
    figure(samples, "Images drawn from the prior, and the probabilities their pixels were drawn with."),
    figure(walk, "Interventions: `do(z=...)` along a line between the codes of two held-out images."),
)
report.section(
    "Latent space",
    figure(latent_map, "Codes of the held-out images, coloured by their digit. The fit never saw a label."),
)
report.section(
    "Regression by NUTS",
    text(
        f"{len(progression)} diabetes patients, ten measurements, and the progression of the disease a year later, all "
        f"standardised. {sampler.chains} chains of {sampler.draws} draws. Dimension names come from the declaration."
    ),
    code(str(patients), "print(program)"),
    svg(patients.render().svg),
    table(summary, "The summary by arviz."),
    figure(intervals, "Slopes with their 50 % and 90 % intervals."),
    figure(traces, "Marginal densities and traces of the four chains, by arviz."),
)
versions = ", ".join(f"{name} {number}" for name, number in sorted((fits["pyro"].versions | fit.versions).items()))
page = report.write(folder / "quickstart.html", f"Credo {ppl.__version__}; {versions}.")
print(f"report: {page} ({page.stat().st_size / 1e6:.1f} MB)")
print(f"\ndone in {time.perf_counter() - started:.0f} s")
