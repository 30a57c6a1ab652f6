"""The expected values once more, by other routes. Reads only the bytes that go into a file.

f64         every forward, backward and merge: plain floats, all products through dW and g^T x~; within 1e-12 gauges
dual        gradients of small backward cases: the layer's definition on dual rationals, one seed at a time; same f64
decimal     every update and projection: 80 decimal digits, Cholesky; same f64
exact       outputs of exact cases: the floats of f64, same bits
gauge       the same outputs from the absolute values of the inputs (not the projection's)
difference  DoRA, in decimals: small backward cases by central differences; reached: where NaN and infinities go
refused     reject cases break a rule of the contract, and no other case does
"""

import struct
from decimal import Decimal, getcontext
from fractions import Fraction
from math import isfinite, isnan, prod, sqrt

import selfcheck_dora
from container import FORMATS
from exact import Interval, Matrix, Scalar, f64, nearest, upwards

DIGITS, ALL_DIGITS = 80, 1200  # a multiple of 2^-1074 has up to 752 digits, and subnormal results can be ties
getcontext().prec = DIGITS
getcontext().Emin, getcontext().Emax = -99999, 99999
TRAINED = {"vera": ("vera_lambda_d", "vera_lambda_b"), "lora-fa": ("lora_B",), "dora": ("lora_A", "lora_B", "lora_magnitude_vector")}


class Disagreement(Exception):
    """Two routes to the same number end apart."""


def check_arithmetic():
    """The parts that the cases do not reach, or would not show."""
    # CPython's int / int is rounded correctly, subnormals too: another routine than `nearest`.
    for k in range(2000):
        top, bottom = 3**k % (10**9 + 7) * 2 ** (k % 60) + 1, 7**k % (10**9 + 9) << k % 1100
        assert float(nearest(top, bottom)) == top / bottom, (top, bottom)
        step = upwards(top, bottom)
        assert Fraction(top, bottom) <= step < Fraction(top, bottom) * (1 + Fraction(1, 2**22)) + Fraction(1, 2**149)
    assert float(nearest(1, 1 << 1075)) == 0.0 and float(nearest(3, 1 << 1075)) == 2.0**-1073  # ties, to even
    # An interval holds the exact value, and is no wider than a few units.
    for n in (2, 3, 5, 1000):
        root = Interval(n << 64, n << 64, 64).sqrt()
        assert root.lo**2 <= n << 128 < root.hi**2 and root.hi - root.lo <= 2
        third = Interval(1 << 64, 1 << 64, 64) / Interval(-(-n << 64), n << 64, 64)
        assert third.lo * n <= 1 << 64 <= third.hi * n and third.hi - third.lo <= 2
    # (1 + sqrt 6)(sqrt 2) = sqrt 2 + 2 sqrt 3, and its square is 14 + 4 sqrt 6.
    one = Matrix.of(1, 1, [1.0])
    value = (one + one.times(Scalar(1, 6))).times(Scalar(1, 2))
    square = value @ value
    assert {root: v[0] * q for root, (v, q) in square.parts.items() if v[0]} == {1: 14, 6: 4}
    assert f64(value.numbers()[0]) == float(Decimal(2).sqrt() + 2 * Decimal(3).sqrt())


