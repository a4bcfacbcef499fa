"""Programs as text: what `print` shows is what a person would have written."""

import pytest

import ppl
from ppl import dist, ops
from ppl.program.printing import expression
from tests.program.examples import IMAGES, bound_everything, bound_regression, bound_vae, encoder

VAE = """\
vae(images: float[100, 64], latent=8)
    decoder = MLP([8, 256, 64], 'tanh')               # examples.py:13
    with plate('images', images):  # 100 elements     # examples.py:14
        z ~ Normal(0.0, 1.0).expand([8])              # examples.py:15
        x ~ Bernoulli(logits=decoder(z))  [observed]  # examples.py:16"""

ENCODER = """\
encoder(images: float[100, 64], latent=8)
    encoder = MLP([64, 256, 16], 'relu')                    # examples.py:21
    with plate('images', images) as image:  # 100 elements  # examples.py:22
        h = encoder(image)
        z ~ Normal(h[:8], exp(h[8:]))                       # examples.py:24"""

REGRESSION = """\
regression(X: float[7, 2], group: int[7], groups=3)
    slope ~ Normal(0.0, 1.0).expand([2])                     # examples.py:29
    with plate('groups', size=3):                            # examples.py:30
        intercept ~ Normal(0.0, 5.0)                         # examples.py:31
    noise ~ HalfNormal(1.0)                                  # examples.py:32
    with plate('rows', (X, group)) as (x, g):  # 7 elements  # examples.py:33
        mean = intercept[g] + x @ slope
        y ~ Normal(mean, noise)  [observed]                  # examples.py:35"""

EVERYTHING = """\
everything(X: float[7, 2], index: int[7])
    scale = param([1.0, 2.0], support=positive)                                       # examples.py:41
    net = Sequential([Linear(2, 3), 'tanh', LayerNorm([3])])                          # examples.py:42
    random = MLP([3, 1], 'relu')  [random weights]                                    # examples.py:43
    weights := do [0.25, 0.75]                                                        # examples.py:44
    bound ~ Uniform(0.0, 1.0 - weights[0])                                            # examples.py:45
    with plate('rows', (X, index)) as (x, i):  # 7 elements                           # examples.py:46
        offset = param(0.0)                                                           # examples.py:47
        code ~ Categorical(probs=weights)                                             # examples.py:49
        hidden = net(x * scale)
        centre = where(hidden > 0.0, hidden, -hidden) + offset                        # examples.py:50
        factor pull: -sum(centre**2) * [0.5, 0.25][code]                              # examples.py:51
        with plate('times', size=4) as t:                                             # examples.py:52
            y ~ Normal(centre[i], bound + 0.1 * t).mask(hidden[0] > 0.0)  [observed]  # examples.py:53
        with plate('more', size=2):                                                   # examples.py:54
            count ~ Binomial(5, logits=random(hidden)[0]).expand([3])                 # examples.py:55"""


@pytest.mark.parametrize(
    ("program", "text"),
    [
        (bound_vae(), VAE),
        (encoder(IMAGES.astype(float)), ENCODER),
        (bound_regression(), REGRESSION),
        (bound_everything(), EVERYTHING),
    ],
    ids=["vae", "encoder", "regression", "everything"],
)
def test_golden_text(program: ppl.Program, text: str):
    assert str(program) == repr(program) == text


@ppl.model
def forms(a, b):
    x = ppl.sample("x", dist.Normal(0.0, 1.0).expand([2, 2]))
    values = [
        (a + b) * x - (a - b) / -x,
        a - (b - x),
        x ** (a + 1.0) ** 2,
        (x**2) ** 0.5,
        -(x**2),
        (x > 0) & ~((x < 1) | (x != 2)),
        x[0, 1:] + x[..., 0] + x[::-1, :1][:, 0],
        x.T @ x,
        x[ops.asarray([1, 0])],
        ops.stack([x, x], axis=0),
        ops.sum(x) + ops.sum(x, axis=0) + ops.mean(x, axis=(0, 1), keepdims=True),
        ops.softmax(x, axis=0),
        ops.zeros(20) + 1.0,
        abs(x) // 2 % 3,
    ]
    for i, value in enumerate(values):
        ppl.deterministic(f"v{i}", value)


FORMS = [
    "(a + b) * x - (a - b) / -x",
    "a - (b - x)",
    "x**(a + 1.0)**2",
    "(x**2)**0.5",
    "-x**2",
    "(x > 0.0) & ~((x < 1.0) | (x != 2.0))",
    "x[0, 1:] + x[:, 0] + flip(x, axis=-2)[:, :1][:, 0]",
    "x.T @ x",
    "x[[1, 0]]",
    "stack([x, x], axis=-3)",
    "sum(x) + sum(x, axis=-2) + mean(x, keepdims=True)",
    "softmax(x, axis=-2)",
    "full([20], 0.0) + 1.0",
    "abs(x) // 2.0 % 3.0",
]


@pytest.mark.parametrize("index", range(len(FORMS)))
def test_expressions_read_as_python(index: int):
    program = forms(ppl.spec(()), ppl.spec(()))
    assert expression(program.deterministics[f"v{index}"].expression) == FORMS[index]


def test_values_used_twice_get_a_line_of_their_own_and_keep_their_names():
    @ppl.model
    def named():
        x = ppl.sample("x", dist.Normal(0.0, 1.0))
        twice = ops.exp(x) + 1.0
        ppl.sample("y", dist.Normal(twice, twice))
        ppl.sample("z", dist.Normal(ops.tanh(x) * 2.0, abs(ops.tanh(x)) + 1.0))

    lines = [line.partition("#")[0].strip() for line in str(named()).splitlines()]
    assert lines[2:4] == ["twice = exp(x) + 1.0", "y ~ Normal(twice, twice)"]
    assert lines[4] == "z ~ Normal(tanh(x) * 2.0, abs(tanh(x)) + 1.0)"


def test_an_expansion_to_one_draw_is_not_shown():
    @ppl.model
    def expanded():
        ppl.sample("one", dist.Normal(0.0, 1.0).expand([]))
        ppl.sample("vector", dist.Dirichlet(ops.ones(3)).expand([]))
        ppl.sample("many", dist.Normal(0.0, 1.0).expand([2]))

    lines = [line.partition("#")[0].strip() for line in str(expanded()).splitlines()]
    assert lines[1:] == [
        "one ~ Normal(0.0, 1.0)",
        "vector ~ Dirichlet([1.0, 1.0, 1.0])",
        "many ~ Normal(0.0, 1.0).expand([2])",
    ]


def test_settings_and_inputs_of_a_call_are_shown():
    @ppl.model
    def settings(pair, table, *, names=("a", "b"), deep=True):
        ppl.sample("x", dist.Normal(pair[0] + table["u"], 1.0))

    program = settings((1.5 * ops_array(2), ops_array(3)), {"u": ops_array(2)}, names=["x"] * 30)
    assert (
        str(program)
        .splitlines()[0]
        .startswith(
            "settings(pair.0: float[2], pair.1: float[3], table.u: float[2], names=['x', 'x', 'x', 'x', 'x', 'x', 'x', "
        )
    )
    assert "..." in str(program).splitlines()[0]


def ops_array(size: int):
    import numpy as np

    return np.ones(size)
