"""PEFT's LoRA layer in f64: golden values for `crates/lora` from an implementation that is not ours.

    python tests/parity/lora_layer.py            write tests/golden/lora_f64.json
    python tests/parity/lora_layer.py --check    compare with the committed file; exit 1 on a difference

A case is one `nn.Linear` under `peft.LoraConfig`. It holds x, weight, bias, A, B, the dropout mask (1 = kept) and
grad_y, all on a grid of 1/64, and then

    y, grad_x, grad_a, grad_b   of the loss sum(y * grad_y)
    delta_weight, merged        get_delta_weight(), and the weight after merge()
    adamw_torch, adamw_hf       three updates of A and B, same x, mask and grad_y each time

adamw_torch is torch.optim.AdamW. adamw_hf is the branch of PEFT's LoraFAOptimizer for parameters that are not LoRA
factors, which is the AdamW that transformers once had: the denominator is sqrt(v) + eps before bias correction, and
weight decay comes after the update.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from peft.optimizers.lorafa import LoraFAOptimizer

from golden import GOLDEN, grid, provenance, write_or_check

STEPS = 3
# Every case has alpha != rank and B != 0. The optimiser's numbers differ from the defaults where it says so.
CASES = {
    "plain": {"tokens": 5, "in": 6, "out": 4, "rank": 2, "alpha": 3.0},
    "wide_bias": {"tokens": 3, "in": 4, "out": 7, "rank": 3, "alpha": 8.0, "bias": True},
    "rslora": {"tokens": 4, "in": 5, "out": 3, "rank": 3, "alpha": 2.0, "rslora": True},
    "rank_one": {"tokens": 4, "in": 3, "out": 5, "rank": 1, "alpha": 0.5},
    "dropout_half": {"tokens": 5, "in": 6, "out": 4, "rank": 2, "alpha": 16.0, "dropout": 0.5},
    "dropout_rslora_bias": {
        "tokens": 4, "in": 5, "out": 6, "rank": 4, "alpha": 7.0, "dropout": 0.3, "bias": True, "rslora": True,
    },
    "rank_above_in": {"tokens": 2, "in": 3, "out": 4, "rank": 5, "alpha": 1.0},
    "one_token_decay": {
        "tokens": 1, "in": 4, "out": 4, "rank": 2, "alpha": 4.5, "lr": 0.02, "betas": [0.8, 0.95], "eps": 1e-3,
        "weight_decay": 0.3,
    },
    "decay_tiny_gradients": {
        "tokens": 3, "in": 4, "out": 5, "rank": 2, "alpha": 6.0, "grad_y_scale": 2.0**-24, "weight_decay": 0.1,
    },
}  # fmt: skip
DEFAULTS = {
    "bias": False, "rslora": False, "dropout": 0.0, "grad_y_scale": 1.0, "lr": 1e-2, "betas": [0.9, 0.999],
    "eps": None, "weight_decay": 0.0,
}  # fmt: skip
EPS = {"adamw_torch": 1e-8, "adamw_hf": 1e-6}


class GivenMask(torch.nn.Module):
    """Inverted dropout with the mask we give it, in place of nn.Dropout's random one."""

    def __init__(self, mask: torch.Tensor, p: float):
        super().__init__()
        self.factor = mask / (1.0 - p)

    def forward(self, x):
        return x * self.factor


def tensors_of(number: int, case: dict) -> dict[str, torch.Tensor]:
    """The inputs of a case, multiples of 1/64 in [-1, 1]."""
    tokens, fan_in, out, rank = case["tokens"], case["in"], case["out"], case["rank"]
    shapes = {
        "x": (tokens, fan_in), "weight": (out, fan_in), "a": (rank, fan_in), "b": (out, rank), "grad_y": (tokens, out),
        "bias": (out,), "mask": (tokens, fan_in),
    }  # fmt: skip
    tensors = {}
    for index, (name, shape) in enumerate(shapes.items()):
        flat = grid(1000 + 16 * number + index, int(np.prod(shape)))
        # Ranks in [0, 2000] give the mask: kept where the rank reaches 2000 p.
        flat = (flat + 1000 >= 2000 * case["dropout"]) * 1.0 if name == "mask" else np.round(flat * 0.064) / 64
        tensors[name] = torch.from_numpy(flat.reshape(shape))
    dropped = (tensors["mask"] == 0).double().mean().item()
    assert 0 < dropped < 1 if case["dropout"] > 0 else dropped == 0, "a mask must drop some values and keep some"
    tensors["grad_y"] *= case["grad_y_scale"]
    return tensors


