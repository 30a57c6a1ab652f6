"""DoRA's expected values and gauges once more, in 80 decimal digits, from the rows of V and from duals.

y, the merged weight and dx go through the merged rows c V, where the generator goes through c and rational sums.
"""

from decimal import Decimal, getcontext
from math import isfinite, isnan

D = Decimal
TINY = D(10) ** -70


def scale_of(spec):
    alpha, r = D(spec.params.get("alpha", 8)), D(spec.rank)
    return alpha / r.sqrt() if spec.params.get("scaling") == "rslora" else alpha / r


class Layer:
    """One layer in decimals; `absolute` makes every term of every sum positive."""

    def __init__(self, spec, given, absolute=False):
        sign = abs if absolute else lambda v: v
        names = ("x", "weight", "lora_A", "lora_B", "lora_magnitude_vector", "grad_y", "bias")
        own = {k: [[sign(D(v)) for v in row] for row in given[k]] for k in names if k in given}
        n, m, r = spec.inner, spec.outer, spec.rank
        weight = own["weight"]
        if spec.params.get("fan_in_fan_out"):
            weight = [[weight[j][o] for j in range(n)] for o in range(m)]
        s = sign(scale_of(spec))
        A, B = own["lora_A"], own["lora_B"]
        self.low = [[s * sum(B[o][k] * A[k][j] for k in range(r)) for j in range(n)] for o in range(m)]
        self.V = [[w + d for w, d in zip(*pair)] for pair in zip(weight, self.low)]
        self.n = [sum((v * v for v in row), D(0)).sqrt() for row in self.V]
        self.weight, self.s, self.A, self.B, self.m = weight, s, A, B, own["lora_magnitude_vector"][0]
        self.x, self.g = own.get("x", []), own.get("grad_y", [])
        self.bias = own["bias"][0] if "bias" in own else [D(0)] * m
        p = D(spec.params.get("dropout_p", 0))
        keep = given["dropout_mask"] if p and self.x else [[1] * n for _ in self.x]
        self.keep = [[D(v) / (1 - p) for v in row] for row in keep]
        self.kept = [[v * k for v, k in zip(*pair)] for pair in zip(self.x, self.keep)]


def values(spec, given, op):
    """{name: numbers}"""
    layer = Layer(spec, given)
    return outputs(spec, layer, [m / n for m, n in zip(layer.m, layer.n)], op)


def outputs(spec, layer, c, op):
    n, m, r = spec.inner, spec.outer, spec.rank
    merged = [[c_o * v for v in row] for c_o, row in zip(c, layer.V)]
    if op == "merge":
        return {"weight": flat(turned(spec, merged))}
    x, kept, weight, s, A, B = layer.x, layer.kept, layer.weight, layer.s, layer.A, layer.B
    tokens = range(len(x))
    out = {"y": [layer.bias[o] + sum((x[t][j] - kept[t][j]) * weight[o][j] + kept[t][j] * merged[o][j] for j in range(n))
                 for t in tokens for o in range(m)]}  # fmt: skip
    if op == "forward":
        return out
    g = layer.g
    out["grad_x"] = [sum((g[t][o] * (weight[o][j] + layer.keep[t][j] * (merged[o][j] - weight[o][j])) for o in range(m)), D(0))
                     for t in tokens for j in range(n)]  # fmt: skip
    lengths = layer.n
    into = [[sum((g[t][o] * kept[t][j] for t in tokens), D(0)) for j in range(n)] for o in range(m)]  # of the merged rows
    to_m = [sum(into[o][j] * layer.V[o][j] for j in range(n)) / lengths[o] for o in range(m)]
    into = [[c[o] * v for v in into[o]] for o in range(m)]  # of V
    if not spec.params.get("detach_norm", True):
        unit = [[v / lengths[o] for v in layer.V[o]] for o in range(m)]
        into = [[v - c[o] * to_m[o] * u for v, u in zip(into[o], unit[o])] for o in range(m)]
    out["grad_lora_A"] = [s * sum(B[o][k] * into[o][j] for o in range(m)) for k in range(r) for j in range(n)]
    out["grad_lora_B"] = [s * sum(A[k][j] * into[o][j] for j in range(n)) for o in range(m) for k in range(r)]
    out["grad_lora_magnitude_vector"] = to_m
    return out


def turned(spec, matrix):
    if not spec.params.get("fan_in_fan_out"):
        return matrix
    return [[row[j] for row in matrix] for j in range(len(matrix[0]))]


