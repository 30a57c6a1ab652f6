"""PEFT's side of gpu-bench: one adapted linear layer, forward, backward (dX and the adapter's gradients) and AdamW step.

Prints a JSON object a line, first the versions. Modes:
  eager               adapters in the layer's dtype
  eager-f32-adapters  PEFT's default on a bf16 layer (autocast_adapter_dtype=True): adapters in f32
  compile             torch.compile of the layer, adapters in the layer's dtype
"""

import argparse
import json
import statistics
import sys

import peft
import torch
from peft import LoraConfig, VeraConfig, get_peft_model

DTYPES = {"f32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}


def split(text: str) -> list[str]:
    return text.split(",")


def layer(method: str, out: int, fan_in: int, rank: int, dtype: torch.dtype, default: bool) -> torch.nn.Module:
    """PEFT's layer without the model around it, which would add calls that belong to nobody's mathematics."""
    base = torch.nn.Sequential(torch.nn.Linear(fan_in, out, bias=False, dtype=dtype, device="cuda"))
    if method == "vera":
        config = VeraConfig(r=rank, target_modules=["0"], vera_dropout=0.0)
    else:
        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["0"], lora_dropout=0.0)
    made = get_peft_model(base, config, autocast_adapter_dtype=default).base_model.model[0].to("cuda")
    for name, parameter in made.named_parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.02)
            assert parameter.dtype == (torch.float32 if default else dtype), name
    return made


def milliseconds(step, repeats: int) -> float:
    for _ in range(5):
        step()
    times = []
    for _ in range(max(repeats, 3)):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        step()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=split, default=["1024", "8192"])
    parser.add_argument("--weights", type=split, default=["4096x4096", "14336x4096"], help="out x in")
    parser.add_argument("--ranks", type=split, default=["8", "16", "64", "256"])
    parser.add_argument("--dtypes", type=split, default=list(DTYPES))
    parser.add_argument("--repeats", type=int, default=30)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("torch sees no GPU")
    versions = {"torch": torch.__version__, "peft": peft.__version__, "cuda": torch.version.cuda}
    print(json.dumps({"versions": versions}), flush=True)
    torch.manual_seed(0)
    for dtype_name in arguments.dtypes:
        dtype = DTYPES[dtype_name]
        torch.backends.cuda.matmul.allow_tf32 = dtype_name == "tf32"
        for tokens in map(int, arguments.tokens):
            for weight in arguments.weights:
                out, fan_in = map(int, weight.split("x"))
                x = torch.randn(tokens, fan_in, dtype=dtype, device="cuda", requires_grad=True)
                grad_y = torch.randn(tokens, out, dtype=dtype, device="cuda")
                for rank in map(int, arguments.ranks):
                    for method in ("lora", "vera"):
                        modes = ["eager", "compile"] + (["eager-f32-adapters"] if dtype_name == "bf16" else [])
                        for mode in modes:
                            torch._dynamo.reset()
                            made = layer(method, out, fan_in, rank, dtype, mode == "eager-f32-adapters")
                            parameters = [p for p in made.parameters() if p.requires_grad]
                            optimizer = torch.optim.AdamW(parameters, lr=0.0, fused=True)
                            run = torch.compile(made) if mode == "compile" else made

                            def step():
                                x.grad = None
                                optimizer.zero_grad(set_to_none=True)
                                run(x).backward(grad_y)
                                optimizer.step()

                            row = {"implementation": "peft", "method": method, "mode": mode, "tokens": tokens,
                                   "out": out, "in": fan_in, "rank": rank, "dtype": dtype_name,
                                   "ms": milliseconds(step, arguments.repeats)}
                            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
