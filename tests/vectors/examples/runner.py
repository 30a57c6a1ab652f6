"""Judges DIR/<id>.safetensors as ../README.md says: python3 tests/vectors/examples/runner.py DIR. Needs NumPy."""

import json
import sys
from pathlib import Path

import numpy as np

VECTORS = Path(__file__).resolve().parent.parent
JUDGE = json.loads((VECTORS / "judge.json").read_text())
TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def read(path):
    """The metadata, and each tensor of these types as f64 with the name of its type. Others are as good as missing."""
    raw, tensors = path.read_bytes(), {}
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    metadata = header.pop("__metadata__", {})
    for name, t in ((name, t) for name, t in header.items() if t["dtype"] in TYPES):
        numbers = np.frombuffer(raw[start:][slice(*t["data_offsets"])], TYPES[t["dtype"]])
        if t["dtype"] == "BF16":  # the upper half of a float
            numbers = (numbers.astype("<u4") << 16).view("<f4")
        tensors[name] = numbers.astype(float).reshape(t["shape"]), t["dtype"]
    return metadata, tensors


def wrong(case, tensors, metadata, got):
    """What is wrong first, or None. A projected gradient X is right if X (s^2 A A^T) = G holds well enough."""
    if case["class"] == "reject" or "error" in metadata:
        return "should have been refused" if "error" not in metadata else None if case["class"] == "reject" else "refused"
    for name, ranges in case.get("draws", {}).items():
        if f"out.{name}" not in got:
            return f"out.{name}: missing, or its type is none of {[*TYPES]}"
        p, dtype = got[f"out.{name}"]
        found = [p.min(), p.max(), *(np.mean(p**k) for k in (1, 2, 4))]
        if not all(low <= value <= high for value, (low, high) in zip(found, ranges[dtype])):
            return f"{name}: range and means are {found}, not in {ranges[dtype]}"
    for name, terms in case.get("outputs", {}).items():
        (value, dtype), want = got.get(f"out.{name}", (None, "F64")), tensors[f"out.{name}"][0]
        if value is None or value.shape != want.shape:
            return f"out.{name}: missing, or not of shape {want.shape}, or its type is none of {[*TYPES]}"
        gauges = [JUDGE["growth"][row][dtype] * tensors[f"gauge.{name}.{term}"][0] for term, row in terms.items()]
        limit = sum(gauges, JUDGE["tiny"][case["underflow"][0]][dtype] * case["underflow"][1])
        solved = name == "projected_grad_lora_B"
        off = value @ case["system"] - tensors["out.grad_lora_B"][0] if solved else value - want
        ok = np.isfinite(off) & np.isfinite(want) & (np.abs(off) <= limit)  # inf <= inf holds, so finite ones
        ok |= (value == want) | np.isnan(value) & np.isnan(want)
        near = np.isnan(limit) & (np.abs(off) <= JUDGE["slack"][dtype] * np.abs(want))
        ok |= (case["class"] == "acceptable") & (near | ~np.isfinite(limit) & ~np.isfinite(value))
        for at in map(tuple, np.argwhere(~ok)):
            return f"{name} at {[*map(int, at)]}: got {value[at]}, want {want[at]}"


np.seterr(all="ignore")  # inf - inf
asked = {id: answer for id in JUDGE["cases"] if (answer := Path(sys.argv[1], f"{id}.safetensors")).exists()}
found = {id: wrong(JUDGE["cases"][id], read(VECTORS / f"{id}.safetensors")[1], *read(asked[id])) for id in asked}
failed = {id: why for id, why in found.items() if why}
print(*(f"FAIL {id} {why}\n" for id, why in failed.items()), f"{len(found)} cases judged, {len(failed)} failed", sep="")
sys.exit(1 if failed else 0 if found else 3)
