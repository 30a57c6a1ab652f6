"""What every method has: its trained tensors, its scale, its weight and its mask."""

from fractions import Fraction

from exact import Matrix, Scalar, sqrt_of_integer

TRAINED = {
    "lora": ("lora_A", "lora_B"),
    "lora-fa": ("lora_B",),
    "vera": ("vera_lambda_d", "vera_lambda_b"),
    "delta-lora": ("lora_A", "lora_B"),
    "lora-plus": ("lora_A", "lora_B"),
    "dora": ("lora_A", "lora_B", "lora_magnitude_vector"),
}
DEFAULT_SGD = {"lr": 1e-3, "weight_decay": 0}
DEFAULT_ADAMW = {"variant": "torch", "lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0}


class Refused(Exception):
    """The contract says exit 2."""


def scale(params, rank) -> Scalar:
    """s = alpha / r, or alpha / sqrt(r)"""
    alpha = Fraction(params.get("alpha", 8))
    if params.get("scaling", "alpha_over_r") == "alpha_over_r":
        return Scalar(alpha / rank)
    root = sqrt_of_integer(rank)
    return Scalar(alpha * root.q / rank, root.root)


def size(s: Scalar) -> Scalar:
    return Scalar(abs(s.q), s.root)


def weight_of(params, inputs) -> Matrix:
    """W as [out, in]"""
    return inputs["weight"].T if params.get("fan_in_fan_out", False) else inputs["weight"]


def drop(params, inputs, matrix, select=True) -> Matrix:
    """matrix * mask / (1 - p). A dropped entry is 0, also where it was inf or nan (`select`); IEEE would say nan."""
    p = Fraction(params.get("dropout_p", 0))
    if p == 0:
        return matrix
    mask = inputs["dropout_mask"]
    kept = mask.parts[1][0]
    parts = {}
    for root, (v, q) in matrix.parts.items():
        parts[root] = ([(a if k else 0) if select else a * k for a, k in zip(v, kept)], q / (1 - p))
    return Matrix(matrix.rows, matrix.cols, parts)


def vera_parts(inputs, features):
    """A[:, :in], B[:out, :], and the two trained vectors as rows."""
    d, b = inputs["vera_lambda_d"], inputs["vera_lambda_b"]
    return inputs["vera_A"].part(d.cols, features), inputs["vera_B"].part(b.cols, d.cols), d, b