def check(spec, tensors):
    data = {name: read(t) for name, t in tensors.items()}
    broken = broken_rule(
        spec, {n.removeprefix("in."): t.shape for n, t in tensors.items() if n.startswith("in.")}, data
    )
    require(spec, (spec.kind == "reject") == (broken is not None), f"refused: {broken}")
    done = {"refused": spec.kind == "reject"}
    if spec.kind in ("reject", "stat"):
        return done
    given = {n.removeprefix("in."): rows(v, tensors[n].shape) for n, v in data.items() if n.startswith("in.")}
    finite = all(isfinite(v) for n, values in data.items() if n.startswith("in.") for v in values)
    if spec.method == "dora" and spec.op in ("forward", "backward", "merge"):
        return done | selfcheck_dora.check(spec, given, data, require)
    if spec.op in ("forward", "backward", "merge", "unmerge"):
        values = in_floats(spec, given)
        for name, got in values.items():
            compare_floats(spec, name, got, data)
        done["f64"] = True
        if finite:
            check_gauges(spec, given, data)
            done["gauge"] = True
        if spec.op == "backward" and finite and spec.tokens * spec.inner * spec.outer * spec.rank <= 200:
            for name, got in by_duals(spec, given).items():
                require(spec, got == data[f"out.{name}"], f"dual numbers: {name}")
            done["dual"] = True
        if "out.projected_grad_lora_B" in data:
            got = projected(spec, given["lora_A"], gradient_in_decimals(spec, given, "lora_B"))
            wanted = data["out.projected_grad_lora_B"]
            require(spec, [float(v) for row in got for v in row] == wanted, "decimals: the projection")
            done["decimal"] = True
    elif finite:
        getcontext().prec = ALL_DIGITS if "FTZ" in spec.flags else DIGITS
        steps = range(spec.params["steps"]) if spec.op == "trajectory" else [None]
        state = dict(given)
        for t in steps:
            tail = "" if t is None else f".{t}"
            here = dict(state)
            if t is not None:
                here |= {"x": given[f"x.{t}"], "grad_y": given[f"grad_y.{t}"]}
                dora = spec.method == "dora"
                for name, got in ({} if dora else in_floats(spec, here, "backward")).items():
                    if name != "grad_x":
                        compare_floats(spec, name, got, data, 1e-12, tail)
                here |= {
                    f"grad_{p}": gradient_in_decimals(spec, here, p)
                    for p in TRAINED.get(spec.method, ("lora_A", "lora_B"))
                }
                if dora:
                    y = selfcheck_dora.values(spec, here, "forward")["y"]
                    require(spec, [float(v) for v in y] == data[f"out.y.{t}"], f"decimals: y.{t}")
                if spec.params.get("variant") != "projected":
                    check_carried_gauges(spec, here, data, t)
            for name, got in in_decimals(spec, here, t).items():
                wanted = data[f"out.{name}{tail}"]
                require(spec, [float(v) for row in got for v in row] == wanted, f"decimals: {name}{tail}")
                state[name] = [[to_grid(float(v)) for v in row] for row in got]
        if spec.op == "step" and spec.params.get("variant") != "projected":
            check_update_gauges(spec, given, data)
            done["gauge"] = True
        done["decimal"] = True
    return done


def require(spec, holds, what):
    if not holds:
        raise Disagreement(f"{spec.id}: {what}")


def read(tensor):
    return list(struct.unpack(f"<{prod(tensor.shape)}{FORMATS[tensor.dtype][0]}", tensor.bytes))


def rows(values, shape):
    cols = shape[-1]
    return [values[i * cols : i * cols + cols] for i in range(shape[0])] if len(shape) == 2 else [values]


def turned(matrix, cols):
    return [[row[j] for row in matrix] for j in range(cols)]


def compare_floats(spec, name, got, data, tolerance=1e-12, tail=""):
    wanted = data[f"out.{name}{tail}"]
    gauges = [
        data[f"gauge.{name}{tail}.{term}"]
        for term in ("base", "low_rank", "all")
        if f"gauge.{name}{tail}.{term}" in data
    ]
    require(spec, len(got) == len(wanted), f"length of {name}")
    for i, (a, b) in enumerate(zip(got, wanted)):
        gauge = sum(g[i] for g in gauges)
        if not isfinite(gauge):
            same = (
                (isnan(a) and isnan(b)) or a == b or (spec.kind == "acceptable" and not isfinite(a) and not isfinite(b))
            )
            require(spec, same, f"{name}{tail}[{i}]: {a} and {b}")
            continue
        # The format's own spacing near 0: a few hundred operations, each off by 2^-1075 at most.
        require(spec, abs(a - b) <= tolerance * gauge + 1e-321, f"f64: {name}{tail}[{i}]: {a} and {b}")
        require(spec, abs(b) <= gauge * (1 + 2**-52), f"{name}{tail}[{i}] is larger than its gauge")
        if spec.kind == "exact":
            require(spec, a == b, f"exact: {name}{tail}[{i}]: {a} and {b}")


# --- floats, through dW and g^T x~ ----------------------------------------------------------------------------------


def scale_of(spec, number=float):
    alpha, r = number(spec.params.get("alpha", 8)), number(spec.rank)
    if spec.params.get("scaling") != "rslora":
        return alpha / r
    if number is Decimal:
        return alpha / r.sqrt()
    return alpha / sqrt(r) if number is float else alpha * number(root_of(spec.rank)) / r


