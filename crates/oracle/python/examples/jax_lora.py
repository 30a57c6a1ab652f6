"""A LoRA layer in JAX, judged on forward and backward, with `jax.vjp` for the gradients.

pip install lowrank_oracle-*.whl pytest jax
pytest jax_lora.py
"""

import jax
import jax.numpy as jnp
import pytest

import lowrank_oracle


def lora(x, a, b, weight, bias, kept, scale):
    """y = x Wᵀ + bias + s B A (x ⊙ kept): x [tokens, in], a [r, in], b [out, r], weight [out, in]."""
    return x @ weight.T + bias + scale * ((x * kept) @ a.T @ b.T)


@lowrank_oracle.cases("lora", op="backward")
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=["float32", "bfloat16"])
def test_backward(case, dtype):
    t, p = case.inputs_as(dtype), case.params
    rank = case.lora_A.shape[0]
    scale = p["alpha"] / (rank**0.5 if p["scaling"] == "rslora" else rank)
    weight = t["weight"].T if p["fan_in_fan_out"] else t["weight"]
    # 1 / (1 - p) in float64, before it is rounded to the type.
    mask = 1 if case.dropout_mask is None else case.dropout_mask
    kept = jnp.asarray(mask / (1 - p["dropout_p"]), dtype)

    def of_parameters(x, a, b):
        return lora(x, a, b, weight, t.get("bias", dtype(0)), kept, scale)

    y, pull_back = jax.vjp(of_parameters, *map(jnp.asarray, (t["x"], t["lora_A"], t["lora_B"])))
    grad_x, grad_a, grad_b = pull_back(jnp.asarray(t["grad_y"]))
    case.check(y=y, grad_x=grad_x, grad_lora_A=grad_a, grad_lora_B=grad_b)
