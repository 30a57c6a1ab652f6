"""PEFT's VeRA in f64, and the projections it draws: golden values for `crates/vera` from an implementation not ours.

    python tests/parity/vera.py            write tests/golden/vera_f64.json
    python tests/parity/vera.py --check    compare with the committed file; exit 1 on a difference

`projections`: a model of two linear layers under `peft.VeraConfig` with a `projection_prng_key`. PEFT finds the largest
shape and draws A and B; the file keeps SHA-256 digests of their f32 bytes (little-endian, row by row).

`cases`: layers of different shapes that share one A and B, of which each uses a part. A case holds A, B, and for each
layer x, weight, lambda_b, lambda_d, the dropout mask (1 = kept) and grad_y, all on a grid of 1/64, and then

    y, grad_x, grad_b, grad_d   of the loss sum(y * grad_y)
    delta_weight, merged        get_delta_weight(), and the weight after merge()
    adamw_torch, adamw_hf       three updates of lambda_b and lambda_d, same x, mask and grad_y each time

adamw_torch is torch.optim.AdamW; adamw_hf is as in lora_layer.py.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import torch
from peft import VeraConfig, get_peft_model
from peft.optimizers.lorafa import LoraFAOptimizer

from golden import GOLDEN, grid, provenance, write_or_check
from lora_layer import EPS, STEPS, GivenMask

# (key, rank, [out, in] of the two layers). The key is taken mod 2^32; the last shape has 2^20 elements in A.
PROJECTIONS = [
    (0, 3, [(4, 5), (7, 2)]),
    (42, 1, [(6, 9), (6, 9)]),
    (0, 256, [(576, 576), (192, 576)]),
    (42, 256, [(1536, 576), (576, 1536)]),
    (2**32 + 42, 64, [(33, 100), (50, 65)]),
    (2**32 - 1, 64, [(33, 100), (50, 65)]),
    (123456789, 256, [(4096, 4096), (11008, 64)]),
]
# [out, in] of the layers that share A and B.
CASES = {
    "one_layer": {"rank": 3, "shapes": [(4, 6)], "tokens": 5},
    "sliced": {"rank": 2, "shapes": [(4, 6), (7, 3), (2, 5)], "tokens": 4},
    "rank_above_in": {"rank": 6, "shapes": [(5, 3), (2, 4)], "tokens": 3},
    "dropout": {"rank": 4, "shapes": [(5, 6), (3, 4)], "tokens": 5, "dropout": 0.3},
    "one_token_decay": {
        "rank": 2, "shapes": [(4, 4), (3, 5)], "tokens": 1, "lr": 0.02, "betas": [0.8, 0.95], "eps": 1e-3,
        "weight_decay": 0.3,
    },
    "tiny_gradients": {
        "rank": 2, "shapes": [(5, 4)], "tokens": 3, "dropout": 0.5, "grad_y_scale": 2.0**-24, "weight_decay": 0.1,
    },
}  # fmt: skip
DEFAULTS = {
    "dropout": 0.0, "grad_y_scale": 1.0, "lr": 1e-2, "betas": [0.9, 0.999], "eps": None, "weight_decay": 0.0,
}  # fmt: skip


def digest(matrix: torch.Tensor) -> str:
    narrow = matrix.float()
    assert torch.equal(narrow.to(matrix.dtype), matrix), "PEFT draws f32"
    return hashlib.sha256(narrow.contiguous().numpy().astype("<f4").tobytes()).hexdigest()


def projections(key: int, rank: int, shapes: list[tuple[int, int]]) -> dict:
    layers = [torch.nn.Linear(inputs, out, bias=False) for out, inputs in shapes]
    config = VeraConfig(r=rank, projection_prng_key=key, target_modules=["0", "1"])
    model = get_peft_model(torch.nn.Sequential(*layers), config).base_model
    a, b = model.vera_A["default"], model.vera_B["default"]
    return {"key": key, "rank": rank, "out": b.shape[0], "in": a.shape[1], "a": digest(a), "b": digest(b)}


def tensors_of(number: int, case: dict) -> tuple[dict, list[dict]]:
    """A and B, and what each layer is given: multiples of 1/64 in [-1, 1]."""
    streams = iter(range(5000 + 64 * number, 5064 + 64 * number))

    def numbers(*shape):
        flat = np.round(grid(next(streams), int(np.prod(shape))) * 0.064) / 64
        return torch.from_numpy(flat.reshape(shape))

    rank, tokens, p = case["rank"], case["tokens"], case["dropout"]
    largest_out, largest_in = (max(sizes) for sizes in zip(*case["shapes"]))
    shared = {"a": numbers(rank, largest_in), "b": numbers(largest_out, rank)}
    layers = []
    for out, inputs in case["shapes"]:
        layer = {
            "x": numbers(tokens, inputs), "weight": numbers(out, inputs), "lambda_b": numbers(out),
            "lambda_d": numbers(rank), "grad_y": numbers(tokens, out) * case["grad_y_scale"],
        }  # fmt: skip
        if p > 0:
            # Ranks in [0, 2000]: kept where the rank reaches 2000 p.
            ranks = grid(next(streams), tokens * inputs) + 1000
            layer["mask"] = torch.from_numpy((ranks >= 2000 * p).reshape(tokens, inputs) * 1.0)
            assert 0 < layer["mask"].mean() < 1, "a mask must drop some values and keep some"
        layers.append(layer)
    return shared, layers


class Layers(torch.nn.Module):
    """Linear layers side by side, each with an input of its own."""

    def __init__(self, shapes):
        super().__init__()
        linears = [torch.nn.Linear(inputs, out, bias=False, dtype=torch.float64) for out, inputs in shapes]
        self.layers = torch.nn.ModuleList(linears)

    def forward(self, xs):
        return [layer(x) for layer, x in zip(self.layers, xs)]


class Model:
    """The layers of a case under PEFT, with the case's numbers in them."""

    def __init__(self, case: dict, shared: dict, given: list[dict]):
        config = VeraConfig(
            r=case["rank"], vera_dropout=case["dropout"],
            target_modules=[f"layers.{index}" for index in range(len(given))],
        )  # fmt: skip
        self.model = get_peft_model(Layers(case["shapes"]), config).train()
        self.layers = self.model.base_model.model.layers
        self.b = [layer.vera_lambda_b["default"] for layer in self.layers]
        self.d = [layer.vera_lambda_d["default"] for layer in self.layers]
        with torch.no_grad():
            for layer, numbers in zip(self.layers, given):
                layer.base_layer.weight.copy_(numbers["weight"])
                layer.vera_lambda_b["default"].copy_(numbers["lambda_b"])
                layer.vera_lambda_d["default"].copy_(numbers["lambda_d"])
                if case["dropout"] > 0:
                    layer.vera_dropout["default"] = GivenMask(numbers["mask"], case["dropout"])
                # Every layer's A is the same object, so this writes the same numbers again.
                for projection, name in ((layer.vera_A, "a"), (layer.vera_B, "b")):
                    assert projection["default"].shape == shared[name].shape, "PEFT shares the largest shape"
                    assert projection["default"].dtype == torch.float64, "PEFT must leave f64 alone"
                    projection["default"].copy_(shared[name])

    def run(self, given: list[dict]):
        xs = [numbers["x"].clone().requires_grad_() for numbers in given]
        for parameter in (*self.b, *self.d):
            parameter.grad = None
        ys = self.model(xs)
        torch.autograd.backward(ys, [numbers["grad_y"] for numbers in given])
        return [y.detach() for y in ys], [x.grad for x in xs]


