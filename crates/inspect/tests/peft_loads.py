"""Does PEFT load what `combine`, `resize` and `extract` wrote, and are the logits those that PEFT and numpy have their own way?
Called by tests/it/peft_loads.rs.

    python crates/inspect/tests/peft_loads.py GOLDEN OURS

GOLDEN has the base and the adapters one and two; OURS what was made of them.
"""

import sys
import warnings
from pathlib import Path

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRMSNorm

GOLDEN, OURS = map(Path, sys.argv[1:])
TOKENS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5, 8, 9, 7, 9, 3]])


def norm64(self, x):
    """transformers' goes through f32, which would hide what is looked for."""
    return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)


LlamaRMSNorm.forward = norm64


def base(folder=GOLDEN / "base"):
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="sdpa")


def load(folder, name="default", model=None):
    with warnings.catch_warnings():
        # Of tensors that it misses or has no place for, PEFT only warns.
        warnings.filterwarnings("error", module="peft")
        model = PeftModel.from_pretrained(model or base(), folder, adapter_name=name, autocast_adapter_dtype=False)
    return model.double()


def layers(model):
    modules = model.base_model.model.named_modules()
    return {path: module for path, module in modules if isinstance(module, BaseTunerLayer)}


def logits(model):
    with torch.no_grad():
        return model(TOKENS).logits


def weighted(kind, **options):
    """PEFT's own sum of the two."""
    model = load(GOLDEN / "one", "one")
    model.load_adapter(GOLDEN / "two", adapter_name="two", autocast_adapter_dtype=False)
    model.double().add_weighted_adapter(["one", "two"], [0.75, -0.25], "sum", combination_type=kind, **options)
    model.set_adapter("sum")
    return model.double()


def truncated(rank):
    """The first adapter merged densely, each ΔW cut off by torch's SVD."""
    model = base()
    for path, layer in layers(load(GOLDEN / "one", "one")).items():
        u, s, v = torch.linalg.svd(layer.get_delta_weight("one").detach(), full_matrices=False)
        model.get_submodule(path).weight.data += (u[:, :rank] * s[:rank]) @ v[:rank]
    return model


def main():
    cases = [
        ("combined", weighted("cat"), 1e-12),
        ("combined_svd", weighted("svd", svd_rank=2), 1e-12),
        ("resized", truncated(2), 1e-12),
        ("extracted", base(OURS / "tuned"), 1e-12),
        # Rounded to eight bits.
        ("extracted_bf16", base(OURS / "tuned"), 2e-2),
    ]
    plain = logits(base())
    for name, model, tolerance in cases:
        want, got = logits(model), logits(load(OURS / name))
        off = (got - want).abs().max().item()
        moved = (want - plain).abs().max().item()
        assert off <= tolerance < moved, (name, off, moved)
        print(f"PEFT loads {name}: logits off by {off:.1e}, where the adapter moves them by {moved:.2f}")


main()
