"""The table of what was injected and what came of it; its lines come with the tests' reports, from any process."""

from dataclasses import dataclass, field

import pytest
from support.oracle import Verdict

LINE = "line of the table"
LINES: list[list[object]] = []
HEAD = ("fault", "injected", "survived", "lost", "repeated", "different", "seconds", "remark")


@dataclass
class Row:
    """One line: a fault."""

    fault: str
    injected: int = 0
    survived: int = 0
    verdict: Verdict = field(default_factory=Verdict)
    remark: str = ""
    seconds: float = 0.0

    def survive(self, verdict: Verdict, injected: int = 1) -> None:
        """Count faults and what they led to; fails the test where anything differs."""
        self.injected += injected
        self.verdict += verdict
        verdict.require()
        self.survived += injected

    @property
    def cells(self) -> list[object]:
        """What stands under HEAD."""
        return [self.fault, self.injected, self.survived, *self.verdict.counts, round(self.seconds), self.remark]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Take down the line that a test has made."""
    if report.when == "teardown":
        LINES.extend(cells for name, cells in report.user_properties if name == LINE and isinstance(cells, list))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    if not LINES:
        return
    terminalreporter.section("faults")
    width = max(len(str(fault)) for fault, *_ in LINES)
    for fault, *numbers, remark in (list(HEAD), *LINES):
        terminalreporter.write_line(
            f"{fault!s:<{width}} {' '.join(f'{each!s:>9}' for each in numbers)}  {remark}".rstrip()
        )
