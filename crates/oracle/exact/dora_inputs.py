"""The inputs of DoRA's cases: rows of V whose lengths are what a case is about."""

from fractions import Fraction
from functools import cache
from math import isqrt

import dora
from exact import Matrix
from exactness import NotExact
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


def with_lengths_kept(spec, drawn, words, level):
    """W and m such that the rows of V have powers of two for lengths, before the first update and after it.

    A and B move by what goes into V, `into`, which has c = m / n in it and not n: so c is drawn, and V chosen. Rows of V
    choose for themselves; where gradients go through n (then in cases of one row) what goes into V depends on V too.
    """
    n, m = spec.inner, spec.outer
    s, optimizer = scale(spec.params, spec.rank), spec.params["optimizer"]
    rate, kept = Fraction(optimizer["lr"]), 1 - Fraction(optimizer["lr"]) * Fraction(optimizer.get("weight_decay", 0))
    A, B, x, g = (Matrix.of(*drawn[name][0], drawn[name][1]) for name in ("lora_A", "lora_B", "x.0", "grad_y.0"))
    c = [(1, 2, 3)[words[64 * o] % 3] for o in range(m)]
    if set(c) == {1}:
        raise NotExact("c is 1 in every row")
    detached = spec.params.get("detach_norm", True)
    into = (g * Matrix.of(1, m, [Fraction(v) for v in c])).T @ x  # [out, in]

    def moves(into):
        """What the update adds to V, row by row."""
        new_A, new_B = A.times(kept) - (B.T @ into).times(s).times(rate), B.times(kept) - (into @ A.T).times(s).times(rate)
        flat = ((new_B @ new_A) - (B @ A)).times(s).numbers()
        return [flat[o * n : o * n + n] for o in range(m)]

    def across(row):
        """What is left of `into` when its part along this row of V is taken off: the gradient through n."""
        square, along = sum(v * v for v in row), sum(a * b for a, b in zip(row, into.numbers()))
        return into - Matrix.of(1, n, [along * v / Fraction(square) for v in row])

    table = rows_of_lengths(n, 8 if n < 5 else 4)
    move = moves(into) if detached else None
    rows, lengths, lengths_after = [], [], []
    for o in range(m):
        after = {row: add(row, move[o] if detached else moves(across(row))[0]) for row in table}
        fitting = [row for row in table if after[row] in table]
        fitting = [row for row in fitting if table[after[row]] != table[row]] or fitting
        if not fitting:
            raise NotExact("no row has a power of two for its length before and after the update")
        row = fitting[words[64 * o + 1] % len(fitting)]
        rows += row
        lengths.append(table[row])
        lengths_after.append(table[after[row]])
    if lengths == lengths_after:
        raise NotExact("no length changes: an n that is kept would not show")
    weight = Matrix.of(m, n, [Fraction(v) for v in rows]) - (B @ A).times(s)
    weight = weight.T if spec.params.get("fan_in_fan_out", False) else weight
    return drawn | {
        "weight": (drawn["weight"][0], [float(v) for v in weight.numbers()]),
        "lora_magnitude_vector": ((1, m), [float(a * b) for a, b in zip(c, lengths)]),
    }


def add(row, move):
    return tuple(a + b for a, b in zip(row, move))


@cache
def rows_of_lengths(width, longest):
    """{row: length} for every row of integers of this width whose length is 1, 2, 4, ... or `longest`."""

    def rows(left, square):
        if left == 0:
            return [()] if square == 0 else []
        most = isqrt(square)
        return [(v, *rest) for v in range(-most, most + 1) for rest in rows(left - 1, square - v * v)]

    lengths = [2**k for k in range(longest.bit_length())]
    return {row: length for length in lengths for row in rows(width, length**2)}


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
