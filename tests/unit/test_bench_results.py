"""Results of the benchmark: their table and the comparison of two runs."""

import json
from pathlib import Path

import pytest

from benchmarks import results
from benchmarks.results import Result

RATIO, RATE, WAIT = "ratio to the pass-through", "records/s", "p99, ratio to the pass-through"


def stored(path: Path, ratio: float, wait: float) -> str:
    """Write the results of a run."""
    found = [Result("a", RATE, 30_000.0), Result("a", RATIO, ratio, "higher"), Result("a", WAIT, wait, "lower")]
    path.write_text(json.dumps({"results": [each._asdict() for each in found]}))
    return str(path)


def test_the_table_has_medians_and_ratios_first() -> None:
    """Several measurements of one figure become their median."""
    measured = [Result("a", RATE, 30_000.0), *(Result("a", RATIO, value, "higher") for value in (0.2, 0.4, 0.3))]
    assert results.table(measured).splitlines()[2:] == [f"| a | {RATIO} | 0.30 |", f"| a | {RATE} | 30,000 |"]


@pytest.mark.parametrize(("ratio", "wait", "code"), [(0.45, 2.2, 0), (0.40, 2.0, 1), (0.60, 2.4, 1), (0.9, 1.0, 0)])
def test_a_worse_ratio_fails_the_comparison(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ratio: float, wait: float, code: int
) -> None:
    """A ratio that fell, or a wait that rose, by more than the tolerance ends with 1 and is named."""
    new, old = stored(tmp_path / "new.json", ratio, wait), stored(tmp_path / "old.json", 0.5, 2.0)
    assert results.main([new, "--with", old, "--tolerance", "0.15"]) == code
    error = capsys.readouterr().err
    assert ("worse than in" in error) == bool(code)
    assert (f"a, {RATIO}: 0.500 -> 0.400 (-20%)" in error) == (ratio == 0.40)


def test_runs_without_a_common_ratio_are_not_compared(tmp_path: Path) -> None:
    """The exit code is 2."""
    (tmp_path / "new.json").write_text(json.dumps({"results": [Result("b", RATIO, 1.0, "higher")._asdict()]}))
    assert results.main([str(tmp_path / "new.json"), "--with", stored(tmp_path / "old.json", 0.5, 2.0)]) == 2
