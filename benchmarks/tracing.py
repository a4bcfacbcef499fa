"""Time to trace and lower a program with a plate of a million rows; ours only.

The cost should depend on the statements of a program, not on its data: a plate of a thousand rows stands beside it.
"""

from functools import partial

from .harness import Block, Candidate, Case, Target
from .programs import Ran

ROWS = 1_000_000


def credo_trace(rows: int, backend: str, steps: int) -> Block:
    """Trace a model with one plate of `rows` rows and emit its source for `backend`, `steps` times; inputs made before.

    Emission is included, compilation by XLA or inductor is not.
    """
    import numpy as np

    import ppl

    from . import ours

    x, y = np.zeros((rows, 3), np.float32), np.zeros(rows, np.float32)

    def block() -> Ran:
        for _ in range(steps):
            program = ours.regression(x).observe(y=y)
            program.to_source(backend)
            source = ppl.compile(program, backend).density[0].source
            assert source.startswith("import")
        return Ran(steps)

    return block


def cases() -> list[Case]:
    """Both backends."""

    def candidates(backend: str) -> list[Candidate]:
        return [
            Candidate("Credo", partial(credo_trace, ROWS, backend), 5),
            Candidate("Credo, a thousand rows", partial(credo_trace, 1000, backend), 5),
        ]

    target = Target("Credo", "", 0.1, "seconds")
    return [
        Case(f"trace and lower, {name}", "process", 1, partial(candidates, backend), (target,), unit="program")
        for backend, name in (("numpyro", "JAX"), ("pyro", "torch"))
    ]
