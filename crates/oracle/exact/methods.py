"""The methods from their papers, in exact numbers: expected values and gauges.

x [tokens, in], W [out, in], A [r, in], B [out, r], g = grad_y [tokens, out]; rows are tokens.
A gauge is the same sum with every term made positive: rounding errors are proportional to it.
"""

from fractions import Fraction
from math import nan

import dora
from exact import Matrix, Scalar, f64, grid8, inverse, real
from layer import (
    DEFAULT_ADAMW,
    DEFAULT_SGD,
    TRAINED,
    Refused,
    drop,
    scale,
    size,
    vera_parts,
    weight_of,
)

# --- forward and backward -------------------------------------------------------------------------------------------


def layer(method, params, inputs, backward=False):
    """y = x W^T + bias + s (x~ A^T) B^T, and its gradients under the cotangent g. LoRA, eq. 3; VeRA without s."""
    if method == "dora":
        return dora.layer(params, inputs, backward)
    x, weight = inputs["x"], weight_of(params, inputs)
    dropped = drop(params, inputs, x)
    positive = abs(drop(params, inputs, x, select=False))
    base, base_gauge = x @ weight.T, abs(x) @ abs(weight).T  # [tokens, out]
    if "bias" in inputs:
        base = base + inputs["bias"].repeated(x.rows)
        base_gauge = base_gauge + abs(inputs["bias"]).repeated(x.rows)

    if method == "vera":
        # y = x W^T + b * ((d * (x~ A^T)) B^T)
        A, B, d, b = vera_parts(inputs, x.cols)
        u, u_gauge = dropped @ A.T, positive @ abs(A).T  # [tokens, r]
        z, z_gauge = (u * d) @ B.T, (u_gauge * abs(d)) @ abs(B).T  # [tokens, out]
        low_rank, low_rank_gauge = z * b, z_gauge * abs(b)
    else:
        A, B = inputs["lora_A"], inputs["lora_B"]
        s = scale(params, A.rows)
        u, u_gauge = dropped @ A.T, positive @ abs(A).T  # [tokens, r]
        low_rank, low_rank_gauge = (u @ B.T).times(s), (u_gauge @ abs(B).T).times(size(s))  # [tokens, out]

    out = {"y": base + low_rank}
    gauge = {"y.base": base_gauge, "y.low_rank": low_rank_gauge}
    if not backward:
        return out, gauge

    g = inputs["grad_y"]
    if method == "vera":
        # db = sum over tokens of g * z        dd = sum over tokens of u * ((b * g) B)
        h, h_gauge = (g * b) @ B, (abs(g) * abs(b)) @ abs(B)  # [tokens, r]
        out["grad_vera_lambda_b"], gauge["grad_vera_lambda_b.all"] = (g * z).sum_rows(), (abs(g) * z_gauge).sum_rows()
        out["grad_vera_lambda_d"], gauge["grad_vera_lambda_d.all"] = (u * h).sum_rows(), (u_gauge * h_gauge).sum_rows()
        into_x, into_x_gauge = (h * d) @ A, (h_gauge * abs(d)) @ abs(A)  # [tokens, in]
    else:
        # dB = s g^T (x~ A^T)        dA = s (g B)^T x~
        h, h_gauge = g @ B, abs(g) @ abs(B)  # [tokens, r]
        if method != "lora-fa":
            out["grad_lora_A"] = (h.T @ dropped).times(s)
            gauge["grad_lora_A.all"] = (h_gauge.T @ positive).times(size(s))
        out["grad_lora_B"] = (g.T @ u).times(s)
        gauge["grad_lora_B.all"] = (abs(g).T @ u_gauge).times(size(s))
        into_x, into_x_gauge = (h @ A).times(s), (h_gauge @ abs(A)).times(size(s))  # [tokens, in]
    # dx = g W + mask / (1 - p) * s (g B) A
    out["grad_x"] = g @ weight + drop(params, inputs, into_x)
    gauge["grad_x.base"] = abs(g) @ abs(weight)
    gauge["grad_x.low_rank"] = drop(params, inputs, into_x_gauge)
    if params.get("variant", "plain") == "projected":
        projected = project(params, A, out["grad_lora_B"], gauge["grad_lora_B.all"])
        out["projected_grad_lora_B"], gauge["projected_grad_lora_B.all"] = projected[0], projected[1]
    return out, gauge


