"""Is a case `exact`: does every honest order of summation give the same bits, even in bf16?

bf16 holds every integer up to 2^8. So it is enough that at every intermediate the sum of absolute values is at most 2^8
quanta, where a quantum is a power of two that divides every term. The intermediates are those of all the usual ways to
compute a result: x A^T first or B A first, the scale early or late, the update with the decay inside or outside.
"""

from fractions import Fraction

from exact import Irrational, Matrix, f64, grid8, rational_sqrt
from layer import TRAINED, drop, scale, weight_of
from methods import layer, settings_of, step

WIDEST = 2**8


class NotExact(Exception):
    """Some order of summation could round."""


def power_of_two(value: Fraction) -> bool:
    return (
        value > 0 and value.numerator & (value.numerator - 1) == 0 and value.denominator & (value.denominator - 1) == 0
    )


class Traced:
    """The gauge of an intermediate and its quantum; None for a quantum when all is zero."""

    def __init__(self, gauge: Matrix, quantum):
        self.gauge, self.quantum = gauge, quantum
        widest = max(gauge.numbers(), default=Fraction(0))
        if quantum is not None and widest > WIDEST * quantum:
            raise NotExact(f"{widest / quantum} quanta")

    @staticmethod
    def of(matrix: Matrix):
        return Traced(abs(matrix), matrix.quantum())

    def _joined(self, other, gauge):
        zero = self.quantum is None or other.quantum is None
        return Traced(gauge, None if zero else self.quantum * other.quantum)

    def __matmul__(self, other):
        return self._joined(other, self.gauge @ other.gauge)

    def __mul__(self, other):
        return self._joined(other, self.gauge * other.gauge)

    def __add__(self, other):
        quanta = [q for q in (self.quantum, other.quantum) if q is not None]
        return Traced(self.gauge + other.gauge, min(quanta, default=None))

    def times(self, factor):
        """By a number of at most 8 bits; a power of two changes the quantum and nothing else."""
        factor = abs(Fraction(factor))
        odd = factor.numerator
        if factor == 0:
            return Traced(self.gauge.times(0), None)
        while odd % 2 == 0:
            odd //= 2
        if odd >= WIDEST or factor.denominator & (factor.denominator - 1):
            raise NotExact(f"{factor} needs more than 8 bits")
        return Traced(self.gauge.times(factor), None if self.quantum is None else self.quantum * factor / odd)

    @property
    def T(self):
        return Traced(self.gauge.T, self.quantum)

    def sum_rows(self):
        return Traced(self.gauge.sum_rows(), self.quantum)


def exact_scale(params, rank):
    s = scale(params, rank)
    if s.root != 1 or not (s.q == 0 or power_of_two(abs(s.q))):
        raise NotExact("the scale is no power of two")
    return s.q


def dropped(params, inputs, traced):
    p = Fraction(params.get("dropout_p", 0))
    if p == 0:
        return traced
    if not power_of_two(1 / (1 - p)):
        raise NotExact("1/(1-p) is no power of two")
    return (traced * Traced(abs(inputs["dropout_mask"]), Fraction(1))).times(1 / (1 - p))


def check_layer(method, params, inputs, backward):
    if method == "dora":
        check_dora(params, inputs, backward)
        return
    of = Traced.of
    x, weight = of(inputs["x"]), of(weight_of(params, inputs))
    kept = dropped(params, inputs, x)
    if method == "vera":
        n, m = inputs["x"].cols, inputs["vera_lambda_b"].cols
        d, b = of(inputs["vera_lambda_d"]), of(inputs["vera_lambda_b"])
        A, B = of(inputs["vera_A"].part(d.gauge.cols, n)), of(inputs["vera_B"].part(m, d.gauge.cols))
        u = kept @ A.T
        z = (u * d) @ B.T
        low_rank = z * b
        delta = (((B * d) @ A).T * b).T
        factors = [(B.T * b).T, (A.T * d).T, B * d, kept @ (A.T * d)]
        factors.append((factors[0] * d) @ A)
    else:
        A, B = of(inputs["lora_A"]), of(inputs["lora_B"])
        s = exact_scale(params, A.gauge.rows)
        u = kept @ A.T
        z = u @ B.T
        low_rank = z.times(s)
        delta = (B @ A).times(s)
    base = x @ weight.T
    if "bias" in inputs:
        base = base + of(inputs["bias"].repeated(inputs["x"].rows))
    base + low_rank
    kept @ delta.T
    if "dropout_mask" not in inputs:
        x @ (weight + delta).T
    if not backward:
        return
    g = of(inputs["grad_y"])
    g @ weight + dropped(params, inputs, g @ delta)
    if "dropout_mask" not in inputs:
        g @ (weight + delta)
    outer = g.T @ kept  # g^T x~ [out, in]
    if method == "vera":
        h = (g * b) @ B
        (g * z).sum_rows()
        (u * h).sum_rows()
        g @ weight + dropped(params, inputs, (h * d) @ A)
        (outer.T * b).T @ A.T  # [out, r], and B against it
        ((outer.T * b).T @ A.T) * B
        outer * ((B * d) @ A)
        B.T @ (outer.T * b).T
        return
    h = g @ B
    (h.T @ kept).times(s)
    (g.T @ u).times(s)
    (B.T @ outer).times(s)
    (outer @ A.T).times(s)
    g @ weight + dropped(params, inputs, (h @ A).times(s))