def root_of(r):
    """sqrt(r) to 80 digits."""
    return Fraction(Decimal(r).sqrt())


def parts(spec, given):
    weight = given["weight"]
    if spec.params.get("fan_in_fan_out"):
        weight = turned(weight, spec.outer)
    n, m, r = spec.inner, spec.outer, spec.rank
    if spec.method == "vera":
        A = [row[:n] for row in given["vera_A"]]
        return weight, A, given["vera_B"][:m], given["vera_lambda_d"][0], given["vera_lambda_b"][0]
    return weight, given["lora_A"], given["lora_B"], [1] * r, [1] * m


def dropped_x(spec, given, number=float):
    p = number(spec.params.get("dropout_p", 0))
    if p == 0:
        return given["x"]
    # Not 0 times x: an infinite x that is dropped counts as 0.
    return [
        [number(v) / (1 - p) if k else number(0) for v, k in zip(*pair)]
        for pair in zip(given["x"], given["dropout_mask"])
    ]


def in_floats(spec, given, op=None):
    op = op or spec.op
    n, m, r = spec.inner, spec.outer, spec.rank
    weight, A, B, d, b = parts(spec, given)
    s = scale_of(spec) if spec.method != "vera" else 1.0
    delta = [[b[o] * s * sum(B[o][k] * d[k] * A[k][j] for k in range(r)) for j in range(n)] for o in range(m)]
    if op in ("merge", "unmerge"):
        sign = 1 if op == "merge" else -1
        merged = [[weight[o][j] + sign * delta[o][j] for j in range(n)] for o in range(m)]
        merged = turned(merged, n) if spec.params.get("fan_in_fan_out") else merged
        return {"weight": [v for row in merged for v in row]}
    x, kept = given["x"], dropped_x(spec, given)
    bias = given["bias"][0] if "bias" in given else [0.0] * m
    out = {"y": [sum(u * w for u, w in zip(x[t], weight[o])) + bias[o] + sum(u * w for u, w in zip(kept[t], delta[o]))
                 for t in range(len(x)) for o in range(m)]}  # fmt: skip
    if op == "forward":
        return out
    g, p = given["grad_y"], spec.params.get("dropout_p", 0)
    outer = [[sum(g[t][o] * kept[t][j] for t in range(len(x))) for j in range(n)] for o in range(m)]
    mask = [[k / (1 - p) for k in row] for row in given["dropout_mask"]] if p else [[1.0] * n for _ in x]
    out["grad_x"] = [sum(g[t][o] * weight[o][j] for o in range(m)) + mask[t][j] * sum(g[t][o] * delta[o][j] for o in range(m))
                     for t in range(len(x)) for j in range(n)]  # fmt: skip
    if spec.method == "vera":
        inside = [[sum(A[k][j] * outer[o][j] for j in range(n)) for k in range(r)] for o in range(m)]
        out["grad_vera_lambda_b"] = [sum(B[o][k] * d[k] * inside[o][k] for k in range(r)) for o in range(m)]
        out["grad_vera_lambda_d"] = [sum(b[o] * B[o][k] * inside[o][k] for o in range(m)) for k in range(r)]
        return out
    if spec.method != "lora-fa":
        out["grad_lora_A"] = [s * sum(B[o][k] * outer[o][j] for o in range(m)) for k in range(r) for j in range(n)]
    out["grad_lora_B"] = [s * sum(outer[o][j] * A[k][j] for j in range(n)) for o in range(m) for k in range(r)]
    return out


# --- gauges ---------------------------------------------------------------------------------------------------------


def above(spec, name, stored, value):
    """An f32 rounded upwards is at most one part in 2^23 too large; f64 sums of positive terms are off by 1e-12 at most."""
    for a, b in zip(stored, value, strict=True):
        require(spec, b * (1 - 1e-12) <= a <= b * (1 + 2.0**-23 + 1e-12) + 2.0**-149, f"gauge of {name}: {a} and {b}")


def positive(given):
    return {name: [[abs(v) for v in row] for row in matrix] for name, matrix in given.items()}


