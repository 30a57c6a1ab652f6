"""Right code passes, each of several real mistakes fails with the right name, and nothing else passes by accident."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from honest import delta_sgd, lora, scale, vera

import lowrank_oracle
from lowrank_oracle import Mismatch, _cases, _program, _safetensors
from lowrank_oracle._params import defaults

PLAIN = "lora/backward/plain-bounded"


@lowrank_oracle.cases("lora", op="backward")
def test_right_code_passes(case):
    with np.errstate(invalid="ignore"):
        case.check(lora(case))


@lowrank_oracle.cases("vera", op="forward")
def test_right_vera_passes(case):
    with np.errstate(invalid="ignore"):
        case.check(vera(case))


MISTAKES = [
    ("lora", "backward", "Plain", lambda c: lora(c, s=c.params["alpha"]), "y", "α in the place of α/r"),
    ("lora", "backward", "RankStabilised", lambda c: lora(c, s=c.params["alpha"] / len(c.lora_A)), "y", "√r"),
    ("lora", "backward", "Plain", lambda c: lora(c, base_scale=scale(c, len(c.lora_A))), "y", "frozen term scaled by s"),
    ("lora", "backward", "DropoutMask", lambda c: lora(c, keep_scale=False), "y", "not divided by 1 − p"),
    ("lora", "backward", "Plain", lambda c: lora(c) | {"grad_lora_A": -lora(c)["grad_lora_A"]}, "grad_lora_A", "sign"),
    (
        "lora", "backward", "Plain",
        lambda c: lora(c) | {"grad_lora_A": lora(c)["grad_lora_A"] / scale(c, len(c.lora_A))},
        "grad_lora_A", "s not applied",
    ),
    ("vera", "forward", "Plain", lambda c: vera(c, lambda_b=np.ones_like(c.vera_lambda_b)), "y", "λ_b not applied"),
    ("vera", "forward", "Plain", lambda c: vera(c, s=8 / len(c.vera_lambda_d)), "y", "8/r applied inside VeRA"),
    (
        "delta-lora", "step", "AfterStart",
        lambda c: delta_sgd(c, move=lambda a0, b0, a1, b1: (b1 - b0) @ (a1 - a0)),
        "weight", r"\(B⁺ − B\)\(A⁺ − A\)",
    ),
    ("delta-lora", "step", "FirstMove", lambda c: delta_sgd(c, late=1), "weight", "one update late"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "op", "flag", "wrong", "tensor", "name"), MISTAKES)
def test_a_mistake_is_found_and_named(method, op, flag, wrong, tensor, name):
    for id in lowrank_oracle.ids(method, op, kind="bounded", only=flag, without=["ZeroWeight", "LargeLayer"]):
        case = lowrank_oracle.load(id)
        if op == "step" and case.params["optimizer"]["name"] != "sgd":
            continue
        if op == "step":
            case.check(delta_sgd(case))
        with pytest.raises(Mismatch, match=f"(?s){tensor}  FAIL.*first divergence: {tensor}.*looks like: .*{name}") as caught:
            case.check(wrong(case))
        assert case.verdict == "FAIL"
        assert {f["tensor"] for f in caught.value.findings} == set(case.outputs)
        return
    pytest.fail("no case was judged")


def test_what_is_no_number_or_no_tensor_fails():
    case = lowrank_oracle.load(PLAIN)
    right = lora(case)
    for name in right:
        holed = right[name].copy()
        holed.flat[-1] = np.nan
        with pytest.raises(Mismatch, match=f"{name}  FAIL .*got NaN"):
            case.check(right | {name: holed})
        with pytest.raises(Mismatch, match=f"{name}  FAIL .*shape"):
            case.check(right | {name: right[name].T})
        with pytest.raises(Mismatch, match=f"{name}  FAIL .*missing"):
            case.check({other: right[other] for other in right if other != name})
    with pytest.raises(Mismatch, match="missing"):
        case.check()


def test_bad_arguments_name_the_thing():
    case = lowrank_oracle.load(PLAIN)
    right = lora(case)
    with pytest.raises(ValueError, match="grad_lora_a is no output .*did you mean grad_lora_A"):
        case.check(grad_lora_a=right["grad_lora_A"])
    with pytest.raises(TypeError, match="y has dtype int64"):
        case.check(right | {"y": right["y"].astype(int)})
    with pytest.raises(TypeError, match="grad_x is None"):
        case.check(right | {"grad_x": None})
    with pytest.raises(ValueError, match="profile 'fp32' is not one of f64, f32, tf32"):
        case.check(right, profile="fp32")
    with pytest.raises(AttributeError, match="no `lora_C`; .* are .*lora_A"):
        _ = case.lora_C
    assert case.verdict is None
    for bad in ({"method": "adalora"}, {"op": "backwards"}, {"kind": "close"}, {"only": "Dropout"}):
        with pytest.raises(ValueError, match=f"unknown .* {next(iter(bad.values()))}: there are"):
            lowrank_oracle.ids(**bad)
    with pytest.raises(ValueError, match="nothing would be judged"):
        lowrank_oracle.cases("lora", op="init", kind="exact")
    with pytest.raises(KeyError, match="lora/backward/no-such"):
        lowrank_oracle.load("lora/backward/no-such")


def test_the_type_chooses_the_bound():
    case = lowrank_oracle.load(PLAIN)
    right = lora(case)
    single = {name: value.astype(np.float32) for name, value in right.items()}
    case.check(single)
    with pytest.raises(Mismatch, match=r"\[f64\]"):
        case.check({name: value.astype(float) for name, value in single.items()})
    tf32 = {name: _cut(value) for name, value in single.items()}
    with pytest.raises(Mismatch, match=r"\[f32\]"):
        case.check(tf32)
    case.check(tf32, profile="tf32")


def _cut(array):
    """The 10 stored bits of TF32's mantissa."""
    return (array.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)


