"""Arrays from anywhere: numpy, torch, jax, pandas, xarray, or a bare specification of shape and dtype."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from ppl.errors import DataError, user_location
from ppl.program.values import DType, Shape, Value, dtype_kind


@dataclass(frozen=True)
class Spec:
    """The shape and dtype of an input whose values come later."""

    shape: Shape
    dtype: DType = "float"


def spec(shape: int | tuple[int, ...], dtype: Any = "float") -> Spec:
    """Describe an input without giving its values.

    Args:
        shape: its shape, the rows of a plate included.
        dtype: "float", "int", "bool" or a numpy dtype.
    """
    kind = dtype if dtype in ("float", "int", "bool") else dtype_kind(dtype)
    return Spec((shape,) if isinstance(shape, int) else tuple(shape), kind)


def is_array(item: Any) -> bool:
    """Whether an argument is an array, and so an input of the model rather than a setting."""
    if isinstance(item, (Value, np.generic, str, bytes, int, float, bool, list, tuple, dict)) or item is None:
        return False
    if isinstance(item, (Spec, np.ndarray)):
        return True
    return hasattr(item, "__array__") and hasattr(item, "shape")


def to_numpy(item: Any, name: str) -> np.ndarray:
    """Any array as a numpy array.

    Raises:
        DataError: its dtype has no place in a program, or it is masked.
    """
    masked = cast("Any", item) if isinstance(item, np.ma.MaskedArray) else None
    if masked is not None and np.ma.getmaskarray(masked).any():
        raise DataError(
            f"{name!r} is a masked array.",
            declared_at=user_location(),
            expected="numbers only",
            got=f"{int(np.ma.getmaskarray(masked).sum())} masked elements",
            remedy="Leave the rows out, or fill them in; a distribution's .mask leaves elements out of the density.",
        )
    source: Any = cast("Any", item)
    if hasattr(source, "detach") and hasattr(source, "cpu"):
        source = source.detach().cpu()
    array: np.ndarray = np.asarray(source)
    try:
        dtype_kind(array.dtype)
    except TypeError as error:
        raise DataError(
            f"{name!r} is not numeric.",
            declared_at=user_location(),
            expected="real, integer or boolean numbers",
            got=f"dtype {array.dtype}",
            remedy="Encode categories as integers first.",
        ) from error
    return array