def check_gauges(spec, given, data):
    """Every gauge is the output for |inputs|; its base is what is left when B, or lambda_b, is 0."""
    given = positive(given)
    op = "merge" if spec.op == "unmerge" else spec.op
    zeros = {name: [[0.0] * len(row) for row in matrix] for name, matrix in given.items()}
    last = "vera_lambda_b" if spec.method == "vera" else "lora_B"
    totals = in_floats(spec, given, op)
    bases = in_floats(spec, given | {last: zeros[last]}, op)
    low_ranks = in_floats(spec, given | {name: zeros[name] for name in {"weight", "bias"} & zeros.keys()}, op)
    for name in totals:
        for term, values in (("all", totals), ("base", bases), ("low_rank", low_ranks)):
            if f"gauge.{name}.{term}" in data:
                above(spec, name, data[f"gauge.{name}.{term}"], values[name])


def check_update_gauges(spec, given, data):
    """|p| (1 + lr wd) and the move that |m| and |g| make from p = 0 without decay."""
    optimizer = spec.params["optimizer"]
    plain = Still(spec, {**spec.params, "optimizer": optimizer | {"weight_decay": 0}, "start_step": 10**9})
    names = TRAINED.get(spec.method, ("lora_A", "lora_B"))
    zero = {name: [[0.0] * len(row) for row in given[name]] for name in names}
    moves = in_decimals(plain, positive(given) | zero, None)
    gauges = {}
    for name in names:
        lr, decay = Decimal(optimizer.get("lr", 1e-3)), Decimal(optimizer.get("weight_decay", 0))
        lr *= Decimal(optimizer.get("lr_ratio", 16)) if spec.method == "lora-plus" and name == "lora_B" else 1
        last = 1 + lr * decay if optimizer.get("variant") == "hf" else 1
        gauges[name] = [
            [Decimal(abs(p)) * (1 + lr * decay) + abs(m) * last for p, m in zip(*pair)]
            for pair in zip(given[name], moves[name])
        ]
    for name in (n for n in moves if n != "weight"):
        matrix = gauges.get(name, moves[name])
        above(spec, name, data[f"gauge.{name}.all"], [float(v) for row in matrix for v in row])
    if spec.method == "delta-lora":
        p = spec.params
        moving = p.get("start", 0) + 1 > p.get("start_step", 0)
        s = abs(scale_of(spec)) if p.get("include_scale", True) else 1.0
        factor = abs(p.get("lambda", 2)) * s if moving else 0.0
        A, B, fan = given["lora_A"], given["lora_B"], p.get("fan_in_fan_out")
        total = [[float(sum(gauges["lora_B"][o][k] * gauges["lora_A"][k][j] + Decimal(abs(B[o][k] * A[k][j])) for k in range(spec.rank)))
                  for j in range(spec.inner)] for o in range(spec.outer)]  # fmt: skip
        weight = turned(given["weight"], spec.outer) if fan else given["weight"]
        total = [[abs(w) + factor * v for w, v in zip(*pair)] for pair in zip(weight, total)]
        total = turned(total, spec.inner) if fan else total
        above(spec, "weight", data["gauge.weight.all"], [v for row in total for v in row])


def check_carried_gauges(spec, here, data, t):
    """A trajectory's gauges, where the gradient's own gauge stands for |g|. In floats."""
    optimizer = spec.params["optimizer"]
    one, two = optimizer.get("betas", [0.9, 0.999])
    left, right, eps = 1 - one ** (t + 1), 1 - two ** (t + 1), optimizer.get("eps", 1e-8)
    for name in TRAINED.get(spec.method, ("lora_A", "lora_B")):
        lr, decay = optimizer.get("lr", 1e-3), optimizer.get("weight_decay", 0)
        lr *= optimizer.get("lr_ratio", 16) if spec.method == "lora-plus" and name == "lora_B" else 1
        p, g = ([v for row in here[k] for v in row] for k in (name, f"grad_{name}"))
        prefix = f"gauge.grad_{name}.{t}."
        sizes = [sum(terms) for terms in zip(*(numbers for k, numbers in data.items() if k.startswith(prefix)))]
        old = [
            [v for row in here[k] for v in row] if k in here else [0.0] * len(p)
            for k in (f"exp_avg.{name}", f"exp_avg_sq.{name}")
        ]
        wanted = {name: [], f"exp_avg.{name}": [], f"exp_avg_sq.{name}": []}
        for w, e, size, m, v in zip(p, map(float, g), sizes, *old):
            if optimizer["name"] == "sgd":
                wanted[name].append(abs(w) * (1 + lr * decay) + lr * size)
                continue
            top, below = one * abs(m) + (1 - one) * size, sqrt((two * v + (1 - two) * e * e) / right)
            below += eps / sqrt(right) if optimizer.get("variant") == "hf" else eps
            move = lr / left * (top + abs(one * m + (1 - one) * e) * sqrt((1 - two) / right) * size / below) / below
            move *= 1 + lr * decay if optimizer.get("variant") == "hf" else 1
            wanted[name].append(abs(w) * (1 + lr * decay) + move)
            wanted[f"exp_avg.{name}"].append(top)
            wanted[f"exp_avg_sq.{name}"].append(two * v + (1 - two) * size * size)
        for key, values in wanted.items():
            # `size` is already rounded upwards, by one part in 2^23 at most, and enters as its square.
            for a, b in zip(data.get(f"gauge.{key}.{t}.all", []), values):
                require(spec, b * (1 - 2.0**-21) <= a <= b * (1 + 2.0**-23 + 1e-12), f"gauge of {key}.{t}: {a} and {b}")


