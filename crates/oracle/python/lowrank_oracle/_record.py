"""Steps of a training run, written for `lowrank follow`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import _arrays, _safetensors


def record(
    folder: str | Path,
    number: int,
    op: str,
    method: str,
    params: Mapping[str, Any],
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any],
) -> Path:
    """Writes what a training run was given in step `number`, and what it came to; returns the file.

    `op` is `backward` (or `forward`) for the passes and `step` for the update. `params` says what the code is meant to
    do: the learning rate of this step, not the one that the optimizer turned out to have. Tensors have the names and the
    shapes of the README in `VECTORS`, without `in.` and `out.`; outputs that are left out are not judged. The arrays are
    copied. A layer of several has a folder of its own in that of the run.

    Raises TypeError, with the name, for a tensor that is not floating point.
    """
    case = {"schema": "lowrank-case/1", "method": method, "op": op, "params": dict(params)}
    tensors = {}
    for kind, named in (("in", inputs), ("out", outputs)):
        for name, value in named.items():
            read = _arrays.mask if name == "dropout_mask" else _arrays.named
            tensors[f"{kind}.{name}"] = read(name, value)
    path = Path(folder) / f"{number}-{op}.safetensors"
    _safetensors.write(path, {"case": json.dumps(case)}, tensors)
    return path
