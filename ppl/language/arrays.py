"""Arrays from anywhere: numpy, torch, jax, pandas, xarray, or a bare specification of shape and dtype."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ppl.errors import DataError
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
        DataError: its dtype has no place in a program.
    """
    if hasattr(item, "detach") and hasattr(item, "cpu"):
        item = item.detach().cpu()
    # np.asanyarray would keep a masked array's mask; the language of missing data decides what that means.
    array = np.asarray(item)
    try:
        dtype_kind(array.dtype)
    except TypeError as error:
        raise DataError(
            f"input {name!r} is not numeric.",
            expected="real, integer or boolean numbers",
            got=f"dtype {array.dtype}",
            remedy="Encode categories as integers first.",
        ) from error
    return array