class Still:
    """A spec with other params."""

    def __init__(self, spec, params):
        self.__dict__.update(vars(spec) | {"params": params, "id": spec.id})


# --- dual numbers ---------------------------------------------------------------------------------------------------


class Dual:
    """value + slope e, with e^2 = 0"""

    def __init__(self, value, slope=0):
        self.value, self.slope = value, slope

    def __add__(self, other):
        return Dual(self.value + other.value, self.slope + other.slope)

    def __mul__(self, other):
        return Dual(self.value * other.value, self.value * other.slope + self.slope * other.value)


def by_duals(spec, given):
    """d/dp of sum(grad_y * y) for every entry p of x and of the trained tensors, from the layer's definition."""
    names = ["x", *TRAINED.get(spec.method, ("lora_A", "lora_B"))]
    exact = {k: [[Dual(Fraction(v)) for v in row] for row in rows_] for k, rows_ in given.items()}
    p = Fraction(spec.params.get("dropout_p", 0))
    s = Dual(scale_of(spec, Fraction) if spec.method != "vera" else Fraction(1))
    keep = exact.get("dropout_mask") if p else None
    constant = Dual(1 / (1 - p)) if p else Dual(Fraction(1))

    def loss():
        weight, A, B, d, b = parts(spec, exact)
        total = Dual(Fraction(0))
        for t, x in enumerate(exact["x"]):
            kept = [v * keep[t][j] * constant for j, v in enumerate(x)] if keep else x
            for o in range(spec.outer):
                y = Dual(Fraction(0))
                for j in range(spec.inner):
                    y = y + x[j] * weight[o][j]
                for k in range(spec.rank):
                    inner = Dual(Fraction(0))
                    for j in range(spec.inner):
                        inner = inner + kept[j] * A[k][j]
                    term = inner * B[o][k] * s
                    y = y + (term * d[k] * b[o] if spec.method == "vera" else term)
                total = total + y * exact["grad_y"][t][o]
        return total.slope

    result = {}
    for name in names:
        slopes = []
        for row in exact[name]:
            for j, entry in enumerate(row):
                row[j] = Dual(entry.value, Fraction(1))
                slopes.append(float(loss()))
                row[j] = entry
        result[f"grad_{name}"] = slopes
    return result


# --- decimals -------------------------------------------------------------------------------------------------------


def decimals(matrix):
    return [[v if isinstance(v, Decimal) else Decimal(v) for v in row] for row in matrix]


def gradient_in_decimals(spec, given, name):
    """The trained tensors' gradients again, 80 digits: rounding to f64 must not come in between."""
    if spec.method == "dora":
        numbers = selfcheck_dora.values(spec, given, "backward")[f"grad_{name}"]
        width = len(given[name][0])
        return [numbers[i : i + width] for i in range(0, len(numbers), width)]
    exact = {
        k: decimals(v)
        for k, v in given.items()
        if not (k[-1].isdigit() and "." in k) and not k.startswith(("grad_lora", "grad_vera"))
    }
    weight, A, B, d, b = parts(spec, exact)
    x, g, n, m, r = dropped_x(spec, exact, Decimal), exact["grad_y"], spec.inner, spec.outer, spec.rank
    outer = [[sum((g[t][o] * x[t][j] for t in range(len(x))), Decimal(0)) for j in range(n)] for o in range(m)]
    inside = [[sum(A[k][j] * outer[o][j] for j in range(n)) for k in range(r)] for o in range(m)]
    if name == "vera_lambda_b":
        return [[sum(B[o][k] * d[k] * inside[o][k] for k in range(r)) for o in range(m)]]
    if name == "vera_lambda_d":
        return [[sum(b[o] * B[o][k] * inside[o][k] for o in range(m)) for k in range(r)]]
    s = scale_of(spec, Decimal)
    if name == "lora_B":
        return [[s * v for v in row] for row in inside]
    return [[s * sum(B[o][k] * outer[o][j] for o in range(m)) for j in range(n)] for k in range(r)]


