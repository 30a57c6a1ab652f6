"""The lines of Python in the repository's README run as they stand there."""

from pathlib import Path

import lowrank_oracle

README = Path(__file__).parents[4] / "README.md"


def test_the_readme(pytester):
    code = README.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    pytester.makepyfile(code)
    passed = len(lowrank_oracle.ids("lora", "forward", only="Plain", kind="bounded"))
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=passed)
