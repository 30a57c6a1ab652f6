"""The inputs of DoRA's cases: rows of V whose lengths are what a case is about."""

import dora
from exact import Matrix
from layer import scale

# Sums of four squares and the like, by the length of the row.
POWERS_OF_TWO = {
    1: [(1,)],
    2: [(2,), (1, 1, 1, 1)],
    4: [(4,), (2, 2, 2, 2), (3, 2, 1, 1, 1), (2, 2, 2, 1, 1, 1, 1), (3, 1, 1, 1, 1, 1, 1, 1)],
}
RATIONAL = {3: [(1, 2, 2)], 5: [(3, 4)], 6: [(2, 4, 4)], 7: [(2, 3, 6)], 9: [(1, 4, 8), (4, 4, 7)]}
SHORT = {1.4: [(1, 1)], 2.2: [(1, 2)], 3: [(1, 2, 2)]}
MOST = 12  # beyond it bf16 says nothing of a length


def magnitudes(spec, drawn, level):
    """Positive, unless the case is about a sign or a 0."""
    if level is not None:
        values = [float((1, 2, 3, 4)[w >> 1 & 3] if level > 0 else (1, 2)[w >> 1 & 1]) for w in drawn]
    else:
        values = [(128 + (w >> 1 & 127)) * 2.0 ** -(5 + (w >> 8 & 3)) for w in drawn]  # 1/2 to 8
    turned = {"negative": lambda i: -1.0, "zero": lambda i: 0.0}.get(spec.tweaks.get("magnitude"))
    if turned:
        values = [v * turned(i) if i % 2 == 0 else v for i, v in enumerate(values)]
    return [v * 2.0 ** spec.tweaks.get("shift", {}).get("lora_magnitude_vector", 0) for v in values]


def row_of(length, patterns, word, places, width):
    """One of the patterns of this length, at random places with random signs."""
    fitting = [p for p in patterns[length] if len(p) <= width]
    pattern = fitting[word % len(fitting)]
    order = sorted(range(width), key=lambda j: places[j])
    row = [0.0] * width
    for k, v in enumerate(pattern):
        row[order[k]] = float(v if places[width + k] & 1 else -v)
    return row


def with_lengths(spec, drawn, words, level):
    """W becomes V - s B A, where the rows of V have the lengths that the case asks for."""
    patterns = {"power": POWERS_OF_TWO, "rational": RATIONAL, "short": SHORT}[spec.tweaks["lengths"]]
    n, m = spec.inner, spec.outer
    lengths = [k for k, found in patterns.items() if any(len(p) <= n for p in found)]
    if spec.tweaks["lengths"] == "power":
        lengths = [k for k in lengths if k <= (4 if level > 2 else 2 if level > 0 else 1)]
    shift = spec.tweaks.get("shift", {})
    size = 2.0 ** shift.get("weight", 0)
    rows, chosen = [], []
    for o in range(m):
        here = words[64 * o : 64 * o + 64]
        places = here[2:]
        chosen.append(lengths[here[0] % len(lengths)])
        rows += row_of(chosen[-1], patterns, here[1], places, n)
    s = scale(spec.params, spec.rank)
    A, B = (Matrix.of(*drawn[name][0], drawn[name][1]) for name in ("lora_A", "lora_B"))
    weight = Matrix.of(m, n, [v * size for v in rows]) - (B @ A).times(s)
    weight = weight.T if spec.params.get("fan_in_fan_out", False) else weight
    result = drawn | {"weight": (drawn["weight"][0], [float(v) for v in weight.numbers()])}
    if spec.tweaks.get("magnitude") == "length":
        result["lora_magnitude_vector"] = ((1, m), [k * size for k in chosen])
    return result


def with_zero_row(spec, drawn):
    """The first row of W cancels that of s B A."""
    s = scale(spec.params, spec.rank)
    A, B = (Matrix.of(*drawn[name][0], drawn[name][1]) for name in ("lora_A", "lora_B"))
    shape, values = drawn["weight"]
    first = [-float(v) for v in (B @ A).times(s).numbers()[: spec.inner]]
    return drawn | {"weight": (shape, first + values[spec.inner :])}


def is_ill_conditioned(spec, drawn, whole):
    """Is a row of V too short beside what it is the sum of? With `whole` for W, and in a pair with W = 0 too."""
    if spec.kind == "reject" or spec.op in ("step", "init") or "NearZeroNorm" in spec.flags:
        return False
    inputs = {name: Matrix.of(*shape, values) for name, (shape, values) in drawn.items()}
    shape, values = drawn["weight"]
    weights = [whole, [0.0] * len(values)] if spec.tweaks.get("pair") else [values]
    worst = [dora.Rows(spec.params, inputs | {"weight": Matrix.of(*shape, w)}).condition() for w in weights]
    return max(worst) > MOST