def project(params, A, grad, grad_gauge):
    """G^ = (1/s^2) G (A A^T)^-1, the solution of G^ M = G with M = s^2 A A^T. LoRA-FA v2.

    Returns G^, the gauge of the residual G^ M - G, and the gauge of G^ itself, [out, r] all three.
    Cholesky leaves a residual within a few u |G^| |L| |L^T|, an explicit inverse within a few u |G| |M^-1| |L| |L^T|;
    and (|L| |L^T|)_ij <= s^2 |a_i| |a_j| <= N_ij = s^2 (|a_i|^2 + |a_j|^2) / 2. Since |G^| <= |G| |M^-1|, both are within
        residual:  |G| + |G| |M^-1| N        and then  |error of G^| <= residual |M^-1|
    """
    rank = A.rows
    s = scale(params, rank)
    squared = s.q * s.q * s.root
    if rank > A.cols or squared == 0:
        raise Refused("the projection needs r <= in and s != 0")
    gram = (A @ A.T).times(squared)
    solved = inverse(gram)
    if solved is None or smallest_pivot_ratio(gram) <= Fraction(rank, 2**53):
        raise Refused("the projection needs A of full row rank")
    diagonal = gram.numbers()[:: rank + 1]
    both = Matrix.of(rank, rank, [(a + b) / 2 for a in diagonal for b in diagonal])
    residual = grad_gauge + grad_gauge @ abs(solved) @ both
    return grad @ solved, residual, residual @ abs(solved)


def smallest_pivot_ratio(gram):
    """min over i of (pivot i of L D L^T) / (diagonal entry i)"""
    n, flat = gram.rows, gram.numbers()
    rows = [flat[i * n : i * n + n] for i in range(n)]
    diagonal = [rows[i][i] for i in range(n)]
    smallest = Fraction(1)
    for k in range(n):
        if diagonal[k] == 0:
            return Fraction(0)
        smallest = min(smallest, rows[k][k] / diagonal[k])
        if rows[k][k] == 0:
            return Fraction(0)
        for i in range(k + 1, n):
            factor = rows[i][k] / rows[k][k]
            rows[i] = [a - factor * b for a, b in zip(rows[i], rows[k])]
    return smallest


# --- merge ----------------------------------------------------------------------------------------------------------


def merged(method, params, inputs, sign):
    """W + dW or W - dW, with dW = s B A; for VeRA b * (B (d * A))."""
    if method == "dora":
        return dora.merged(params, inputs)
    weight = weight_of(params, inputs)
    if method == "vera":
        A, B, d, b = vera_parts(inputs, weight.cols)
        delta = (((B * d) @ A).T * b).T  # [out, in]
        gauge = (((abs(B) * abs(d)) @ abs(A)).T * abs(b)).T
    else:
        A, B = inputs["lora_A"], inputs["lora_B"]
        s = scale(params, A.rows)
        delta, gauge = (B @ A).times(s), (abs(B) @ abs(A)).times(size(s))  # [out, in]
    result, gauge = weight + (delta if sign > 0 else -delta), abs(weight) + gauge
    if params.get("fan_in_fan_out", False):
        result, gauge = result.T, gauge.T
    return {"weight": result}, {"weight.all": gauge}


# --- one update -----------------------------------------------------------------------------------------------------


def settings_of(method, params, name):
    """The optimizer's settings for one parameter, defaults filled in. LoRA+: B has lr_ratio times the rate of A."""
    optimizer = params["optimizer"]
    settings = (DEFAULT_SGD if optimizer["name"] == "sgd" else DEFAULT_ADAMW) | optimizer
    rate = Fraction(settings["lr"])
    if method == "lora-plus" and name == "lora_B":
        rate *= Fraction(settings.get("lr_ratio", 16))
    return settings | {"lr": rate, "weight_decay": Fraction(settings["weight_decay"])}


