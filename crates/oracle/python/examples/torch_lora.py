"""A LoRA layer in PyTorch, judged on forward, backward and what it must refuse.

pip install lowrank_oracle-*.whl pytest torch
pytest torch_lora.py
"""

import math

import pytest
import torch
from torch import nn

import lowrank_oracle


# ANCHOR: layer
class LoraLinear(nn.Module):
    """y = x Wᵀ + bias + s B A x, W frozen. weight [out, in], lora_A [r, in], lora_B [out, r]."""

    def __init__(self, weight, bias, lora_A, lora_B, *, alpha, scaling, fan_in_fan_out=False):
        super().__init__()
        rank = lora_A.shape[0]
        self.weight = weight.T if fan_in_fan_out else weight
        self.bias = bias
        self.lora_A = nn.Parameter(lora_A)
        self.lora_B = nn.Parameter(lora_B)
        self.scale = alpha / (math.sqrt(rank) if scaling == "rslora" else rank)

    def forward(self, x, dropped):
        base = nn.functional.linear(x, self.weight, self.bias)
        return base + self.scale * (dropped @ self.lora_A.T @ self.lora_B.T)


# ANCHOR_END: layer


def dropout(x, p, mask):
    """The mask of the case instead of a draw: [tokens, in], 1 = kept."""
    if p == 0:
        return x
    if not p < 1 or mask is None or mask.shape != x.shape:
        raise ValueError(f"dropout {p} needs p < 1 and a mask of the shape of x")
    return x * mask / (1 - p)


# ANCHOR: judge
@lowrank_oracle.cases("lora", op="backward")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_backward(case, dtype):
    case.check(**backward(case, dtype))


def backward(case, dtype):
    t, p = case.inputs_as(dtype), case.params
    layer = LoraLinear(
        t["weight"], t.get("bias"), t["lora_A"], t["lora_B"],
        alpha=p["alpha"], scaling=p["scaling"], fan_in_fan_out=p["fan_in_fan_out"],
    )  # fmt: skip
    x = t["x"].requires_grad_()
    y = layer(x, dropout(x, p["dropout_p"], t.get("dropout_mask")))
    y.backward(t["grad_y"])
    return {"y": y, "grad_x": x.grad, "grad_lora_A": layer.lora_A.grad, "grad_lora_B": layer.lora_B.grad}


# ANCHOR_END: judge


# The oracle checks what the layer refuses, too. Tensors that are not there are the test's own business, not the layer's.
@lowrank_oracle.cases("lora", op="backward", kind="reject", without="MissingTensor")
def test_refuses(case):
    with case.rejects():
        backward(case, torch.float32)
