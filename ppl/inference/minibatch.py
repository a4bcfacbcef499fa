"""Minibatches: which plates are subsampled, and which rows each step sees."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from ppl.errors import PlateError, UnknownNameError, nearest
from ppl.program.missing import missing_plate
from ppl.program.program import Program

from .schedules import Curve


def batch_sizes(program: Program, batch_size: int | Mapping[str, int] | None) -> dict[str, int]:
    """Batch size of each subsampled plate.

    Args:
        program: the model.
        batch_size: a size for the one outermost plate that holds data, or a size for each plate by name.

    Raises:
        UnknownNameError: no such plate.
        PlateError: a size out of range, or a single number where several plates could be meant.
    """
    if batch_size is None:
        return {}
    if isinstance(batch_size, Mapping):
        sizes = dict(batch_size)
    else:
        outer = dict.fromkeys(s.plates[0].name for s in program.observed.values() if s.plates)
        if len(outer) != 1:
            raise PlateError(
                f"batch_size={batch_size} does not say which plate to subsample.",
                model=program.name,
                expected="one outermost plate with observed sites",
                got=f"{list(outer)}",
                remedy="Name it: batch_size={'plate': size}.",
            )
        sizes = {next(iter(outer)): batch_size}
    known = {p.name: p.plate for p in program.plates}
    gaps = {missing_plate(n, 1).name: s for n, s in program.sites.items() if s.missing is not None}
    for name, size in sizes.items():
        if name not in known:
            raise UnknownNameError(f"there is no plate {name!r}.", model=program.name, remedy=nearest(name, known))
        if not 1 <= size <= known[name].size:
            raise PlateError(
                f"a minibatch of {size} rows does not fit plate {name!r}.",
                model=program.name,
                expected=f"1 to {known[name].size} rows",
                got=str(size),
            )
        if name in gaps:
            site = gaps[name]
            raise PlateError(
                f"the missing elements of {site.name!r} cannot be cut into minibatches: its rows read all of them.",
                model=program.name,
                declared_at=site.location,
                plate=str(known[name]),
                expected=f"a plate of rows, such as {', '.join(p.name for p in site.plates) or 'one around the site'}",
                got=f"the elements of {site.name!r} that are missing",
                remedy="Cut the plate that the site stands in: what is missing in other rows is left alone.",
            )
        carried = [c for c in program.carries.values() if c.time == known[name]]
        if carried and size < known[name].size:
            raise PlateError(
                f"scan {name!r} cannot be cut into minibatches: its steps follow one another.",
                model=program.name,
                declared_at=carried[0].location,
                plate=str(known[name]),
                expected="a plate whose elements are independent of one another",
                got=f"a scan whose steps hand on {', '.join(c.hint for c in carried)}",
                remedy="Fit all steps together, or declare many series as a plate around the scan and cut that.",
            )
    # A batch of all rows is no minibatch: leaving it out saves the gather.
    return {name: size for name, size in sizes.items() if size < known[name].size}


class Rows:
    """The rows of each step: every epoch is a fresh permutation, cut into batches; an incomplete last one is dropped.

    A pure function of seed, plate and step, so that a fit resumes with the rows it would have seen, and both backends
    see the same rows.
    """

    def __init__(
        self, program: Program, batch: Mapping[str, int], seed: int, curves: Mapping[str, Curve] | None = None
    ) -> None:
        self.sizes = {name: (program.plate(name).size, size) for name, size in batch.items()}
        self.seed = seed
        self.curves = curves or {}
        self._cache: dict[tuple[str, int], np.ndarray] = {}
        self._prepared: tuple[tuple[int, int], dict[str, np.ndarray]] = (0, 0), {}

    def __call__(self, start: int, steps: int) -> dict[str, np.ndarray]:
        """What steps start ... start + steps - 1 read.

        Returns:
            Rows, shape (steps, batch) for each plate; numbers, shape (steps,) for each curve.
        """
        key, rows = self._prepared
        if key == (start, steps):
            return rows
        numbers = {name: curve.values(start, start + steps) for name, curve in self.curves.items()}
        return {name: self._rows(name, start, start + steps) for name in self.sizes} | numbers

    def prepare(self, start: int, steps: int) -> None:
        """Compute ahead the rows that will be asked for next."""
        self._prepared = (start, steps), self(start, steps)

    def _rows(self, name: str, start: int, stop: int) -> np.ndarray:
        size, batch = self.sizes[name]
        each = size // batch
        parts: list[np.ndarray] = []
        for epoch in range(start // each, (stop - 1) // each + 1):
            begin = epoch * each
            parts.append(self._epoch(name, epoch)[max(start - begin, 0) : stop - begin])
        return np.concatenate(parts)

    def _epoch(self, name: str, epoch: int) -> np.ndarray:
        """The batches of one epoch, shape (batches, batch)."""
        size, batch = self.sizes[name]
        found = self._cache.get((name, epoch))
        if found is None:
            generator = np.random.default_rng([self.seed, zlib.crc32(name.encode()), epoch])
            order = generator.permutation(size)[: size // batch * batch].astype(np.int32)
            self._cache = {k: v for k, v in self._cache.items() if k[0] != name}
            found = self._cache[(name, epoch)] = order.reshape(-1, batch)
        return found
