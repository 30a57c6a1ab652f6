"""DoRA in exact numbers: expected values and gauges. Liu et al., arXiv 2402.09353, eq. 5, with PEFT's dropout.

V = W + s B A, n = the lengths of its rows, c = m / n:

    y = x W^T + bias + (c - 1) * x~ W^T + c * s x~ A^T B^T          c * x V^T + bias without a mask

n is irrational in general, so an output is a list of numbers and no `Matrix`. Every output is rational but for one c, or a
sum over the rows of rational numbers times their c.

k = |V's gauge| / n >= 1 is the condition of a row's length: how much an error of V counts in n. The gauge `norm` is how much
an error of n counts in an output: the terms that are multiplied by c, each sum over a row's entries as it is, times k.
"""

from fractions import Fraction
from functools import cache
from math import isfinite

from exact import Matrix, f64, real
from layer import Refused, drop, scale, size, weight_of


class Numbers:
    """A matrix of numbers, row after row."""

    def __init__(self, rows, cols, values):
        self.rows, self.cols, self.values = rows, cols, values

    def numbers(self):
        return self.values

    @property
    def T(self):
        order = [i * self.cols + j for j in range(self.cols) for i in range(self.rows)]
        return Numbers(self.cols, self.rows, [self.values[k] for k in order])


def number_by(formula):
    """The number, which is computed once for each precision that is asked for."""
    value = real(formula)
    return cache(value) if callable(value) else value


def combined(constant, *products):
    """constant + the sum of the products of two numbers. Where one is inf or nan, as IEEE 754 has it."""
    flat = [constant, *(e for pair in products for e in pair)]
    if any(isinstance(e, float) and not isfinite(e) for e in flat):
        return sum((f64(a) * f64(b) for a, b in products), f64(constant))

    def formula(number, sqrt):
        total = number(constant)
        for a, b in products:
            total = total + number(a) * number(b)
        return total

    return real(formula)


def added(matrices):
    values = [combined(first, *((1, e) for e in rest)) for first, *rest in zip(*(m.numbers() for m in matrices))]
    return Numbers(matrices[0].rows, matrices[0].cols, values)


class Rows:
    """V, its lengths n, and for each row c = m / n, k, and their sizes."""

    def __init__(self, params, inputs):
        weight, A, B = weight_of(params, inputs), inputs["lora_A"], inputs["lora_B"]
        s = scale(params, A.rows)
        self.low_rank = (abs(B) @ abs(A)).times(size(s))  # |s| |B| |A|
        self.V, self.gauge = weight + (B @ A).times(s), abs(weight) + self.low_rank  # [out, in]
        self.squares = (self.V * self.V).T.sum_rows().numbers()
        tops = (self.gauge * self.gauge).T.sum_rows().numbers()
        if any(not callable(square) and square == 0 for square in self.squares):
            raise Refused("a row of W + s B A is 0, and DoRA divides by its length")
        m = inputs["lora_magnitude_vector"].numbers()
        self.m = m
        self.inverse = [number_by(lambda number, sqrt, q=q: number(1) / sqrt(number(q))) for q in self.squares]
        self.c = [product(m_o, i) for m_o, i in zip(m, self.inverse)]
        self.size = [product(abs(m_o), i) for m_o, i in zip(m, self.inverse)]
        self.k = [
            number_by(lambda number, sqrt, t=t, q=q: sqrt(number(t)) / sqrt(number(q)))
            for t, q in zip(tops, self.squares)
        ]
        self.sensitive = [product(size_o, k_o) for size_o, k_o in zip(self.size, self.k)]  # |c| k


    def condition(self) -> float:
        """The largest k."""
        return max(f64(k) for k in self.k)


def product(a, b):
    return number_by(lambda number, sqrt: number(a) * number(b))


