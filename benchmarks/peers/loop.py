"""kafka-python with one model per key in memory: River's HoltWinters or SNARIMAX, a torch GRU cell, or deep-river.

Run as `python loop.py PEER BOOTSTRAP TOPIC NAME STATE INTERVAL`, until SIGTERM. The state is lost with the process.
"""

import signal
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, Protocol

import orjson
from forecast import HORIZONS, record

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition

HIDDEN = 64


class Model(Protocol):
    """Forecasts one series."""

    def step(self, value: float) -> list[float]:
        """Learn a value and return the forecasts at HORIZONS."""


class River:
    """One of River's forecasters."""

    def __init__(self, model: Any) -> None:
        self._model, self._count = model, 0

    def step(self, value: float) -> list[float]:
        """Learn a value and return the forecasts at HORIZONS."""
        self._model.learn_one(value)
        self._count += 1
        if self._count <= 2 * HORIZONS[-1]:  # Holt-Winters has no season before
            return [value] * len(HORIZONS)
        future = self._model.forecast(horizon=HORIZONS[-1])
        return [future[horizon - 1] for horizon in HORIZONS]


def holt_winters() -> Model:
    """Return River's additive Holt-Winters."""
    from river import time_series

    return River(time_series.HoltWinters(alpha=0.3, beta=0.1, gamma=0.1, seasonality=HORIZONS[-1]))


def snarimax() -> Model:
    """Return River's SNARIMAX."""
    from river import time_series

    return River(time_series.SNARIMAX(p=3, d=1, q=0, m=HORIZONS[-1], sp=1))


class TorchCell:
    """A GRU cell with a linear head, learned by one step of SGD per record."""

    def __init__(self) -> None:
        import torch

        self._torch = torch
        self._cell, self._head = torch.nn.GRUCell(1, HIDDEN), torch.nn.Linear(HIDDEN, len(HORIZONS))
        parameters = [*self._cell.parameters(), *self._head.parameters()]
        self._optimizer = torch.optim.SGD(parameters, lr=1e-3)
        self._state, self._forecast = torch.zeros(1, HIDDEN), None

    def step(self, value: float) -> list[float]:
        """Learn a value and return the forecasts at HORIZONS."""
        if self._forecast is not None:
            self._optimizer.zero_grad()
            (self._forecast[0, 0] - value).abs().backward()
            self._optimizer.step()
        self._state = self._cell(self._torch.tensor([[value]]), self._state.detach())
        self._forecast = self._head(self._state)
        return self._forecast[0].tolist()


class DeepRiver:
    """deep-river's rolling regressor with a GRU over a window of 24 values."""

    def __init__(self) -> None:
        import torch
        from deep_river.regression import RollingRegressor

        class Module(torch.nn.Module):
            def __init__(self, n_features: int = 1) -> None:
                super().__init__()
                self.gru = torch.nn.GRU(n_features, HIDDEN)
                self.head = torch.nn.Linear(HIDDEN, 1)

            def forward(self, window: Any) -> Any:
                return self.head(self.gru(window)[0][-1])

        self._model = RollingRegressor(
            Module(), loss_fn="l1", optimizer_fn="sgd", lr=1e-3, window_size=HORIZONS[-1], append_predict=False
        )
        self._before: float | None = None

    def step(self, value: float) -> list[float]:
        """Learn a value and return one forecast for all HORIZONS."""
        if self._before is not None:
            self._model.learn_one({"value": self._before}, value)
        self._before = value
        return [float(self._model.predict_one({"value": value}))] * len(HORIZONS)


MODELS: dict[str, Callable[[], Model]] = {
    "river-holt-winters": holt_winters, "river-snarimax": snarimax, "torch-cell": TorchCell, "deep-river": DeepRiver,
}  # fmt: skip


def main(peer: str, bootstrap: str, topic: str, name: str, _state: str, interval: str) -> None:
    """Answer each record with a forecast, and commit at an interval, until SIGTERM."""
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ending.append(number))
    consumer = KafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=name, enable_auto_commit=False, auto_offset_reset="earliest",
        isolation_level="read_committed", max_poll_records=500,
    )  # fmt: skip
    producer = KafkaProducer(
        bootstrap_servers=bootstrap, transactional_id=name, compression_type="lz4", batch_size=256 * 1024, linger_ms=20
    )
    producer.init_transactions()
    producer.begin_transaction()
    models: dict[bytes, Model] = {}
    done, committed, due = 0, 0, time.monotonic() + float(interval)
    while not ending:
        for each in consumer.poll(timeout_ms=100).get(TopicPartition(topic, 0), ()):
            value = orjson.loads(each.value)["value"]
            model = models.get(each.key) or models.setdefault(each.key, MODELS[peer]())
            answer = record(each.key.decode(), each.timestamp, value, model.step(value), 1.0)
            producer.send(name, key=each.key, value=orjson.dumps(answer), partition=0, timestamp_ms=each.timestamp)
            done += 1
            if time.monotonic() >= due:
                commit(consumer, producer, topic, done)
                committed, due = done, time.monotonic() + float(interval)
        if done > committed and time.monotonic() >= due:
            commit(consumer, producer, topic, done)
            committed, due = done, time.monotonic() + float(interval)


def commit(consumer: KafkaConsumer, producer: KafkaProducer, topic: str, offset: int) -> None:
    """Commit offset and answers in one transaction, and begin the next one."""
    position = {TopicPartition(topic, 0): OffsetAndMetadata(offset, "", -1)}
    producer.send_offsets_to_transaction(position, consumer.group_metadata())
    producer.commit_transaction()
    producer.begin_transaction()


if __name__ == "__main__":
    main(*sys.argv[1:])
