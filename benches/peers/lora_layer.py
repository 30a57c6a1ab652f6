"""PEFT's side of the layer benchmark: forward and backward (dX, dA, dB) of one LoRA layer. Protocol: README.md.

    echo run run quit | tr ' ' '\n' | python benches/peers/lora_layer.py --tokens 256 --out 576 --in 576
"""

import argparse

import torch
from peft import LoraConfig, get_peft_model

from protocol import serve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--out", type=int, default=576)
    parser.add_argument("--in", type=int, default=576, dest="fan_in")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--dtype", choices=["f32", "f64"], default="f32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warm-up", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)

    dtype = {"f32": torch.float32, "f64": torch.float64}[arguments.dtype]
    base = torch.nn.Sequential(torch.nn.Linear(arguments.fan_in, arguments.out, bias=False, dtype=dtype))
    config = LoraConfig(r=arguments.rank, lora_alpha=2 * arguments.rank, target_modules=["0"], lora_dropout=0.0)
    # The layer itself: the model around it would add a few calls that belong to nobody's mathematics.
    layer = get_peft_model(base, config).base_model.model[0]
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    assert a.dtype == b.dtype == dtype
    torch.nn.init.normal_(b, std=0.02)
    x = torch.randn(arguments.tokens, arguments.fan_in, dtype=dtype, requires_grad=True)
    grad_y = torch.randn(arguments.tokens, arguments.out, dtype=dtype)

    def step():
        return torch.autograd.grad(layer(x), (x, a, b), grad_y) and None

    settings = {"implementation": "peft", **vars(arguments)}
    settings["in"] = settings.pop("fan_in")
    serve(step, settings, arguments.warm_up)


if __name__ == "__main__":
    main()
