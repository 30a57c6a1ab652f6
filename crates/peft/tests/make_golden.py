"""A LoRA adapter that PEFT 0.21 saves, and the ΔW it computes in f64: writes tests/golden beside it.

    python crates/peft/tests/make_golden.py        (tests/parity/requirements.txt)

Five linear layers with out != in, alpha != r, different ranks and alphas by pattern; once α/r and once α/√r.
"""

import json
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
    for name, rslora in (("alpha_over_r", False), ("rslora", True)):
        torch.manual_seed(7)
        config = LoraConfig(
            r=2,
            lora_alpha=3,
            use_rslora=rslora,
            lora_dropout=0.1,
            target_modules=["q_proj", "v_proj", "down"],
            rank_pattern={"layers.1.q_proj": 3, "down": 1},
            alpha_pattern={"v_proj": 5, "layers.0.down": 7},
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
    main()
