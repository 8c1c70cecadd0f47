"""Draw the pictures of docs/examples: a series of the report of each example's backtest, in a headless browser.

    PYTHONPATH=tests:. python -m benchmarks.example_pictures

Needs Chromium and the extras `report` and `holidays`. Takes about a minute on one core.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from support.chromium import chromium

from streamrnn.commands.backtest import backtest
from streamrnn.settings import load

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "deploy"))

import example_streams  # noqa: E402 -- a script of the deployment


class Picture(NamedTuple):
    """What is drawn of an example."""

    start: str
    where: str
    """Condition that its records meet: few series, for a quick backtest."""
    series: str
    horizon: int
    """Index among the horizons of the report."""


PICTURES = {
    "sensor-fleet": Picture("2024-10-01", "device == pump-13", "pump-13/temperature", 1),
    "electricity-load": Picture("2024-07-01", "region == region-0", "region-0/load_mw", 1),
    "market-bars": Picture("2024-10-01", "s == ALPHA", "ALPHA/p.close", 1),
    "kubernetes-metrics": Picture(
        "2024-10-01", "labels.pod == search-0-c", "shop/search-0-c/container_memory_working_set_bytes", 2
    ),
}


def draw(browser: Any, name: str, folder: Path, output: Path) -> None:
    """Run the backtest of an example and save the picture of one of its series."""
    picture = PICTURES[name]
    records, report = folder / f"{name}.jsonl", folder / f"{name}.html"
    example_streams.main([name, "--start", picture.start, "--output", str(records)])
    settings = load(ROOT / f"docs/examples/{name}.yaml", [f'input.where=["{picture.where}"]'])
    backtest(settings, [records], folder / "forecasts.jsonl", report=report)
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    page.goto(report.as_uri())
    page.locator("#horizon label").nth(picture.horizon).click()
    chart = page.locator(f'[data-series][aria-label*="{picture.series};"]').first
    chart.scroll_into_view_if_needed()
    chart.locator(".main-svg").first.wait_for()
    page.add_style_tag(content=".card .buttons, .card .thin { display: none }")
    card = page.locator("figure.card").filter(has=chart)
    card.screenshot(path=output / f"example-{name}.png")
    page.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw all pictures, or those named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("examples", nargs="*", default=list(PICTURES), metavar="EXAMPLE")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/images", metavar="FOLDER")
    options = parser.parse_args(arguments)
    with chromium() as browser, TemporaryDirectory() as folder:
        for name in options.examples:
            draw(browser, name, Path(folder), options.output)


if __name__ == "__main__":
    main()
