"""Reads and writes safetensors files: a length, JSON, data. In forty lines, so that NumPy is all the wheel depends on.

The package `safetensors` needs 0.4 or newer and torch or ml_dtypes to hand out BF16; here BF16 is two bytes an entry.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

#: The bytes of each type. BF16 has no NumPy type of its own: its bits are kept as unsigned integers.
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "U8": "u1"}


def read(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """The metadata and the tensors of a file, each tensor with its own shape; BF16 as its bits."""
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        flat = np.frombuffer(raw[start + begin : start + end], DTYPES[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"])
    return metadata, tensors


def write(path: Path, metadata: dict[str, str], tensors: dict[str, tuple[str, np.ndarray]]) -> None:
    """Writes tensors, each with the name of its type. The file appears whole or not at all."""
    header: dict[str, object] = {"__metadata__": metadata}
    data, end = [], 0
    for name, (dtype, array) in tensors.items():
        chunk = np.ascontiguousarray(array, DTYPES[dtype]).tobytes()
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [end, end + len(chunk)]}
        data.append(chunk)
        end += len(chunk)
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(b"".join([len(text).to_bytes(8, "little"), text, *data]))
    temporary.replace(path)
