"""LoRA adapters that PEFT 0.21 saves, and the ΔW it computes in f64: writes tests/golden beside it.

    python crates/peft/tests/make_golden.py        (tests/parity/requirements.txt)

Six linear layers with out != in, alpha != r, ranks and alphas by pattern (two patterns fit layers.0.v_proj: the first
decides); once α/r with a list of targets, once α/√r with a regular expression for them.
"""

import json
import os
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

GOLDEN = Path(__file__).with_name("golden")
SHAPES = {"q_proj": (6, 4), "v_proj": (3, 4), "up": (5, 7), "down": (7, 5)}


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        for name, (out, fan_in) in SHAPES.items():
            setattr(self, name, torch.nn.Linear(fan_in, out, bias=False, dtype=torch.float64))


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList([Block(), Block()])


def main():
    cases = {
        "alpha_over_r": (False, ["q_proj", "v_proj", "down"]),
        "rslora": (True, r"layers\.\d\.(q_proj|v_proj|down)"),
    }
    for name, (rslora, targets) in cases.items():
        torch.manual_seed(7)
        config = LoraConfig(
            r=2,
            lora_alpha=3,
            use_rslora=rslora,
            lora_dropout=0.1,
            target_modules=targets,
            rank_pattern={"down": 1, "layers.1.q_proj": 3},
            alpha_pattern={r"layers\.0\.(down|v_proj)": 7, "v_proj": 5},
        )
        model = get_peft_model(Model(), config)
        deltas = {}
        for path, layer in model.base_model.model.named_modules():
            if hasattr(layer, "lora_A") and "default" in layer.lora_A:
                for factor in (layer.lora_A, layer.lora_B):
                    # Exact in F32, so that the file in either precision holds the same numbers.
                    values = torch.randint(-64, 65, factor["default"].weight.shape).double() / 64
                    factor["default"].weight.data = values
                deltas[path] = layer.get_delta_weight("default").tolist()
        folder = GOLDEN / name
        model.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)
        (folder / "delta_weight.json").write_text(json.dumps(deltas, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    # PEFT keeps target_modules in a set: its order in the file hangs on the hash seed.
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"PYTHONHASHSEED": "0"})
    main()
