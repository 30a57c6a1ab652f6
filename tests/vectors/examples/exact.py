"""Judges DIR/<id>.safetensors on the cases of class `exact`: equal or wrong. A place to start from; needs NumPy.

    python3 tests/vectors/examples/exact.py DIR
"""

import json
import sys
from pathlib import Path

import numpy as np

VECTORS = Path(__file__).resolve().parent.parent
TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def read(path):
    """Tensors of these types by name; none where an error says that the case was refused."""
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header, tensors = json.loads(raw[8:start]), {}
    if "error" in header.pop("__metadata__", {}):
        return tensors
    for name, t in ((name, t) for name, t in header.items() if t["dtype"] in TYPES):
        low, high = t["data_offsets"]
        numbers = np.frombuffer(raw[start + low : start + high], TYPES[t["dtype"]])
        if t["dtype"] == "BF16":  # the upper half of a float
            numbers = (numbers.astype("<u4") << 16).view("<f4")
        tensors[name] = numbers.reshape(t["shape"])
    return tensors


judged = failed = 0
for case in json.loads((VECTORS / "index.json").read_text())["cases"]:
    answer = Path(sys.argv[1]) / f"{case['id']}.safetensors"
    if case["class"] == "exact" and answer.exists():
        want, got = read(VECTORS / f"{case['id']}.safetensors"), read(answer)
        # A tensor that is missing or has another shape is not equal either; nor is NaN.
        wrong = [n for n in want if n.startswith("out.") and not np.array_equal(got.get(n), want[n])]
        judged, failed = judged + 1, failed + bool(wrong)
        if wrong:
            print(f"FAIL {case['id']} {wrong[0]}")
print(f"{judged} cases judged, {failed} failed")
sys.exit(1 if failed else 0 if judged else 3)
