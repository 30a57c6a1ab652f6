"""Judges DIR/<id>.safetensors as `lowrank check --submission DIR` does. Needs NumPy; ../README.md has the rules.

    python3 tests/vectors/examples/runner.py DIR
"""

import json
import sys
from pathlib import Path

import numpy as np

VECTORS = Path(__file__).resolve().parent.parent
BOUNDS = json.loads((VECTORS / "bounds.json").read_text())
DTYPES = {"F64": ("f64", "<f8"), "F32": ("f32", "<f4"), "BF16": ("bf16", "<u2"), "F16": ("fp16", "<f2"), "U8": ("", "u1")}


def read(path):
    """The metadata, the tensors as f64, and the profile of each tensor's type."""
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header, tensors = json.loads(raw[8:start]), {}
    metadata = header.pop("__metadata__", {})
    for name, t in header.items():
        low, high = t["data_offsets"]
        numbers = np.frombuffer(raw[start + low : start + high], DTYPES[t["dtype"]][1])
        if t["dtype"] == "BF16":
            numbers = (numbers.astype("<u4") << 16).view("<f4")
        tensors[name] = numbers.astype(float).reshape(t["shape"])
    return metadata, tensors, {name: DTYPES[t["dtype"]][0] for name, t in header.items()}


def bound(case, name, tensors, profile):
    """How far each entry of `name` may be off."""
    units, p, vera = BOUNDS["profiles"][profile], case["params"], case["method"] == "vera"
    plain = name.rstrip("0123456789").rstrip(".") if case["op"] == "trajectory" else name
    x, adam = tensors.get("in.x", tensors.get("in.x.0", np.zeros((0, 0)))), p.get("optimizer", {})
    out, r = (tensors[f"in.vera_lambda_{k}"].size for k in "bd") if vera else tensors["in.lora_B"].shape
    sizes = {"one": 1, "tokens": len(x), "in": x.shape[1] or tensors.get("in.lora_A", x).shape[1], "out": out, "r": r,
             "dropout": p.get("dropout_p", 0) > 0, "bias": "in.bias" in tensors}  # fmt: skip
    sizes["rate"] = 3 if case["method"] == "lora-plus" and plain == "lora_B" else 1
    t = p.get("start", 0) + 1 + (int(name.rpartition(".")[2]) if case["op"] == "trajectory" else 0)
    for i, beta in enumerate(adam.get("betas", (0.9, 0.999))):
        sizes[f"beta{i + 1}"] = (1 - i / 2) / (1 - beta)
        sizes[f"bias{i + 1}"] = (1 - i / 2) * (2 * t + 1) * beta**t / (1 - beta**t)

    def growth(*rows):
        counts = ((u, k * sizes[s]) for row in rows for u in row for s, k in row[u].items())
        return np.expm1(sum(k * np.log1p(units[u]) for u, k in counts))

    if case["op"] in ("step", "trajectory") and not (plain == "y" or plain.startswith("grad_")):
        kind = plain if plain == "weight" else plain.rpartition(".")[0] or "p"
        rows = [BOUNDS["update"][adam["name"] + "_hf" * (adam.get("variant") == "hf")][kind]]
        for key in ("trajectory", "projected"):
            if key in (case["op"], p.get("variant")):
                key += "_dora" * (case["method"] == "dora")
                rows += [BOUNDS["carried"][key]] * BOUNDS["carried"]["times"][kind]
        terms = {"all": growth(*rows)}
    else:
        table = BOUNDS["dora"] if case["method"] == "dora" else BOUNDS["layer"] | (BOUNDS["vera"] if vera else {})
        terms = {t.split(".")[1]: growth(row) for t, row in table.items() if t.split(".")[0] == plain}
    floor = units["smallest_normal" if "FTZ" in case["flags"] else "smallest_subnormal"]
    floor *= sum(d for n, t in tensors.items() if n.startswith("in.") for d in t.shape)
    return floor + sum(k * tensors[g] for term, k in terms.items() if (g := f"gauge.{name}.{term}") in tensors)


def judge(case, tensors, metadata, got, profiles):
    """None, or the first thing that is wrong."""
    if case["class"] == "reject":
        return None if "error" in metadata else "should have been refused"
    for full, want in sorted((n, t) for n, t in tensors.items() if n.startswith("out.")):
        name, stem = full[4:], full.rpartition(".")[0]
        if case["class"] == "stat" and stem in got:
            slack, draws = 16 * BOUNDS["profiles"][profiles[stem]]["u_s"], got[stem]
            if name.endswith(".support"):
                value, limit = np.clip([draws.min(), draws.max()], *want), slack * np.abs(want)
                value, want = np.array([draws.min(), draws.max()]), value
            else:
                value, limit = np.array([np.mean(draws**k) for k in (1, 2, 4)]), 6 * tensors["gauge." + name] + slack * np.abs(want)
        elif full not in got or got[full].shape != want.shape:
            return f"{name}: missing, or not of shape {want.shape}"
        else:
            value, limit = got[full], bound(case, name, tensors, profiles[full]) + bound(case, name, tensors, "f64")
        error = np.abs(value - want)
        if name == "projected_grad_lora_B":  # how well X s^2 (A A^T) = G holds, and not how far X is off
            A, alpha, r = tensors["in.lora_A"], case["params"].get("alpha", 8), len(tensors["in.lora_A"])
            square = alpha**2 / (r if case["params"].get("scaling") == "rslora" else r * r)
            error = np.abs(value @ (square * (A @ A.T)) - tensors["out.grad_lora_B"])
        # Without isfinite a finite number would pass for an infinite one: inf <= inf.
        ok = np.isfinite(value) & np.isfinite(want) & (error <= limit) | (value == want) | np.isnan(value) & np.isnan(want)
        if case["class"] == "exact":
            ok = value == want
        elif case["class"] == "acceptable":
            slack = 16 * BOUNDS["profiles"][profiles[full]]["u_s"] * np.abs(want)
            ok |= ~np.isfinite(limit) & ~np.isfinite(value) | np.isnan(limit) & (error <= slack)
        if not ok.all():
            at = tuple(int(i) for i in np.argwhere(~ok)[0])
            return f"{name} at {at}: got {value[at]}, want {want[at]}"
    return None


np.seterr(all="ignore")  # inf - inf
count = failed = 0
for entry in json.loads((VECTORS / "index.json").read_text())["cases"]:
    answer = Path(sys.argv[1]) / f"{entry['id']}.safetensors"
    if answer.exists():
        metadata, tensors, _ = read(VECTORS / f"{entry['id']}.safetensors")
        wrong = judge(json.loads(metadata["case"]), tensors, *read(answer))
        count, failed = count + 1, failed + bool(wrong)
        if wrong:
            print(f"FAIL {entry['id']} {wrong}")
print(f"{count} cases judged, {failed} failed")
sys.exit(1 if failed else 0 if count else 3)
