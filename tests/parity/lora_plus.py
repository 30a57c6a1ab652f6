"""PEFT's LoRA+ in f64: golden values for `crates/lora-plus` from an implementation that is not ours.

    python tests/parity/lora_plus.py            write tests/golden/lora_plus_f64.json
    python tests/parity/lora_plus.py --check    compare with the committed file; exit 1 on a difference

`groups` is what `peft.optimizers.create_loraplus_optimizer` gives each trained parameter of a model with linear layers,
an embedding, biases, a LayerNorm and an RMSNorm: its learning rate and its weight decay. There are three settings:

    loraplus_weight_decay   the keyword that PEFT wants
    weight_decay            the keyword that torch's AdamW has: PEFT's groups override it with 0
    embedding_lr            loraplus_lr_embedding set as well

`cases` are three updates of one linear layer with torch.optim.AdamW in these groups, the same x and grad_y each time.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from peft.optimizers import create_loraplus_optimizer

from golden import GOLDEN, grid, provenance, write_or_check

UPDATES = 3
LR, RATIO, DECAY = 0.5, 16.0, 0.25
SETTINGS = {
    "loraplus_weight_decay": {"loraplus_weight_decay": DECAY},
    "weight_decay": {"weight_decay": DECAY},
    "embedding_lr": {"loraplus_weight_decay": DECAY, "loraplus_lr_embedding": 0.125},
}
# Every case has alpha != rank. `b_is_zero` is Init[1], `a_is_zero` Init[2]; otherwise neither is.
CASES = {
    "ratio_16": {"tokens": 5, "in": 6, "out": 4, "rank": 2, "alpha": 3.0, "ratio": 16.0},
    "ratio_4_decay_bias": {
        "tokens": 3, "in": 4, "out": 7, "rank": 3, "alpha": 8.0, "ratio": 4.0, "weight_decay": 0.3, "bias": True,
    },
    "init_1": {"tokens": 4, "in": 5, "out": 3, "rank": 2, "alpha": 1.0, "ratio": 8.0, "b_is_zero": True},
    "init_2_decay": {
        "tokens": 4, "in": 3, "out": 5, "rank": 2, "alpha": 5.0, "ratio": 16.0, "a_is_zero": True, "weight_decay": 0.1,
    },
    "ratio_below_1": {"tokens": 2, "in": 4, "out": 4, "rank": 1, "alpha": 2.0, "ratio": 0.5},
}  # fmt: skip
DEFAULTS = {"lr": 1e-3, "weight_decay": 0.0, "bias": False, "a_is_zero": False, "b_is_zero": False}


class Model(torch.nn.Module):
    """One of each: `embed` and `q_proj` get LoRA, the others are trained themselves."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(7, 6, dtype=torch.float64)
        self.positions = torch.nn.Embedding(5, 6, dtype=torch.float64)
        self.layer_norm = torch.nn.LayerNorm(6, dtype=torch.float64)
        self.rms_norm = torch.nn.RMSNorm(6, dtype=torch.float64)
        self.q_proj = torch.nn.Linear(6, 4, dtype=torch.float64)
        self.head = torch.nn.Linear(4, 3, dtype=torch.float64)


def kind(module: torch.nn.Module) -> str:
    """What the rates of `crates/lora-plus` ask about a module."""
    if "Norm" in type(module).__name__:
        return "norm"
    return "embedding" if "Embedding" in type(module).__name__ else "linear"


def groups(keywords: dict) -> dict:
    """Rate and decay of each trained parameter, as PEFT's optimiser has them."""
    config = LoraConfig(r=2, lora_alpha=3, target_modules=["embed", "q_proj"], bias="all")
    model = get_peft_model(Model(), config)
    plain = model.base_model.model
    for module in (plain.positions, plain.layer_norm, plain.rms_norm, plain.head):
        module.requires_grad_()
    optimizer = create_loraplus_optimizer(model, torch.optim.AdamW, lr=LR, loraplus_lr_ratio=RATIO, **keywords)
    of = {id(tensor): group for group in optimizer.param_groups for tensor in group["params"]}
    found = {}
    for name, tensor in model.named_parameters():
        if tensor.requires_grad:
            # The module that holds it: PEFT keeps A and B two levels below the layer they adapt.
            path = name.split(".")[: -3 if "lora_A" in name or "lora_B" in name else -2 if "lora_" in name else -1]
            group = of.pop(id(tensor))
            found[name] = {
                "dimensions": tensor.ndim, "kind": kind(model.get_submodule(".".join(path))),
                "lr": float(group["lr"]), "weight_decay": float(group["weight_decay"]),
            }  # fmt: skip
    assert not of, "PEFT must train what we list and nothing else"
    return found


def golden_case(number: int, case: dict) -> dict:
    tokens, fan_in, out, rank = case["tokens"], case["in"], case["out"], case["rank"]
    shapes = {
        "x": (tokens, fan_in), "weight": (out, fan_in), "a": (rank, fan_in), "b": (out, rank), "grad_y": (tokens, out),
        "bias": (out,),
    }  # fmt: skip
    given = {}
    for index, (name, shape) in enumerate(shapes.items()):
        numbers = np.round(grid(3000 + 16 * number + index, int(np.prod(shape))) * 0.064) / 64
        given[name] = torch.from_numpy(numbers.reshape(shape) * (0 if case.get(f"{name}_is_zero") else 1))

    model = torch.nn.Sequential(torch.nn.Linear(fan_in, out, bias=case["bias"], dtype=torch.float64))
    config = LoraConfig(
        r=rank, lora_alpha=case["alpha"], target_modules=["0"], bias="all" if case["bias"] else "none",
    )  # fmt: skip
    model = get_peft_model(model, config)
    layer = model.base_model.model[0]
    trained = {"a": layer.lora_A["default"].weight, "b": layer.lora_B["default"].weight}
    with torch.no_grad():
        layer.base_layer.weight.copy_(given["weight"])
        if case["bias"]:
            trained["bias"] = layer.base_layer.bias
        for name, tensor in trained.items():
            tensor.copy_(given[name])
            assert tensor.dtype == torch.float64, "PEFT must leave f64 alone"
    optimizer = create_loraplus_optimizer(
        model, torch.optim.AdamW, lr=case["lr"], loraplus_lr_ratio=case["ratio"],
        loraplus_weight_decay=case["weight_decay"],
    )  # fmt: skip
    states = []
    for _ in range(UPDATES):
        optimizer.zero_grad()
        model(given["x"]).backward(given["grad_y"])
        optimizer.step()
        states.append({name: tensor.tolist() for name, tensor in trained.items()})
    kept = [name for name in given if name != "bias" or case["bias"]]
    return {
        "settings": case | {"scale": float(layer.scaling["default"])},
        "given": {name: given[name].tolist() for name in kept},
        "states": states,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed file")
    parser.add_argument("--out", type=Path, default=GOLDEN, help="where the file is (default: tests/golden)")
    arguments = parser.parse_args()
    document = {
        "provenance": provenance(__file__, ["numpy", "peft", "torch", "transformers"]),
        "base": {"lr": LR, "ratio": RATIO, "weight_decay": DECAY},
        "groups": {name: groups(keywords) for name, keywords in SETTINGS.items()},
        "cases": {name: golden_case(number, DEFAULTS | case) for number, (name, case) in enumerate(CASES.items())},
    }
    # 1e-12: sums of at most a few dozen f64 products, and Adam's square root and quotient of them.
    write_or_check({"lora_plus_f64.json": document}, lambda path: 1e-12, arguments.check, arguments.out)


if __name__ == "__main__":
    main()
