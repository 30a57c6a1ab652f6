"""What pytest makes of `cases`: a list of known failures is strict, and a test that judges nothing fails."""

import pytest

import lowrank_oracle

TEST = """
import lowrank_oracle, numpy
known = {known}

@lowrank_oracle.cases("lora", op="forward", only="Plain", kind="bounded", expected_failures=known)
def test_forward(case):
    s = case.params["alpha"] / {divisor}
    {judge}
"""
CHECK = "case.check(y=case.x @ case.weight.T + s * case.x @ case.lora_A.T @ case.lora_B.T)"
IDS = lowrank_oracle.ids("lora", "forward", only="Plain", kind="bounded")


def run(pytester, known="None", divisor="len(case.lora_A)", judge=CHECK):
    pytester.makepyfile(TEST.format(known=known, divisor=divisor, judge=judge))
    return pytester.runpytest_subprocess("-p", "no:cacheprovider")


def test_right_code(pytester):
    run(pytester).assert_outcomes(passed=len(IDS))


def test_the_text_of_a_failure(pytester):
    result = run(pytester, divisor="1")
    result.assert_outcomes(failed=len(IDS))
    result.stdout.fnmatch_lines(
        [
            "*FAIL: 1 of 1 cases; one mistake explains it: α in the place of α/r*",
            "*lora/forward/plain-bounded [[]Plain]",
            "*y  FAIL  rho *at (*): got *, want *, bound * [[]f64]",
            "*first divergence: y",
            "*looks like: α in the place of α/r*",
        ]
    )


def test_known_failures_are_strict(pytester):
    known = repr(dict.fromkeys(IDS, "alpha is not divided"))
    run(pytester, known, divisor="1").assert_outcomes(xfailed=len(IDS))
    result = run(pytester, known)
    result.assert_outcomes(failed=len(IDS))
    result.stdout.fnmatch_lines(["*XPASS(strict)*alpha is not divided*"])
    # A bug of the test is no mismatch.
    run(pytester, known, judge="case.nothing").assert_outcomes(failed=len(IDS))


@pytest.mark.parametrize(
    ("judge", "why"),
    [
        ("pass", "was not judged"),
        ("try: case.check(y=0 * case.x)\n    except AssertionError: pass", "the test caught the Mismatch"),
    ],
)
def test_a_test_must_judge(pytester, judge, why):
    result = run(pytester, judge=judge)
    result.assert_outcomes(failed=len(IDS))
    result.stdout.fnmatch_lines([f"*RuntimeError: *{why}*"])


NOTHING = """
import lowrank_oracle

@lowrank_oracle.cases("lora", op="init", only="Plain", kind="exact")
def test(case): pass
"""


def test_no_case_is_an_error(pytester):
    pytester.makepyfile(NOTHING)
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*nothing would be judged*"])


def test_an_argument_case_is_needed():
    with pytest.raises(TypeError, match="needs an argument named `case`"):

        @lowrank_oracle.cases("lora", op="forward")
        def test(x):
            pass


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("lora/forward/none because", "2: no case lora/forward/none"),
        (f"{IDS[0]}", "2: .* has no reason"),
        (f"{IDS[0]} one\n{IDS[0]} two", "3: .* is listed twice"),
    ],
)
def test_a_bad_list_names_the_line(tmp_path, line, why):
    file = tmp_path / "xfail.txt"
    file.write_text(f"# known\n{line}\n")
    with pytest.raises(ValueError, match=why):
        lowrank_oracle.expected_failures(file)


def test_a_list_is_read(tmp_path):
    file = tmp_path / "xfail.txt"
    file.write_text(f"# known\n\n{IDS[0]}  alpha is not divided  # issue 1\n")
    assert lowrank_oracle.expected_failures(file) == {IDS[0]: "alpha is not divided"}


def test_unknown_ids_in_a_list():
    with pytest.raises(ValueError, match="no case lora/forward/none"):
        lowrank_oracle.cases("lora", op="forward", expected_failures={"lora/forward/none": "?"})


def summary(result):
    """The lines of the section that the plugin adds."""
    lines = iter(result.outlines)
    for line in lines:
        if line.strip("= ") == "lowrank":
            break
    return [line for line in lines if not line.startswith("=") and "short test summary" not in line]


SESSION = """
import lowrank_oracle, numpy, pytest
known = {known}

@pytest.mark.parametrize("dtype", ["float64", "float32"])
@lowrank_oracle.cases("lora", op="merge", kind="bounded", expected_failures=known)
def test_merge(case, dtype):
    fan = case.params["fan_in_fan_out"]
    W, r = case.weight.T if fan else case.weight, len(case.lora_A)
    s = case.params["alpha"] / (r**0.5 if case.params["scaling"] == "rslora" else r)
    s = 1 if dtype == "float32" else s
    with numpy.errstate(invalid="ignore"):
        merged = W + s * (case.lora_B @ case.lora_A)
    case.check(weight=(merged.T if fan else merged).astype(dtype))
"""


def test_a_session_has_one_diagnosis(pytester):
    pytester.makepyfile(SESSION.format(known=None))
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-q")
    lines = summary(result)
    ids = lowrank_oracle.ids("lora", "merge", kind="bounded")
    assert f"float64: PASS: all {len(ids)} cases" in lines
    (wrong,) = (line for line in lines if line.startswith("float32: FAIL: "))
    assert wrong.endswith(": s not applied")
    assert "one mistake explains all" in wrong


def test_what_is_known_to_fail_is_not_in_the_diagnosis(pytester):
    ids = lowrank_oracle.ids("lora", "merge", kind="bounded")
    source = SESSION.format(known=repr(dict.fromkeys(ids, "s is left out")))
    pytester.makepyfile(source.replace('["float64", "float32"]', '["float32"]'))
    assert summary(pytester.runpytest_subprocess("-p", "no:cacheprovider", "-q")) == []


def test_the_workers_of_xdist_are_one_session(pytester):
    pytest.importorskip("xdist")
    pytester.makepyfile(SESSION.format(known=None))
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-q", "-n", "2")
    assert len([line for line in summary(result) if "float64: PASS" in line]) == 1


def test_without_cases_nothing_is_added(pytester):
    pytester.makepyfile("def test_other(): pass")
    lines = pytester.runpytest_subprocess("-p", "no:cacheprovider").outlines
    assert all(line.strip("= ") != "lowrank" for line in lines)
