"""Deep Markov model: a chain of latent vectors whose transition and emission are networks.

Its guide reads a sequence backwards, so that each latent vector is drawn from the one before it and from all that is
still to come.

Source: R. G. Krishnan, U. Shalit and D. Sontag (2017), Structured inference networks for nonlinear state space models.
"""

import ppl
from ppl import dist, nn, ops


@ppl.model
def deep_markov(sequences, latent: int = 8, hidden: int = 32):
    """Sequences of binary vectors. Observe `x`.

    The transition is gated: each coordinate of the mean is a linear function of the last latent vector, a network of
    it, or something in between. The variance depends on the network's proposal.

    Args:
        sequences: shape (sequences, steps, features); only its shape counts.
        latent: size of a latent vector.
        hidden: width of the networks.
    """
    gate = nn.MLP("gate", [latent, hidden, latent])
    proposal = nn.MLP("proposal", [latent, hidden, latent])
    linear = nn.Linear("linear", latent, latent)
    spread = nn.Linear("spread", latent, latent)
    emission = nn.MLP("emission", [latent, hidden, sequences.shape[-1]])

    def step(previous, x):
        open_, proposed = ops.sigmoid(gate(previous)), proposal(previous)
        mean = (1.0 - open_) * linear(previous) + open_ * proposed
        scale = ops.softplus(spread(ops.relu(proposed)))
        z = ppl.sample("z", dist.Normal(mean, scale), dims=("code",))
        ppl.sample("x", dist.Bernoulli(logits=emission(z)), dims=("feature",))
        return z

    start = ppl.param("start", [0.0] * latent)
    with ppl.plate("sequences", sequences) as sequence:
        ppl.scan("steps", step, start, xs=sequence)


@ppl.model
def backward_reader(sequences, latent: int = 8, hidden: int = 32):
    """Guide of `deep_markov`: a recurrent network summarises what is to come, and is combined with the last code."""
    cell = nn.GRUCell("reader", sequences.shape[-1], hidden)
    combine = nn.Linear("combine", latent, hidden)
    code = nn.Linear("code", hidden, 2 * latent)

    def read(later, x):
        return cell(x, later)

    def step(previous, ahead):
        h = code(0.5 * (ops.tanh(combine(previous)) + ahead))
        return ppl.sample("z", dist.Normal(h[:latent], ops.softplus(h[latent:])))

    start = ppl.param("guide_start", [0.0] * latent)
    with ppl.plate("sequences", sequences) as sequence:
        ahead = ppl.scan("steps", read, ops.zeros(hidden), xs=sequence, reverse=True)
        ppl.scan("steps", step, start, xs=ahead)
