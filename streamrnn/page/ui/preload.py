"""The scripts that a browser needs for the first plot: it would find them only by reading others."""

import re
from functools import cache
from pathlib import Path

import nicegui
from nicegui.dependencies import esm_modules

ADDRESS = f"/_nicegui/{nicegui.__version__}"
ASSETS = tuple(f"{ADDRESS}/{kind}/" for kind in ("static", "components", "libraries", "esm"))
"""Beginnings of the paths of scripts and styles, whose content does not change."""
CHART = "nicegui-echart"
"""The module of the chart, whose scripts are half of all bytes."""
MODULES = ("dompurify.mjs", "utils/dynamic_properties.js")
"""Others that are imported late, below static/."""
DEFERRED = ("quasar.umd.prod.js", "socket.io.min.js", "nicegui.js")
"""Scripts below static/ that a browser loads only after the styles, because they are at the end of the page."""
IMPORTED = re.compile(r"""\b(?:from|import)\s*["']\./([^"']+)["']""")
"""A static import of a file beside."""


@cache
def preload_links() -> str:
    """Return elements for the head, by which a browser loads these scripts at once; after the chart is imported."""
    static = Path(nicegui.__file__).parent / "static"
    addresses = [f"static/{name}" for name in MODULES if (static / name).is_file()]
    for key, module in esm_modules.items():
        if module.name == CHART:
            addresses = [f"esm/{key}/{name}" for name in reversed(imported_files(module.path, "index.js"))] + addresses
    # relative: below the prefix of a reverse proxy
    modules = [f'<link rel="modulepreload" href=".{ADDRESS}/{each}">' for each in addresses]
    scripts = [
        f'<link rel="preload" as="script" fetchpriority="high" href=".{ADDRESS}/static/{name}">'
        for name in DEFERRED
        if (static / name).is_file()
    ]
    return "".join(modules + scripts)


def imported_files(folder: Path, name: str) -> list[str]:
    """Return a script and those in the same folder that it imports, directly or not."""
    names = [name]
    for each in names:  # grows
        text = (folder / each).read_text(encoding="utf-8")
        names += [found for found in IMPORTED.findall(text) if found not in names and (folder / found).is_file()]
    return names
