"""Quix Streams with a pickled Holt-Winters per key in its durable store: RocksDB, changelog, exactly once.

Run as `python quix_streams.py PEER BOOTSTRAP TOPIC NAME STATE INTERVAL`, until SIGTERM.
"""

import pickle
import sys
from typing import Any

from forecast import HORIZONS, HoltWinters, record
from quixstreams import Application, State


def step(value: dict[str, float], key: Any, time: int, headers: Any, state: State) -> dict[str, Any]:
    """Load the model of a key, forecast and learn, and store the model."""
    del headers
    stored = state.get_bytes("model")
    model = pickle.loads(stored) if stored is not None else HoltWinters()
    model.learn_one(value["value"])
    future = model.forecast(HORIZONS[-1])
    state.set_bytes("model", pickle.dumps(model, pickle.HIGHEST_PROTOCOL))
    points = [future[horizon - 1] for horizon in HORIZONS]
    return record(key.decode(), time, value["value"], points, model.variance**0.5)


def main(bootstrap: str, topic: str, name: str, state: str, interval: float) -> None:
    """Run the application."""
    app = Application(
        bootstrap, consumer_group=name, auto_offset_reset="earliest", commit_interval=interval, state_dir=state,
        processing_guarantee="exactly-once", loglevel="ERROR",
    )  # fmt: skip
    frame = app.dataframe(app.topic(topic))
    frame = frame.apply(step, stateful=True, metadata=True)
    frame.to_topic(app.topic(name))
    app.run()


if __name__ == "__main__":
    main(*sys.argv[2:6], float(sys.argv[6]))
