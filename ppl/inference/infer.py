"""`ppl.infer`: a program and a method in, a posterior out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ppl.backend.compiled import PRECISIONS, get_backend
from ppl.errors import ModelError, UnknownNameError, nearest
from ppl.posterior.posterior import Posterior
from ppl.program.program import Program

from .choose import choose


class Method(Protocol):
    """An algorithm with its settings, as a frozen dataclass."""

    def check(self, program: Program, seed: int = 0) -> object:
        """Refuse the program if the method cannot treat it correctly; a report of what is known beforehand, if any."""
        ...

    def run(self, program: Program, backend: Any, seed: int, precision: str) -> Posterior:
        """Run on a checked program."""
        ...


def infer(
    program: Program,
    method: Method | None = None,
    *,
    data: Mapping[str, Any] | None = None,
    backend: str = "numpyro",
    seed: int = 0,
    precision: str = "float32",
) -> Posterior:
    """Infer the latent sites and parameters of a program.

    Args:
        program: a model; its observed sites hold data.
        method: SVI, NUTS, ImportanceSampling; without one, a method is chosen and the reason printed.
        data: more sites to observe, as in `program.observe`.
        backend: "numpyro" (JAX) or "pyro" (torch).
        seed: for everything random.
        precision: "float32" or "float64".

    Returns:
        The posterior.

    Raises:
        PPLError: the method cannot treat the program, or the data does not fit it.
    """
    if not isinstance(program, Program):
        raise ModelError(
            "ppl.infer needs a program.",
            got=type(program).__name__,
            remedy="Call the model with its inputs first: program = model(inputs).observe(site=data).",
        )
    if precision not in PRECISIONS:
        raise UnknownNameError(f"there is no precision {precision!r}.", remedy=nearest(str(precision), PRECISIONS))
    if data:
        program = program.observe(**data)
    side = get_backend(backend)
    if method is None:
        chosen, reason = choose(program)
        print(f"method: {chosen!r}\n  because {reason}")
    else:
        chosen = method
    chosen.check(program, seed)
    return chosen.run(program, side, seed, precision)
