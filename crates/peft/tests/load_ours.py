"""Does PEFT load what `write`, `write_dora` and `write_vera` wrote, all of it, and compute the same ΔW? Called by
tests/golden.rs.

    python crates/peft/tests/load_ours.py FOLDER...        (each with a delta_weight.json: ΔW by module)

Where ΔW depends on W, the folder has a weight.json too. A folder that says refused.txt must not load, with the words in
that file.
"""

import json
import sys
import warnings
from pathlib import Path

import torch
from peft import PeftModel

from make_golden import Model, adapted, delta_weight

# PEFT only warns of tensors that it misses or has no place for, and of fields that it does not know.
warnings.simplefilter("error")
# Its advice to save A and B, given twice when only the key is there.
warnings.filterwarnings("ignore", "Specified to not (save|load) vera_A and vera_B")
# Our note: one field, which PEFT ignores.
warnings.filterwarnings("ignore", r"Unexpected keyword arguments \['lowrank_method'\]")


def matrices(path):
    lists = json.loads(path.read_text())
    return {module: torch.tensor(rows, dtype=torch.float64) for module, rows in lists.items()}


def load(folder):
    model = Model()
    if (weights := folder / "weight.json").exists():
        for module, weight in matrices(weights).items():
            model.get_submodule(module).weight.data = weight
    return PeftModel.from_pretrained(model, folder, autocast_adapter_dtype=False)


for folder in map(Path, sys.argv[1:]):
    if (refused := folder / "refused.txt").exists():
        try:
            load(folder)
        except ValueError as error:
            assert refused.read_text() in str(error), (folder, error)
            print(f"PEFT refuses {folder.name}: {error}")
            continue
        raise AssertionError(f"PEFT loads {folder}")
    deltas = matrices(folder / "delta_weight.json")
    found = adapted(load(folder))
    assert found.keys() == deltas.keys(), (folder, found.keys(), deltas.keys())
    for path, layer in found.items():
        got, want = delta_weight(layer), deltas[path]
        # Equal to the last bit: tests/golden.rs says why.
        assert torch.equal(got, want), (folder, path, got, want)
    print(f"PEFT loads the {len(found)} modules of {folder.name}")
