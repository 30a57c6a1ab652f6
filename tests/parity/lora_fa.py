"""PEFT's LoRA-FA in f64: golden values for `crates/lora-fa` from an implementation that is not ours.

    python tests/parity/lora_fa.py            write tests/golden/lora_fa_f64.json
    python tests/parity/lora_fa.py --check    compare with the committed file; exit 1 on a difference

A case is two linear layers side by side, of different rank and alpha, under `peft.LoraConfig` with A frozen by
`create_lorafa_optimizer`. For each layer it holds x, weight, A, B, the dropout mask (1 = kept) and grad_y, all on a grid
of 1/64, and then

    y, grad_x, grad_b          of the loss sum(y * grad_y); grad_b is the plain gradient of B
    projected                  (1/s^2) grad_b (A A^T)^-1, solved in exact fractions, each entry rounded once
    delta_weight, merged       get_delta_weight(), and the weight after merge()
    adamw_torch, adamw_hf      three plain updates of B: torch.optim.AdamW, and the AdamW of lora_layer.py
    lorafa                     three updates of B by PEFT's LoraFAOptimizer

Two things of `LoraFAOptimizer.step` are not in the paper. It multiplies under bf16 autocast; autocast leaves f64 alone,
and this script asserts that. And it adds 1e-8 to the diagonal of A A^T. `lorafa` is made with that term patched to zero.
`as_shipped` has the projected gradient with the term, how far it moved (relative, in the Frobenius norm), and the bound
delta / (mu + delta), where mu is the smallest eigenvalue of A A^T: in the basis of eigenvectors the term divides each
component of the projected gradient by (mu_i + delta) / mu_i, so that it loses a fraction delta / (mu_i + delta).
"""

import argparse
from fractions import Fraction
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from peft.optimizers import create_lorafa_optimizer
from peft.optimizers.lorafa import LoraFAOptimizer

from golden import GOLDEN, provenance, write_or_check
from lora_layer import EPS, STEPS, GivenMask, tensors_of

# What PEFT adds: 1e-8 times an identity matrix in f32.
DELTA = float(np.float32(1e-8))
# The two layers of a case, then the optimiser's numbers where they differ from the defaults. Always alpha != rank.
CASES = {
    "two_ranks": ({"tokens": 5, "in": 7, "out": 4, "rank": 2, "alpha": 3.0},
                  {"tokens": 4, "in": 6, "out": 5, "rank": 3, "alpha": 16.0}, {}),
    "square_and_rank_one": ({"tokens": 3, "in": 3, "out": 6, "rank": 3, "alpha": 2.0},
                            {"tokens": 6, "in": 5, "out": 3, "rank": 1, "alpha": 0.5}, {}),
    "dropout_decay": ({"tokens": 6, "in": 8, "out": 4, "rank": 2, "alpha": 6.0, "dropout": 0.5},
                      {"tokens": 5, "in": 9, "out": 3, "rank": 4, "alpha": 7.0, "dropout": 0.5},
                      {"weight_decay": 0.3, "lr": 0.02, "betas": [0.8, 0.95], "eps": 1e-3}),
    "tiny_gradients": ({"tokens": 3, "in": 6, "out": 4, "rank": 2, "alpha": 5.0, "grad_y_scale": 2.0**-24},
                       {"tokens": 1, "in": 6, "out": 2, "rank": 4, "alpha": 1.0, "grad_y_scale": 2.0**-24},
                       {"weight_decay": 0.1}),
}  # fmt: skip
LAYER = {"bias": False, "dropout": 0.0, "grad_y_scale": 1.0}
OPTIMIZER = {"lr": 1e-2, "betas": [0.9, 0.999], "eps": None, "weight_decay": 0.0}


class Layers(torch.nn.Module):
    """Linear layers side by side, each with an input of its own."""

    def __init__(self, layers):
        super().__init__()
        linears = [torch.nn.Linear(layer["in"], layer["out"], bias=False, dtype=torch.float64) for layer in layers]
        self.layers = torch.nn.ModuleList(linears)

    def forward(self, xs):
        return [layer(x) for layer, x in zip(self.layers, xs)]


