"""Draws the inputs of a case: SHA-256 in counter mode, so that any language can draw the same.

Word i of a tensor is the little-endian u32 at 4 (i mod 8) in SHA-256("<seed>/<tensor>/<i div 8>").
Bounded cases lie on the grid of 8 significant bits, exact ones hold small integers; both are exact in fp16 and bf16.
"""

import hashlib
import struct
from fractions import Fraction
from math import isfinite, prod

import dora_inputs
from container import Tensor
from exact import Matrix, f64
from exactness import NotExact, check_layer, check_merge, check_step, check_trajectory
from layer import TRAINED
from methods import merged, outputs

LEVELS = (4, 3, 2, 1, 0, -1)  # largest integer; 0 and below: ever more zeros
VECTORS = ("bias", "vera_lambda_d", "vera_lambda_b", "lora_magnitude_vector")
BY_DESIGN = {"NoTokens", "AlphaZero", "AllDropped", "InitialState", "ZeroA", "ZeroParameter", "ZeroGradient"}


def words(seed, name, count):
    blocks = (hashlib.sha256(f"{seed}/{name}/{i}".encode()).digest() for i in range(-(-count // 8)))
    return [w for block in blocks for w in struct.unpack("<8I", block)][:count]


def on_grid(word) -> float:
    """Sign, seven bits after the leading one, and one of four binades: 1/8 <= |value| < 2."""
    size = (128 + (word >> 1 & 127)) * 2.0 ** -(7 + (word >> 8 & 3))
    return -size if word & 1 else size


def integer(word, level) -> float:
    if level < 1 and (word >> 8) % 4 < 1 - level:
        return 0.0
    size = 1.0 + (word >> 1) % max(level, 1)
    return -size if word & 1 else size


def base_name(name):
    """lora_A of grad_lora_A, exp_avg.lora_A; x of x.3"""
    head, _, tail = name.rpartition(".")
    name = head if tail.isdigit() else name
    for prefix in ("exp_avg_sq.", "exp_avg.", "grad_"):
        if name != "grad_y":
            name = name.removeprefix(prefix)
    return name


def shapes(spec) -> dict:
    """Every input of a case and its [rows, cols]."""
    t, n, m, r = spec.tokens, spec.inner, spec.outer, spec.rank
    columns, rows = spec.tweaks.get("largest", (n, m))
    fan = spec.params.get("fan_in_fan_out", False)
    known = {
        "x": (t, n), "weight": (n, m) if fan else (m, n), "bias": (1, m), "grad_y": (t, m), "dropout_mask": (t, n),
        "lora_A": (r, n), "lora_B": (m, r), "vera_A": (r, columns), "vera_B": (rows, r),
        "vera_lambda_d": (1, r), "vera_lambda_b": (1, m), "lora_magnitude_vector": (1, m),
    }  # fmt: skip
    own = ["vera_A", "vera_B", "vera_lambda_d", "vera_lambda_b"] if spec.method == "vera" else ["lora_A", "lora_B"]
    own += ["lora_magnitude_vector"] if spec.method == "dora" else []
    if spec.op in ("forward", "backward"):
        names = ["x", "weight", *own]
        names += ["grad_y"] if spec.op == "backward" else []
        names += ["bias"] if spec.tweaks.get("bias") else []
        names += ["dropout_mask"] if spec.tweaks.get("mask") else []
    elif spec.op in ("merge", "unmerge"):
        names = ["weight", *own]
    elif spec.op == "step":
        trained = TRAINED[spec.method]
        names = [*trained, *(f"grad_{p}" for p in trained)]
        if spec.tweaks.get("moments"):
            names += [f"{prefix}.{p}" for prefix in ("exp_avg", "exp_avg_sq") for p in trained]
        names += ["weight"] if spec.method == "delta-lora" else []
        names += ["lora_A"] if spec.params.get("variant") == "projected" else []
    elif spec.op == "trajectory":
        names = ["weight", *own, *(f"{k}.{i}" for i in range(spec.params["steps"]) for k in ("x", "grad_y"))]
    else:
        names = []
    result = {name: known[base_name(name)] for name in names}
    result.update({k: v for k, v in spec.tweaks.get("reshape", {}).items()})
    for name in spec.tweaks.get("remove", []):
        del result[name]
    return result


def values_of(spec, name, shape, level):
    tweaks = spec.tweaks
    count, drawn = prod(shape), words(spec.seed, name, prod(shape))
    if name in tweaks.get("zero", []) or (tweaks.get("no_gradient") and name.startswith("grad_") and name != "grad_y"):
        return [0.0] * count
    if name == "dropout_mask":
        kept = {"random": [w & 1 for w in drawn], "nothing": [0] * count, "everything": [1] * count}
        kept["special"] = (
            [int(divmod(i, shape[1]) != tweaks["put"][0][1]) for i in range(count)] if "put" in tweaks else None
        )
        return kept[tweaks["mask"]]
    if name == "lora_A" and "rows" in tweaks:
        return [float(v) for row in tweaks["rows"] for v in row]
    if name == "lora_A" and tweaks.get("orthogonal"):
        rows, cols = shape
        return [
            (-1.0 if drawn[i * cols + j] & 1 else 1.0) if j % rows == i else 0.0
            for i in range(rows)
            for j in range(cols)
        ]
    if name == "lora_magnitude_vector" and spec.op != "step":
        return dora_inputs.magnitudes(spec, drawn, level)
    if name in tweaks.get("subnormal", []):
        values = [(1 + (w >> 1) % 255) * 2.0**-24 * (-1 if w & 1 else 1) for w in drawn]
    elif "sizes" in tweaks and name.startswith("grad_"):
        values = [(-1.0 if w & 1 else 1.0) * 2.0 ** tweaks["sizes"] * ((w >> 1) % 5 > 0) for w in drawn]
    elif level is not None:
        values = [integer(w, level) for w in drawn]
    else:
        values = [on_grid(w) for w in drawn]
        if name.startswith("exp_avg_sq."):
            values = [abs(v) / 16 for v in values]
        elif name.startswith("exp_avg."):
            values = [v / 8 for v in values]
    shift = 2.0 ** tweaks.get("shift", {}).get(name, 0)
    values = [v * shift for v in values]
    for target, (i, j) in tweaks.get("put", []):
        if target == name:
            values[i * shape[1] + j] = tweaks["value"]
    return values


def matrices(drawn):
    return {name: Matrix.of(*shape, values) for name, (shape, values) in drawn.items()}


def with_round_trip(spec, drawn):
    """The weight becomes W + dW, so that unmerge gives W back."""
    shape, _ = drawn["weight"]
    before = matrices(drawn)
    after, _ = merged(spec.method, spec.params, before, +1)
    check_merge(spec.method, spec.params, before)
    return drawn | {"weight": (shape, [f64(v) for v in after["weight"].numbers()])}


def check_exact(spec, inputs):
    if spec.op in ("forward", "backward"):
        check_layer(spec.method, spec.params, inputs, spec.op == "backward")
    elif spec.op in ("merge", "unmerge"):
        check_merge(spec.method, spec.params, inputs)
    elif spec.op == "step":
        check_step(spec.method, spec.params, inputs)
    elif spec.op == "trajectory":
        check_trajectory(spec.method, spec.params, inputs)


def has_idle_output(spec, inputs):
    """Is an output 0 everywhere, by chance and not by what the case is about?"""
    if BY_DESIGN & set(spec.flags):
        return False
    out, _, _ = outputs(spec.method, spec.op, spec.params, inputs)
    return any(numbers and not any(numbers) for numbers in out.values())


def whole_weight(spec, wanted):
    """The weight that this case, or its twin with W = 0, has."""
    if "weight" not in wanted:
        return []
    return [on_grid(w) * 2.0 ** spec.tweaks.get("shift", {}).get("weight", 0) for w in words(spec.seed, "weight", prod(wanted["weight"]))]


def draw(spec):
    """{name: (shape, values)}; an exact case takes the largest integers that keep it exact.

    Small integers cancel by chance: where a whole output would be 0, the next seed is tried.
    """
    wanted = shapes(spec)

    def at(level):
        drawn = {name: (shape, values_of(spec, name, shape, level)) for name, shape in wanted.items()}
        if spec.method == "dora" and spec.tweaks.get("lengths"):
            kept = spec.tweaks["lengths"] == "kept"
            choose = dora_inputs.with_lengths_kept if kept else dora_inputs.with_lengths
            drawn = choose(spec, drawn, words(spec.seed, "lengths", 64 * spec.outer), level)
        if spec.tweaks.get("zero_row"):
            drawn = dora_inputs.with_zero_row(spec, drawn)
        return with_round_trip(spec, drawn) if spec.tweaks.get("round_trip") else drawn

    if spec.kind != "exact":
        made = at(3 if spec.tweaks.get("integers") else None)
        while spec.method == "dora" and dora_inputs.is_ill_conditioned(spec, made, whole_weight(spec, wanted)):
            spec.seed = (spec.seed + 1) % 2**32
            made = at(3 if spec.tweaks.get("integers") else None)
        return made
    first = spec.seed
    for level in spec.tweaks.get("levels", LEVELS):
        for attempt in range(spec.tweaks.get("attempts", 16)):
            spec.seed = (first + attempt) % 2**32
            try:
                drawn = at(level)
                check_exact(spec, matrices(drawn))
            except NotExact as reason:
                last = reason
                continue
            if not has_idle_output(spec, matrices(drawn)):
                return drawn
            last = "an output is 0"
    raise NotExact(f"{spec.id}: even at the lowest level: {last}")


def tensors(drawn):
    """The `in.` tensors of a file."""
    result = {}
    for name, (shape, values) in drawn.items():
        dtype = "U8" if name == "dropout_mask" else "F16"
        seen = shape[1:] if base_name(name) in VECTORS else shape
        tensor = Tensor(dtype, seen, values)
        if dtype == "F16":
            back = struct.unpack(f"<{len(values)}e", tensor.bytes)
            assert all(a == b or not isfinite(b) for a, b in zip(back, values)), f"{name} is not exact in fp16"
            assert all(eight_bits(v) for v in back if isfinite(v)), f"{name} needs more than 8 bits"
        result[f"in.{name}"] = tensor
    return result


def eight_bits(value) -> bool:
    whole = abs(Fraction(value).numerator)
    return whole == 0 or (whole // (whole & -whole)) < 256
