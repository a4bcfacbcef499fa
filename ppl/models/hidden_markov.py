"""Hidden Markov models: an unseen state moves from step to step, and each step shows a count or a symbol of it.

The states are summed out of the density, for each path at once, and come back as draws of whole paths.

The counts are earthquakes of magnitude 7 or more in the world, each year from 1900 to 2006. The words are those of the
Gettysburg Address (A. Lincoln, 1863), without capitals.

Sources: W. Zucchini and I. L. MacDonald (2009), Hidden Markov Models for Time Series, table 1.1 and section 3; for
letters, R. L. Cave and L. P. Neuwirth (1980), Hidden Markov models for English.
"""

import numpy as np

import ppl
from ppl import dist, ops

_COUNTS = """
13 14  8 10 16 26 32 27 18 32 36 24 22 23 22 18 25 21 21 14  8 11 14 23 18 17 19 20 22 19 13 26 13 14 22 24 21 22 26 21
23 24 27 41 31 27 35 26 28 36 39 21 17 22 17 19 15 34 10 15 22 18 15 20 15 22 19 16 30 27 29 23 20 16 21 21 25 16 18 15
18 14 10 15  8 15  6 11  8  7 18 16 13 12 13 20 15 16 12 18 15 16 13 15 16 11 11
"""
EARTHQUAKES = np.array(_COUNTS.split(), dtype=int)

_ADDRESS = """
four score and seven years ago our fathers brought forth on this continent a new nation conceived in liberty and
dedicated to the proposition that all men are created equal now we are engaged in a great civil war testing whether that
nation or any nation so conceived and so dedicated can long endure we are met on a great battlefield of that war we have
come to dedicate a portion of that field as a final resting place for those who here gave their lives that that nation
might live it is altogether fitting and proper that we should do this but in a larger sense we can not dedicate we can
not consecrate we can not hallow this ground the brave men living and dead who struggled here have consecrated it far
above our poor power to add or detract
"""
WORDS = tuple(_ADDRESS.split())
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@ppl.model
def poisson_hmm(length: int, states: int = 3, typical: float = 20.0):
    """Counts whose rate depends on a hidden state, in equilibrium from the start. Observe `count`.

    States are numbered by rising rate. The state before the first step follows the stationary distribution of the
    transitions, and so does every state after it.

    Args:
        length: number of steps.
        states: number of hidden states.
        typical: a count of the usual size, about which the rates are spread by a factor or so.
    """
    spaced = dist.Transformed(dist.Normal(0.0, 1.0).expand([states]), dist.Ordered())
    log_rate = ppl.sample("log_rate", spaced, dims=("state_of",))
    rate = ppl.deterministic("rate", typical * ops.exp(log_rate), dims=("state_of",))
    with ppl.plate("states", size=states):
        transition = ppl.sample("transition", dist.Dirichlet(ops.ones(states)), dims=("next_state",))
    balance = ops.eye(states) - transition.T + 1.0
    stationary = ppl.deterministic("stationary", ops.solve(balance, ops.ones(states)), dims=("state_of",))

    def step(previous, t):
        state = ppl.sample("state", dist.Categorical(probs=transition[previous]))
        ppl.sample("count", dist.Poisson(rate[state]))
        return state

    start = ppl.sample("start", dist.Categorical(probs=stationary))
    ppl.scan("steps", step, start, length=length)


@ppl.model
def categorical_hmm(present, states: int = 2, symbols: int = 26):
    """Sequences of symbols, of different lengths: `present` says which steps a sequence has. Observe `symbol`.

    A step that a sequence lacks shows nothing, so its symbol has no density; its state goes on, and sums to one.

    Args:
        present: booleans of shape (sequences, steps).
        states: number of hidden states.
        symbols: number of symbols.
    """
    initial = ppl.sample("initial", dist.Dirichlet(ops.ones(states)), dims=("state_of",))
    with ppl.plate("states", size=states):
        transition = ppl.sample("transition", dist.Dirichlet(ops.ones(states)), dims=("next_state",))
        emission = ppl.sample("emission", dist.Dirichlet(ops.ones(symbols)), dims=("symbol_of",))

    def step(previous, here):
        state = ppl.sample("state", dist.Categorical(probs=transition[previous]))
        ppl.sample("symbol", dist.Categorical(probs=emission[state]).mask(here))
        return state

    with ppl.plate("sequences", present) as steps:
        start = ppl.sample("start", dist.Categorical(probs=initial))
        ppl.scan("steps", step, start, xs=steps)


def word_arrays(words: tuple[str, ...] = WORDS) -> tuple[np.ndarray, np.ndarray]:
    """Words as numbers of letters, from 0, and which steps they have; both of shape (words, longest)."""
    longest = max(map(len, words))
    present = np.array([[t < len(w) for t in range(longest)] for w in words])
    numbers = [[LETTERS.index(c) for c in w] + [0] * (longest - len(w)) for w in words]
    return np.array(numbers), present
