"""PEFT's side of gpu-check: one adapted linear layer, forward, backward (dX and the adapter's gradients) and AdamW step.

Prints a JSON object a line, first the versions; a mode that fails is a line on standard error, and the others go on. Modes:
  eager               adapters in the layer's dtype
  eager-f32-adapters  PEFT's default on a bf16 layer (autocast_adapter_dtype=True): adapters in f32
  compile             torch.compile of the layer, adapters in the layer's dtype; for the tokens that --compile names
"""

import argparse
import json
import statistics
import sys
import time

import peft
import torch
from peft import LoraConfig, VeraConfig, get_peft_model

DTYPES = {"f32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}
# As cuda::timing::Effort::FULL.
WARM_UP, REPEATS, ROUNDS = 0.3, 20, 7


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


def milliseconds(step) -> float:
    """The median over rounds of REPEATS steps between two events, after a warm-up."""
    # What the first step compiles, loads and chooses is no warm-up.
    step()
    torch.cuda.synchronize()
    start = time.monotonic()
    while time.monotonic() - start < WARM_UP:
        for _ in range(REPEATS):
            step()
        torch.cuda.synchronize()
    times = []
    for _ in range(ROUNDS):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(REPEATS):
            step()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / REPEATS)
    return statistics.median(times)


def one(x, grad_y, method: str, mode: str, out: int, fan_in: int, rank: int, dtype: torch.dtype) -> float:
    made = layer(method, out, fan_in, rank, dtype, mode == "eager-f32-adapters")
    # A rate of 0 keeps the numbers where they are, and costs the same.
    optimizer = torch.optim.AdamW([p for p in made.parameters() if p.requires_grad], lr=0.0, fused=True)
    run = torch.compile(made) if mode == "compile" else made

    def step():
        x.grad = None
        optimizer.zero_grad(set_to_none=True)
        run(x).backward(grad_y)
        optimizer.step()

    return milliseconds(step)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=split, default=["8192", "1024"])
    parser.add_argument("--weights", type=split, default=["4096x4096"], help="out x in")
    parser.add_argument("--ranks", type=split, default=["16"])
    parser.add_argument("--dtypes", type=split, default=list(DTYPES))
    parser.add_argument("--methods", type=split, default=["lora"])
    parser.add_argument("--compile", type=split, default=[], help="tokens: each shape takes the compiler half a minute")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("error: torch sees no GPU")
    versions = {"torch": torch.__version__, "peft": peft.__version__, "torch's CUDA": str(torch.version.cuda)}
    print(json.dumps({"row": "versions", **versions}), flush=True)
    torch.manual_seed(0)
    failed = False
    # What takes long comes last.
    for mode in ("eager", "eager-f32-adapters", "compile"):
        for dtype_name in arguments.dtypes:
            if mode == "eager-f32-adapters" and dtype_name != "bf16":
                continue
            dtype = DTYPES[dtype_name]
            torch.backends.cuda.matmul.allow_tf32 = dtype_name == "tf32"
            for tokens in arguments.tokens if mode != "compile" else arguments.compile:
                for weight in arguments.weights:
                    out, fan_in = map(int, weight.split("x"))
                    x = torch.randn(int(tokens), fan_in, dtype=dtype, device="cuda", requires_grad=True)
                    grad_y = torch.randn(int(tokens), out, dtype=dtype, device="cuda")
                    for rank in map(int, arguments.ranks):
                        for method in arguments.methods:
                            row = {"row": "time", "implementation": "peft", "method": method, "mode": mode,
                                   "tokens": int(tokens), "out": out, "in": fan_in, "rank": rank, "dtype": dtype_name}
                            try:
                                row["ms"] = one(x, grad_y, method, mode, out, fan_in, rank, dtype)
                            except Exception as error:  # whatever it is, the other rows are wanted
                                failed = True
                                print(f"error: {row}: {error}", file=sys.stderr, flush=True)
                                continue
                            print(json.dumps(row), flush=True)
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
