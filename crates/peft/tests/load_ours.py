"""Does PEFT load what `peft::write` wrote, all of it, and compute the same ΔW? Called by tests/golden.rs.

    python crates/peft/tests/load_ours.py FOLDER...        (each with a delta_weight.json: ΔW by module)
"""

import json
import sys
import warnings
from pathlib import Path

import torch
from peft import PeftModel

from make_golden import Model

# PEFT only warns of tensors that it misses or has no place for, and of fields that it does not know.
warnings.simplefilter("error")
for folder in map(Path, sys.argv[1:]):
    deltas = json.loads((folder / "delta_weight.json").read_text())
    model = PeftModel.from_pretrained(Model(), folder, autocast_adapter_dtype=False)
    found = {path: layer for path, layer in model.base_model.model.named_modules() if hasattr(layer, "lora_A")}
    assert found.keys() == deltas.keys(), (folder, found.keys(), deltas.keys())
    for path, layer in found.items():
        got, want = layer.get_delta_weight("default"), torch.tensor(deltas[path], dtype=torch.float64)
        # A and B are multiples of 1/64 below 8: B A is exact, and the scale adds the same one rounding on both sides.
        assert torch.equal(got, want), (folder, path, got, want)
    print(f"PEFT loads the {len(found)} modules of {folder.name}")
