"""Writes tests/vectors/judge.json: what a judge of another language needs beside the cases, in one file.

    python3 crates/oracle/exact/judge.py            # after cases were added; --check compares only

A case has its class, and for each term of each output the row of `growth` that its gauge is multiplied by: how many
roundings of the accumulator and of what is stored a term goes through, counted by tests/vectors/bounds.json for the sizes
of this case, and what they come to in each type, those of the expected value added. `underflow` is by which number of
`tiny` an operation is off at most, and how many there are; `slack` is what is allowed of the number itself where a gauge is
NaN. A case of random draws has, by type, the range of their least,
of their largest, and of the means of p, p², p⁴.
"""

import functools
import json
import math
import struct
import sys
from pathlib import Path

VECTORS = Path(__file__).resolve().parents[3] / "tests/vectors"
BOUNDS = json.loads((VECTORS / "bounds.json").read_text())
TYPES = {"F64": "f64", "F32": "f32", "BF16": "bf16", "F16": "fp16"}
FORMATS = {"F64": "d", "F32": "f", "F16": "e"}


class File:
    """A case, the shapes of its tensors, and their numbers."""

    def __init__(self, id):
        self.raw = (VECTORS / f"{id}.safetensors").read_bytes()
        self.start = 8 + int.from_bytes(self.raw[:8], "little")
        self.header = json.loads(self.raw[8 : self.start])
        self.case = json.loads(self.header.pop("__metadata__")["case"])
        self.shapes = {name: entry["shape"] for name, entry in self.header.items()}

    def numbers(self, name):
        low, high = self.header[name]["data_offsets"]
        raw = self.raw[self.start + low : self.start + high]
        return [number for (number,) in struct.iter_unpack("<" + FORMATS[self.header[name]["dtype"]], raw)]

    def rows(self, name):
        numbers, width = self.numbers(name), self.shapes[name][1]
        return [numbers[at : at + width] for at in range(0, len(numbers), width)]


def symbols(file, plain, step):
    """What the symbols of bounds.json are in this case, for the output `plain` of step `step`."""
    p, shapes = file.case["params"], file.shapes
    tokens, inputs = shapes.get("in.x", shapes.get("in.x.0", (0, 0)))
    if file.case["method"] == "vera":
        (outputs,), (rank,) = shapes["in.vera_lambda_b"], shapes["in.vera_lambda_d"]
    else:
        outputs, rank = shapes["in.lora_B"]
        inputs = inputs or shapes.get("in.lora_A", (0, 0))[1]
    found = {"one": 1, "tokens": tokens, "in": inputs, "out": outputs, "r": rank}
    found |= {"dropout": int(p.get("dropout_p", 0) > 0), "bias": int("in.bias" in shapes)}
    found["rate"] = 3 if file.case["method"] == "lora-plus" and plain == "lora_B" else 1
    t = p.get("start", 0) + 1 + step
    for number, beta in enumerate(p.get("optimizer", {}).get("betas", (0.9, 0.999)), 1):
        # A root leaves half of what the second moment is off.
        found[f"beta{number}"] = 1 / number / (1 - beta)
        found[f"bias{number}"] = 1 / number * (2 * t + 1) * beta**t / (1 - beta**t)
    return found


def rows_of(case, plain, term):
    """The rows of bounds.json that count for a gauge."""
    optimizer = case["params"].get("optimizer", {})
    if case["op"] not in ("step", "trajectory") or plain == "y" or plain.startswith("grad_"):
        return [(BOUNDS["layer"] | BOUNDS.get(case["method"], {}))[f"{plain}.{term}"]]
    kind = plain if plain == "weight" else plain.rpartition(".")[0] or "p"
    name = optimizer.get("name", "sgd") + "_hf" * (optimizer.get("variant") == "hf")
    carried = [key for key in ("trajectory", "projected") if key in (case["op"], case["params"].get("variant"))]
    carried = [key + "_dora" * (case["method"] == "dora") for key in carried]
    return [BOUNDS["update"][name][kind]] + [BOUNDS["carried"][key] for key in carried] * BOUNDS["carried"]["times"][kind]


def short(number):
    return int(number) if number == int(number) else float(f"{number:.10g}")