class DoraRows:
    """V, whose rows have powers of two for lengths, c = m / n and c - 1."""

    def __init__(self, params, inputs):
        of = Traced.of
        weight, A, B = weight_of(params, inputs), inputs["lora_A"], inputs["lora_B"]
        self.s = exact_scale(params, A.rows)
        self.weight = of(weight)
        self.delta = (of(B) @ of(A)).times(self.s)
        self.weight + self.delta
        exact = weight + (B @ A).times(self.s)
        self.V = of(exact)
        (self.V * self.V).T.sum_rows()
        self.lengths = []
        for square in (exact * exact).T.sum_rows().numbers():
            n = rational_sqrt(square) if square else Fraction(0)
            if not power_of_two(n):
                raise NotExact("a row of V has a length that is no power of two")
            self.lengths.append(n)
        self.m = inputs["lora_magnitude_vector"].numbers()
        self.c = [m / n for m, n in zip(self.m, self.lengths)]
        row = lambda values: of(Matrix.of(1, len(values), values))
        self.times_c, self.less_one = row(self.c), row([c - 1 for c in self.c])
        self.times_c + row([Fraction(1)] * len(self.c))
        self.inverse = row([1 / n for n in self.lengths])
        self.merged = (self.V.T * self.times_c).T

    def by_rows(self, factors):
        return (self.V.T * Traced.of(Matrix.of(1, len(factors), factors))).T


def check_dora(params, inputs, backward):
    of = Traced.of
    try:
        rows = DoraRows(params, inputs)
    except Irrational:
        raise NotExact("a row of V has an irrational length") from None
    x, A, B = of(inputs["x"]), of(inputs["lora_A"]), of(inputs["lora_B"])
    masked = "dropout_mask" in inputs
    kept = dropped(params, inputs, x)
    frozen, u = kept @ rows.weight.T, kept @ A.T
    low_rank = (u @ B.T).times(rows.s)
    base = x @ rows.weight.T
    if "bias" in inputs:
        base = base + of(inputs["bias"].repeated(inputs["x"].rows))
    base + frozen * rows.less_one + low_rank * rows.times_c
    (frozen + low_rank) * rows.times_c + base
    kept @ rows.merged.T + base
    if masked:
        (x + kept) @ rows.weight.T + (kept @ rows.V.T) * rows.times_c
    if not backward:
        return
    g = of(inputs["grad_y"])
    gc = g * rows.times_c
    h = gc @ B
    (h.T @ kept).times(rows.s)
    (gc.T @ u).times(rows.s)
    outer = g.T @ kept
    scaled = (outer.T * rows.times_c).T
    (B.T @ scaled).times(rows.s)
    (scaled @ A.T).times(rows.s)
    ((outer @ A.T).T * rows.times_c).times(rows.s)
    (g * (frozen + low_rank)).sum_rows() * rows.inverse
    (outer * rows.V).T.sum_rows() * rows.inverse
    g @ rows.weight + dropped(params, inputs, (g * rows.less_one) @ rows.weight + (h @ A).times(rows.s))
    g @ rows.weight + dropped(params, inputs, gc @ rows.V)
    if masked:
        g @ rows.weight + dropped(params, inputs, g @ rows.weight + gc @ rows.V)
    if not params.get("detach_norm", True):
        exact = drop(params, inputs, inputs["x"]) @ (weight_of(params, inputs) + (inputs["lora_B"] @ inputs["lora_A"]).times(rows.s)).T
        tops = (inputs["grad_y"] * exact).sum_rows().numbers()
        factors = [-c * top / n**2 for c, top, n in zip(rows.c, tops, rows.lengths)]
        M = rows.by_rows(factors)
        (h.T @ kept).times(rows.s) + (B.T @ M).times(rows.s)
        (gc.T @ u).times(rows.s) + (M @ A.T).times(rows.s)
        (B.T @ (scaled + M)).times(rows.s)
        ((scaled + M) @ A.T).times(rows.s)