class Model:
    """The layers of a case under PEFT, with the case's numbers in them."""

    def __init__(self, layers: list[dict], given: list[dict]):
        names = [f"layers.{index}" for index in range(len(layers))]
        config = LoraConfig(
            r=8, lora_alpha=8, target_modules=names, lora_dropout=layers[0]["dropout"],
            rank_pattern={name: layer["rank"] for name, layer in zip(names, layers)},
            alpha_pattern={name: layer["alpha"] for name, layer in zip(names, layers)},
        )  # fmt: skip
        self.model = get_peft_model(Layers(layers), config).train()
        self.layers = self.model.base_model.model.layers
        self.b = [layer.lora_B["default"].weight for layer in self.layers]
        with torch.no_grad():
            for layer, case, numbers in zip(self.layers, layers, given):
                layer.base_layer.weight.copy_(numbers["weight"])
                layer.lora_A["default"].weight.copy_(numbers["a"])
                layer.lora_B["default"].weight.copy_(numbers["b"])
                if case["dropout"] > 0:
                    layer.lora_dropout["default"] = GivenMask(numbers["mask"], case["dropout"])
                layer.lora_A["default"].weight.requires_grad_(False)

    def run(self, given: list[dict]):
        xs = [numbers["x"].clone().requires_grad_() for numbers in given]
        for b in self.b:
            b.grad = None
        ys = self.model(xs)
        torch.autograd.backward(ys, [numbers["grad_y"] for numbers in given])
        return [y.detach() for y in ys], [x.grad for x in xs]

    def optimizer(self, variant: str, numbers: dict):
        numbers = {**numbers, "betas": tuple(numbers["betas"])}
        if variant == "adamw_torch":
            return torch.optim.AdamW(self.b, **numbers | {"eps": numbers["eps"] or EPS[variant]})
        numbers["eps"] = numbers["eps"] or EPS["adamw_hf"]
        if variant == "adamw_hf":  # names without "lora" take the branch that does not project
            group = {"params": self.b, "names": ["b0", "b1"], "scaling_factors": [None, None]}
            return LoraFAOptimizer([group], **numbers)
        # r and lora_alpha go into one global factor, which is out of use: each layer's own counts.
        optimizer = create_lorafa_optimizer(self.model, r=8, lora_alpha=8, lr=numbers["lr"])
        optimizer.param_groups[0].update(numbers)
        return optimizer


def without_delta():
    """LoraFAOptimizer.step with its 1e-8 times the identity made zero."""
    return mock.patch.object(torch, "eye", lambda n: torch.zeros(n, n))


def trajectory(variant: str, layers: list[dict], numbers: dict, given: list[dict]) -> list[list]:
    """For each layer, B after each update."""
    model = Model(layers, given)
    optimizer = model.optimizer(variant, numbers)
    states = [[] for _ in layers]
    for _ in range(STEPS):
        model.run(given)
        with without_delta():
            optimizer.step()
        for layer, b in zip(states, model.b):
            layer.append(b.tolist())
    return states


def first_moments(layers: list[dict], given: list[dict]) -> list[torch.Tensor]:
    """What LoraFAOptimizer hands to Adam: with both betas 0 the first moment is the gradient itself."""
    model = Model(layers, given)
    optimizer = model.optimizer("lorafa", OPTIMIZER | {"betas": [0.0, 0.0]})
    model.run(given)
    optimizer.step()
    moments = [state["exp_avg_B"] for state in optimizer.state.values()]
    assert len(moments) == len(layers) and all(m.dtype == torch.float64 for m in moments)
    return moments


def exact_projection(layer: dict, numbers: dict) -> list[list[float]]:
    """(1/s) (G^T x) A^T (A A^T)^-1 in fractions: Gauss-Jordan, each entry rounded to f64 at the end."""
    rows = {name: [[Fraction(value) for value in row] for row in numbers[name].tolist()] for name in ("a", "x", "grad_y")}
    a, rank, s = rows["a"], layer["rank"], Fraction(layer["alpha"] / layer["rank"])
    if layer["dropout"] > 0:
        keep = 1 / (1 - Fraction(layer["dropout"]))
        mask = numbers["mask"].int().tolist()
        rows["x"] = [[x * m * keep for x, m in zip(*pair)] for pair in zip(rows["x"], mask)]

    def product(left, right):
        columns = list(zip(*right))
        return [[sum(l * r for l, r in zip(row, column)) for column in columns] for row in left]

    transposed = [list(column) for column in zip(*a)]
    h = product(rows["x"], transposed)
    raw = product([list(column) for column in zip(*rows["grad_y"])], h)  # [out, r], without s
    # Reduce [A A^T | raw^T] to [I | (A A^T)^-1 raw^T].
    system = [left + [raw[o][i] for o in range(len(raw))] for i, left in enumerate(product(a, transposed))]
    for i in range(rank):
        pivot = system[i][i]
        assert pivot > 0, "A has full row rank"
        system[i] = [value / pivot for value in system[i]]
        for j in range(rank):
            if j != i:
                system[j] = [value - system[j][i] * known for value, known in zip(system[j], system[i])]
    return [[float(system[i][rank + o] / s) for i in range(rank)] for o in range(len(raw))]


