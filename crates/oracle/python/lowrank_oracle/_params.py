"""The parameters of a case with the defaults of tests/vectors/README.md filled in."""

from __future__ import annotations

from typing import Any

_SGD = {"lr": 1e-3, "weight_decay": 0.0}
_ADAMW = _SGD | {"variant": "torch", "betas": [0.9, 0.999], "eps": 1e-8}


def defaults(method: str, op: str, params: dict[str, Any]) -> dict[str, Any]:
    """`params` over the defaults of its method and op."""
    if op == "init":
        return dict(params)
    filled: dict[str, Any] = {"fan_in_fan_out": False}
    if method != "vera":
        filled |= {"alpha": 8.0, "scaling": "alpha_over_r"}
    if method != "delta-lora":
        filled |= {"dropout_p": 0.0}
    if method == "lora-fa":
        filled |= {"variant": "plain"}
    if method == "delta-lora":
        filled |= {"lambda": 2.0, "start_step": 0, "include_scale": True}
    if method == "dora":
        filled |= {"detach_norm": True}
    if op in ("step", "trajectory"):
        filled |= {"start": 0}
    filled |= params
    if op in ("step", "trajectory"):
        optimizer = params.get("optimizer", {"name": "sgd"})
        base = _ADAMW if optimizer["name"] == "adamw" else _SGD
        ratio = {"lr_ratio": 16.0} if method == "lora-plus" else {}
        filled["optimizer"] = base | ratio | optimizer
    return filled
