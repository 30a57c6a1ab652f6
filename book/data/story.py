"""Records the runs of the book's chapter "A real model".

    cargo build --release -p lowrank-cli
    python3 book/data/story.py SmolLM2-135M-Instruct.Q4_1.gguf target/release/lowrank story

It runs `lowrank compare`, `finetune` and `generate` and keeps what the chapter shows of their output in
book/src/generated/story.jsonl, a line of JSON for each thing: about, sweep, run, answer. The last argument is a folder for
the runs: where some are there already it goes on, and any number of methods may be missing.
"""

import datetime
import json
import pathlib
import platform
import subprocess
import sys

METHODS = ["lora", "full", "vera", "lora-fa-projected", "lora-plus", "dora", "delta-lora"]
STEPS, SEEDS = 16, 3
HERE = pathlib.Path(__file__).parent
DATA = HERE / "dates.jsonl"
# Not in the data: the sentence, the date and the way in which it is written are combined anew.
ASKED = [
    "The bridge was opened on the third of May 1987.",
    "Flight 207 left on Sunday, 12 October 2014.",
    "He was born on February 29th, 1908, in Kiel.",
]


def six_digits(number):
    return float(f"{number:.5e}")


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor() or platform.machine()


def main():
    model, program, folder = sys.argv[1:]
    methods = METHODS

    def lowrank(*arguments):
        return subprocess.run([program, *arguments, "--threads", "1"], check=True, stdout=subprocess.PIPE, text=True).stdout

    def rounded(score):
        return {name: six_digits(number) for name, number in score.items()}

    lines = []
    for method in methods:
        terms = ["--model", model, "--data", str(DATA), "--steps", str(STEPS), "--seeds", str(SEEDS), "--rank", "8", "--alpha", "16"]
        printed = lowrank("compare", *terms, "--methods", method, "--out", f"{folder}/compare", "--format", "json", "--quiet")
        for line in map(json.loads, printed.splitlines()):
            if "trials" in line:
                lines += [{"sweep": {"method": name, "trials": trials}} for name, trials in line["trials"].items()]
                continue
            run = {name: line[name] for name in ["method", "seed", "lr", "trainable"]}
            run |= {name: rounded(line[name]) for name in ["before", "after"]}
            run |= {"effective_rank": six_digits(line["effective_rank"]), "losses": [six_digits(loss) for loss in line["losses"]]}
            lines.append({"run": run})

    lora = next(line["run"] for line in lines if "run" in line and line["run"]["method"] == "lora")
    adapter = f"{folder}/adapter"
    lowrank(
        *["finetune", "--model", model, "--data", str(DATA), "--steps", str(STEPS), "--lr", str(lora["lr"])],
        *["--rank", "8", "--alpha", "16", "--out", adapter, "--overwrite", "--quiet"],
    )
    system = json.loads(DATA.read_text().splitlines()[0])["messages"][0]["content"]
    for text in ASKED:
        ask = ["generate", "--model", model, "--system", system, "--prompt", text, "--tokens", "32"]
        before, after = lowrank(*ask).strip(), lowrank(*ask, "--adapter", adapter).strip()
        lines.append({"answer": {"system": system, "text": text, "before": before, "after": after}})

    about = {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "model": pathlib.Path(model).name,
        "steps": STEPS,
        "rows": len(DATA.read_text().splitlines()),
        "lora_lr": lora["lr"],
    }
    kept = HERE.parent / "src/generated/story.jsonl"
    kept.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in [{"about": about}, *lines]))


main()
