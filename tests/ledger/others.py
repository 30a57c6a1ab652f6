"""loralib, flax, Keras and mlx-lm, given the tensors of a case. Each function returns out.* by name.

None: the case cannot be said in this interface.
"""

import os

os.environ["KERAS_BACKEND"] = "torch"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import keras
import loralib
import mlx.core as mx
import mlx.nn
import torch
from flax import nnx
from mlx_lm.tuner.lora import LoRALinear
from lowrank_oracle.suites.on_peft import GivenMask

mx.set_default_device(mx.cpu)


def loralib_layer(case, dtype):
    p = case.params
    if p["scaling"] == "rslora" or case.weight.size == 0:
        return None
    fan = p["fan_in_fan_out"]
    outputs, inputs = case.weight.T.shape if fan else case.weight.shape
    layer = loralib.Linear(
        inputs, outputs, r=len(case.lora_A), lora_alpha=p["alpha"], fan_in_fan_out=fan, bias=case.bias is not None
    ).to(dtype)
    with torch.no_grad():
        layer.weight.data = torch.from_numpy(case.weight).to(dtype)
        layer.lora_A.copy_(torch.from_numpy(case.lora_A))
        layer.lora_B.copy_(torch.from_numpy(case.lora_B))
        if case.bias is not None:
            layer.bias.copy_(torch.from_numpy(case.bias))
    if p["dropout_p"] > 0:
        layer.lora_dropout = GivenMask(torch.from_numpy(case.dropout_mask.astype(float)), p["dropout_p"])
    return layer


def loralib_backward(case, dtype):
    layer = loralib_layer(case, dtype)
    if layer is None:
        return None
    x = torch.from_numpy(case.x).to(dtype).requires_grad_()
    y = layer(x)
    y.backward(torch.from_numpy(case.grad_y).to(dtype))
    return {"y": y, "grad_x": x.grad, "grad_lora_A": layer.lora_A.grad, "grad_lora_B": layer.lora_B.grad}


def loralib_merge(case, dtype):
    layer = loralib_layer(case, dtype)
    if layer is None:
        return None
    if case.op == "unmerge":
        layer.merged = True
    layer.train(case.op == "unmerge")
    return {"weight": layer.weight}


def flax_backward(case, dtype, scaled=False):
    """nnx.LoRA over nnx.Linear: it has no alpha. `scaled`: beside nnx.Linear, its output times s, as a caller can do it."""
    if case.params["dropout_p"] > 0 or case.params["fan_in_fan_out"]:
        return None
    inputs, rank = case.lora_A.T.shape
    outputs = len(case.lora_B)

    def of(x, a, b):
        base = nnx.Linear(inputs, outputs, use_bias=case.bias is not None, rngs=nnx.Rngs(0))
        base.kernel[...] = jnp.asarray(case.weight.T, dtype)
        if case.bias is not None:
            base.bias[...] = jnp.asarray(case.bias, dtype)
        layer = nnx.LoRA(inputs, rank, outputs, base_module=None if scaled else base, rngs=nnx.Rngs(0))
        layer.lora_a[...], layer.lora_b[...] = a, b
        if not scaled:
            return layer(x)
        return base(x) + case.params["alpha"] / (rank**0.5 if case.params["scaling"] == "rslora" else rank) * layer(x)

    arguments = [jnp.asarray(array, dtype) for array in (case.x, case.lora_A.T, case.lora_B.T)]
    y, pull_back = jax.vjp(of, *arguments)
    grad_x, grad_a, grad_b = pull_back(jnp.asarray(case.grad_y, dtype))
    return {"y": y, "grad_x": grad_x, "grad_lora_A": grad_a.T, "grad_lora_B": grad_b.T}


def keras_backward(case, dtype):
    """Dense.enable_lora: y = x (W + s A B) + bias, the factors multiplied out at every call."""
    if case.params["dropout_p"] > 0 or case.params["scaling"] == "rslora" or case.params["fan_in_fan_out"]:
        return None
    name = str(dtype).removeprefix("torch.")
    layer = keras.layers.Dense(len(case.lora_B), use_bias=case.bias is not None, dtype=name)
    layer.build((None, case.lora_A.shape[1]))
    layer.enable_lora(len(case.lora_A), lora_alpha=case.params["alpha"])
    given = [(layer._kernel, case.weight.T), (layer.lora_kernel_a, case.lora_A.T), (layer.lora_kernel_b, case.lora_B.T)]
    given += [] if case.bias is None else [(layer.bias, case.bias)]
    for variable, array in given:
        variable.assign(array)
    x = torch.from_numpy(case.x).to(dtype).requires_grad_()
    y = layer(x)
    y.backward(torch.from_numpy(case.grad_y).to(dtype))
    a, b = layer.lora_kernel_a.value.grad, layer.lora_kernel_b.value.grad
    return {"y": y, "grad_x": x.grad, "grad_lora_A": a.T, "grad_lora_B": b.T}


class MlxMask(mlx.nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def __call__(self, x):
        return x * self.factor


def mlx_backward(case, dtype):
    """LoRALinear takes s itself, under the name `scale`: it is given alpha / r."""
    p, rank = case.params, len(case.lora_A)
    if p["fan_in_fan_out"] or 0 in case.x.shape:
        return None
    s = p["alpha"] / (rank**0.5 if p["scaling"] == "rslora" else rank)
    outputs, inputs = case.weight.shape
    array = lambda numbers: mx.array(numbers.astype("float32")).astype(dtype)  # noqa: E731
    layer = LoRALinear(inputs, outputs, r=rank, scale=s, bias=case.bias is not None)
    layer.linear.weight = array(case.weight)
    if case.bias is not None:
        layer.linear.bias = array(case.bias)
    if p["dropout_p"] > 0:
        layer.dropout = MlxMask(array(case.dropout_mask / (1 - p["dropout_p"])))

    def of(x, a, b):
        layer.lora_a, layer.lora_b = a, b
        return layer(x)

    primals = [array(case.x), array(case.lora_A.T), array(case.lora_B.T)]
    (y,), (grad_x, grad_a, grad_b) = mx.vjp(lambda *p: [of(*p)], primals, [array(case.grad_y)])
    return {"y": y, "grad_x": grad_x, "grad_lora_A": grad_a.T, "grad_lora_B": grad_b.T}
