"""The version of this program, and the commit that it was built from."""

from pathlib import Path

VERSION = "0.1.0"


def _build() -> str:
    try:
        return f"{VERSION} ({Path(__file__).with_name('BUILD').read_text(encoding='ascii').strip()})"
    except OSError:
        return VERSION


BUILD = _build()
"""The version, and the commit where it is known: the release script writes it into the package."""
