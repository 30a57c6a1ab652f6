"""The conformance vectors in exact rational arithmetic: the second source of truth.

    python3 crates/oracle/exact/generate.py             write tests/vectors/
    python3 crates/oracle/exact/generate.py --check     compare with what is committed; exit 1 on a difference

Written from the papers and the contract; shares nothing with the crates. Python 3.10 or newer, its standard library only.
Every `out.` is the f64 nearest to the exact value, every `gauge.` the f32 next above it.
"""

import argparse
import json
import struct
import sys
from collections import Counter
from fractions import Fraction
from math import inf, prod
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import cases
import inputs
import methods
import selfcheck
import spec as specs
from container import Tensor, canonical, digest, safetensors
from exact import f32_up, f64, real

VERSION = "1"
ROOT = Path(__file__).resolve().parents[3]


def case_of(spec) -> str:
    paper = specs.PAPER[spec.method]
    if spec.params.get("variant") == "projected":
        paper = "2308.03303 v2"
    return canonical({
        "schema": "lowrank-case/1",
        "id": spec.id,
        "method": spec.method,
        "op": spec.op,
        "class": spec.kind,
        "params": spec.params,
        "flags": spec.flags,
        "source": {"name": "crates/oracle/exact", "version": VERSION, "seed": spec.seed},
        "paper": paper,
    })  # fmt: skip


def shape_of(name, shape):
    """A vector's shape is [n]; the arithmetic has it as a row."""
    name = name.rpartition(".")[0] if name.rpartition(".")[2].isdigit() else name
    return shape[1:] if "vera_lambda" in name or "magnitude" in name else shape


def tensors_of(spec):
    """Every tensor of a case, rounded once."""
    if spec.kind == "stat":
        return distribution(spec)
    drawn = inputs.draw(spec)
    result = inputs.tensors(drawn)
    if spec.kind == "reject":
        return result
    out, gauge, shapes = methods.outputs(spec.method, spec.op, spec.params, inputs.matrices(drawn))
    for name, numbers in out.items():
        result[f"out.{name}"] = Tensor("F64", shape_of(name, shapes[name]), [f64(v) for v in numbers])
    for name, numbers in gauge.items():
        owner = name.rpartition(".")[0]
        result[f"gauge.{name}"] = Tensor("F32", shape_of(owner, shapes[owner]), [f32_up(v) for v in numbers])
    if spec.kind == "exact":
        assert_small_integers(spec, result)
    return result


def assert_small_integers(spec, result):
    """What `exact` promises of the outputs themselves: 8 bits each."""
    for name, tensor in result.items():
        if name.startswith("out."):
            values = struct.unpack(f"<{prod(tensor.shape)}d", tensor.bytes)
            assert all(inputs.eight_bits(v) for v in values), f"{spec.id}: {name} needs more than 8 bits"


def distribution(spec):
    """`stat`: the range, the moments E x, E x^2, E x^4 and their standard errors over `samples` draws of the matrix.

    uniform on [-a, a]: E x^2k = a^2k / (2k + 1)        normal: E x^2 = s^2, E x^4 = 3 s^4, E x^8 = 105 s^8
    """
    rank, inner, outer, samples = (spec.params[k] for k in ("rank", "in", "out", "samples"))
    init = spec.params["init"]
    square = {
        "kaiming_uniform_a5": lambda fan: Fraction(1, fan),
        "gaussian": lambda fan: Fraction(1, rank * rank),
        "kaiming_uniform": lambda fan: Fraction(6, fan),
        "kaiming_normal": lambda fan: Fraction(2, fan),
    }[init]  # a^2 of a uniform one, the variance of a normal one
    if spec.method == "vera":
        parameters = {"vera_A": (rank * inner, inner), "vera_B": (outer * rank, rank)}
        constants = {"vera_lambda_d": Fraction(0.1), "vera_lambda_b": Fraction(0)}
    else:
        parameters, constants = {"lora_A": (rank * inner, inner)}, {"lora_B": Fraction(0)}
    result = {}
    for name, (count, fan_in) in parameters.items():
        a2 = square(fan_in)
        if "uniform" in init:
            edge = f64(real(lambda number, sqrt: sqrt(number(a2))))
            m2, m4, m8 = a2 / 3, a2**2 / 5, a2**4 / 9
        else:
            edge, m2, m4, m8 = inf, a2, 3 * a2**2, 105 * a2**4
        errors = [m2, m4 - m2**2, m8 - m4**2]
        errors = [real(lambda number, sqrt, e=e: sqrt(number(e / (count * samples)))) for e in errors]
        result[f"out.{name}.support"] = Tensor("F64", (2,), [-edge, edge])
        result[f"out.{name}.moments"] = Tensor("F64", (3,), [f64(v) for v in (Fraction(0), m2, m4)])
        result[f"gauge.{name}.moments"] = Tensor("F32", (3,), [f32_up(v) for v in errors])
    for name, c in constants.items():
        result[f"out.{name}.support"] = Tensor("F64", (2,), [float(c), float(c)])
        result[f"out.{name}.moments"] = Tensor("F64", (3,), [f64(v) for v in (c, c**2, c**4)])
        result[f"gauge.{name}.moments"] = Tensor("F32", (3,), [0.0, 0.0, 0.0])
    return result


