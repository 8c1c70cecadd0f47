"""A changed configuration file is reported once it has settled."""

import os
from pathlib import Path

import pytest

from streamrnn import cli
from streamrnn.commands.run.watching import FileWatch


def test_a_change_is_reported_once_and_only_when_it_has_settled(tmp_path: Path) -> None:
    """A file that grows between two looks is not yet whole; one that is gone is a change, and so is its return."""
    file, reports = tmp_path / "own.yaml", []
    file.write_text("a: 1")
    watch = FileWatch(file, lambda: reports.append(file.exists() and file.read_text()))
    watch.check()
    watch.check()
    assert reports == []
    for text in ("a: 1\nb", "a: 1\nb: 2"):
        file.write_text(text)
        watch.check()
        assert reports == []
    watch.check()
    watch.check()
    assert reports == ["a: 1\nb: 2"]
    file.unlink()
    watch.check()
    watch.check()
    file.write_text("c: 3")
    watch.check()
    watch.check()
    assert reports == ["a: 1\nb: 2", False, "c: 3"]


def test_a_file_of_equal_size_and_time_in_its_place_is_a_change(tmp_path: Path) -> None:
    """`cp --preserve` and `mv` keep the time of an older file."""
    file, other, reports = tmp_path / "own.yaml", tmp_path / "other.yaml", []
    for each in (file, other):
        each.write_text("a: 1")
        os.utime(each, (1, 1))
    watch = FileWatch(file, lambda: reports.append(1))
    other.rename(file)
    watch.check()
    watch.check()
    assert reports == [1]


def test_a_change_before_the_thread_starts_is_not_missed(tmp_path: Path) -> None:
    """The file is looked at before it is first read."""
    file, reports = tmp_path / "own.yaml", []
    file.write_text("a: 1")
    watch = FileWatch(file, lambda: reports.append(1))
    watch.close()  # never started
    file.write_text("a: 22")
    watch.check()
    watch.check()
    assert reports == [1]


@pytest.mark.usefixtures("bare_environment")
@pytest.mark.parametrize("given", [[], ["-c", "/dev/null"]])
def test_there_must_be_a_file_to_watch(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe can be read once only."""
    assert cli.main(["run", "--reload-on-change", *given]) == 78
    assert capsys.readouterr().err == "streamrnn: --reload-on-change: needs a regular file, named with -c\n"