def in_decimals(spec, given, t):
    """One update, entry by entry, as the contract words it."""
    step = spec.params.get("start", 0) + 1 if t is None else t + 1
    opt = spec.params["optimizer"]
    adam = opt["name"] == "adamw"
    out = {}
    for name in TRAINED.get(spec.method, ("lora_A", "lora_B")):
        p, g = decimals(given[name]), decimals(given[f"grad_{name}"])
        if spec.params.get("variant") == "projected":
            g = projected(spec, given["lora_A"], g)
        zero = [[Decimal(0)] * len(row) for row in p]
        lr, decay = Decimal(opt.get("lr", 1e-3)), Decimal(opt.get("weight_decay", 0))
        if spec.method == "lora-plus" and name == "lora_B":
            lr *= Decimal(opt.get("lr_ratio", 16))
        if not adam:
            out[name] = [[w - lr * (e + decay * w) for w, e in zip(*pair)] for pair in zip(p, g)]
            continue
        one, two = (Decimal(v) for v in opt.get("betas", [0.9, 0.999]))
        eps = Decimal(opt.get("eps", 1e-8))
        m, v = decimals(given.get(f"exp_avg.{name}", zero)), decimals(given.get(f"exp_avg_sq.{name}", zero))
        m = [[one * a + (1 - one) * e for a, e in zip(*pair)] for pair in zip(m, g)]
        v = [[two * a + (1 - two) * e * e for a, e in zip(*pair)] for pair in zip(v, g)]
        left, right = 1 - one**step, 1 - two**step
        after = []
        for row_p, row_m, row_v in zip(p, m, v):
            row = []
            for w, a, c in zip(row_p, row_m, row_v):
                if opt.get("variant", "torch") == "torch":
                    w = w - lr * decay * w
                    row.append(w - lr / left * a / (c.sqrt() / right.sqrt() + eps))
                else:
                    w = w - lr * right.sqrt() / left * a / (c.sqrt() + eps)
                    row.append(w - lr * decay * w)
            after.append(row)
        out |= {name: after, f"exp_avg.{name}": m, f"exp_avg_sq.{name}": v}
    if spec.method == "delta-lora":
        out["weight"] = moved_weight(spec, given, out, step)
    return out


def moved_weight(spec, given, out, step):
    weight = decimals(given["weight"])
    if step <= spec.params.get("start_step", 0):
        return weight
    fan = spec.params.get("fan_in_fan_out")
    A, B = decimals(given["lora_A"]), decimals(given["lora_B"])
    factor = Decimal(spec.params.get("lambda", 2)) * (
        scale_of(spec, Decimal) if spec.params.get("include_scale", True) else 1
    )
    result = [row[:] for row in weight]
    for o in range(spec.outer):
        for j in range(spec.inner):
            # (B+ - B) A+ + B (A+ - A) is the same difference
            move = sum(
                (out["lora_B"][o][k] - B[o][k]) * out["lora_A"][k][j] + B[o][k] * (out["lora_A"][k][j] - A[k][j])
                for k in range(spec.rank)
            )
            place = (j, o) if fan else (o, j)
            result[place[0]][place[1]] += factor * move
    return result


def projected(spec, A, grad):
    """G (A A^T)^-1 / s^2 by Cholesky."""
    A, grad = decimals(A), decimals(grad)
    r = spec.rank
    s = scale_of(spec, Decimal)
    low = [[Decimal(0)] * r for _ in range(r)]
    for i in range(r):
        for j in range(i + 1):
            rest = sum(a * b for a, b in zip(A[i], A[j])) - sum(low[i][k] * low[j][k] for k in range(j))
            low[i][j] = rest.sqrt() if i == j else rest / low[j][j]
    result = []
    for row in grad:
        z = []
        for i in range(r):
            z.append((row[i] - sum(low[i][k] * z[k] for k in range(i))) / low[i][i])
        for i in reversed(range(r)):
            z[i] = (z[i] - sum(low[k][i] * z[k] for k in range(i + 1, r))) / low[i][i]
        result.append([v / (s * s) for v in z])
    return result