def update(settings, step, p, g, g_gauge, m, v, judged):
    """One update of one entry -> (p, m, v) after it and their gauges; m and v are None for SGD.

    `step` is the number of this update, the first is 1. `judged` says that g comes with an error within u g_gauge, as it
    does in a trajectory, and not exact, as it does in a lone step.
    """
    rate, decay = settings["lr"], settings["weight_decay"]
    kept = 1 - rate * decay
    kept_gauge = 1 + rate * decay

    if settings["name"] == "sgd":
        # p <- p - lr (g + wd p)
        after = real(lambda number, sqrt: number(p) * number(kept) - number(rate) * number(g))
        gauge = real(lambda number, sqrt: number(abs(p)) * number(kept_gauge) + number(rate) * number(g_gauge))
        return (after, None, None), (gauge, None, None)

    beta1, beta2 = (Fraction(b) for b in settings["betas"])
    eps = Fraction(settings["eps"])
    left1, left2 = 1 - beta1**step, 1 - beta2**step
    # m <- b1 m + (1 - b1) g        v <- b2 v + (1 - b2) g^2
    new_m = real(lambda number, sqrt: number(beta1 * m) + number(1 - beta1) * number(g))
    new_v = real(lambda number, sqrt: number(beta2 * v) + number(1 - beta2) * (number(g) * number(g)))
    m_gauge = real(lambda number, sqrt: number(beta1 * abs(m)) + number(1 - beta1) * number(g_gauge))
    v_gauge = real(lambda number, sqrt: number(beta2 * v) + number(1 - beta2) * (number(g_gauge) * number(g_gauge)))

    def denominator(number, sqrt):
        # torch: sqrt(v / (1 - b2^t)) + eps        hf: (sqrt(v) + eps) / sqrt(1 - b2^t)
        if settings["variant"] == "torch":
            return sqrt(number(new_v) * number(1 / left2)) + number(eps)
        return (sqrt(number(new_v)) + number(eps)) / sqrt(number(left2))

    def moved(number, sqrt):
        move = number(rate / left1) * number(new_m) / denominator(number, sqrt)
        if settings["variant"] == "torch":
            return number(p * kept) - move  # decay first
        return (number(p) - move) * number(kept)  # decay last

    def moved_gauge(number, sqrt):
        # sqrt(v) is a Lipschitz function of g with constant sqrt(1 - b2): an error e of g changes the denominator by at
        # most sqrt((1 - b2) / (1 - b2^t)) e.
        below = denominator(number, sqrt)
        top = number(m_gauge)
        if judged:
            slope = sqrt(number((1 - beta2) / left2))
            top = top + abs(number(new_m)) * slope * number(g_gauge) / below
        move = number(rate / left1) * top / below
        if settings["variant"] == "torch":
            return number(abs(p) * kept_gauge) + move
        return (number(abs(p)) + move) * number(kept_gauge)

    return (real(moved), new_m, new_v), (real(moved_gauge), m_gauge, v_gauge)


def update_special(settings, step, p, g, m, v):
    """`update` where p or g is inf or nan."""
    if not isinstance(g, float):  # the moments do not see p
        (_, m, v), (_, m_gauge, v_gauge) = update(settings, step, Fraction(0), g, abs(g), m, v, False)
        return (p, m, v), (abs(p), m_gauge, v_gauge)
    if settings["name"] == "sgd":
        return (-g, None, None), (abs(g), None, None)
    return (nan, g, g * g), (nan, abs(g), g * g)  # m / sqrt(v) is inf / inf


def step(method, params, inputs, number=None, judged=None):
    """One update of every trained tensor; Delta-LoRA's W moves too.

    Returns ({name: numbers}, {gauge: numbers}, shapes). `judged` gives the gauges of gradients that carry an error.
    """
    number = params.get("start", 0) + 1 if number is None else number
    out, gauge, shapes = {}, {}, {}
    for name in TRAINED[method]:
        settings = settings_of(method, params, name)
        p, g = inputs[name], inputs[f"grad_{name}"]
        g_gauge = judged[name] if judged else abs(g)
        carries_error = judged is not None
        if params.get("variant", "plain") == "projected":
            g, _, g_gauge = project(params, inputs["lora_A"], g, g_gauge)
            carries_error = True
        zeros = [Fraction(0)] * (p.rows * p.cols)
        m = inputs[f"exp_avg.{name}"].numbers() if f"exp_avg.{name}" in inputs else zeros
        v = inputs[f"exp_avg_sq.{name}"].numbers() if f"exp_avg_sq.{name}" in inputs else zeros
        results = []
        for entry in zip(p.numbers(), g.numbers(), g_gauge.numbers(), m, v):
            if isinstance(entry[0], float) or isinstance(entry[1], float):
                results.append(update_special(settings, number, entry[0], entry[1], *entry[3:]))
            else:
                results.append(update(settings, number, *entry, carries_error))
        for k, prefix in enumerate(("", "exp_avg.", "exp_avg_sq.")):
            if settings["name"] == "sgd" and k > 0:
                continue
            out[prefix + name] = [values[k] for values, _ in results]
            gauge[f"{prefix}{name}.all"] = [gauges[k] for _, gauges in results]
            shapes[prefix + name] = (p.rows, p.cols)
    if method == "delta-lora":
        out["weight"], gauge["weight.all"] = moved_weight(params, inputs, number, out, gauge)
        shapes["weight"] = (inputs["weight"].rows, inputs["weight"].cols)
    return out, gauge, shapes


