"""Where the base network is that a configuration asks for; free of the numerical libraries, so that `check` may ask."""

from pathlib import Path

from streamrnn.core.config import ModelConfig
from streamrnn.errors import ConfigError

SHIPPED = Path(__file__).parent / "data"
"""Holds the base networks that come with the package."""


def base_path(base: str, model: ModelConfig) -> Path | None:
    """Return the file that `base` (`default`, `none` or a path) names for this network; None: random first weights.

    Raises:
        ConfigError: a path is given, and there is no such file.
    """
    if base == "none":
        return None
    if base == "default":
        if model.encoder != "recurrent" or model.decay:
            return None
        kind = model.cell if model.variant == "full" else f"{model.variant}-{model.cell}"
        shipped = SHIPPED / f"{kind}-{model.layers}x{model.hidden_size}.safetensors"
        return shipped if shipped.is_file() else None
    path = Path(base)
    if not path.is_file():
        raise ConfigError(
            f"model.base = {base!r}: there is no such file here ({Path.cwd()}); name one that `streamrnn pretrain` "
            "wrote, or set it to default or none"
        )
    return path
