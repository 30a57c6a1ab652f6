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
