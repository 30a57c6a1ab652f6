"""LoRA, VeRA and Delta-LoRA in NumPy, each with a place for a mistake. x is [tokens, in], weight [out, in]."""

import numpy as np


def scale(case, rank):
    s = case.params["alpha"]
    return s / np.sqrt(rank) if case.params["scaling"] == "rslora" else s / rank


def weight_of(case):
    return case.weight.T if case.params["fan_in_fan_out"] else case.weight


def lora(case, *, s=None, base_scale=1.0, mask_output=False, keep_scale=True):
    """out.* of lora/backward; the keywords put a mistake in."""
    x, W, A, B, g, p = case.x, weight_of(case), case.lora_A, case.lora_B, case.grad_y, case.params["dropout_p"]
    s = scale(case, len(A)) if s is None else s
    kept = 1.0 if case.dropout_mask is None else case.dropout_mask / (1 - p if keep_scale else 1)
    dropped = x if mask_output else x * kept
    bias = 0.0 if case.bias is None else case.bias
    y = base_scale * (x @ W.T + bias) + s * dropped @ A.T @ B.T
    return {
        "y": y,
        "grad_x": base_scale * g @ W + s * g @ B @ A * kept,
        "grad_lora_A": s * (g @ B).T @ dropped,
        "grad_lora_B": s * g.T @ (dropped @ A.T),
    }


def vera(case, *, lambda_b=None, s=1.0):
    """out.* of vera/forward."""
    b, d = case.vera_lambda_b if lambda_b is None else lambda_b, case.vera_lambda_d
    A, B = case.vera_A[: len(d), : case.x.shape[1]], case.vera_B[: len(b), : len(d)]
    bias = 0.0 if case.bias is None else case.bias
    kept = 1.0 if case.dropout_mask is None else case.dropout_mask / (1 - case.params["dropout_p"])
    return {"y": case.x @ weight_of(case).T + bias + s * (case.x * kept @ A.T * d) @ B.T * b}


def delta_sgd(case, *, move=lambda a0, b0, a1, b1: b1 @ a1 - b0 @ a0, late=0):
    """out.* of delta-lora/step with SGD."""
    p, o, moved = case.params, case.params["optimizer"], {}
    for name in ("lora_A", "lora_B"):
        moved[name] = case.inputs[name] - o["lr"] * (case.inputs[f"grad_{name}"] + o["weight_decay"] * case.inputs[name])
    rate = p["lambda"] * (scale(case, len(case.lora_A)) if p["include_scale"] else 1)
    change = rate * move(case.lora_A, case.lora_B, moved["lora_A"], moved["lora_B"])
    W = weight_of(case) + (change if p["start"] + 1 > p["start_step"] + late else 0)
    return moved | {"weight": W.T if p["fan_in_fan_out"] else W}