def flat(matrix):
    return [v for row in matrix for v in row]


def gauges(spec, given, op):
    """{name.term: numbers}: sums over absolute values, with the true c in them; `norm` has those of true results, times k."""
    right, layer = Layer(spec, given), Layer(spec, given, absolute=True)
    n, m, r, s = spec.inner, spec.outer, spec.rank, layer.s
    c = [abs(a) / b for a, b in zip(right.m, right.n)]
    k = [a / b for a, b in zip(layer.n, right.n)]
    every, once = range(m), range(n)
    if op == "merge":
        every_term = [[c[o] * v + w for v, w in zip(layer.V[o], layer.weight[o])] for o in every]
        norm = [[c[o] * k[o] * abs(v) for v in right.V[o]] for o in every]
        return {"weight.all": flat(turned(spec, every_term)), "weight.norm": flat(turned(spec, norm))}
    x, kept, weight, g = layer.x, layer.kept, layer.weight, layer.g
    tokens = range(len(x))

    def over_in(t, o, matrix):
        return sum(kept[t][j] * matrix[o][j] for j in once)

    result = {
        "y.base": [(1 + c[o]) * (layer.bias[o] + sum(x[t][j] * weight[o][j] for j in once) + over_in(t, o, weight)) for t in tokens for o in every],
        "y.low_rank": [c[o] * over_in(t, o, layer.low) for t in tokens for o in every],
        "y.norm": [c[o] * k[o] * abs(sum(a * b for a, b in zip(right.kept[t], right.V[o]))) for t in tokens for o in every],
    }  # fmt: skip
    if op == "forward":
        return result

    def over_out(t, j, factors, matrix):
        return sum(factors[o] * g[t][o] * abs(matrix[o][j]) for o in every)

    places, ck = [(t, j) for t in tokens for j in once], [a * b for a, b in zip(c, k)]
    result["grad_x.base"] = [(1 + layer.keep[t][j]) * over_out(t, j, [1 + v for v in c], weight) for t, j in places]
    result["grad_x.low_rank"] = [layer.keep[t][j] * over_out(t, j, c, layer.low) for t, j in places]
    result["grad_x.norm"] = [layer.keep[t][j] * over_out(t, j, ck, right.V) for t, j in places]
    positive = [[sum((g[t][o] * kept[t][j] for t in tokens), D(0)) for j in once] for o in every]
    outer = [[sum((right.g[t][o] * right.kept[t][j] for t in tokens), D(0)) for j in once] for o in every]
    inputs_both = [[a + b for a, b in zip(*pair)] for pair in zip(x, kept)]
    sizes = [sum((g[t][o] * (inputs_both[t][j] * weight[o][j] + kept[t][j] * layer.low[o][j]) for t, j in places), D(0)) + layer.bias[o] * sum((g[t][o] for t in tokens), D(0)) for o in every]
    tops = [abs(sum(outer[o][j] * right.V[o][j] for j in once)) for o in every]
    through = not spec.params.get("detach_norm", True)
    of_a = {"all": [[c[o] * v for v in positive[o]] for o in every],
            "norm": [[ck[o] * abs(v) for v in outer[o]] for o in every]}  # fmt: skip
    seven = [7 * ck[o] * tops[o] / right.n[o] ** 2 if through else D(0) for o in every]
    of_a["norm"] = [[v + seven[o] * abs(w) for v, w in zip(of_a["norm"][o], right.V[o])] for o in every]
    if through:
        of_a["through"] = [[c[o] * sizes[o] / right.n[o] ** 2 * v for v in layer.V[o]] for o in every]
    for term, of in of_a.items():
        result[f"grad_lora_A.{term}"] = [s * sum(layer.B[o][q] * of[o][j] for o in every) for q in range(r) for j in once]
        if term != "norm":
            result[f"grad_lora_B.{term}"] = [s * sum(layer.A[q][j] * of[o][j] for j in once) for o in every for q in range(r)]

    def to_b(o, q, matrix):
        return abs(right.s * sum(right.A[q][j] * matrix[o][j] for j in once))

    result["grad_lora_B.norm"] = [ck[o] * to_b(o, q, outer) + seven[o] * to_b(o, q, right.V) for o in every for q in range(r)]
    result["grad_lora_magnitude_vector.all"] = [sizes[o] / right.n[o] for o in every]
    result["grad_lora_magnitude_vector.norm"] = [k[o] * tops[o] / right.n[o] for o in every]
    return result