def check_merge(method, params, inputs):
    of = Traced.of
    if method == "dora":
        try:
            rows = DoraRows(params, inputs)
        except Irrational:
            raise NotExact("a row of V has an irrational length") from None
        rows.merged + rows.weight + rows.weight
        return
    weight = of(weight_of(params, inputs))
    if method == "vera":
        d, b = of(inputs["vera_lambda_d"]), of(inputs["vera_lambda_b"])
        A, B = inputs["vera_A"].part(d.gauge.cols, weight.gauge.cols), inputs["vera_B"].part(b.gauge.cols, d.gauge.cols)
        A, B = of(A), of(B)
        left = (B.T * b).T
        left @ (A.T * d).T
        weight + (((B * d) @ A).T * b).T
        weight + (left * d) @ A
    else:
        A, B = of(inputs["lora_A"]), of(inputs["lora_B"])
        weight + (B @ A).times(exact_scale(params, A.gauge.rows))


def check_step(method, params, inputs, number=None):
    number = params.get("start", 0) + 1 if number is None else number
    of = Traced.of
    if params.get("variant", "plain") == "projected":
        raise NotExact("a solve rounds")
    for name in TRAINED[method]:
        p, g = of(inputs[name]), of(inputs[f"grad_{name}"])
        settings = settings_of(method, params, name)
        rate, decay = settings["lr"], settings["weight_decay"]
        if not power_of_two(rate) or not (decay == 0 or power_of_two(decay)):
            raise NotExact("a rate or a decay is no power of two")
        if settings["name"] == "sgd":
            p + (g + p.times(decay)).times(rate)
            p.times(1 - rate * decay) + g.times(rate)
            p + p.times(rate * decay) + g.times(rate)
            continue
        # |g| = 2^k. m = g/2, v = g^2/4. torch: lr g / (|g| + eps), eps = |g|. hf: lr (g/2) / (|g|/2 + eps), eps = |g|/2.
        sizes = {abs(e) for e in inputs[f"grad_{name}"].numbers()} - {0}
        eps = Fraction(settings["eps"]) * (1 if settings["variant"] == "torch" else 2)
        first = number == 1 and f"exp_avg.{name}" not in inputs and settings["betas"] == [0.5, 0.75]
        if not first or sizes != {eps} or not power_of_two(eps):
            raise NotExact("AdamW is exact at t = 1 with betas .5, .75 and eps = |g| (hf: |g|/2) = 2^k")
        move = of(inputs[f"grad_{name}"].times(rate / 2 / eps))
        p + p.times(rate * decay) + move
        p.times(1 - rate * decay) + move
        (p + move).times(1 - rate * decay)
        p + move + (p + move).times(rate * decay)
    if method == "delta-lora" and number > params.get("start_step", 0):
        A, B = inputs["lora_A"], inputs["lora_B"]
        after, _, shapes = step(method, params, inputs, number)
        new_A, new_B = (Matrix.of(*shapes[name], after[name]) for name in ("lora_A", "lora_B"))
        s = exact_scale(params, A.rows) if params.get("include_scale", True) else Fraction(1)
        factor = Fraction(params.get("lambda", 2)) * s
        moved = of(new_B) @ of(new_A) + of(B) @ of(A)
        # The same difference as (B+ - B) A+ + B (A+ - A).
        of(new_B - B) @ of(new_A) + of(B) @ of(new_A - A)
        if not power_of_two(abs(factor)):
            raise NotExact("lambda s is no power of two")
        of(weight_of(params, inputs)) + moved.times(factor)


def check_trajectory(method, params, inputs):
    state = dict(inputs)
    for t in range(params["steps"]):
        here = state | {"x": inputs[f"x.{t}"], "grad_y": inputs[f"grad_y.{t}"]}
        check_layer(method, params, here, backward=True)
        values, _ = layer(method, params, here, backward=True)
        for name in TRAINED[method]:
            grad = values[f"grad_{name}"]
            here[f"grad_{name}"] = Matrix.of(grad.rows, grad.cols, grad.numbers())
        check_step(method, params, here, t + 1)
        after, _, shapes = step(method, params, here, t + 1)
        for name, numbers in after.items():
            if any(grid8(f64(e)) != e for e in numbers):
                raise NotExact("the state leaves the grid")
            state[name] = Matrix.of(*shapes[name], numbers)
