"""Every model keeps its word in the daemon, on a real broker, through kills."""

import random

import pytest
from support.daemons import WHOLE, FleetFactory
from support.table import Row

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

MODELS = {
    "lstm, bidirectional, directions, bounds": (
        "model.cell=lstm", "model.encoder=bidirectional", "model.context=4", "forecast.direction=true",
        "forecast.bounds=auto",
        "forecast.timezone=Europe/Berlin", "forecast.calendar=DE", 'forecast.events=[{"date": "2023-11-15"}]',
    ),
    "gru, attention, decay, joint": ("model.encoder=attention", "model.decay=true", "model.joint=true"),
    "rnn_tanh, two layers, planned": ("model.cell=rnn_tanh", "model.layers=2", "input.planned=speed"),
    "rnn_relu, covariates": ("model.cell=rnn_relu", "input.covariates=speed"),
    "thresholds, events, thinning": (
        'forecast.thresholds=[{"field":"load","above":60},{"field":"*/speed","below":55,"probability":0.3}]',
        "anomaly.direction=up", "output.events={topic}.events", "output.every=3", "output.on_change=true",
    ),
}  # fmt: skip
SHORT = list(MODELS)[-1:]
"""Of the short run: its kernels are those of the default."""


@pytest.mark.parametrize(
    ("model", "kills"),
    [(each, 1) for each in SHORT] + [pytest.param(each, 2, marks=pytest.mark.faults) for each in MODELS],
)
def test_a_model_is_killed(broker: str, fleet: FleetFactory, row: Row, model: str, kills: int) -> None:
    """While it learns, as often as it has progressed; its outputs are those of one undisturbed task."""
    fields = ("load", "speed")
    with fleet(broker, model=(*WHOLE, *MODELS[model]), fields=fields, partitions=2, seed=len(model)) as one:
        chance = random.Random(model)
        for _ in range(kills):
            one.start()
            one.progress(chance.randrange(5, 60))
            one.kill(one.daemons[0])
        one.start()
        one.progress()
        row.survive(one.finish(), kills)
