"""PEFT's DoRA layer in f64: golden values for `crates/dora` from an implementation that is not ours.

    python tests/parity/dora.py            write tests/golden/dora_f64.json
    python tests/parity/dora.py --check    compare with the committed file; exit 1 on a difference

A case is one of lora_layer.py with `use_dora=True`. Beside its numbers it holds m, a length of each row on a grid of
1/64 from 1/4 to 9/4, and then

    start_m                  what PEFT starts m with, before it is given ours
    norm                     the lengths of the rows of W + s B A, which PEFT divides by
    y                        and of the loss sum(y * grad_y): grad_x, grad_a, grad_b, grad_m
    merged                   the weight after merge()
    adamw_torch, adamw_hf    three updates of A, B and m, as in lora_layer.py
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from golden import GOLDEN, grid, provenance, write_or_check
from lora_layer import CASES, DEFAULTS, EPS, Layer, about, tensors_of, trajectory


class DoraLayer(Layer):
    """The layer with `use_dora=True`, and the case's m in it."""

    def __init__(self, case: dict, given: dict[str, torch.Tensor]):
        super().__init__(case, given, use_dora=True)
        self.dora = self.layer.lora_magnitude_vector["default"]
        self.trained["m"] = self.dora.weight
        self.start = self.dora.weight.detach().clone()
        self.give(given)


def golden_case(number: int, case: dict) -> dict:
    given = tensors_of(number, case)
    m = np.round((grid(1000 + 16 * number + 7, case["out"]) + 1250) * 0.064) / 64
    given["m"] = torch.from_numpy(m)
    layer = DoraLayer(case, given)
    y, grad_x = layer.run(given)
    trained = layer.trained
    lora_weight = trained["b"].detach() @ trained["a"].detach()
    expected = {
        "start_m": layer.start,
        "norm": layer.dora.get_weight_norm(given["weight"], lora_weight, layer.layer.scaling["default"]),
        "y": y, "grad_x": grad_x, "grad_a": trained["a"].grad, "grad_b": trained["b"].grad, "grad_m": trained["m"].grad,
    }  # fmt: skip
    layer.layer.merge()
    expected["merged"] = layer.layer.base_layer.weight.detach().clone()  # unmerge() works in place
    layer.layer.unmerge()
    assert torch.allclose(layer.layer.base_layer.weight, given["weight"], rtol=0, atol=1e-13)
    return {
        **about(case, given, layer),
        "expected": {name: tensor.tolist() for name, tensor in expected.items()},
        "adamw_torch": trajectory("adamw_torch", case, given, DoraLayer),
        "adamw_hf": trajectory("adamw_hf", case, given, DoraLayer),
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
    write_or_check({"dora_f64.json": document}, lambda path: 1e-12, arguments.check, arguments.out)


if __name__ == "__main__":
    main()
