"""What the predictor is measured against: parse, infer, answer, and nothing else."""

import os
from pathlib import Path
from typing import Any

import onnxruntime
import orjson

from lab_services.models import features, store

PATH = Path(os.environ["MODEL"])
CODES = features.Codes(**store.card_of(PATH)["codes"])


class Bare:
    """An ASGI application without framework, validation, metrics or pages."""

    session: onnxruntime.InferenceSession

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            self.session = onnxruntime.InferenceSession(
                PATH, options, providers=["CPUExecutionProvider"]
            )
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = (await receive())["body"]
        rows = features.prepare([orjson.loads(body)], CODES)
        probability = float(self.session.run(["probabilities"], {"flights": rows})[0][0, 1])
        answer = orjson.dumps({"probability": probability, "late": probability > 0.3})
        headers = [
            (b"content-length", b"%d" % len(answer)),
            (b"content-type", b"application/json"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


app = Bare()
