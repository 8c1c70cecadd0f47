"""The table of what was injected and what came of it."""

from dataclasses import dataclass, field

from support.oracle import Verdict

ROWS: list["Row"] = []
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


def lines() -> list[str]:
    """The table, to be printed."""
    rows = [
        (row.fault, row.injected, row.survived, *row.verdict.counts, round(row.seconds), row.remark) for row in ROWS
    ]
    width = max(len(row.fault) for row in ROWS)
    return [
        f"{name:<{width}} {' '.join(f'{each!s:>9}' for each in numbers)}  {remark}"
        for name, *numbers, remark in (HEAD, *rows)
    ]
