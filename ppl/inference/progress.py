"""A progress bar that shows the objective; silent where nobody looks."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Self


def watched() -> bool:
    """Whether somebody looks: standard error is a terminal, or this is a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


class Progress:
    """A tqdm bar over steps.

    Args:
        total: number of steps.
        initial: steps done before.
        label: what runs.
        show: whether to show it; it stays silent too where standard error is no terminal and no notebook.
    """

    def __init__(self, total: int, initial: int, label: str, show: bool) -> None:
        self._bar: Any = None
        if show and watched():
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, initial=initial, desc=label, leave=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, steps: int, **facts: float) -> None:
        """Move on, and show some numbers."""
        if self._bar is not None:
            self._bar.set_postfix({k: f"{v:.4g}" for k, v in facts.items()}, refresh=False)
            self._bar.update(steps)
