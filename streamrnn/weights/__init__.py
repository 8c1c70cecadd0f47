"""Where the base network is that a configuration asks for; free of the numerical libraries, so that `check` may ask."""

from pathlib import Path

from streamrnn.errors import ConfigError

SHIPPED = Path(__file__).parent / "data"
"""Holds the base networks that come with the package."""


def base_path(
    *, base: str, variant: str, cell: str, hidden_size: int, layers: int, encoder: str = "recurrent",
    context: int = 0, decay: bool = False,  # noqa: ARG001 -- weights do not depend on the context
) -> Path | None:  # fmt: skip
    """The file that `base` (`default`, `none` or a path) means for this network; None: it starts from random weights.

    Raises:
        ConfigError: a path is given, and there is no such file.
    """
    if base == "none":
        return None
    if base == "default":
        if encoder != "recurrent" or decay:
            return None
        kind = cell if variant == "full" else f"{variant}-{cell}"
        shipped = SHIPPED / f"{kind}-{layers}x{hidden_size}.safetensors"
        return shipped if shipped.is_file() else None
    path = Path(base)
    if not path.is_file():
        raise ConfigError(
            f"model.base = {base!r}: there is no such file here ({Path.cwd()}); name one that `streamrnn pretrain` "
            "wrote, or set it to default or none"
        )
    return path