def golden_case(number: int, layers: list[dict], numbers: dict) -> dict:
    given = [tensors_of(100 + 2 * number + index, layer) for index, layer in enumerate(layers)]
    model = Model(layers, given)
    ys, grad_xs = model.run(given)
    with without_delta():
        patched = first_moments(layers, given)
    shipped = first_moments(layers, given)
    steps = {variant: trajectory(variant, layers, numbers, given) for variant in ("adamw_torch", "adamw_hf", "lorafa")}
    rows = []
    for index, (layer, case, tensors) in enumerate(zip(model.layers, layers, given)):
        scale = layer.scaling["default"]
        assert scale == case["alpha"] / case["rank"]
        projected = torch.tensor(exact_projection(case, tensors), dtype=torch.float64)
        gram = tensors["a"] @ tensors["a"].T
        condition = torch.linalg.cond(gram).item()
        # pinv is an SVD, whose errors grow with the condition number of A A^T, 1e3 at most here.
        assert condition < 1e3
        assert torch.allclose(patched[index], projected, rtol=0, atol=1e-12 * projected.abs().max().item())
        expected = {
            "y": ys[index], "grad_x": grad_xs[index], "grad_b": model.b[index].grad, "projected": projected,
            "delta_weight": layer.get_delta_weight("default").detach(),
        }  # fmt: skip
        layer.merge()
        expected["merged"] = layer.base_layer.weight.detach().clone()
        smallest = torch.linalg.eigvalsh(gram)[0].item()
        moved = torch.linalg.norm(shipped[index] - projected) / torch.linalg.norm(projected)
        kept = [name for name in tensors if name != "bias" and (name != "mask" or case["dropout"] > 0)]
        rows.append(
            {
                "settings": {key: case[key] for key in ("rank", "alpha", "dropout")} | {"scale": scale},
                "given": {n: (tensors[n].int() if n == "mask" else tensors[n]).tolist() for n in kept},
                "expected": {name: tensor.tolist() for name, tensor in expected.items()},
                "as_shipped": {
                    "projected": shipped[index].tolist(), "moved": moved.item(), "bound": DELTA / (smallest + DELTA),
                },
            }
            | {variant: states[index] for variant, states in steps.items()}
        )  # fmt: skip
        # Of rank one it reaches the bound. 1e-12 is the rounding allowed above.
        assert rows[-1]["as_shipped"]["moved"] <= rows[-1]["as_shipped"]["bound"] + 1e-12
    return {"settings": numbers, "layers": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed file")
    parser.add_argument("--out", type=Path, default=GOLDEN, help="where the file is (default: tests/golden)")
    arguments = parser.parse_args()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (torch.ones(2, 2, dtype=torch.float64) @ torch.ones(2, 2, dtype=torch.float64)).dtype == torch.float64
    cases = {
        name: golden_case(number, [LAYER | layer for layer in layers], OPTIMIZER | numbers)
        for number, (name, (*layers, numbers)) in enumerate(sorted(CASES.items()))
    }
    document = {"provenance": provenance(__file__, ["numpy", "peft", "torch"]), "default_eps": EPS, "cases": cases}

    def bound_of(path: str) -> float:
        # `moved` is a difference of two numbers that agree to eight digits: eight of sixteen are left.
        return 1e-6 if path.endswith(("as_shipped.moved", "as_shipped.bound")) else 1e-12

    write_or_check({"lora_fa_f64.json": document}, bound_of, arguments.check, arguments.out)


if __name__ == "__main__":
    main()
