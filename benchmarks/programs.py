"""What a block of steps is, and whether two blocks are the same compiled program.

Two candidates that give XLA the same work run the same machine code, and then their ratio is 1 whatever a clock says.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ran:
    """What one block did.

    `losses` has one entry per step (SVI: the loss in nats; NUTS: the potential energy of each draw). It is what shows
    that two candidates optimise, or sample, the same thing. `seconds` replaces the outer clock where that would
    include work that is not to be timed (a process shutting down).
    """

    steps: int
    losses: Sequence[float] | np.ndarray = ()
    seconds: float | None = None


@dataclass(frozen=True)
class Program:
    """A block, and the text of the compiled program that it runs (optimised HLO)."""

    block: Callable[[], Ran]
    text: Callable[[], str]

    def __call__(self) -> Ran:
        """Run the block."""
        return self.block()


def fingerprint(text: str) -> str:
    """A digest of all instructions of a program in HLO: operations, shapes, layouts and attributes.

    Names and source positions do not count, nor does the order of instructions, since arguments may come in another
    order. Programs that differ in one operation, shape, constant or axis have different digests.
    """
    instructions: Counter[str] = Counter()
    for line in text.splitlines():
        if not re.match(r"\s+(ROOT )?%?[\w.\-]+ = ", line):
            continue
        line = re.sub(r", (metadata|origin|frontend_attributes)=\{[^{}]*(\{[^{}]*\}[^{}]*)*\}", "", line)
        line = re.sub(r"/\*[^*]*\*/", "", line)
        line = re.sub(r"%?[A-Za-z_][\w.\-]* = ", "= ", line, count=1)
        line = re.sub(r"(calls|to_apply|body|condition|branch_computations)=\{?%[\w.\-]+(, %[\w.\-]+)*\}?", r"\1", line)
        line = re.sub(r"%[\w.\-]+", "%", line)
        line = re.sub(r"(parameter|get-tuple-element)\((.*?)\)(, index=\d+)?", r"\1", line)
        line = re.sub(r"tuple\(.*", "tuple", line)
        # The shape of a loop's state lists its arrays in the order of their names.
        line = re.sub(r"\((?:[a-z0-9]+\[[^\]]*\](?:\{[^}]*\})?(?:, )?)+\)", _sorted_tuple, line)
        instructions[line.strip()] += 1
    listing = "\n".join(f"{count} {line}" for line, count in sorted(instructions.items()))
    return hashlib.sha256(listing.encode()).hexdigest()


def _sorted_tuple(found: re.Match[str]) -> str:
    return "(" + ", ".join(sorted(re.findall(r"[a-z0-9]+\[[^\]]*\](?:\{[^}]*\})?", found.group(0)))) + ")"
