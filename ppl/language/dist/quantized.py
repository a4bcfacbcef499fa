"""Vectors out of a table: the prior of a vector-quantised latent, and the encoder that takes the nearest row.

Reference: van den Oord, Vinyals and Kavukcuoglu (2017), Neural discrete representation learning.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ppl.errors import ShapeError, user_location
from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply
from ppl.program.supports import Support, real_matrix, real_vector, row_of
from ppl.program.values import Shape, Value

from . import algebra as al
from .categorical import Categorical
from .guards import inside
from .transformed import Delta


class Rows(Distribution):
    """What both have in common: a table, and draws that are rows of it."""

    event_rank = 1
    reparameterized = False

    def _check_table(self) -> None:
        table = self.params["codebook"]
        if table.ndim != 2:
            raise ShapeError(
                f"{self.family}: the codebook is one table.",
                declared_at=user_location(),
                expected="shape (entries, features)",
                got=repr(table),
                remedy="Put repetitions in a plate, or .expand(...) the distribution.",
            )

    @property
    def codebook(self) -> Value:
        """The table, shape (entries, features)."""
        return self.params["codebook"]

    @property
    def entries(self) -> int:
        """Number of rows."""
        return self.codebook.shape[0]

    @property
    def support(self) -> Support:
        """The rows of the table."""
        return row_of(self.codebook)

    def core_shape(self) -> Shape:
        """One entry a feature."""
        return (self.codebook.shape[-1],)

    def batch_shape(self) -> Shape:
        """That of the parameters beside the table."""
        (name,) = [n for n in self.params if n != "codebook"]
        return self.params[name].shape[:-1]

    def nearest(self, value: Value) -> Value:
        """Number of the row at the least distance from a vector; shape: that of the vector less its last axis."""
        difference = apply("subtract", self.codebook, value[..., None, :])
        return apply("argmin", apply("sum", apply("square", difference), axis=(-1,)), axis=(-1,))

    def row(self, index: Value) -> Value:
        """The rows of some numbers."""
        return apply("take", self.codebook, index)


class Codebook(Rows):
    """A random row of a table.

    Args:
        codebook: the rows, shape (entries, features).
        logits: log weight of each row, normalised here.

    The value is the row itself, a vector, so that a decoder reads it as any other latent vector. Rows have
    probabilities, not densities; of equal rows only the first one's counts.
    """

    parameters: ClassVar[dict[str, Support]] = {"codebook": real_matrix, "logits": real_vector}

    def __init__(self, codebook: Any, logits: Any) -> None:
        super().__init__({"codebook": codebook, "logits": logits})

    def _settle(self) -> None:
        self._check_table()
        if self.params["logits"].shape[-1:] != (self.entries,):
            raise ShapeError(
                "Codebook: every row has one weight.",
                declared_at=user_location(),
                expected=f"logits of shape ({self.entries},)",
                got=repr(self.params["logits"]),
            )
        super()._settle()

    @property
    def choice(self) -> Categorical:
        """The distribution of the row's number."""
        return Categorical(logits=self.params["logits"])

    def element_log_prob(self, value: Value) -> Value:
        """Log probability of each row, in nats."""
        return inside(self, value, lambda x: al.pick(self.choice.log_probs, self.nearest(x)))

    def draw(self, noise: NoiseSource) -> Value:
        """The row whose number wins an exponential race."""
        return self.row(self.choice.expand(self.element_shape).draw(noise))

    def element_mean(self) -> Value:
        """The mean row."""
        return apply("matmul", self.choice.probs, self.codebook)

    def element_variance(self) -> Value:
        """Mean square less squared mean, feature by feature."""
        square = apply("matmul", self.choice.probs, apply("square", self.codebook))
        return apply("subtract", square, apply("square", self.element_mean()))


class Nearest(Rows):
    """The row of a table that is nearest to a vector, with certainty; how gradients pass is the strategy's affair.

    Args:
        output: the vector.
        codebook: the rows, shape (entries, features).
    """

    parameters: ClassVar[dict[str, Support]] = {"output": real_vector, "codebook": real_matrix}

    def __init__(self, output: Any, codebook: Any) -> None:
        super().__init__({"output": output, "codebook": codebook})

    def _settle(self) -> None:
        self._check_table()
        features, size = self.codebook.shape[-1], self.params["output"].shape[-1]
        if size != features:
            raise ShapeError(
                "Nearest: the vector has not as many features as the rows.",
                declared_at=user_location(),
                expected=f"({features},), the rows of the codebook",
                got=f"({size},)",
            )
        super()._settle()

    @property
    def output(self) -> Value:
        """The vector, of shape `event_shape`."""
        value = self.params["output"]
        return value if value.shape == self.event_shape else apply("broadcast_to", value, shape=self.event_shape)

    def element_log_prob(self, value: Value) -> Value:
        """Zero at the nearest row, -inf elsewhere."""

        def certain(x: Value) -> Value:
            same = apply("equal", self.nearest(x), self.nearest(self.output))
            return apply("where", same, 0.0, -math.inf)

        return inside(self, value, certain)

    def draw(self, noise: NoiseSource) -> Value:
        """The nearest row."""
        return self.row(self.nearest(self.output))

    def spelled(self) -> Distribution:
        """All mass on the nearest row."""
        if self.element_shape:
            return super().spelled()
        out = Delta(self.row(self.nearest(self.output)))
        out.mask_value, out.checked = self.mask_value, self.checked
        return out

    def element_mean(self) -> Value:
        """The nearest row."""
        return self.row(self.nearest(self.output))

    def element_variance(self) -> Value:
        """Zero."""
        return apply("multiply", 0.0, self.element_mean())
