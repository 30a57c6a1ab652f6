"""Does PEFT load what `write` and `write_vera` wrote, all of it, and compute the same ΔW? Called by tests/golden.rs.

    python crates/peft/tests/load_ours.py FOLDER...        (each with a delta_weight.json: ΔW by module)

A folder that says refused.txt must not load, with the words in that file.
"""

import json
import sys
import warnings
from pathlib import Path

import torch
from peft import PeftModel

from make_golden import Model, adapted

# PEFT only warns of tensors that it misses or has no place for, and of fields that it does not know.
warnings.simplefilter("error")
# Its advice to save A and B, given twice when only the key is there.
warnings.filterwarnings("ignore", "Specified to not (save|load) vera_A and vera_B")
# Our note: one field, which PEFT ignores.
warnings.filterwarnings("ignore", r"Unexpected keyword arguments \['lowrank_method'\]")


def load(folder):
    return PeftModel.from_pretrained(Model(), folder, autocast_adapter_dtype=False)


for folder in map(Path, sys.argv[1:]):
    if (refused := folder / "refused.txt").exists():
        try:
            load(folder)
        except ValueError as error:
            assert refused.read_text() in str(error), (folder, error)
            print(f"PEFT refuses {folder.name}: {error}")
            continue
        raise AssertionError(f"PEFT loads {folder}")
    deltas = json.loads((folder / "delta_weight.json").read_text())
    found = adapted(load(folder))
    assert found.keys() == deltas.keys(), (folder, found.keys(), deltas.keys())
    for path, layer in found.items():
        got, want = layer.get_delta_weight("default"), torch.tensor(deltas[path], dtype=torch.float64)
        # Equal to the last bit: tests/golden.rs says why.
        assert torch.equal(got, want), (folder, path, got, want)
    print(f"PEFT loads the {len(found)} modules of {folder.name}")