def scaled_rows(factors, matrix):
    """Each row times its factor."""
    cols, flat = matrix.cols, matrix.numbers()
    return Numbers(matrix.rows, cols, [combined(0, (factors[i // cols], e)) for i, e in enumerate(flat)])


def scaled_columns(factors, matrix, constant=None):
    """constant + each column times its factor."""
    cols, flat = matrix.cols, matrix.numbers()
    constants = constant.numbers() if constant else [Fraction(0)] * len(flat)
    values = [combined(constants[i], (factors[i % cols], e)) for i, e in enumerate(flat)]
    return Numbers(matrix.rows, cols, values)


def weighted(factors, left, right, rows, cols, constant=None):
    """constant + sum over o of factors[o] left[i][o] right[o][j]: [rows, out] by [out, cols]"""
    outer = len(factors)
    a, b = left.numbers(), right.numbers()
    constants = constant.numbers() if constant else [Fraction(0)] * (rows * cols)
    values = []
    for i in range(rows):
        for j in range(cols):
            terms = [(factors[o], times(a[i * outer + o], b[o * cols + j])) for o in range(outer)]
            values.append(combined(constants[i * cols + j], *terms))
    return Numbers(rows, cols, values)


def zeros(rows, cols):
    return Matrix.of(rows, cols, [Fraction(0)] * (rows * cols))


def times(a, b):
    if callable(a) or callable(b):
        return real(lambda number, sqrt: number(a) * number(b))
    return a * b


def layer(params, inputs, backward):
    x, weight, A, B = inputs["x"], weight_of(params, inputs), inputs["lora_A"], inputs["lora_B"]
    s = scale(params, A.rows)
    rows = Rows(params, inputs)
    masked = Fraction(params.get("dropout_p", 0)) > 0
    dropped = drop(params, inputs, x)
    positive = abs(drop(params, inputs, x, select=False))
    outside = x @ weight.T - dropped @ weight.T if masked else zeros(x.rows, weight.rows)  # (x - x~) W^T
    both = (abs(x) + positive) @ abs(weight).T  # x W^T and x~ W^T
    if "bias" in inputs:
        outside = outside + inputs["bias"].repeated(x.rows)
        both = both + abs(inputs["bias"]).repeated(x.rows)  # some take it off the layer's output again

    # y = (x - x~) W^T + bias + c * x~ V^T
    u = dropped @ rows.V.T
    out = {"y": scaled_columns(rows.c, u, outside)}
    gauge = {
        "y.base": scaled_columns(rows.size, both, both),
        "y.low_rank": scaled_columns(rows.size, positive @ rows.low_rank.T),
        "y.norm": scaled_columns(rows.sensitive, abs(u)),
    }
    if not backward:
        return out, gauge

    g = inputs["grad_y"]
    tokens, outputs_, features, r = g.rows, g.cols, x.cols, A.rows
    # dx = g W + mask / (1 - p) * ((c * g) V - g W)
    g_weight = g @ weight
    rest = g_weight - drop(params, inputs, g_weight) if masked else zeros(g.rows, x.cols)
    through = weighted(rows.c, g, rows.V, tokens, features)
    out["grad_x"] = through if not masked else masked_sum(params, inputs, through, rest)
    once = weighted(rows.size, abs(g), abs(weight), tokens, features, abs(g) @ abs(weight))  # (1 + |c|) |g| |W|
    gauge["grad_x.base"] = masked_sum(params, inputs, once, once)
    for term, factors, right in (("low_rank", rows.size, rows.low_rank), ("norm", rows.sensitive, abs(rows.V))):
        gauge[f"grad_x.{term}"] = masked_sum(params, inputs, weighted(factors, abs(g), right, tokens, features), None)

    # dA = s ((c * g) B)^T x~        dB = c * s g^T x~ A^T        dm = sum over the tokens of g * x~ V^T, / n
    outer, outer_gauge = g.T @ dropped, abs(g).T @ positive  # [out, in]
    Bs, Bs_gauge = B.times(s).T, abs(B).times(size(s)).T  # [r, out]
    out["grad_lora_A"] = weighted(rows.c, Bs, outer, r, features)
    gauge["grad_lora_A.all"] = weighted(rows.size, Bs_gauge, outer_gauge, r, features)
    gauge["grad_lora_A.norm"] = weighted(rows.sensitive, Bs_gauge, abs(outer), r, features)
    to_b, to_b_gauge = (outer @ A.T).times(s), (outer_gauge @ abs(A).T).times(size(s))  # [out, r]
    out["grad_lora_B"] = scaled_rows(rows.c, to_b)
    gauge["grad_lora_B.all"] = scaled_rows(rows.size, to_b_gauge)
    gauge["grad_lora_B.norm"] = scaled_rows(rows.sensitive, abs(to_b))
    to_m = (outer * rows.V).T.sum_rows()  # [1, out]
    to_m_gauge = (abs(g) * (both + positive @ rows.low_rank.T)).sum_rows()
    out["grad_lora_magnitude_vector"] = scaled_columns(rows.inverse, to_m)
    gauge["grad_lora_magnitude_vector.all"] = scaled_columns(rows.inverse, to_m_gauge)
    conditions = [product(i, k) for i, k in zip(rows.inverse, rows.k)]
    gauge["grad_lora_magnitude_vector.norm"] = scaled_columns(conditions, abs(to_m))
    if not params.get("detach_norm", True):
        add_through_norm(rows, A, Bs, Bs_gauge, s, (to_m, to_m_gauge), out, gauge)
    return out, gauge


def masked_sum(params, inputs, sums, constant):
    """constant + mask / (1 - p) * sums"""
    p = Fraction(params.get("dropout_p", 0))
    keep = inputs["dropout_mask"].numbers() if p else [Fraction(1)] * len(sums.values)
    constants = constant.numbers() if constant else [Fraction(0)] * len(sums.values)
    pairs = zip(constants, keep, sums.values)
    return Numbers(sums.rows, sums.cols, [combined(c, (k / (1 - p), e)) for c, k, e in pairs])


def add_through_norm(rows, A, Bs, Bs_gauge, s, to_m, out, gauge):
    """What comes back through n where it is not held constant: M = -c dm V / n to V, s B^T M to A and s M A^T to B."""

    def factor(top, m, k, o):
        inverse, square = rows.inverse[o], rows.squares[o]
        return number_by(
            lambda number, sqrt: number(m) * number(top) * number(inverse) * number(k) / number(square)
        )

    count = len(rows.c)
    to_m, to_m_gauge = to_m
    tops, tops_size, sizes = (matrix.numbers() for matrix in (to_m, abs(to_m), to_m_gauge))
    factors = [factor(tops[o], -rows.m[o], Fraction(1), o) for o in range(count)]
    of_size = [factor(sizes[o], abs(rows.m[o]), Fraction(1), o) for o in range(count)]
    # n is there three times: 7 times as far off as where it is there once, as long as it is off by half at most.
    sensitive = [factor(tops_size[o], 7 * abs(rows.m[o]), rows.k[o], o) for o in range(count)]
    r, features = A.rows, A.cols
    out["grad_lora_A"] = weighted(factors, Bs, rows.V, r, features, out["grad_lora_A"])
    gauge["grad_lora_A.through"] = weighted(of_size, Bs_gauge, rows.gauge, r, features)
    norm = weighted(sensitive, Bs_gauge, abs(rows.V), r, features, gauge["grad_lora_A.norm"])
    gauge["grad_lora_A.norm"] = norm
    to_b = (rows.V @ A.T).times(s)
    out["grad_lora_B"] = added([out["grad_lora_B"], scaled_rows(factors, to_b)])
    gauge["grad_lora_B.through"] = scaled_rows(of_size, (rows.gauge @ abs(A).T).times(size(s)))
    gauge["grad_lora_B.norm"] = added([gauge["grad_lora_B.norm"], scaled_rows(sensitive, abs(to_b))])


def merged(params, inputs):
    """c * V. Some add c * V - W to W: hence |W| in the gauge."""
    rows, weight = Rows(params, inputs), weight_of(params, inputs)
    every, norm = scaled_rows(rows.size, rows.gauge), scaled_rows(rows.sensitive, abs(rows.V))
    out, gauge = scaled_rows(rows.c, rows.V), {"all": added([every, abs(weight)]), "norm": norm}
    turned = (lambda matrix: matrix.T) if params.get("fan_in_fan_out", False) else lambda matrix: matrix
    return {"weight": turned(out)}, {f"weight.{term}": turned(matrix) for term, matrix in gauge.items()}
