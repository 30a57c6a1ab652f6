"""Reads every case, judges a right and a wrong submission of it at the profile f32. Needs NumPy.

    python3 tests/vectors/examples/runner.py

To judge your own code, replace `right` by a call of it: in.* go in, out.* come out. ../README.md has the rules.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

VECTORS = Path(__file__).resolve().parent.parent
DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "U8": "u1"}
BOUNDS = json.loads((VECTORS / "bounds.json").read_text())
U_A, U_S, SUBNORMAL, SMALLEST_NORMAL = 2.0**-24, 2.0**-24, 2.0**-149, 2.0**-126  # f32


def read(path):
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    case = json.loads(header.pop("__metadata__")["case"])
    data = {name: raw[start + t["data_offsets"][0] : start + t["data_offsets"][1]] for name, t in header.items()}
    return case, {n: np.frombuffer(data[n], DTYPES[t["dtype"]]).reshape(t["shape"]) for n, t in header.items()}


def digest(path):
    """What index.json has for the case: over the tensors by name and the text of the case, not over the file."""
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header, hasher = json.loads(raw[8:start]), hashlib.sha256()
    text = header.pop("__metadata__")["case"]
    for name, t in sorted(header.items()):
        hasher.update(f"{name}\0{t['dtype']}\0{','.join(map(str, t['shape']))}\0".encode())
        hasher.update(raw[start + t["data_offsets"][0] : start + t["data_offsets"][1]])
    hasher.update(text.encode())
    return hasher.hexdigest()


def sizes_of(case, tensors):
    """The symbols of bounds.json."""
    x, p = tensors.get("in.x", tensors.get("in.x.0", np.zeros((0, 0)))), case["params"]
    vera = case["method"] == "vera"
    out, r = (len(tensors[f"in.vera_lambda_{k}"]) for k in "bd") if vera else tensors["in.lora_B"].shape
    beta1, beta2 = p.get("optimizer", {}).get("betas", (0.9, 0.999))
    return {"one": 1, "tokens": len(x), "in": x.shape[1] or tensors.get("in.lora_A", x).shape[1], "out": out, "r": r,
            "dropout": p.get("dropout_p", 0) > 0, "beta1": 1 / (1 - beta1), "beta2": 1 / (1 - beta2)}  # fmt: skip


def bound(case, name, tensors):
    """How far each entry of `name` may be off."""
    sizes, p = sizes_of(case, tensors), case["params"]

    def units(row):
        return sum(
            unit * k * sizes[s] for part, unit in (("u_a", U_A), ("u_s", U_S)) for s, k in row.get(part, {}).items()
        )

    plain = name.rstrip("0123456789").rstrip(".") if case["op"] == "trajectory" else name
    rows = {t.split(".")[1]: row for t, row in BOUNDS["layer"].items() if t.split(".")[0] == plain}
    if case["op"] in ("step", "trajectory") and not (plain == "y" or plain.startswith("grad_")):
        kind = plain if plain == "weight" else plain.rpartition(".")[0] or "p"
        carried = [k for k in ("trajectory", "projected") if case["op"] == k or p.get("variant") == k]
        off = units(BOUNDS["update"][p["optimizer"]["name"]][kind])
        off += BOUNDS["carried"]["times"][kind] * sum(units(BOUNDS["carried"][k]) for k in carried)
        total = off * tensors[f"gauge.{name}.all"].astype(float)
    else:
        total = sum(units(row) * tensors[f"gauge.{name}.{term}"].astype(float) for term, row in rows.items())
    operations = sum(d for n, t in tensors.items() if n.startswith("in.") for d in t.shape)
    return total + operations * (SMALLEST_NORMAL if "FTZ" in case["flags"] else SUBNORMAL)


def judge(case, tensors, submission):
    """None, or the first thing that is wrong."""
    if case["class"] == "reject":
        return None if submission == "error" else "should have been refused"
    if case["class"] == "stat":
        return judge_statistics(tensors, submission)
    for name in sorted(n[4:] for n in tensors if n.startswith("out.")):
        want, got = tensors[f"out.{name}"], submission.get(f"out.{name}")
        if got is None or got.shape != want.shape:
            return f"{name}: missing, or not of shape {want.shape}"
        got, limit = got.astype(float), bound(case, name, tensors)
        with np.errstate(invalid="ignore"):  # inf - inf
            error = np.abs(got - want)
        if name == "projected_grad_lora_B":  # how well X s^2 (A A^T) = G holds, and not how far X is off
            A, r = tensors["in.lora_A"].astype(float), len(tensors["in.lora_A"])
            square = case["params"].get("alpha", 8) ** 2 / (r if case["params"].get("scaling") == "rslora" else r * r)
            error = np.abs(got @ (square * (A @ A.T)) - tensors["out.grad_lora_B"])
        # Without isfinite a finite number would pass for an infinite one: inf <= inf.
        ok = (
            np.isfinite(want) & np.isfinite(limit) & (error <= limit) | (got == want) | (np.isnan(got) & np.isnan(want))
        )
        if case["class"] == "exact":
            ok = got == want
        elif case["class"] == "acceptable":
            ok |= ~np.isfinite(limit) & ~np.isfinite(got)
        if not ok.all():
            at = tuple(int(i) for i in np.argwhere(~ok)[0])
            return f"{name} at {at}: got {got[at]}, want {want[at]}"
    return None


def judge_statistics(tensors, submission):
    for name in (n[4:-8] for n in tensors if n.endswith(".support")):
        draws, (low, high) = submission[f"out.{name}"].ravel(), tensors[f"out.{name}.support"]
        want, error = tensors[f"out.{name}.moments"], tensors[f"gauge.{name}.moments"].astype(float)
        got = np.array([np.mean(draws**k) for k in (1, 2, 4)])
        slack = 16 * U_S
        inside = (draws >= low - slack * abs(low)) & (draws <= high + slack * abs(high))
        if not inside.all() or not (np.abs(got - want) <= 6 * error + slack * np.abs(want)).all():
            return f"{name}: moments {got}, want {want}, or outside [{low}, {high}]"
    return None


def right(case, tensors):
    """What honest f32 code could give: the expected values in f32; draws; an error."""
    if case["class"] == "reject":
        return "error"
    if case["class"] != "stat":
        return {name: t.astype(np.float32) for name, t in tensors.items() if name.startswith("out.")}
    generator, p, draws = np.random.default_rng(case["source"]["seed"]), case["params"], {}
    shapes = {"lora_A": (p["rank"], p["in"]), "lora_B": (p["out"], p["rank"]), "vera_A": (p["rank"], p["in"]),
              "vera_B": (p["out"], p["rank"]), "vera_lambda_d": (p["rank"],), "vera_lambda_b": (p["out"],)}  # fmt: skip
    for name in (n[4:-8] for n in tensors if n.endswith(".support")):
        shape, (low, high) = (p["samples"], *shapes[name]), tensors[f"out.{name}.support"]
        normal = np.sqrt(tensors[f"out.{name}.moments"][1]) * generator.standard_normal(shape)
        draws[f"out.{name}"] = generator.uniform(low, high, shape) if np.isfinite(low) else normal
    return draws


def wrong(case, tensors):
    """The same with a mistake: no error; a tenth too large; one entry off, or a shape."""
    good = right(case, tensors)
    if case["class"] == "reject":
        return {}
    if case["class"] == "stat":
        return {name: draws * 1.1 for name, draws in good.items()}
    name = next((n for n in sorted(good) if good[n].size), None)
    if name is None:
        return {n: np.zeros((1, 1)) for n in good}
    values = good[name].astype(float)
    first = (0,) * values.ndim
    values[first] = 2 * values[first] + 1000 if np.isfinite(values[first]) else 1000
    return good | {name: values}


def main():
    index, mistakes = json.loads((VECTORS / "index.json").read_text())["cases"], 0
    for entry in index:
        path = VECTORS / f"{entry['id']}.safetensors"
        if digest(path) != entry["digest"]:
            print(f"{entry['id']}: the file is not the one that was shipped")
            sys.exit(4)
        case, tensors = read(path)
        verdict = judge(case, tensors, right(case, tensors))
        if verdict or not judge(case, tensors, wrong(case, tensors)):
            print(entry["id"], verdict or "the wrong submission passed")
            mistakes += 1
    print(f"{len(index)} cases judged, {mistakes} verdicts wrong")
    sys.exit(1 if mistakes else 0 if index else 3)


if __name__ == "__main__":
    main()