def test_a_refusal_is_right_only_where_one_is_due():
    case = lowrank_oracle.load("lora/backward/dropout-one")
    assert case.kind == "reject"
    assert case.outputs == []
    with case.rejects():
        raise ValueError("p = 1")
    assert case.verdict == "PASS"
    with pytest.raises(Mismatch, match="no error where one is expected"), case.rejects():
        pass
    # A verdict in the block is none of the implementation's refusals.
    with pytest.raises(Mismatch, match="no error where one is expected"), case.rejects():
        case.check(y=np.zeros((1, 1)))
    assert case.verdict == "FAIL"
    with pytest.raises(lowrank_oracle.OracleError, match="no program"), case.rejects():
        raise lowrank_oracle.OracleError("no program")
    assert case.verdict == "FAIL"
    with pytest.raises(Mismatch, match="no error where one is expected"):
        case.check(y=np.zeros((1, 1)))
    with pytest.raises(Mismatch, match="refused: too hard"):
        lowrank_oracle.load(PLAIN).check_error(ValueError("too hard"))


def test_what_is_not_finite_is_a_number():
    case = lowrank_oracle.load(PLAIN)
    right = lora(case)
    right["y"][0, 0] = np.nan
    with pytest.raises(Mismatch) as caught:
        case.check(right)
    (y,) = (finding for finding in caught.value.findings if finding["tensor"] == "y")
    assert y["rho"] == np.inf
    assert np.isnan(y["got"])


def test_the_program_is_started_once(monkeypatch):
    case, started = lowrank_oracle.load(PLAIN), []
    run = _program.run
    monkeypatch.setattr(_program, "run", lambda *arguments: started.append(arguments) or run(*arguments))
    with pytest.raises(Mismatch, match="(?s)FAIL: 1 of 1 cases.*first divergence: y"):
        case.check(lora(case, base_scale=2.0))
    assert len(started) == 1


@pytest.mark.filterwarnings("error")
def test_a_type_that_is_too_narrow_is_no_warning(tmp_path):
    """Rows of A that are nearly dependent: in bf16 no bound holds for the projection."""
    A = np.array([[1.0, 0.5, -0.25, 0.75], [1.125, 0.5, -0.25, 0.75]])
    text = {"schema": "lowrank-case/1", "id": "lora-fa/step/narrow", "method": "lora-fa", "op": "step"}
    text["params"] = {"variant": "projected", "alpha": 2, "optimizer": {"name": "sgd", "lr": 0.5}}
    tensors = {"lora_A": A, "lora_B": np.ones((3, 2)), "grad_lora_B": np.arange(1.0, 7.0).reshape(3, 2)}
    given, made = tmp_path / "given.safetensors", tmp_path / "made.safetensors"
    inputs = {f"in.{name}": ("F64", array) for name, array in tensors.items()}
    _safetensors.write(given, {"case": json.dumps(text)}, inputs)
    assert _program.run("emit", given, "-o", made).returncode == 0
    case = lowrank_oracle.Case(made)
    right = {name[4:]: array for name, array in _safetensors.read(made)[1].items() if name.startswith("out.")}
    assert case.check(right, profile="bf16") == "NOT_RUN"