class Layer:
    """One Linear under PEFT, with the case's numbers in it. `options` go to LoraConfig."""

    def __init__(self, case: dict, given: dict[str, torch.Tensor], **options):
        model = torch.nn.Sequential(torch.nn.Linear(case["in"], case["out"], bias=case["bias"], dtype=torch.float64))
        with torch.no_grad():
            model[0].weight.copy_(given["weight"])
            if case["bias"]:
                model[0].bias.copy_(given["bias"])
        config = LoraConfig(
            r=case["rank"], lora_alpha=case["alpha"], use_rslora=case["rslora"], target_modules=["0"],
            lora_dropout=case["dropout"], **options,
        )  # fmt: skip
        self.model = get_peft_model(model, config).train()
        self.layer = self.model.base_model.model[0]
        self.trained = {"a": self.layer.lora_A["default"].weight, "b": self.layer.lora_B["default"].weight}
        self.give(given)
        if case["dropout"] > 0:
            self.layer.lora_dropout["default"] = GivenMask(given["mask"], case["dropout"])

    def give(self, given: dict[str, torch.Tensor]) -> None:
        """The case's numbers for what is trained."""
        for name, parameter in self.trained.items():
            assert parameter.dtype == torch.float64, "PEFT must leave f64 alone"
            with torch.no_grad():
                parameter.copy_(given[name])

    def run(self, given):
        x = given["x"].clone().requires_grad_()
        self.model.zero_grad()
        y = self.model(x)
        y.backward(given["grad_y"])
        return y.detach(), x.grad


def trajectory(variant: str, case: dict, given: dict, make=Layer) -> list[dict]:
    layer = make(case, given)
    numbers = {
        "lr": case["lr"], "betas": tuple(case["betas"]), "eps": case["eps"] or EPS[variant],
        "weight_decay": case["weight_decay"],
    }  # fmt: skip
    parameters = list(layer.trained.values())
    if variant == "adamw_torch":
        optimizer = torch.optim.AdamW(parameters, **numbers)
    else:  # names without "lora" take the branch that does not project
        group = {"params": parameters, "names": list(layer.trained), "scaling_factors": [None] * len(parameters)}
        optimizer = LoraFAOptimizer([group], **numbers)
    states = []
    for _ in range(STEPS):
        layer.run(given)
        optimizer.step()
        states.append({name: parameter.tolist() for name, parameter in layer.trained.items()})
    return states


def about(case: dict, given: dict, layer: Layer) -> dict:
    """The settings and the inputs of a case, as the golden file has them."""
    kept = [name for name in given if (name != "bias" or case["bias"]) and (name != "mask" or case["dropout"] > 0)]
    settings = {key: value for key, value in case.items() if key != "grad_y_scale"}
    return {
        "settings": settings | {"scale": float(layer.layer.scaling["default"])},
        "given": {name: (given[name].int() if name == "mask" else given[name]).tolist() for name in kept},
    }


def golden_case(number: int, case: dict) -> dict:
    given = tensors_of(number, case)
    layer = Layer(case, given)
    y, grad_x = layer.run(given)
    expected = {
        "y": y, "grad_x": grad_x, "grad_a": layer.trained["a"].grad, "grad_b": layer.trained["b"].grad,
        "delta_weight": layer.layer.get_delta_weight("default").detach(),
    }  # fmt: skip
    layer.layer.merge()
    expected["merged"] = layer.layer.base_layer.weight.detach().clone()  # unmerge() works in place
    layer.layer.unmerge()
    assert torch.allclose(expected["merged"], given["weight"] + expected["delta_weight"], rtol=0, atol=1e-14)
    assert torch.allclose(layer.layer.base_layer.weight, given["weight"], rtol=0, atol=1e-14)
    return {
        **about(case, given, layer),
        "expected": {name: tensor.tolist() for name, tensor in expected.items()},
        "adamw_torch": trajectory("adamw_torch", case, given),
        "adamw_hf": trajectory("adamw_hf", case, given),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed file")
    parser.add_argument("--out", type=Path, default=GOLDEN, help="where the file is (default: tests/golden)")
    arguments = parser.parse_args()
    document = {
        "provenance": provenance(__file__, ["numpy", "peft", "torch"]),
        "default_eps": EPS,
        "cases": {
            name: golden_case(number, DEFAULTS | case) for number, (name, case) in enumerate(sorted(CASES.items()))
        },
    }
    # 1e-12: sums of at most a few dozen f64 products, and Adam's square root and quotient of them.
    write_or_check({"lora_f64.json": document}, lambda path: 1e-12, arguments.check, arguments.out)


if __name__ == "__main__":
    main()