def index_text(entries) -> str:
    """One case a line."""
    head = canonical(
        {
            "schema": "lowrank-index/1",
            "source": {"name": "crates/oracle/exact", "version": VERSION},
            "flags": specs.FLAGS,
        }
    )
    rows = ",\n".join(canonical(e) for e in entries)
    return f'{head[:-1]},"cases":[\n{rows}\n]}}\n'


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, default=ROOT / "tests" / "vectors")
    options.add_argument("--check", action="store_true", help="write nothing, compare digests with the index there")
    options.add_argument("--only", action="append", metavar="PREFIX", help="with --check: only ids that begin so")
    options = options.parse_args()
    if options.only and not options.check:
        sys.exit("--only goes with --check: the vectors are written all at once")
    chosen = tuple(options.only or [""])

    selfcheck.check_arithmetic()
    entries, files, counts, checked, wrong = [], {}, Counter(), Counter(), []
    for spec in sorted((s for s in cases.all_specs() if s.id.startswith(chosen)), key=lambda s: s.id):
        assert spec.flags and len(set(spec.flags)) == len(spec.flags) and set(spec.flags) <= set(specs.FLAGS), spec.id
        tensors = tensors_of(spec)  # settles the seed of an exact case
        case = case_of(spec)
        checked.update(selfcheck.check(spec, tensors))
        data = safetensors(case, tensors)
        entries.append(
            {
                "id": spec.id,
                "digest": digest(case, tensors),
                "class": spec.kind,
                "flags": spec.flags,
                "bytes": len(data),
            }
        )
        counts.update([spec.method, f"{spec.method}/{spec.op}", spec.kind])
        path = options.out / f"{spec.id}.safetensors"
        if options.check and not (path.exists() and path.read_bytes() == data):
            wrong.append(f"{path} is not what is generated")
        files[path] = data
    if options.check:
        wrong += differences(options.out, entries, chosen)
    else:  # only now: a run that fails leaves the old vectors whole
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        (options.out / "index.json").write_text(index_text(entries))
    here = {options.out / f"{e['id']}.safetensors" for e in entries}
    if len(here) != len(entries):
        wrong.append("two cases have the same id")
    stored = [p for p in sorted(options.out.rglob("*.safetensors")) if f"{p.relative_to(options.out)}".startswith(chosen)]
    wrong += [f"{path} is not generated" for path in stored if path not in here]

    for name, count in sorted(counts.items()):
        print(f"{count:6} {name}")
    print(f"{len(entries):6} cases, {sum(e['bytes'] for e in entries):,} bytes; self-check: {dict(checked)}")
    print(*wrong, sep="\n", end="\n" if wrong else "")
    sys.exit(1 if wrong else 0)


def differences(folder: Path, entries, chosen) -> list:
    """Where the committed index and these entries differ."""
    text = (folder / "index.json").read_text()
    committed = {e["id"]: e for e in json.loads(text)["cases"] if e["id"].startswith(chosen)}
    wrong = [f"{e['id']} differs from the index" for e in entries if committed.get(e["id"]) != e]
    wrong += [
        f"{name} is in the index and not generated" for name in sorted(committed.keys() - {e["id"] for e in entries})
    ]
    made = index_text(entries)
    # The first line has all but the cases.
    same = text == made if chosen == ("",) else text.split("\n")[0] == made.split("\n")[0]
    return wrong or ([] if same else ["index.json differs outside its cases"])


if __name__ == "__main__":
    main()
