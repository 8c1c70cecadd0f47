"""The examples of docs/how-to/csv.md: each file is read by the configuration below it, each row to its last value."""

from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from support.documents import ROOT, Block, blocks
from support.fakes import record
from support.tables import seen

from streamrnn import app
from streamrnn.settings import from_sections

BLOCKS = blocks(ROOT / "docs/how-to/csv.md")
PAIRS = [
    (file, config)
    for file, config in pairwise(BLOCKS)
    if file.language in ("csv", "text") and config.language == "yaml"
]
VALUES = [3, 3, 4]
"""Values in each example."""


@pytest.mark.parametrize(("pair", "values"), list(zip(PAIRS, VALUES, strict=True)), ids=lambda each: str(each)[:12])
def test_an_example_is_read_by_its_configuration(tmp_path: Path, pair: tuple[Block, Block], values: int) -> None:
    """Every cell that is a number is an observation, but for the missing one."""
    file, config = pair
    path = tmp_path / "example.csv"
    path.write_text(file.text)
    assert len(seen(path, **yaml.safe_load(config.text)["input"])) == values


def test_the_example_of_a_topic() -> None:
    """Its records have the observations that its columns name."""
    config = next(block for block in BLOCKS if "format: csv" in block.text)
    decoded = app.decoder(from_sections(yaml.safe_load(config.text))).decode_one(record(0, b"1704067200,p7,71.3,1480"))
    assert [tuple(each[:3]) for each in decoded.observations] == [
        ("p7", 1_704_067_200_000, (("temperature", 71.3), ("rpm", 1480))),
    ]  # fmt: skip
