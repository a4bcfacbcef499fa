"""How the support of a parameter is written as a constraint of Pyro and of NumPyro. Text only."""

from __future__ import annotations

from typing import Literal

from ppl.errors import UnsupportedByBackend

# Where a library's name is not ours. An interval that leaves out one end differs from one that has it in nothing that
# is ever drawn.
_NAMES: dict[tuple[str, str], str] = {
    ("numpyro", "half_open_interval"): "interval",
    ("numpyro", "zero_sum"): "zero_sum(1)",
}
_BOTH: dict[str, str] = {
    "ordered": "ordered_vector",
    "positive_ordered": "positive_ordered_vector",
    "positive_vector": "positive",
}
_LACKING: dict[tuple[str, str], str] = {
    ("pyro", "falling"): "Pyro has no such constraint.",
    ("numpyro", "falling"): "NumPyro has no such constraint.",
    ("pyro", "zero_sum"): "Pyro has no such constraint.",
    ("pyro", "real_matrix"): "Pyro has no such constraint.",
    ("numpyro", "sphere"): "NumPyro knows the set, but no map of real numbers onto it.",
}
_OWN_MAP = "Inference by ppl.infer moves the parameter by its own bijection, which both backends have."


def constraint_name(library: Literal["pyro", "numpyro"], kind: str) -> str:
    """The library's name of a kind of support, in its module of constraints.

    Raises:
        UnsupportedByBackend: the library cannot keep a parameter there.
    """
    why = _LACKING.get((library, kind))
    if why is not None:
        raise UnsupportedByBackend(library, f"a parameter with support {kind}", why, _OWN_MAP)
    return _NAMES.get((library, kind)) or _BOTH.get(kind, kind)
