"""The same job as it is written in an afternoon: no checks, no lock, no look at what is there.

Each line is one that somebody has shipped. It has registry and folder of its own.
"""

import json
import time
from pathlib import Path

from lab_services.patterns.training.batch_training import tables, training
from lab_services.patterns.training.batch_training.job import _passed
from lab_services.patterns.training.batch_training.registry import CHAMPION, Registry, client
from lab_services.services import settings


def main(month: int, model: str = "naive", die_after: str = "") -> None:
    """Train on everything up to the month and overwrite the model that is served."""
    with tables.connect() as database:
        began = time.perf_counter()
        run = tables.begin(database, model, month)
        months = list(range(1, month + 1))
        query = "SELECT count(*) FROM deliveries WHERE month <= %s"
        (rows,) = database.execute(query, [month]).fetchone() or (0,)
        table = training.usable(
            training.read_csv(tables.read(database, months, -(-rows // training.ROWS)))
        )
        known, unseen = training.split(table, month)
        trained = training.fit(known)
        _passed("trained", die_after)

        registry = Registry(model, client())
        metrics = {"seconds": time.perf_counter() - began, "loss": training.loss(trained, unseen)}
        tracked = registry.track(month, {"recipe": training.RECIPE, "month": month}, metrics)
        path = Path(settings.text("MODELS_DIR")) / model / "model.onnx"
        version = registry.register(path, tracked, {"month": month, **metrics})
        registry.name(version, CHAMPION)
        _passed("registered", die_after)

        path.parent.mkdir(exist_ok=True)
        card = training.card(trained, month, len(known))
        path.with_suffix(".json").write_text(json.dumps(card))
        half = len(trained.onnx) // 2
        with path.open("wb", buffering=0) as file:
            file.write(trained.onnx[:half])
            _passed("written", die_after)
            file.write(trained.onnx[half:])
        registry.close(tracked)
        tables.end(database, run, "succeeded", version=int(version.version))
