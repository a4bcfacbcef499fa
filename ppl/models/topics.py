"""Topic models: documents as bags of words, each document a mixture of topics, each topic a distribution of words.

A document is what its words are, in any order; a word may be anything that is counted, down to the ink of a pixel.

Sources: D. M. Blei, A. Y. Ng and M. I. Jordan (2003), Latent Dirichlet allocation, Journal of Machine Learning Research
3; A. Srivastava and C. Sutton (2017), Autoencoding variational inference for topic models.
"""

import numpy as np

import ppl
from ppl import dist, nn, ops


def topics_and_shares(documents: int, topics: int, vocabulary: int, sparsity: float, mixing: float):
    """The words of each topic, shape (topics, vocabulary), and the topics of each document, (documents, topics)."""
    with ppl.plate("topics", size=topics):
        words = ppl.sample("words", dist.Dirichlet(sparsity * ops.ones(vocabulary)), dims=("term",))
    with ppl.plate("documents", size=documents):
        share = ppl.sample("share", dist.Dirichlet(mixing * ops.ones(topics)), dims=("topic",))
    return words, share


@ppl.model
def lda(document, documents: int, vocabulary: int, topics: int = 10, sparsity: float = 0.5, mixing: float = 0.5):
    """Latent Dirichlet allocation, word by word. Observe `word`.

    The topic of each word takes few values, so that inference sums it out, and draws it with the posterior.

    Args:
        document: the document that each word stands in, from 0 to `documents` - 1; shape (words,).
        documents: number of documents.
        vocabulary: number of different words.
        topics: number of topics.
        sparsity: concentration of the words of a topic; below one, a topic has words of its own.
        mixing: concentration of the topics of a document.
    """
    words, share = topics_and_shares(documents, topics, vocabulary, sparsity, mixing)
    with ppl.plate("tokens", document) as d:
        topic = ppl.sample("topic_of", dist.Categorical(probs=share[d]))
        ppl.sample("word", dist.Categorical(probs=words[topic]))


@ppl.model
def marginal_lda(length, vocabulary: int, topics: int = 10, sparsity: float = 0.5, mixing: float = 0.5):
    """The same posterior from counts: the topics of the words summed out by hand. Observe `count`.

    A document is about as long as it is (Poisson, as in the source), so that the counts of its words are independent
    given its topics; each word comes from the average of the topics.

    Args:
        length: number of words of each document, shape (documents,).
        vocabulary: number of different words.
        topics: number of topics.
        sparsity: concentration of the words of a topic.
        mixing: concentration of the topics of a document.
    """
    words, share = topics_and_shares(length.shape[0], topics, vocabulary, sparsity, mixing)
    with ppl.plate("documents", (length, share)) as (n, mine):
        ppl.sample("count", dist.Poisson(n * (mine @ words)), dims=("term",))


@ppl.model
def prod_lda(length, vocabulary: int, topics: int = 10, mixing: float = 0.5):
    """Topics as experts: a document multiplies its topics, where LDA averages them. Observe `count`.

    The topics are parameters. Their weights in a document are a softmax of normal numbers, whose scale is that of the
    Dirichlet distribution of concentration `mixing` in the softmax basis (the source's equation 3).
    """
    experts = nn.Linear("experts", topics, vocabulary)
    scale = np.sqrt((1.0 - 1.0 / topics) / mixing)
    with ppl.plate("documents", length) as n:
        weight = ppl.sample("weight", dist.Normal(0.0, scale).expand([topics]), dims=("topic",))
        share = ppl.deterministic("share", ops.softmax(weight), dims=("topic",))
        ppl.sample("count", dist.Poisson(n * ops.softmax(experts(share))), dims=("term",))


@ppl.model
def prod_lda_encoder(count, topics: int = 10, hidden: int = 100):
    """Guide of `prod_lda`: mean and log standard deviation of the weights, computed from the counts of a document."""
    encoder = nn.MLP("encoder", [count.shape[-1], hidden, 2 * topics], activation="softplus")
    with ppl.plate("documents", count) as n:
        h = encoder(ops.log1p(n))
        ppl.sample("weight", dist.Normal(h[:topics], ops.exp(h[topics:])))
