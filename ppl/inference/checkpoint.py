"""Checkpoints: a running fit on disk, replaced atomically, read back without pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ppl.errors import FormatError

VERSION = 1


def write_checkpoint(path: str | Path, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
    """Write arrays and facts; a process killed at any moment leaves either the old file or the new one.

    Args:
        path: the file.
        arrays: numpy arrays by name.
        facts: what JSON can hold.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    manifest = np.frombuffer(json.dumps({"version": VERSION, **facts}).encode(), dtype=np.uint8)
    with open(temporary, "wb") as file:
        content: dict[str, Any] = {_key(k): v for k, v in arrays.items()}
        np.savez(file, __manifest__=manifest, **content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, target)


def read_checkpoint(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and facts of a checkpoint.

    Raises:
        FormatError: the file is cut short, damaged, or of a newer version.
    """
    import zipfile

    try:
        # numpy leaves a file it cannot read open, so it gets one that is already open.
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
            content = {k: file[k] for k in file.files}
        facts = json.loads(content.pop("__manifest__").tobytes().decode())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, json.JSONDecodeError) as error:
        raise FormatError(
            f"the checkpoint {os.fspath(path)!r} is cut short or damaged.",
            got=str(error),
            remedy="Delete it to start anew.",
        ) from error
    if facts["version"] > VERSION:
        raise FormatError(
            f"the checkpoint {os.fspath(path)!r} was written by a newer version.",
            expected=f"format version {VERSION} or older",
            got=f"format version {facts['version']}",
            remedy="Upgrade credo-ppl.",
        )
    return {_name(k): v for k, v in content.items()}, facts


def _key(name: str) -> str:
    return name.replace("/", "%2F")


def _name(key: str) -> str:
    return key.replace("%2F", "/")
