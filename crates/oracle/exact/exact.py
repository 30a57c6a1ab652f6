"""Exact numbers, exact matrices, and one correct rounding at the end.

A number is one of
    Fraction      a rational
    float         only inf, -inf or nan, which follow IEEE 754
    a function    bits -> Interval: an irrational number, enclosed as tightly as one asks

A `Matrix` is integers times one Fraction, so a product is a product of integers. With rank-stabilised scaling
s = alpha / sqrt(r) it has a second part, integers times a Fraction times sqrt(n).
"""

from fractions import Fraction
from math import gcd, isfinite, isqrt
from operator import mul

MORE_BITS = (
    128,
    512,
    2048,
    8192,
)  # 2048 bits reach below the smallest subnormal f64, 2^-1074, with a thousand to spare


class Irrational(Exception):
    """A square root that no rational is."""


class Interval:
    """lo <= value * 2^bits <= hi, every operation rounded outwards."""

    def __init__(self, lo, hi, bits):
        self.lo, self.hi, self.bits = lo, hi, bits

    def __add__(self, other):
        return Interval(self.lo + other.lo, self.hi + other.hi, self.bits)

    def __sub__(self, other):
        return Interval(self.lo - other.hi, self.hi - other.lo, self.bits)

    def __mul__(self, other):
        ends = [a * b for a in (self.lo, self.hi) for b in (other.lo, other.hi)]
        return Interval(min(ends) >> self.bits, -(-max(ends) >> self.bits), self.bits)

    def __truediv__(self, other):
        if other.lo <= 0:
            raise ZeroDivisionError("the divisor's interval must be positive: ask for more bits")
        ends = [(a << self.bits, b) for a in (self.lo, self.hi) for b in (other.lo, other.hi)]
        return Interval(min(a // b for a, b in ends), max(-(-a // b) for a, b in ends), self.bits)

    def __abs__(self):
        low, high = sorted((abs(self.lo), abs(self.hi)))
        return Interval(0 if self.lo < 0 < self.hi else low, high, self.bits)

    def sqrt(self):
        return Interval(isqrt(max(self.lo, 0) << self.bits), isqrt(max(self.hi, 0) << self.bits) + 1, self.bits)


def rational_sqrt(value: Fraction) -> Fraction:
    """The square root of a rational, if it is one."""
    top, bottom = isqrt(value.numerator), isqrt(value.denominator)
    if top * top != value.numerator or bottom * bottom != value.denominator:
        raise Irrational
    return Fraction(top, bottom)


def real(formula):
    """The number formula(number, sqrt), where `number` lifts an operand.

    A Fraction when every square root in it is rational, else a function that encloses it.
    """

    def exact(value):
        if callable(value):
            raise Irrational
        return Fraction(value)

    try:
        return formula(exact, rational_sqrt)
    except Irrational:
        return lambda bits: formula(lambda value: enclose(value, bits), Interval.sqrt)


def enclose(value, bits) -> Interval:
    if callable(value):
        return value(bits)
    value = Fraction(value)
    shifted = value.numerator << bits
    return Interval(shifted // value.denominator, -(-shifted // value.denominator), bits)


# --- rounding -------------------------------------------------------------------------------------------------------


def nearest(top: int, bottom: int, precision=53, lowest=-1074) -> Fraction:
    """top / bottom rounded to `precision` bits, ties to even, in multiples of at least 2^lowest."""
    if top == 0:
        return Fraction(0)
    size = abs(top)
    exponent = size.bit_length() - bottom.bit_length()
    exponent -= (size << max(-exponent, 0)) < (bottom << max(exponent, 0))  # 2^exponent <= size/bottom < 2^(exponent+1)
    quantum = max(exponent - precision + 1, lowest)
    whole, rest = divmod(size << max(-quantum, 0), bottom << max(quantum, 0))
    double = 2 * rest
    half = bottom << max(quantum, 0)
    whole += double > half or (double == half and whole & 1)
    whole = whole if top > 0 else -whole
    return Fraction(whole << quantum) if quantum >= 0 else Fraction(whole, 1 << -quantum)


def upwards(top: int, bottom: int, precision=24, lowest=-149) -> Fraction:
    """The smallest number of `precision` bits that is not below top / bottom >= 0."""
    if top == 0:
        return Fraction(0)
    exponent = top.bit_length() - bottom.bit_length()
    exponent -= (top << max(-exponent, 0)) < (bottom << max(exponent, 0))
    quantum = max(exponent - precision + 1, lowest)
    whole = -(-(top << max(-quantum, 0)) // (bottom << max(quantum, 0)))
    return Fraction(whole << quantum) if quantum >= 0 else Fraction(whole, 1 << -quantum)


def rounded(value, rounding) -> float:
    """`rounding` of any number. An irrational one is enclosed ever more tightly until both ends round alike."""
    if isinstance(value, float):
        return value
    if not callable(value):
        return float(rounding(value.numerator, value.denominator))
    for bits in MORE_BITS:
        try:
            ends = value(bits)
        except ZeroDivisionError:
            continue
        low, high = rounding(ends.lo, 1 << bits), rounding(ends.hi, 1 << bits)
        if low == high:
            return float(low)
    raise ArithmeticError(f"both ends still round apart at {MORE_BITS[-1]} bits: the number is a tie, and rational")


def f64(value) -> float:
    return rounded(value, nearest)


def f32_up(value) -> float:
    return rounded(value, upwards)


def grid8(value: float) -> float:
    """A trajectory's state between two steps: 8 significant bits, ties to even, in multiples of at least 2^-24."""
    return float(nearest(*value.as_integer_ratio(), precision=8, lowest=-24))


# --- matrices -------------------------------------------------------------------------------------------------------


class Scalar:
    """q * sqrt(root), with root free of squares."""

    def __init__(self, q, root=1):
        self.q, self.root = Fraction(q), root


def sqrt_of_integer(n: int) -> Scalar:
    square = next(k for k in range(isqrt(n), 0, -1) if n % (k * k) == 0)
    return Scalar(square, n // (square * square))


class Matrix:
    """A [rows, cols] matrix of exact numbers: {root: (integers, Fraction)}; inf and nan may stand among the integers."""

    def __init__(self, rows, cols, parts):
        self.rows, self.cols, self.parts = rows, cols, parts

    @staticmethod
    def of(rows, cols, values):
        """From floats, which are dyadic rationals, or from Fractions."""
        finite = [Fraction(v) for v in values if not isinstance(v, float) or isfinite(v)]
        bottom = 1
        for v in finite:
            bottom = bottom * v.denominator // gcd(bottom, v.denominator)
        numbers = iter(finite)
        whole = []
        for v in values:
            if isinstance(v, float) and not isfinite(v):
                whole.append(v)
            else:
                number = next(numbers)
                whole.append(number.numerator * (bottom // number.denominator))
        return Matrix(rows, cols, {1: (whole, Fraction(1, bottom))})

    @property
    def T(self):
        order = [i * self.cols + j for j in range(self.cols) for i in range(self.rows)]
        return Matrix(self.cols, self.rows, {root: ([v[k] for k in order], q) for root, (v, q) in self.parts.items()})

    def __add__(self, other):
        assert (self.rows, self.cols) == (other.rows, other.cols)
        parts = dict(self.parts)
        for root, (v, q) in other.parts.items():
            if root not in parts:
                parts[root] = (v, q)
                continue
            w, p = parts[root]
            bottom = p.denominator * q.denominator // gcd(p.denominator, q.denominator)
            left, right = p.numerator * (bottom // p.denominator), q.numerator * (bottom // q.denominator)
            parts[root] = ([a * left + b * right for a, b in zip(w, v)], Fraction(1, bottom))
        return Matrix(self.rows, self.cols, parts)

    def __neg__(self):
        return Matrix(self.rows, self.cols, {root: ([-a for a in v], q) for root, (v, q) in self.parts.items()})

    def __sub__(self, other):
        return self + -other

    def times(self, scalar):
        """Each entry times a Fraction or a Scalar."""
        scalar = scalar if isinstance(scalar, Scalar) else Scalar(scalar)
        result = Matrix(self.rows, self.cols, {})
        for root, (v, q) in self.parts.items():
            shared = gcd(root, scalar.root)  # sqrt(root) sqrt(other) = shared sqrt(root other / shared^2)
            factor = q * scalar.q * shared
            sign = -1 if factor < 0 else 1
            part = {root * scalar.root // (shared * shared): ([a * sign for a in v], abs(factor))}
            if factor == 0:
                part = {1: ([a * 0 for a in v], Fraction(1))}
            result = result + Matrix(self.rows, self.cols, part)
        return result

    def _products(self, other, combine, rows, cols):
        result = Matrix(rows, cols, {})
        for root, (v, q) in self.parts.items():
            for other_root, (w, p) in other.parts.items():
                shared = gcd(root, other_root)
                part = {root * other_root // (shared * shared): (combine(v, w), q * p * shared)}
                result = result + Matrix(rows, cols, part)
        return result

    def __matmul__(self, other):
        assert self.cols == other.rows, (self.rows, self.cols, other.rows, other.cols)
        n, m = self.cols, other.cols

        def combine(v, w):
            columns = [w[j::m] for j in range(m)]
            return [sum(map(mul, v[i * n : i * n + n], column)) for i in range(self.rows) for column in columns]

        return self._products(other, combine, self.rows, m)

    def __mul__(self, other):
        """Entry by entry; a row [1, cols] multiplies every row."""
        if other.rows == 1 and self.rows != 1:
            other = other.repeated(self.rows)
        assert (self.rows, self.cols) == (other.rows, other.cols)
        return self._products(other, lambda v, w: list(map(mul, v, w)), self.rows, self.cols)

    def repeated(self, rows):
        return Matrix(rows, self.cols, {root: (v * rows, q) for root, (v, q) in self.parts.items()})

    def sum_rows(self):
        """[rows, cols] -> [1, cols]"""
        sums = {root: ([sum(v[j :: self.cols]) for j in range(self.cols)], q) for root, (v, q) in self.parts.items()}
        return Matrix(1, self.cols, sums)

    def part(self, rows, cols):
        """The first `rows` rows and `cols` columns."""
        keep = [i * self.cols + j for i in range(rows) for j in range(cols)]
        return Matrix(rows, cols, {root: ([v[k] for k in keep], q) for root, (v, q) in self.parts.items()})

    def __abs__(self):
        if set(self.parts) <= {1} or len(self.parts) == 1:
            return Matrix(self.rows, self.cols, {root: ([abs(a) for a in v], q) for root, (v, q) in self.parts.items()})
        signs = [-1 if negative(entry) else 1 for entry in self.terms()]
        return Matrix(
            self.rows, self.cols, {root: (list(map(mul, v, signs)), q) for root, (v, q) in self.parts.items()}
        )

    def terms(self):
        """For each entry, its list of (coefficient, root)."""
        rows = [[(a * q if isinstance(a, int) else a, root) for a in v] for root, (v, q) in self.parts.items()]
        return list(zip(*rows))

    def numbers(self):
        """The entries as numbers, row after row."""
        if set(self.parts) == {1}:
            v, q = self.parts[1]
            return [a * q if isinstance(a, int) else a for a in v]
        return [number_of(entry) for entry in self.terms()]

    def quantum(self):
        """The largest power of two that divides every entry; None when all are zero."""
        assert set(self.parts) <= {1}, "an irrational matrix has no quantum"
        v, q = self.parts[1]
        common = 0
        for a in v:
            common |= a  # the trailing zeros of a union are those of its least member
        if common == 0:
            return None
        assert q.denominator & (q.denominator - 1) == 0, "only dyadic matrices have a quantum"
        low = Fraction((common & -common) * (q.numerator & -q.numerator))
        return low / q.denominator


def number_of(entry):
    """Sum of coefficient * sqrt(root)."""
    if any(isinstance(c, float) for c, _ in entry):
        return sum((float(c) for c, _ in entry), 0.0)
    entry = [(c, root) for c, root in entry if c != 0]

    def formula(number, sqrt):
        total = number(0)
        for c, root in entry:
            total = total + number(c) * sqrt(number(root))
        return total

    return real(formula)


def negative(entry) -> bool:
    """The sign of a + b sqrt(n), decided by a^2 against b^2 n."""
    a = sum(c for c, root in entry if root == 1)
    rest = [(c, root) for c, root in entry if root != 1]
    assert len(rest) == 1, "one irrational root at a time"
    b, n = rest[0]
    if a < 0 and b < 0 or a >= 0 and b >= 0:
        return a < 0
    return (a * a > b * b * n) == (a < 0)


def inverse(matrix: Matrix) -> Matrix:
    """Gauss and Jordan on rationals; None when singular."""
    n = matrix.rows
    flat = matrix.numbers()
    rows = [flat[i * n : i * n + n] + [Fraction(i == j) for j in range(n)] for i in range(n)]
    for k in range(n):
        pivot = next((i for i in range(k, n) if rows[i][k] != 0), None)
        if pivot is None:
            return None
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [a / rows[k][k] for a in rows[k]]
        for i in range(n):
            if i != k and rows[i][k] != 0:
                rows[i] = [a - rows[i][k] * b for a, b in zip(rows[i], rows[k])]
    return Matrix.of(n, n, [a for row in rows for a in row[n:]])
