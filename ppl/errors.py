"""Errors of Credo: one class per kind of user mistake.

Every message answers five questions: which site, where it was declared, what was expected, what came instead, and what
to do about it. The same facts are attributes of the exception, so that no caller has to parse prose.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
# The zoo is written the way users write models, so its lines count as the user's.
_USER_ROOM = os.path.join(_PACKAGE, "models") + os.sep


@dataclass(frozen=True)
class Location:
    """A line of the user's source: file and line number."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}"


def is_user_file(filename: str) -> bool:
    """Whether a source file belongs to the user, as opposed to Credo's own machinery."""
    return not filename.startswith(_PACKAGE) or filename.startswith(_USER_ROOM)


def user_location() -> Location | None:
    """The innermost line of the user's code on the current call stack, or None outside user code."""
    frame = sys._getframe(1)
    while frame is not None:
        filename = frame.f_code.co_filename
        # The `__init__` that dataclasses generate is in no file.
        generated = filename == "<string>" and frame.f_code.co_name == "__init__"
        machinery = generated or "contextlib" in filename or filename.startswith("<frozen")
        if is_user_file(filename) and not machinery:
            return Location(filename, frame.f_lineno)
        frame = frame.f_back
    return None


def nearest(name: str, known: Iterable[str]) -> str:
    """A clause that suggests the closest known name, or lists the known ones."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known names: {', '.join(names)}." if names else "There are none here."


def _compose(
    summary: str,
    *,
    site: str | None,
    model: str | None,
    declared_at: Location | None,
    plate: str | None,
    expected: str | None,
    got: str | None,
    remedy: str | None,
) -> str:
    where = ""
    if site is not None:
        where = f"site {site!r}" + (f" in model {model!r}" if model else "") + ": "
    elif model is not None:
        where = f"model {model!r}: "
    lines = [where + summary]
    facts = (("declared at", declared_at), ("plate", plate), ("expected", expected), ("got", got))
    lines += [f"  {label:<13} {fact}" for label, fact in facts if fact is not None]
    if remedy:
        lines.append(remedy)
    return "\n".join(lines)


class PPLError(Exception):
    """Base of all errors that Credo raises on purpose.

    Attributes:
        summary: one sentence that says what is wrong.
        site: name of the site at fault, if one is.
        model: name of the model.
        declared_at: the user's file and line.
        plate: the plate concerned, with its size.
        expected: what would have been right, and where that comes from.
        got: what came instead.
        remedy: what to do.
        params: the last good parameters of a fit that stopped here, by name; else None.
        posterior: the `Posterior` of these, if draws of it have a density; else None.
    """

    params: Any = None
    posterior: Any = None

    def __init__(
        self,
        summary: str,
        *,
        site: str | None = None,
        model: str | None = None,
        declared_at: Location | None = None,
        plate: str | None = None,
        expected: str | None = None,
        got: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.summary = summary
        self.site = site
        self.model = model
        self.declared_at = declared_at
        self.plate = plate
        self.expected = expected
        self.got = got
        self.remedy = remedy
        super().__init__(
            _compose(
                summary,
                site=site,
                model=model,
                declared_at=declared_at,
                plate=plate,
                expected=expected,
                got=got,
                remedy=remedy,
            )
        )


class ShapeError(PPLError):
    """Shapes that do not fit: operands, parameters, data, network inputs."""


class PlateError(PPLError):
    """A plate of impossible size, reused with another size, or entered where it has no meaning."""


class SupportError(PPLError):
    """Values or guide sites outside the support of a distribution."""


class DataError(PPLError):
    """Data that cannot be what the model describes: NaN, wrong dtype, unknown name."""


class DtypeError(PPLError):
    """Integer, real and boolean values mixed up, or numbers that the working precision cannot hold."""


class NameClashError(PPLError):
    """Two statements with one name, or a name that does not exist."""


class UnknownNameError(NameClashError):
    """A site, plate, argument, backend or family that does not exist."""


class ModelError(PPLError):
    """A model that cannot be declared this way: misuse of the language itself."""


class SymbolicValueError(ModelError):
    """Python asked a symbolic value for a concrete number or truth value."""


class ScopeError(PPLError):
    """A value used where it does not exist: before it is declared, or outside its model."""


class GuideError(PPLError):
    """A guide that does not match its model."""


class StrategyError(PPLError):
    """A method that cannot treat a site of this program correctly."""


@contextlib.contextmanager
def naming_site(site: str, model: str, declared_at: Location | None) -> Iterator[None]:
    """Say of which site a `StrategyError` is that was raised by a part of its distribution, which has no name."""
    try:
        yield
    except StrategyError as error:
        if error.site is not None:
            raise
        facts = {"site": site, "model": model, "declared_at": declared_at}
        raise StrategyError(
            error.summary, **facts, expected=error.expected, got=error.got, remedy=error.remedy
        ) from error


class NonFiniteError(PPLError):
    """A log density or objective that is not finite, traced to the first site at fault."""


class UnsupportedByBackend(PPLError):
    """A capability that one backend lacks; raised when compiling.

    Attributes:
        backend: name of the backend.
        feature: what was asked for.
        why: the reason.
        alternative: what to do instead.
    """

    def __init__(self, backend: str, feature: str, why: str, alternative: str, *, site: str | None = None) -> None:
        self.backend = backend
        self.feature = feature
        self.why = why
        self.alternative = alternative
        super().__init__(f"{feature} is not supported by backend {backend!r}: {why}", site=site, remedy=alternative)


class FormatError(PPLError):
    """A saved file that is cut short, damaged, or written by a newer version."""
