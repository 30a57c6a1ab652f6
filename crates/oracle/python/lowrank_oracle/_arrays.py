"""Arrays of NumPy, torch, JAX and MLX, to the name of their type and their numbers."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

_NAMES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}


def named(name: str, value: Any) -> tuple[str, np.ndarray]:
    """The safetensors type and the array of a tensor of any framework; BF16 as its bits.

    Accepts what `numpy.asarray` or DLPack accept; torch tensors on any device, with or without a graph; bfloat16 of torch,
    MLX and of whatever gives NumPy the type of ml_dtypes, as JAX does. Raises TypeError, naming the tensor, for anything
    that is not floating point.
    """
    if value is None:
        raise TypeError(f"{name} is None: no gradient, or not computed; leave it out to see it reported as missing")
    dtype, array = _array(value)
    if dtype not in _NAMES:
        raise TypeError(f"{name} has dtype {dtype}: the oracle judges float64, float32, float16 and bfloat16")
    return _NAMES[dtype], array


def mask(name: str, value: Any) -> tuple[str, np.ndarray]:
    """A dropout mask of any framework and any type: U8, 1 where it is not 0. Raises TypeError, with the name, for None."""
    if value is None:
        raise TypeError(f"{name} is None: leave it out where nothing is dropped")
    dtype, array = _array(value)
    # In the bits of bfloat16 the first one is the sign, and -0 is 0.
    return "U8", (array & 0x7FFF if dtype == "bfloat16" else array) != 0


def _array(value: Any) -> tuple[str, np.ndarray]:
    """The name of its type and its numbers, of bfloat16 the bits."""
    framework = type(value).__module__.partition(".")[0]
    if framework == "torch":
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            return "bfloat16", value.contiguous().view(sys.modules["torch"].int16).numpy().view(np.uint16)
        value = value.numpy()
    elif framework == "mlx" and str(value.dtype).endswith("bfloat16"):
        return "bfloat16", np.array(value.view(sys.modules["mlx.core"].uint16))
    elif hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        value = np.from_dlpack(value)
    array = np.asarray(value)
    if array.dtype.name == "bfloat16":
        return "bfloat16", array.view(np.uint16)
    return array.dtype.name, array


def cast(array: np.ndarray, dtype: Any) -> Any:
    """`array` in another type: a torch tensor for a torch dtype, else an array of NumPy. A boolean mask is cast too.

    The shipped inputs have 8 significant bits, so they are the same numbers in float64, float32, float16 and bfloat16.
    """
    if type(dtype).__module__ == "torch":
        torch = sys.modules["torch"]
        return torch.from_numpy(np.array(array)).to(dtype)
    return array.astype(dtype)