def to_grid(value):
    """Round to 8 bits: Python's round() takes ties to even. The spacing is 2^-24 at least."""
    if value == 0:
        return 0.0
    size = abs(value)
    spacing = 2.0**-24
    while size >= spacing * 256:
        spacing *= 2
    rounded = round(size / spacing) * spacing
    return -rounded if value < 0 else rounded


# --- the contract's refusals ----------------------------------------------------------------------------------------


def broken_rule(spec, shapes, data):
    """The rule of the contract that the case breaks, or None."""
    p = spec.params.get("dropout_p", 0)
    if spec.op == "init":
        return None
    if spec.method == "delta-lora" and p > 0:
        return "dropout with Delta-LoRA"
    if p >= 1:
        return "dropout_p >= 1"
    if p > 0 and "dropout_mask" not in shapes:
        return "no mask"
    n, m, t, r = spec.inner, spec.outer, spec.tokens, spec.rank
    needed = {
        "forward": ["x", "weight"],
        "backward": ["x", "weight", "grad_y"],
        "merge": ["weight"],
        "unmerge": ["weight"],
    }
    own = ["vera_A", "vera_B", "vera_lambda_d", "vera_lambda_b"] if spec.method == "vera" else ["lora_A", "lora_B"]
    own += ["lora_magnitude_vector"] if spec.method == "dora" else []
    if spec.method == "dora" and spec.op == "unmerge":
        return "a merged weight has lost the lengths"
    trained = TRAINED.get(spec.method, ("lora_A", "lora_B"))
    names = needed[spec.op] + own if spec.op in needed else []
    if spec.op == "step":
        names = [*trained, *(f"grad_{q}" for q in trained)]
        names += ["weight"] if spec.method == "delta-lora" else []
        names += ["lora_A"] if spec.params.get("variant") == "projected" else []
    missing = [name for name in names if name not in shapes]
    if missing:
        return f"no {missing[0]}"
    fits = {"x": (t, n), "grad_y": (t, m), "dropout_mask": (t, n), "weight": (n, m) if spec.params.get("fan_in_fan_out") else (m, n),
            "bias": (m,), "lora_A": (r, n), "lora_B": (m, r), "vera_lambda_d": (r,), "vera_lambda_b": (m,), "lora_magnitude_vector": (m,)}  # fmt: skip
    for name, shape in shapes.items():
        parts_ = [q for q in name.split(".") if not q.isdigit() and q not in ("exp_avg", "exp_avg_sq")]
        base = parts_[0] if parts_[0] == "grad_y" else parts_[0].removeprefix("grad_")
        if base in fits and shape != fits[base]:
            return f"{name} {shape}"
        if base == "vera_A" and (shape[0] < r or shape[1] < n) or base == "vera_B" and (shape[0] < m or shape[1] < r):
            return f"{name} {shape}"
    if spec.method == "dora" and spec.op != "step":
        given = {k.removeprefix("in."): rows(v, shapes[k.removeprefix("in.")]) for k, v in data.items() if k.startswith("in.")}
        here = {k: v for k, v in given.items() if k in ("weight", "lora_A", "lora_B", "lora_magnitude_vector")}
        if selfcheck_dora.has_zero_row(spec, here):
            return "a row of V is 0"
    if spec.params.get("variant") == "projected" and spec.op in ("backward", "step"):
        if r > n or spec.params.get("alpha", 8) == 0:
            return "r > in or s = 0"
        A = [[Fraction(v) for v in row] for row in rows(data["in.lora_A"], (r, n))]
        left = [row[:] for row in A]  # Gram and Schmidt: the squared length of what is left of a row is its pivot
        for i in range(r):
            for k in range(i):
                length = sum(v * v for v in left[k])
                factor = sum(a * b for a, b in zip(A[i], left[k])) / length
                left[i] = [a - factor * b for a, b in zip(left[i], left[k])]
            if sum(v * v for v in left[i]) <= Fraction(r, 2**53) * sum(v * v for v in A[i]):
                return "A has dependent rows"
    return None