def trajectory(variant: str, case: dict, shared: dict, given: list[dict]) -> list[list[dict]]:
    """For each layer, the vectors after each update."""
    model = Model(case, shared, given)
    numbers = {
        "lr": case["lr"], "betas": tuple(case["betas"]), "eps": case["eps"] or EPS[variant],
        "weight_decay": case["weight_decay"],
    }  # fmt: skip
    parameters = [*model.b, *model.d]
    if variant == "adamw_torch":
        optimizer = torch.optim.AdamW(parameters, **numbers)
    else:
        names = [str(index) for index in range(len(parameters))]
        group = {"params": parameters, "names": names, "scaling_factors": [None] * len(parameters)}
        optimizer = LoraFAOptimizer([group], **numbers)
    states = [[] for _ in given]
    for _ in range(STEPS):
        model.run(given)
        optimizer.step()
        for layer, b, d in zip(states, model.b, model.d):
            layer.append({"lambda_b": b.tolist(), "lambda_d": d.tolist()})
    return states


def golden_case(number: int, case: dict) -> dict:
    shared, given = tensors_of(number, case)
    model = Model(case, shared, given)
    ys, grad_xs = model.run(given)
    steps = {variant: trajectory(variant, case, shared, given) for variant in EPS}
    layers = []
    for index, (layer, numbers) in enumerate(zip(model.layers, given)):
        expected = {
            "y": ys[index], "grad_x": grad_xs[index], "grad_b": model.b[index].grad, "grad_d": model.d[index].grad,
            "delta_weight": layer.get_delta_weight("default").detach(),
        }  # fmt: skip
        layer.merge()
        expected["merged"] = layer.base_layer.weight.detach().clone()
        assert torch.allclose(expected["merged"], numbers["weight"] + expected["delta_weight"], rtol=0, atol=1e-14)
        layers.append(
            {
                "given": {name: (t.int() if name == "mask" else t).tolist() for name, t in numbers.items()},
                "expected": {name: tensor.tolist() for name, tensor in expected.items()},
            }
            | {variant: states[index] for variant, states in steps.items()}
        )
    settings = {key: value for key, value in case.items() if key not in ("grad_y_scale", "shapes", "tokens")}
    return {"settings": settings, "shared": {name: t.tolist() for name, t in shared.items()}, "layers": layers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed file")
    parser.add_argument("--out", type=Path, default=GOLDEN, help="where the file is (default: tests/golden)")
    arguments = parser.parse_args()
    document = {
        "provenance": provenance(__file__, ["numpy", "peft", "torch"]),
        "default_eps": EPS,
        "projections": [projections(*row) for row in PROJECTIONS],
        "cases": {
            name: golden_case(number, DEFAULTS | case) for number, (name, case) in enumerate(sorted(CASES.items()))
        },
    }
    # 1e-12: sums of at most a few dozen f64 products, and Adam's square root and quotient of them.
    write_or_check({"vera_f64.json": document}, lambda path: 1e-12, arguments.check, arguments.out)


if __name__ == "__main__":
    main()
