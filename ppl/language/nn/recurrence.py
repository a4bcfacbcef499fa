"""Recurrent networks: one step at a time, or over a whole sequence. Weights are named as in torch."""

from __future__ import annotations

from ppl.errors import ModelError, user_location
from ppl.program.distributions import Distribution

from .declaring import NetworkValue, check_sizes, make_layer, single


def _cell(name: str, title: str, inputs: int, hidden: int, prior: Distribution | None) -> NetworkValue:
    check_sizes(name, inputs=inputs, hidden=hidden)
    only = make_layer("0", "cell", cell=title.lower(), inputs=inputs, hidden=hidden)
    return single(name, only, f"{title}Cell({inputs}, {hidden})", prior)


def _sequence(
    name: str, title: str, inputs: int, hidden: int, direction: str, prior: Distribution | None
) -> NetworkValue:
    check_sizes(name, inputs=inputs, hidden=hidden)
    if direction not in ("forward", "backward", "both"):
        raise ModelError(
            f"network {name!r}: time runs in no direction {direction!r}.",
            declared_at=user_location(),
            expected="'forward', 'backward' or 'both'",
            got=repr(direction),
        )
    only = make_layer("0", "recurrent", cell=title.lower(), inputs=inputs, hidden=hidden, direction=direction)
    shown = "" if direction == "forward" else f", direction={direction!r}"
    return single(name, only, f"{title}({inputs}, {hidden}{shown})", prior)


def RNNCell(name: str, inputs: int, hidden: int, *, prior: Distribution | None = None) -> NetworkValue:
    """A plain recurrent cell: h' = tanh(W x + b + U h + c).

    Called as `cell(x, h)` with one element of shape (inputs,) and a state of shape (hidden,). Gives the new state
    of shape (hidden,).

    Args:
        name: name of the network; parameters are `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`, as in torch.
        inputs: features of an element.
        hidden: size of the state.
        prior: distribution of one weight.

    Reference: Elman (1990), Finding structure in time.
    """
    return _cell(name, "RNN", inputs, hidden, prior)


def RNN(
    name: str, inputs: int, hidden: int, *, direction: str = "forward", prior: Distribution | None = None
) -> NetworkValue:
    """The cell of `RNNCell` over a sequence: (time, inputs) to hidden states (time, hidden).

    Called with a sequence and, if it does not start from zeros, with a first state. The last state is `out[-1]`,
    or `out[0]` if time runs backward.

    Args:
        name: name of the network; parameters are named as in a `torch.nn.RNN` of one layer.
        inputs: features of an element.
        hidden: size of the state.
        direction: "forward", "backward", or "both", which joins the states of both ways: (time, 2 * hidden).
        prior: distribution of one weight.
    """
    return _sequence(name, "RNN", inputs, hidden, direction, prior)


def GRUCell(name: str, inputs: int, hidden: int, *, prior: Distribution | None = None) -> NetworkValue:
    """A gated recurrent unit: the state forgets by a reset gate and is renewed by an update gate.

    Called as `cell(x, h)` with one element of shape (inputs,) and a state of shape (hidden,). Gives the new state
    of shape (hidden,).

    Args:
        name: name of the network; parameters are `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`, as in torch.
        inputs: features of an element.
        hidden: size of the state.
        prior: distribution of one weight.

    Reference: Cho et al. (2014), Learning phrase representations using RNN encoder-decoder, in the form of torch.
    """
    return _cell(name, "GRU", inputs, hidden, prior)


def GRU(
    name: str, inputs: int, hidden: int, *, direction: str = "forward", prior: Distribution | None = None
) -> NetworkValue:
    """The cell of `GRUCell` over a sequence: (time, inputs) to hidden states (time, hidden).

    Called with a sequence and, if it does not start from zeros, with a first state. The last state is `out[-1]`,
    or `out[0]` if time runs backward.

    Args:
        name: name of the network; parameters are named as in a `torch.nn.GRU` of one layer.
        inputs: features of an element.
        hidden: size of the state.
        direction: "forward", "backward", or "both", which joins the states of both ways: (time, 2 * hidden).
        prior: distribution of one weight.
    """
    return _sequence(name, "GRU", inputs, hidden, direction, prior)


def LSTMCell(name: str, inputs: int, hidden: int, *, prior: Distribution | None = None) -> NetworkValue:
    """A long short-term memory cell: a cell state is kept beside the hidden state.

    Called as `cell(x, h, c)` with one element of shape (inputs,) and hidden and cell state of shape (hidden,). Gives
    both new states, stacked: shape (2, hidden), so that `h, c = cell(x, h, c)`.

    Args:
        name: name of the network; parameters are `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`, as in torch.
        inputs: features of an element.
        hidden: size of the state.
        prior: distribution of one weight.

    Reference: Hochreiter and Schmidhuber (1997), Long short-term memory; Gers et al. (2000) for the forget gate.
    """
    return _cell(name, "LSTM", inputs, hidden, prior)


def LSTM(
    name: str, inputs: int, hidden: int, *, direction: str = "forward", prior: Distribution | None = None
) -> NetworkValue:
    """The cell of `LSTMCell` over a sequence: (time, inputs) to hidden states (time, hidden).

    Called with a sequence and, if it does not start from zeros, with the first hidden and cell state. The last state is
    `out[-1]`, or `out[0]` if time runs backward.

    Args:
        name: name of the network; parameters are named as in a `torch.nn.LSTM` of one layer.
        inputs: features of an element.
        hidden: size of the state.
        direction: "forward", "backward", or "both", which joins the states of both ways: (time, 2 * hidden).
        prior: distribution of one weight.
    """
    return _sequence(name, "LSTM", inputs, hidden, direction, prior)
