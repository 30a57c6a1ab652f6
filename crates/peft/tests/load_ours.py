"""Does PEFT load what `peft::write` wrote, and compute the same ΔW? Called by tests/folder.rs.

    python crates/peft/tests/load_ours.py FOLDER DELTAS.json
"""

import json
import sys
from pathlib import Path

import torch
from peft import PeftModel

from make_golden import Model

folder, deltas = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
model = PeftModel.from_pretrained(Model(), folder, autocast_adapter_dtype=False)
found = {path: layer for path, layer in model.base_model.model.named_modules() if hasattr(layer, "lora_A")}
assert found.keys() == deltas.keys(), (found.keys(), deltas.keys())
for path, layer in found.items():
    got, want = layer.get_delta_weight("default").double(), torch.tensor(deltas[path], dtype=torch.float64)
    error = (got - want).abs().max().item()
    assert error <= 1e-6 * want.abs().max().item(), (path, error)
print(f"PEFT loads {len(found)} modules")