def grown(k_a, k_s):
    """(1 + u_a)^k_a (1 + u_s)^k_s − 1 by type, the same in f64 added."""

    def of(profile):
        units = BOUNDS["profiles"][profile]
        return math.expm1(k_a * math.log1p(units["u_a"]) + k_s * math.log1p(units["u_s"]))

    return {"k_a": short(k_a), "k_s": short(k_s)} | {kind: float(f"{of(TYPES[kind]) + of('f64'):.10g}") for kind in TYPES}


def of_passes(file, growth):
    """For each output and term the row of `growth`, which gets another where none fits."""
    case, outputs = file.case, {name[4:]: {} for name in file.shapes if name.startswith("out.")}
    for name in () if case["class"] == "exact" else file.shapes:
        if not name.startswith("gauge."):
            continue
        output, _, term = name.removeprefix("gauge.").rpartition(".")
        plain, _, step = output.rpartition(".") if case["op"] == "trajectory" else (output, "", 0)
        sizes, total = symbols(file, plain, int(step)), {"u_a": 0, "u_s": 0}
        for row in rows_of(case, plain, term):
            for unit, counts in row.items():
                total[unit] += sum(k * sizes[symbol] for symbol, k in counts.items())
        row = grown(total["u_a"], total["u_s"])
        outputs[output][term] = growth.setdefault((row["k_a"], row["k_s"]), (len(growth), row))[0]
    operations = sum(sum(shape) for name, shape in file.shapes.items() if name.startswith("in."))
    tiny = "normal" if "FTZ" in case["flags"] else "subnormal"
    underflow = [tiny, 0 if case["class"] == "exact" else operations]
    found = {"class": case["class"], "outputs": outputs, "underflow": underflow}
    if "projected_grad_lora_B" in outputs:
        # X (s² A Aᵀ) = G, the system that this output solves.
        A, alpha = file.rows("in.lora_A"), case["params"].get("alpha", 8)
        square = alpha**2 / (len(A) if case["params"].get("scaling") == "rslora" else len(A) ** 2)
        found["system"] = [[square * math.fsum(x * y for x, y in zip(a, b)) for b in A] for a in A]
    return found


def of_draws(file):
    """For each parameter and type the range of the least and the largest draw and of three means."""
    found = {}
    for parameter in (name[4:-8] for name in file.shapes if name.endswith(".support")):
        ends, means = file.numbers(f"out.{parameter}.support"), file.numbers(f"out.{parameter}.moments")
        errors = file.numbers(f"gauge.{parameter}.moments")
        for kind, profile in TYPES.items():
            slack = 16 * BOUNDS["profiles"][profile]["u_s"]
            low, high = (end if math.isfinite(end) else math.copysign(1e308, end) for end in ends)
            ranges = [[low - slack * abs(low), high + slack * abs(high)]] * 2
            for mean, error in zip(means, errors):
                ranges.append([mean - 6 * error - slack * abs(mean), mean + 6 * error + slack * abs(mean)])
            found.setdefault(parameter, {})[kind] = ranges
    return {"class": "stat", "draws": found}


def text():
    """The file: a row of `growth` or a case on a line."""
    growth, cases = {}, {}
    for entry in json.loads((VECTORS / "index.json").read_text())["cases"]:
        cases[entry["id"]] = {"class": "reject"}
        if entry["class"] != "reject":
            file = File(entry["id"])
            cases[entry["id"]] = of_draws(file) if entry["class"] == "stat" else of_passes(file, growth)
    profiles = {kind: BOUNDS["profiles"][profile] for kind, profile in TYPES.items()}
    tiny = {what: {kind: profiles[kind][f"smallest_{what}"] for kind in TYPES} for what in ("normal", "subnormal")}
    slack = {kind: 16 * profiles[kind]["u_s"] for kind in TYPES}
    written = functools.partial(json.dumps, separators=(",", ":"))
    rows = ",\n".join(written(row) for _, row in growth.values())
    lines = ",\n".join(f"{written(id)}:{written(case)}" for id, case in cases.items())
    return f'{{"schema":"lowrank-judge/1",\n"tiny":{written(tiny)},"slack":{written(slack)},\n"growth":[\n{rows}\n],\n"cases":{{\n{lines}\n}}}}\n'


def main():
    path = VECTORS / "judge.json"
    if "--check" not in sys.argv:
        path.write_text(text())
    elif path.read_text() != text():
        sys.exit(f"{path.name} is stale: without --check this program writes it anew")


if __name__ == "__main__":
    main()
