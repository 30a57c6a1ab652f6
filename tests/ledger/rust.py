"""peft-rs, by the program of peft-rs/: it takes all ids at once and writes files. LEDGER_PEFT_RS is its path."""

import os
import re
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import lowrank_oracle
import numpy as np
from lowrank_oracle import _safetensors

HERE = Path(__file__).resolve().parent
VERSION = re.search(r'peft-rs = "=([\d.]+)"', (HERE / "peft-rs/Cargo.toml").read_text()).group(1)


@cache
def _all():
    ids = lowrank_oracle.ids("lora", ("forward", "backward", "merge", "unmerge"))
    ids += lowrank_oracle.ids("vera", ("forward", "merge", "unmerge"))
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        command = [os.environ["LEDGER_PEFT_RS"], lowrank_oracle.VECTORS, folder, *ids]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        cannot = set(done.stdout.split())
        for id in ids:
            path = Path(folder) / f"{id}.safetensors"
            if id not in cannot:
                found[id] = {name[4:]: np.array(tensor) for name, tensor in _safetensors.read(path)[1].items()}
    return found


def outputs(case):
    return _all().get(case.id)
