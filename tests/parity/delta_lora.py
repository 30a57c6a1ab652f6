"""Delta-LoRA from its paper, on torch's autograd in f64: golden values for `crates/delta-lora`.

    python tests/parity/delta_lora.py            write tests/golden/delta_lora_f64.json
    python tests/parity/delta_lora.py --check    compare with the committed file; exit 1 on a difference

Zi et al. 2023, arXiv 2309.02411, algorithm 1. Its authors published no code. This follows the paper and shares nothing
with the Rust but the made-up numbers: gradients come from autograd, optimisers from torch.optim.

    logits = layer2(tanh(layer1(x)))        the loss is the mean cross-entropy
    layer(x) = x W^T + s x A^T B^T          s = alpha / r; A and B are trained
    t > K:  W <- W + lambda s (B+ A+ - B A)     or lambda alone where a case says so

Both layers are adapted. `losses` are before each update and after the last one; `states` are after the updates named.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from golden import GOLDEN, grid, provenance, write_or_check

UPDATES = 24
STATES = (1, 6, UPDATES)
SIZES = {"tokens": 9, "in": 6, "hidden": 5, "classes": 4, "rank": 2}
# Every case has alpha != rank, and weight decay.
DEFAULTS = {"alpha": 3.0, "lambda": 2.0, "start_step": 0, "include_scale": True, "b_is_zero": True}
ADAMW = {"optimizer": "adamw", "lr": 0.02, "betas": [0.9, 0.99], "eps": 1e-8, "weight_decay": 0.1}
SGD = {"optimizer": "sgd", "lr": 0.1, "weight_decay": 0.05}
CASES = {
    "adamw_k0": ADAMW,
    "adamw_k5": ADAMW | {"start_step": 5, "alpha": 5.0},
    "adamw_k0_lambda_alone": ADAMW | {"include_scale": False, "lambda": 0.5},
    "adamw_k5_lambda_alone": ADAMW | {"start_step": 5, "include_scale": False, "alpha": 1.0},
    "adamw_k5_b": ADAMW | {"start_step": 5, "b_is_zero": False},
    "sgd_k0": SGD,
    "sgd_k5": SGD | {"start_step": 5, "alpha": 5.0},
    "sgd_k0_lambda_alone": SGD | {"include_scale": False, "lambda": 0.5},
    "sgd_k5_lambda_alone": SGD | {"start_step": 5, "include_scale": False, "alpha": 1.0},
    "sgd_k0_b": SGD | {"b_is_zero": False},
}
# What two right implementations in f64 may differ by: `sensitivity` below shows that each case stays under it.
BOUND = 1e-10
# A gradient here is a few dozen products that add up to less than 1: about ten roundings of 2^-53.
ROUNDING = 1e-15
NUDGE = 1e-7


class Layer:
    """A linear layer with A and B beside it."""

    def __init__(self, weight, a, b, scale):
        self.weight, self.scale = weight, scale
        self.a, self.b = a.requires_grad_(), b.requires_grad_()

    def __call__(self, x):
        return x @ self.weight.T + self.scale * (x @ self.a.T) @ self.b.T

    def product(self):
        return (self.b @ self.a).detach()

    def state(self):
        return {"a": self.a.tolist(), "b": self.b.tolist(), "weight": self.weight.tolist()}


def given(case: dict) -> dict:
    """Inputs and starting weights: multiples of 1/1000."""
    tokens, fan_in, hidden, classes, rank = SIZES.values()
    shapes = {
        "x": (tokens, fan_in), "weight_1": (hidden, fan_in), "a_1": (rank, fan_in), "b_1": (hidden, rank),
        "weight_2": (classes, hidden), "a_2": (rank, hidden), "b_2": (classes, rank),
    }  # fmt: skip
    tensors = {}
    for index, (name, shape) in enumerate(shapes.items()):
        numbers = grid(2000 + index, int(np.prod(shape))).reshape(shape) / 1000
        tensors[name] = torch.from_numpy(numbers * (0 if name[0] == "b" and case["b_is_zero"] else 1))
    return tensors | {"targets": torch.from_numpy(grid(2100, tokens).astype(np.int64) % classes)}


def train(case: dict, nudge: float = 0.0):
    """The losses, the states, all final numbers, and the smallest sqrt(v) that an update was divided by (1 for SGD).

    `nudge` is added to, or taken from, every number after the first update.
    """
    start = given(case)
    scale = case["alpha"] / SIZES["rank"]
    first, second = layers = [Layer(*(start[f"{n}_{i}"].clone() for n in ("weight", "a", "b")), scale) for i in (1, 2)]
    parameters = [tensor for layer in layers for tensor in (layer.a, layer.b)]
    numbers = {key: case[key] for key in ("lr", "weight_decay", "eps") if key in case}
    if case["optimizer"] == "adamw":
        optimizer = torch.optim.AdamW(parameters, betas=tuple(case["betas"]), **numbers)
    else:
        optimizer = torch.optim.SGD(parameters, **numbers)

    losses, states, divisor = [], {}, 1.0
    for t in range(1, UPDATES + 2):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(second(torch.tanh(first(start["x"]))), start["targets"])
        losses.append(loss.item())
        if t > UPDATES:
            break
        loss.backward()
        before = [layer.product() for layer in layers]
        optimizer.step()
        for moments in optimizer.state.values():
            if "exp_avg_sq" in moments:
                v = moments["exp_avg_sq"] / (1 - case["betas"][1] ** t)
                divisor = min([divisor, *v[v > 0].sqrt().tolist()])  # v = 0 where B = 0: an update of exactly 0
        if t > case["start_step"]:
            factor = case["lambda"] * (scale if case["include_scale"] else 1.0)
            for layer, product in zip(layers, before):
                layer.weight += factor * (layer.product() - product)
        if t in STATES:
            states[str(t)] = [layer.state() for layer in layers]
        if t == 1 and nudge:
            with torch.no_grad():
                for index, tensor in enumerate([*parameters, first.weight, second.weight]):
                    tensor += nudge * torch.from_numpy(np.sign(grid(2200 + index, tensor.numel()) + 0.5)).view(tensor.shape)
    end = torch.cat([tensor.detach().flatten() for layer in layers for tensor in (layer.a, layer.b, layer.weight)])
    return losses, states, end, divisor


def sensitivity(name: str, case: dict) -> None:
    """An update errs by the rounding of the numbers, and lr times that of the gradient over what Adam divides it by.

    Each error then grows with the run as a nudge does. The sum over all updates is what the end may be off by.
    """
    *_, end, divisor = train(case)
    growth = ((train(case, NUDGE)[2] - end).abs().max() / NUDGE).item()
    error = UPDATES * growth * ROUNDING * (1 + case["lr"] / divisor)
    print(f"  {name:<24} a nudge grows {growth:4.1f} times, sqrt(v) >= {divisor:.1e}: the end is good to {error:.1e}")
    assert error < BOUND, "the case is too sensitive for the bound"


def golden_case(name: str, case: dict) -> dict:
    losses, states, *_ = train(case)
    assert losses[-1] < 0.95 * losses[0], "a run that learns nothing proves nothing"
    sensitivity(name, case)
    return {
        "settings": case | {"rank": SIZES["rank"]},
        "given": {name: tensor.tolist() for name, tensor in given(case).items()},
        "losses": losses,
        "states": states,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed file")
    parser.add_argument("--out", type=Path, default=GOLDEN, help="where the file is (default: tests/golden)")
    arguments = parser.parse_args()
    document = {
        "provenance": provenance(__file__, ["numpy", "torch"]),
        "updates": UPDATES,
        "cases": {name: golden_case(name, DEFAULTS | case) for name, case in CASES.items()},
    }
    write_or_check({"delta_lora_f64.json": document}, lambda path: BOUND, arguments.check, arguments.out)


if __name__ == "__main__":
    main()
