"""Draws that are made when they are first looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

Draws = Mapping[str, np.ndarray]


class LazyDraws(Mapping[str, np.ndarray]):
    """A mapping that knows its names at once and its arrays after the first look at one of them.

    Args:
        make: gives the arrays.
        names: the names that it will give.
        check: looks the arrays over and gives them back in order.
    """

    def __init__(self, make: Callable[[], Draws], names: tuple[str, ...], check: Callable[[Draws], Draws]) -> None:
        self._make = make
        self._names = names
        self._check = check
        self._arrays: Draws | None = None

    @property
    def made(self) -> bool:
        """Whether the arrays are there."""
        return self._arrays is not None

    @property
    def arrays(self) -> Draws:
        """The arrays, made now if need be."""
        if self._arrays is None:
            self._arrays = self._check(self._make())
        return self._arrays

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names if self._arrays is None else self._arrays)

    def __len__(self) -> int:
        return len(self._names if self._arrays is None else self._arrays)

    def __contains__(self, name: object) -> bool:
        return name in (self._names if self._arrays is None else self._arrays)
