"""A case: its inputs, its parameters, and the verdict on what an implementation makes of them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from . import _arrays, _program, _safetensors, _session
from ._params import defaults

_PROFILES = ("f64", "f32", "tf32", "bf16", "fp16")


class Mismatch(AssertionError):
    """The implementation's result is not the expected one. `findings` has the numbers of each tensor."""

    def __init__(self, text: str, findings: list[dict[str, Any]]) -> None:
        super().__init__(text)
        self.findings = findings


# What pytest prints before the text.
Mismatch.__module__ = "lowrank_oracle"


class Case:
    """One conformance case.

    `case.x`, `case.weight`, … are its inputs, float64, or None where the case has none; shapes in the table of the
    README (x is [tokens, in], weight [out, in], lora_A [r, in], lora_B [out, r]). `dropout_mask` is boolean, True = kept.
    """

    id: str  #: method/op/name
    method: str  #: lora, lora-fa, vera, delta-lora, lora-plus or dora
    op: str  #: forward, backward, step, trajectory, merge, unmerge or init
    kind: str  #: exact, bounded, residual, acceptable, stat or reject
    params: dict[str, Any]  #: as in the README, defaults filled in
    flags: list[str]  #: what is special about the case
    paper: str  #: arXiv number and equation
    inputs: dict[str, np.ndarray]  #: name without "in." to float64; dropout_mask is boolean
    outputs: list[str]  #: what `check` wants, by name; empty if the case must be refused
    verdict: str | None  #: PASS, FAIL or NOT_RUN once judged

    def __init__(self, path: Path, digest: str | None = None) -> None:
        self._path, self._digest = path, digest
        self._kept = False  # its answer, until the session ends
        metadata, tensors = _safetensors.read(path)
        case = json.loads(metadata["case"])
        self.id, self.method, self.op = case["id"], case["method"], case["op"]
        self.flags, self.paper = case.get("flags", []), case.get("paper", "")
        self.kind = case.get("class", "stat" if self.op == "init" else "bounded")
        self.params = defaults(self.method, self.op, case.get("params", {}))
        self.inputs = {
            name[3:]: tensor.astype(bool if name == "in.dropout_mask" else float)
            for name, tensor in tensors.items()
            if name.startswith("in.")
        }
        names = [name[4:] for name in tensors if name.startswith("out.")]
        # Draws are submitted; the file has their range and moments.
        self.outputs = list(dict.fromkeys(n.rpartition(".")[0] if self.kind == "stat" else n for n in names))
        self.verdict = None
        self._told: Exception | None = None

    def __repr__(self) -> str:
        return f"<Case {self.id} [{', '.join(self.flags)}]>"

    def __getattr__(self, name: str) -> np.ndarray | None:
        inputs: dict[str, np.ndarray] = self.__dict__.get("inputs", {})
        if name in inputs:
            return inputs[name]
        if name in _INPUTS:
            return None
        raise AttributeError(f"a case has no `{name}`; the inputs of this one are {', '.join(inputs)}")

    def inputs_as(self, dtype: Any) -> dict[str, Any]:
        """All inputs in `dtype`: torch tensors for a torch dtype, else arrays of NumPy (which jax.numpy accepts).

        No input is rounded by it: the shipped ones have 8 significant bits. The mask is cast as well, to 0 and 1.
        """
        return {name: _arrays.cast(array, dtype) for name, array in self.inputs.items()}

    def check(self, tensors: Mapping[str, Any] | None = None, /, *, profile: str | None = None, **more: Any) -> str:
        """Judges the outputs, given by name: `check(y=…, grad_x=…)`, or `check({"exp_avg.lora_A": …})`.

        Each tensor is judged by the units of its own type; `profile` (f64, f32, tf32, bf16, fp16) names others, as it must
        for TF32, which is stored as float32. Returns PASS, or NOT_RUN where the type is too narrow to say anything.

        Raises Mismatch with the reason; ValueError for a name that is no output of this case, TypeError for a tensor that
        is not floating point.
        """
        __tracebackhide__ = True  # pytest shows the line of the test, not these
        with self._own():
            return self._check(dict(tensors or {}) | more, profile)

    def _check(self, given: dict[str, Any], profile: str | None) -> str:
        __tracebackhide__ = True
        for name in given:
            if self.outputs and name not in self.outputs:
                lower = {output.lower(): output for output in self.outputs}
                near = difflib.get_close_matches(name.lower(), lower, n=1)
                hint = f"; did you mean {lower[near[0]]}?" if near else ""
                raise ValueError(f"{name} is no output of {self.id}, which has {', '.join(self.outputs)}{hint}")
        if profile not in (None, *_PROFILES):
            raise ValueError(f"profile {profile!r} is not one of {', '.join(_PROFILES)}")
        return self._judge(profile, None, {name: _arrays.named(name, value) for name, value in given.items()})

    def check_error(self, error: BaseException | str) -> str:
        """Judges a refusal: right where the case must be refused, a Mismatch elsewhere."""
        __tracebackhide__ = True
        with self._own():
            return self._judge(None, str(error) or type(error).__name__, {})

    @contextmanager
    def _own(self) -> Iterator[None]:
        """What goes wrong in here is told by this case, and no refusal of the layer that it judges."""
        __tracebackhide__ = True
        try:
            yield
        except Exception as error:
            self._told = error
            raise

    @contextmanager
    def rejects(self) -> Iterator[None]:
        """`with case.rejects(): layer(…)`: an exception in the block is the refusal; none is a Mismatch, and stays one."""
        __tracebackhide__ = True
        refusal: Exception | None = None
        try:
            yield
        except Exception as error:
            # A verdict in the block, also of another case, or a wrong call of this one: that is no refusal of the layer.
            if error is self._told or isinstance(error, (Mismatch, _program.OracleError)):
                raise
            refusal = error
        if refusal is None:
            self._judge(None, None, {})
        else:
            self.check_error(refusal)

    def _judge(self, profile: str | None, error: str | None, tensors: dict[str, tuple[str, np.ndarray]]) -> str:
        __tracebackhide__ = True
        self.verdict = "FAIL"  # until the program says otherwise
        with _session.submission(self.id, profile, self._kept) as folder:
            findings, text = _program.judge(folder, self._path, self.id, profile, error, tensors)
        if self._digest not in (None, findings[0]["digest"]):
            raise _program.OracleError(f"{self._path} is not the case that index.json lists: corrupt")
        if text:
            raise Mismatch(text, findings)
        verdicts = {finding["verdict"] for finding in findings}
        if not verdicts <= {"PASS", "NOT_RUN"}:
            raise _program.OracleError(f"{self.id}: unexpected verdicts {sorted(verdicts)}")
        self.verdict = "PASS" if "PASS" in verdicts else "NOT_RUN"
        return self.verdict


#: Inputs that some case has: None where this one does not.
_INPUTS = {
    *("x", "weight", "bias", "grad_y", "dropout_mask", "lora_A", "lora_B", "lora_magnitude_vector"),
    *("vera_A", "vera_B", "vera_lambda_d", "vera_lambda_b"),
}