@pytest.mark.parametrize(("op", "start"), [("step", 0), ("trajectory", 0), ("forward", None)])
def test_the_updates_taken_before_have_a_default(op, start):
    params = {"steps": 2} if op == "trajectory" else {}
    assert defaults("lora", op, params).get("start") == start


def test_draws_are_judged():
    case = lowrank_oracle.load(lowrank_oracle.ids("lora", "init")[0])
    p, generator = case.params, np.random.default_rng(3)
    assert case.outputs == ["lora_A", "lora_B"]
    A = (p["samples"], p["rank"], p["in"])
    bound = p["in"] ** -0.5
    right = {"lora_A": generator.uniform(-bound, bound, A), "lora_B": np.zeros((p["samples"], p["out"], p["rank"]))}
    if p["init"] == "gaussian":
        right["lora_A"] = generator.normal(0, 1 / p["rank"], A)
    case.check(right)
    # rasbt's appendix E takes the fan-in from the other axis.
    with pytest.raises(Mismatch, match="lora_A"):
        case.check(right | {"lora_A": right["lora_A"] * np.sqrt(p["in"] / p["rank"])})


@pytest.mark.filterwarnings("ignore:.*is not what this program computes")
def test_a_corrupt_vector_is_no_verdict(tmp_path, monkeypatch):
    other = "lora/backward/odd-bounded"
    target = tmp_path / f"{PLAIN}.safetensors"
    target.parent.mkdir(parents=True)
    source = _cases.VECTORS / f"{PLAIN}.safetensors"
    raw = bytearray(source.read_bytes())
    raw[-1] ^= 1
    target.write_bytes(raw)
    case = lowrank_oracle.Case(target, lowrank_oracle.load(PLAIN)._digest)
    with pytest.raises(lowrank_oracle.OracleError, match="corrupt"):
        case.check(lora(case))
    target.write_bytes(source.read_bytes()[:100])
    with pytest.raises(lowrank_oracle.OracleError, match="plain-bounded"):
        case.check(lora(lowrank_oracle.load(other)))


def test_paths_are_those_of_the_caller(tmp_path, monkeypatch):
    """The program runs in another folder."""
    source = _cases.VECTORS / f"{PLAIN}.safetensors"
    (tmp_path / "mine.safetensors").write_bytes(source.read_bytes())
    (tmp_path / "bin").mkdir()
    shutil.copy2(lowrank_oracle.program(), tmp_path / "bin")
    monkeypatch.chdir(tmp_path)
    name = lowrank_oracle.program().name
    for setting, value in [("LOWRANK", f"bin/{name}"), ("PATH", "bin")]:
        with monkeypatch.context() as patch:
            patch.delenv("LOWRANK", raising=False)
            patch.setenv(setting, value)
            if setting == "PATH":
                # Neither the wheel's own nor the user's.
                patch.setattr(_program.sysconfig, "get_path", lambda *_: str(tmp_path / "none"))
            lowrank_oracle.program.cache_clear()
            try:
                assert lowrank_oracle.program().samefile(tmp_path / "bin" / name)
                case = lowrank_oracle.Case(Path("mine.safetensors"))
                assert case.check(lora(case)) == "PASS"
            finally:
                lowrank_oracle.program.cache_clear()


def test_every_case_loads_and_its_own_values_pass():
    for id in lowrank_oracle.ids():
        case = lowrank_oracle.load(id)
        assert case.outputs, id
        assert all(array.dtype in (np.float64, np.bool_) for array in case.inputs.values())
    entries = json.loads((lowrank_oracle.VECTORS / "index.json").read_text())["cases"]
    assert len(entries) == len(lowrank_oracle.ids(kind=lowrank_oracle.KINDS)) >= 3016


def test_the_program_is_the_one_of_the_wheel(monkeypatch, tmp_path):
    lowrank_oracle.program.cache_clear()
    monkeypatch.setenv("LOWRANK", str(tmp_path / "none"))
    with pytest.raises(lowrank_oracle.OracleError, match="LOWRANK=.*none is not a file"):
        lowrank_oracle.program()
    monkeypatch.delenv("LOWRANK")
    own = lowrank_oracle.program()
    assert shutil.which(str(own))
