"""The documentation site: its links lead somewhere, its search finds pages, and it needs no other host."""

import re
import sys
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote

import pytest
from support.chromium import chromium, keep
from support.documents import DOCUMENTS, ROOT, blocks

sys.path.insert(0, str(ROOT / "deploy"))

import build_site
from contents import read_index

PATIENCE = 120_000  # ms


class Elements(HTMLParser):
    """The anchors of a page, its links, and what it loads."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.code, self.code_in_lists, self._lists = 0, 0, 0
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one element."""
        given = dict(attrs)
        self._lists += tag == "li"
        if given.get("class") == "highlight":
            self.code += 1
            self.code_in_lists += self._lists > 0
        self.anchors |= {given.get("id") or ""}
        (self.links if tag == "a" else self.loaded).extend(
            value for key in ("href", "src") if (value := given.get(key)) is not None
        )

    def handle_endtag(self, tag: str) -> None:
        """Note the end of one."""
        self._lists -= tag == "li"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the built site."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    assert build_site.build(folder) == 0
    return folder


def test_every_link_of_the_site_leads_to_a_page_and_heading(site: Path) -> None:
    """Each document is a page, and every link and picture of a page is a file, with the anchor that it names."""
    pages = {path: Elements(path) for path in sorted(site.rglob("*.html"))}
    for document in DOCUMENTS:
        place = build_site.place(document).with_suffix("")
        assert {site / place / "index.html", (site / place).parent / "index.html"} & pages.keys(), document
    broken = []
    for page, elements in pages.items():
        for link in [*elements.links, *elements.loaded]:
            path, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", path) or page.name == "404.html":
                continue
            there = (page.parent / unquote(path)).resolve() if path else page
            there = there / "index.html" if there.is_dir() else there
            if not there.is_file() or (anchor and there in pages and unquote(anchor) not in pages[there].anchors):
                broken.append(f"{page.relative_to(site)}: {link}")
    assert broken == []
    assert {each for elements in pages.values() for each in elements.loaded if re.match(r"(https?:)?//", each)} == set()


def test_code_and_tables_are_code_and_tables(site: Path) -> None:
    """Each fenced block of a document is a block of its page, within a list too, and each table a table."""
    for document in DOCUMENTS:
        place = build_site.place(document)
        page = next(
            path for path in (site / place.with_suffix("") / "index.html", site / place.with_name("index.html"))
            if path.is_file()
        )  # fmt: skip
        html, text = page.read_text(encoding="utf-8"), document.read_text(encoding="utf-8")
        elements, within = Elements(page), re.findall(r"^ +```\w", text, re.MULTILINE)
        prose = re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL)
        assert (elements.code, elements.code_in_lists) == (len(blocks(document)), len(within)), document
        assert html.count("<table>") == len(re.findall(r"^ *\|(?:-+\|)+$", prose, re.MULTILINE)), document


def test_contents_for_language_models(site: Path) -> None:
    """llms.txt, in the repository and in the site, lists every page of the four groups, each of them a file of both."""
    text = (site / "llms.txt").read_text(encoding="utf-8")
    assert text == (ROOT / "docs/llms.txt").read_text(encoding="utf-8")
    assert re.findall("^## (.+)$", text, re.MULTILINE) == ["Tutorials", "How-to guides", "Reference", "Explanation"]
    linked = re.findall(r"\]\((.+?)\)", text)
    assert {ROOT / "docs" / each for each in linked} | {ROOT / "docs/index.md"} == set(DOCUMENTS[1:])
    assert all((site / each).is_file() for each in linked)


@pytest.mark.long
def test_navigation_and_search_in_a_browser(site: Path, served: str) -> None:
    """The four groups are tabs, a search finds the page that is about it, and nothing is asked of another host."""
    errors: list[str] = []
    asked: list[str] = []
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(served)
        tabs = page.locator(".md-tabs__link").all_inner_texts()
        assert [each.strip() for each in tabs if each.strip() != "Documentation"] == [g.title for g in read_index()]
        page.keyboard.press("/")
        page.locator("dialog input").wait_for()
        page.keyboard.type("dead letters retry", delay=20)
        found = page.get_by_role("option").filter(has_text="Retry them after a fix")
        found.first.wait_for()
        keep(page)
        found.first.click()
        page.wait_for_url("**/how-to/dead-letters/**")
    assert errors == []
    assert [url for url in asked if not url.startswith((served, "data:", "blob:"))] == []


@pytest.fixture
def served(site: Path) -> Iterator[str]:
    """Serve the site on a free port of this machine; yield its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
