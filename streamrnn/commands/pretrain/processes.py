"""Stochastic processes of synthetic series, each with mean 0 and standard deviation 1."""

import numpy as np

from streamrnn.commands.pretrain.signals import (
    Generator,
    autoregress,
    draw_memory,
    draw_shocks,
    standardize,
)
from streamrnn.commands.pretrain.structures import STRUCTURES
from streamrnn.core.jit import Floats

BURN_IN = 200  # discarded first rows of a process, so that it does not start from rest
PROCESSES = {
    "ar1": 0.26, "walk": 0.15, "cycle": 0.09, "smooth": 0.09, "ar": 0.09, "arma": 0.09,
    "kernels": 0.08, "switching": 0.06, "relaxation": 0.05, "bursts": 0.04,
}  # fmt: skip
"""Probabilities of the kinds of process."""


def draw_process(
    generator: Generator, rows: int, season: Floats | None, ingredients: list[str], kind: str | None = None
) -> Floats:
    """Draw a process (T,) of a random kind, or of the given one."""
    kind = kind or str(generator.choice(list(PROCESSES), p=list(PROCESSES.values())))
    ingredients.append(kind)
    if kind in STRUCTURES:
        return standardize(STRUCTURES[kind](generator, rows))
    past, echo = _coefficients(generator, kind)
    drawn = draw_shocks(generator, rows + BURN_IN, season, ingredients)
    drawn[1:] -= echo * drawn[:-1]
    return standardize(autoregress(past, drawn)[BURN_IN:])


def _coefficients(generator: Generator, kind: str) -> tuple[Floats, float]:
    """Return the coefficients of the past values, and of the previous shock (moving average, negated)."""
    if kind == "ar1":
        return np.array([draw_memory(generator, 2.7, 0.1)]), 0.0
    if kind == "walk":
        return np.ones(1), 0.0
    if kind == "cycle":
        size, turn = generator.uniform(0.8, 0.997), 2 * np.pi / generator.uniform(4, 300)
        return np.array([2 * size * np.cos(turn), -(size**2)]), 0.0
    if kind == "smooth":
        memory = draw_memory(generator, 2, 0.3)
        return np.array([2 * memory, -(memory**2)]), 0.0
    if kind == "ar":
        pairs = int(generator.integers(1, 4))
        upper = generator.uniform(0.3, 0.98, pairs) * np.exp(1j * generator.uniform(0, np.pi, pairs))
        roots = np.concatenate([upper, upper.conj(), [generator.uniform(0.5, 0.999)]])
        return -np.real(np.poly(roots))[1:], 0.0
    return np.array([draw_memory(generator, 3.5, 1)]), float(generator.uniform(0.2, 0.95))
