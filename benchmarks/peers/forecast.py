"""The forecast that every peer publishes: as many horizons and quantiles as the daemon's, under the same names."""

from typing import Any

HORIZONS = (1, 12, 24)
DEVIATIONS = {"0.05": -1.645, "0.1": -1.282, "0.5": 0.0, "0.9": 1.282, "0.95": 1.645}
"""Quantiles of the standard normal distribution."""
STEP = 60_000
"""Milliseconds between two observations."""


class HoltWinters:
    """Additive Holt-Winters with a daily season, for a value a minute; a list of numbers, to be pickled."""

    def __init__(self) -> None:
        self.level, self.trend, self.variance, self.count = 0.0, 0.0, 1.0, 0
        self.season = [0.0] * 24

    def learn_one(self, value: float) -> None:
        """Update the state by one value."""
        slot = self.count % len(self.season)
        before = self.level + self.trend
        error = value - before - self.season[slot]
        level = before + 0.3 * error if self.count else value
        self.trend += 0.1 * (level - self.level - self.trend) if self.count else 0.0
        self.season[slot] += 0.1 * (value - level - self.season[slot])
        self.variance += 0.05 * (error * error - self.variance)
        self.level, self.count = level, self.count + 1

    def forecast(self, horizon: int) -> list[float]:
        """Return the forecasts of the next steps."""
        slots, first = len(self.season), self.count
        return [
            self.level + (step + 1) * self.trend + self.season[(first + step) % slots] for step in range(horizon)
        ]  # fmt: skip


def record(key: str, time: int, value: float, points: list[float], deviation: float) -> dict[str, Any]:
    """Return a forecast record with the members of the daemon's."""
    return {
        "series": f"{key}/value", "time": time, "value": value, "horizon": HORIZONS,
        "target_time": [time + STEP * step for step in HORIZONS],
        "quantiles": {
            level: [point + times * deviation for point in points] for level, times in DEVIATIONS.items()
        },
        "anomaly_score": 0.0, "skill": [0.0, 0.0, 0.0], "status": "ok", "model": "000000000000",
        "source": {"topic": "input", "partition": 0, "offset": 0},
    }  # fmt: skip