def by_differences(spec, given):
    """dy/dp, from y at p + h and at p - h with h = 10^-20, for every entry p of x, A, B and m: good to 39 digits.

    Where n is held constant, c = m / n keeps the n of the given entries.
    """
    right = Layer(spec, given)
    detached, step = spec.params.get("detach_norm", True), D(10) ** -20

    def loss(moved):
        layer = Layer(spec, moved)
        lengths = right.n if detached else layer.n
        y = outputs(spec, layer, [m / n for m, n in zip(layer.m, lengths)], "forward")["y"]
        return sum((a * b for a, b in zip(y, flat(layer.g))), D(0))

    result = {}
    for name in ("x", "lora_A", "lora_B", "lora_magnitude_vector"):
        slopes = []
        exact = [[D(v) for v in row] for row in given[name]]
        for row in exact:
            for j, entry in enumerate(row):
                row[j] = entry + step
                above = loss(given | {name: exact})
                row[j] = entry - step
                slopes.append((above - loss(given | {name: exact})) / (2 * step))
                row[j] = entry
        result[f"grad_{name}"] = slopes
    return result


def check(spec, given, data, require):
    """Every output and gauge of a pass or a merge; which routes were taken."""
    if any(not isfinite(v) for matrix in given.values() for row in matrix for v in row):
        return reached(spec, given, data, require)
    terms = gauges(spec, given, spec.op)
    for name, numbers in values(spec, given, spec.op).items():
        sizes = [sum(of) for of in zip(*(g for term, g in terms.items() if term.split(".")[0] == name))]
        # What cancels to 0 exactly leaves something at the 80th digit.
        same = (float(v) == w or w == 0 and abs(v) <= size * TINY for v, w, size in zip(numbers, data[f"out.{name}"], sizes, strict=True))
        require(spec, all(same), f"decimals: {name}")
    stored = {k.removeprefix("gauge.") for k in data if k.startswith("gauge.")}
    require(spec, stored == set(terms), f"gauges: {sorted(stored ^ set(terms))}")
    for term, numbers in terms.items():
        for a, b in zip(data[f"gauge.{term}"], numbers, strict=True):
            require(spec, b * (1 - TINY) <= D(a) <= b * (1 + D(2) ** -23) + D(2) ** -149, f"gauge of {term}: {a} and {b}")
    done = {"decimal": True, "gauge": True}
    if spec.op == "backward" and spec.tokens * spec.inner * spec.outer * spec.rank <= 200:
        for name, numbers in by_differences(spec, given).items():
            close = all(abs(float(a) - b) <= 1e-15 * abs(b) + 1e-30 for a, b in zip(numbers, data[f"out.{name}"], strict=True))
            require(spec, close, f"differences: {name}")
        done["difference"] = True
    return done


def reached(spec, given, data, require):
    """NaN and infinities: what is not finite is where an entry that is not finite is a term."""
    ones = {k: [[0 if isfinite(v) else 1 for v in row] for row in matrix] for k, matrix in given.items()}
    put = {k: matrix for k, matrix in ones.items() if any(map(any, matrix))}
    (name, matrix), = put.items()
    (i, j), = [(i, j) for i, row in enumerate(matrix) for j, v in enumerate(row) if v]
    hit = {
        "y": lambda t, o: name == "x" and t == i or name == "bias" and o == j,
        "grad_x": lambda t, n: name == "grad_y" and t == i,
        "grad_lora_A": lambda k, n: name == "grad_y" or name == "x" and n == j,
        "grad_lora_B": lambda o, k: name == "grad_y" and o == j or name == "x",
        "grad_lora_magnitude_vector": lambda o, _: name == "grad_y" and o == j or name == "x",
    }
    widths = {"y": spec.outer, "grad_x": spec.inner, "grad_lora_A": spec.inner, "grad_lora_B": spec.rank, "grad_lora_magnitude_vector": 1}
    for output in (k.removeprefix("out.") for k in data if k.startswith("out.")):
        width = widths[output]
        for at, v in enumerate(data[f"out.{output}"]):
            require(spec, isfinite(v) != hit[output](at // width, at % width), f"{output}[{at}] is {v}")
            require(spec, not isnan(v) or "InfPropagates" not in spec.flags, f"{output}[{at}] is NaN")
    return {"reached": True}


def has_zero_row(spec, given):
    """Is a row of V zero? Exact: the numbers have few digits."""
    before, getcontext().prec = getcontext().prec, 200
    try:
        return any(n == 0 for n in Layer(spec, given).n)
    finally:
        getcontext().prec = before
