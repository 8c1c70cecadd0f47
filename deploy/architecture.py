"""The picture of the architecture: the parts of the package on their floors, from the imports of the code."""

import ast
from graphlib import TopologicalSorter
from html import escape
from pathlib import Path
from statistics import fmean

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "streamrnn"

WIDTH, HEIGHT, GAP, LEFT, TOP = 128, 40, 26, 20, 20
"""Pixels of a box, between boxes, and of the margins."""
ROW = HEIGHT + 46
HIDDEN = frozenset({"core", "core.jit", "errors", "streamrnn", "version"})
"""Parts that everything, or nothing, imports: their arrows would cover the picture."""


def part_of(module: str) -> str:
    """Return the part that a module belongs to: its top-level name, in `core` the second one too."""
    names = module.removeprefix("streamrnn.").split(".")
    return ".".join(names[: 2 if names[0] == "core" else 1])


def imported_parts() -> dict[str, set[str]]:
    """Return for each part the other parts that its modules import, type-checking imports included."""
    found: dict[str, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        above = part_of(module)
        targets = found.setdefault(above, set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "streamrnn":
                names = [node.module or ""]
                if node.module in {"streamrnn", "streamrnn.core"}:
                    names = [f"{node.module}.{alias.name}" for alias in node.names]
                targets.update(part_of(name) for name in names)
        targets.discard(above)
    return {part: below - HIDDEN for part, below in found.items() if part not in HIDDEN}


def floors(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the parts by floor, from the ground: each part stands one above the highest part that it imports."""
    heights: dict[str, int] = {}
    for part in TopologicalSorter(graph).static_order():
        heights[part] = 1 + max((heights[below] for below in graph[part]), default=-1)
    return [sorted(part for part in heights if heights[part] == floor) for floor in range(max(heights.values()) + 1)]


def direct(graph: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Return the imports that no longer path of imports implies."""

    def reaches(start: str, goal: str) -> bool:
        return start == goal or any(reaches(below, goal) for below in graph[start])

    return [
        (above, below)
        for above in sorted(graph)
        for below in sorted(graph[above])
        if not any(reaches(other, below) for other in graph[above] - {below})
    ]


def draw(graph: dict[str, set[str]]) -> str:
    """Return the picture as SVG."""
    rows = floors(graph)
    widest = max(map(len, rows))
    width = 2 * LEFT + widest * WIDTH + (widest - 1) * GAP
    height = 2 * TOP + len(rows) * ROW - (ROW - HEIGHT)
    places: dict[str, tuple[float, float]] = {}
    for floor, parts in enumerate(rows):
        # evenly over the width, in the order of what they import: few arrows then cross
        parts.sort(key=lambda part: fmean(places[below][0] for below in graph[part]) if graph[part] else 0.0)
        step = width / len(parts)
        for i, part in enumerate(parts):
            places[part] = (i + 0.5) * step - WIDTH / 2, TOP + (len(rows) - 1 - floor) * ROW
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#7a8699"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for above, below in direct(graph):
        (x1, y1), (x2, y2) = places[above], places[below]
        bend = (y2 - y1 - HEIGHT) / 2
        lines.append(
            f'<path d="M{x1 + WIDTH / 2:g} {y1 + HEIGHT:g}c0 {bend:g} {x2 - x1:g} {bend:g} {x2 - x1:g} '
            f'{y2 - y1 - HEIGHT:g}" fill="none" stroke="#a9b4c4" marker-end="url(#tip)"/>'
        )
    for part, (x, y) in places.items():
        fill = "#e8f1fb" if part.startswith("core") else "#f4f5f7"
        lines += [
            f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{fill}" stroke="#7a8699"/>',
            f'<text x="{x + WIDTH / 2:g}" y="{y + 25:g}" font-size="13" text-anchor="middle" fill="#1d2733">'
            f"{escape(part)}</text>",
        ]
    return "\n".join([*lines, "</svg>", ""])
