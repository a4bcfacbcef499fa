"""One file for one fit: a zip archive of numpy arrays and a JSON manifest, without pickle.

The archive is an `.npz` with one more member, so that `np.load` opens it without Credo. The manifest comes last: a file
that has one is complete.
"""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ppl.errors import FormatError, PPLError, UnknownNameError, nearest
from ppl.program.program import Program
from ppl.program.serial import attach_modules
from ppl.program.statements import Network

from .methods import Decoder, Encoder
from .posterior import Posterior

FORMAT = "credo-posterior"
VERSION = 1
SUFFIX = ".credo"
MANIFEST = "manifest.json"
# One array for each draw; None where the method has none.
PER_DRAW = ("log_weights", "log_p", "log_q")


def with_suffix(path: str | os.PathLike[str]) -> Path:
    """The path, with `.credo` added to a name without suffix."""
    target = Path(path)
    return target if target.suffix else target.with_name(target.name + SUFFIX)


# --- writing --------------------------------------------------------------------------------------------------------


class _Writer:
    """Puts arrays into the archive; one that is met twice (data of model and guide) is written once."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self.known: dict[int, str] = {}
        self.alive: list[np.ndarray] = []

    def array(self, array: np.ndarray) -> str:
        """Write an array; the name of its member."""
        if id(array) in self.known:
            return self.known[id(array)]
        if array.dtype.kind not in "biufUS":
            raise FormatError(f"an array of dtype {array.dtype} cannot be saved without pickle.")
        name = f"array_{len(self.alive)}"
        # A fixed time, so that equal fits give equal files.
        info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
        with self.archive.open(info, "w", force_zip64=True) as member:
            np.lib.format.write_array(member, np.ascontiguousarray(array).reshape(array.shape), allow_pickle=False)
        self.known[id(array)] = name
        self.alive.append(array)
        return name

    def group(self, arrays: Mapping[str, Any]) -> dict[str, str]:
        """Write several arrays; member names by their own names."""
        return {
            name: self.array(array if isinstance(array, np.ndarray) else np.asarray(array))
            for name, array in arrays.items()
        }


def save(fit: Posterior, path: str | os.PathLike[str]) -> str:
    """See `Posterior.save`."""
    target = with_suffix(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                document = _manifest(fit, _Writer(archive))
                text = json.dumps(document, indent=1, allow_nan=False)
                archive.writestr(zipfile.ZipInfo(MANIFEST, (1980, 1, 1, 0, 0, 0)), text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    return str(target)


def _manifest(fit: Posterior, write: _Writer) -> dict[str, Any]:
    figures = Encoder(write.array, strict=True)
    settings = Encoder(write.array, strict=False)
    return {
        "format": FORMAT,
        "version": VERSION,
        "program": _program(fit.program, write),
        "guide": None if fit.guide is None else _program(fit.guide, write),
        "method": settings.encode(fit.method),
        "backend": fit.backend,
        "precision": fit.precision,
        "seed": int(fit.seed),
        "versions": fit.versions,
        "log_evidence": figures.encode(fit.log_evidence),
        "diagnostics": figures.encode(fit.diagnostics),
        "khat": figures.encode(fit.khat),
        "coords": figures.encode({name: list(labels) for name, labels in fit.coords.items()}),
        "draws": write.group(fit.draws),
        "params": write.group(fit.params),
        "sample_stats": write.group(fit.sample_stats),
        "per_draw": write.group({n: getattr(fit, n) for n in PER_DRAW if getattr(fit, n) is not None}),
    }


def _program(program: Program, write: _Writer) -> dict[str, Any]:
    return {"declaration": json.loads(program.to_json()), "data": write.group(program.data)}


# --- reading --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever goes wrong while a damaged file is read becomes one kind of error."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, PermissionError, PPLError):
        raise
    except zipfile.BadZipFile as error:
        summary = "is damaged" if "CRC" in str(error) else "is cut short, or is no saved fit"
        raise _damaged(path, summary, error) from error
    # Flipped bits may surface anywhere: in the zip headers, in the array headers, in the text of the manifest.
    except Exception as error:
        raise _damaged(path, "is damaged", error) from error


def _damaged(path: Path, summary: str, error: BaseException) -> FormatError:
    return FormatError(
        f"the file {str(path)!r} {summary}.",
        got=f"{type(error).__name__}: {error}",
        remedy="Save the fit again, or restore the file from a copy.",
    )


def load(path: str | os.PathLike[str], modules: Mapping[str, Mapping[str, Any]]) -> Posterior:
    """See `Posterior.load`."""
    target = Path(path)
    if not target.exists():
        target = with_suffix(path)
    with _reading(target), zipfile.ZipFile(target) as archive:
        document = json.loads(_member(archive, MANIFEST))
        _check_version(document, target)
        return _restore(document, archive, modules)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if name not in archive.namelist():
        raise FormatError(f"this is no saved fit: it holds no {name}.", got=f"members {archive.namelist()[:4]}")
    return archive.read(name)


def _check_version(document: Any, path: Path) -> None:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise FormatError(f"the file {str(path)!r} is no saved fit.", expected=f'"format": "{FORMAT}"')
    if document["version"] > VERSION:
        raise FormatError(
            f"the file {str(path)!r} was written by a newer version.",
            expected=f"format version {VERSION} or older",
            got=f"format version {document['version']}",
            remedy="Upgrade credo-ppl.",
        )


def _restore(document: dict[str, Any], archive: zipfile.ZipFile, modules: Mapping[str, Any]) -> Posterior:
    def fetch(name: str) -> np.ndarray:
        with archive.open(f"{name}.npy") as member:
            array = np.lib.format.read_array(member, allow_pickle=False)
            # Reading on to the end makes zipfile compare the checksum.
            if member.read(1):
                raise zlib.error(f"{name} is longer than its header says")
        return array

    def group(members: Mapping[str, str]) -> dict[str, np.ndarray]:
        return {name: fetch(member) for name, member in members.items()}

    def program(row: dict[str, Any]) -> Program:
        bare = Program.from_json(json.dumps(row["declaration"]))
        return _with_modules(replace(bare, data=group(row["data"])), modules)

    model = program(document["program"])
    guide = None if document["guide"] is None else program(document["guide"])
    known = {n for p in (model, guide) if p is not None for n, s in p.networks.items() if s.spec.foreign is not None}
    for name in modules:
        if name not in known:
            raise UnknownNameError(
                f"the fit has no network of your own called {name!r}.", model=model.name, remedy=nearest(name, known)
            )
    decoder = Decoder(fetch, tuple(p for p in (model, guide) if p is not None))
    fit = Posterior(
        model,
        decoder.decode(document["method"]),
        backend=document["backend"],
        precision=document["precision"],
        seed=document["seed"],
        draws=group(document["draws"]),
        params=group(document["params"]),
        sample_stats=group(document["sample_stats"]),
        diagnostics=decoder.decode(document["diagnostics"]),
        log_evidence=decoder.decode(document["log_evidence"]),
        guide=guide,
        versions=document["versions"],
        coords=decoder.decode(document["coords"]),
        **group(document["per_draw"]),
    )
    fit.__dict__["khat"] = decoder.decode(document["khat"])
    return fit


def _with_modules(program: Program, modules: Mapping[str, Mapping[str, Any]]) -> Program:
    """Give the networks of the user's own their factories back."""

    def attached(statement: Any) -> Any:
        if not isinstance(statement, Network) or statement.spec.foreign is None or statement.name not in modules:
            return statement
        own = modules[statement.name]
        return replace(statement, spec=attach_modules(statement.spec, own.get("torch"), own.get("jax")))

    return replace(program, statements=tuple(attached(s) for s in program.statements))