def moved_weight(params, inputs, number, out, gauge):
    """W <- W + lambda s (B+ A+ - B A) once t > start_step. Delta-LoRA, algorithm 1.

    The gauge has those of A+ and B+ and not |A+| and |B+|: each carries the error of its own update.
    """
    weight = weight_of(params, inputs)
    A, B = inputs["lora_A"], inputs["lora_B"]
    rank = A.rows
    fan = params.get("fan_in_fan_out", False)
    if number <= params.get("start_step", 0):
        result = inputs["weight"]
        return result.numbers(), abs(result).numbers()
    s = scale(params, rank) if params.get("include_scale", True) else Scalar(1)
    factor, factor_gauge = Fraction(params.get("lambda", 2)) * s.q, abs(Fraction(params.get("lambda", 2)) * s.q)
    before, before_gauge = (B @ A).numbers(), (abs(B) @ abs(A)).numbers()
    kept = weight.numbers()
    results, gauges = [], []
    n = A.cols
    for o in range(B.rows):
        for j in range(n):
            here = o * n + j
            pairs = [(out["lora_B"][o * rank + k], out["lora_A"][k * n + j]) for k in range(rank)]
            tops = [(gauge["lora_B.all"][o * rank + k], gauge["lora_A.all"][k * n + j]) for k in range(rank)]
            results.append(combined(kept[here], factor, s.root, pairs, -before[here]))
            gauges.append(combined(abs(kept[here]), factor_gauge, s.root, tops, before_gauge[here]))
    if fan:
        order = [o * n + j for j in range(n) for o in range(B.rows)]
        results, gauges = [results[k] for k in order], [gauges[k] for k in order]
    return results, gauges


def combined(w, factor, root, pairs, old):
    """w + factor sqrt(root) (sum of products + old)"""
    flat = [w, old, *(e for pair in pairs for e in pair)]
    if any(isinstance(e, float) for e in flat):
        total = sum((f64(a) * f64(b) for a, b in pairs), f64(old))
        return f64(w) + float(factor) * root**0.5 * total

    def formula(number, sqrt):
        total = number(old)
        for a, b in pairs:
            total = total + number(a) * number(b)
        return number(w) + number(factor) * sqrt(number(root)) * total

    return real(formula)


# --- a trajectory ---------------------------------------------------------------------------------------------------


def trajectory(method, params, inputs):
    """At step t: forward and backward on x.t with g.t, then the update. Each step starts from the state on the grid."""
    state = dict(inputs)
    out, gauge, shapes = {}, {}, {}
    for t in range(params["steps"]):
        here = state | {"x": inputs[f"x.{t}"], "grad_y": inputs[f"grad_y.{t}"]}
        plain = {k: v for k, v in params.items() if k != "variant"}
        values, gauges = layer(method, plain, here, backward=True)
        gradients = {f"grad_{name}": values[f"grad_{name}"] for name in TRAINED[method]}
        for name, matrix in {"y": values["y"], **gradients}.items():
            out[f"{name}.{t}"], shapes[f"{name}.{t}"] = matrix.numbers(), (matrix.rows, matrix.cols)
        for term in (term for term in gauges if term.split(".")[0] in ("y", *gradients)):
            name, last = term.split(".")
            gauge[f"{name}.{t}.{last}"] = gauges[term].numbers()
        judged = {name: total(gauges, f"grad_{name}") for name in TRAINED[method]}
        after, after_gauges, after_shapes = step(method, params, here | gradients, t + 1, judged)
        for name, numbers in after.items():
            out[f"{name}.{t}"], gauge[f"{name}.{t}.all"] = numbers, after_gauges[f"{name}.all"]
            shapes[f"{name}.{t}"] = after_shapes[name]
            rows, cols = after_shapes[name]
            state[name] = Matrix.of(rows, cols, [grid8(f64(e)) for e in numbers])
    return out, gauge, shapes


def total(gauges, name):
    """The sum of an output's gauges."""
    parts = [matrix for term, matrix in gauges.items() if term.split(".")[0] == name]
    return parts[0] if len(parts) == 1 else dora.added(parts)


def outputs(method, op, params, inputs):
    """({name: numbers}, {gauge: numbers}, {name: shape}) before any rounding."""
    if op == "step":
        return step(method, params, inputs)
    if op == "trajectory":
        return trajectory(method, params, inputs)
    if op in ("forward", "backward"):
        out, gauge = layer(method, params, inputs, op == "backward")
    else:
        out, gauge = merged(method, params, inputs, +1 if op == "merge" else -1)
    shapes = {name: (matrix.rows, matrix.cols) for name, matrix in out.items()}
    return {k: v.numbers() for k, v in out.items()}, {k: v.numbers() for k, v in gauge.items()}, shapes
