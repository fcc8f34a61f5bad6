"""A package: a model with all that a device needs to prepare its input and to check it.

Its manifest says the version, the size and the hash of the model, how codes become numbers, and
what the model must answer for some known flights. A signature over all of it proves who made it.
"""

import hashlib
import hmac
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from lab_services.models import features
from lab_services.models.features import Flight

# A known answer may differ so much: other processors round the 8-bit network otherwise.
TOLERANCE = 0.05

Manifest = dict[str, Any]


class _Needed(TypedDict):
    """What of a manifest is read before its model is loaded, and with it everything else."""

    version: int
    bytes: int
    sha256: str


_NEEDED = TypeAdapter(_Needed)


class Refused(Exception):
    """A package that must not be installed."""


class Failed(Exception):
    """A package that was installed and does not do what it should."""


class EdgeModel:
    """The model of a package that lies in a folder. Whatever loading it raises, it raises."""

    def __init__(self, folder: Path) -> None:
        self.manifest: Manifest = json.loads((folder / "manifest.json").read_bytes())
        self._codes = features.Codes(**self.manifest["codes"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # it keeps what it once needed
        options.log_severity_level = 4  # what fails is raised
        self._session = onnxruntime.InferenceSession(
            folder / "model.onnx", options, providers=["CPUExecutionProvider"]
        )

    @property
    def version(self) -> int:
        """Its place in the order of releases."""
        version: int = self.manifest["version"]
        return version

    def probability(self, flight: Flight) -> float:
        """Of arriving late. One flight at a time: see the manifest's known answers."""
        rows = features.prepare([flight], self._codes)
        return float(self._session.run(["probabilities"], {"flights": rows})[0][0, 1])

    def prove(self) -> None:
        """Raises Failed where it does not answer known flights as it should."""
        for known in self.manifest["known"]:
            said = self.probability(known["flight"])
            if not abs(said - known["probability"]) <= TOLERANCE:
                raise Failed(f"says {said:.3f} of a flight, not {known['probability']:.3f}")


def signature(manifest: Manifest, key: str) -> str:
    """Of everything in the manifest but a signature. Whoever has not the key cannot make it."""
    signed = {name: value for name, value in manifest.items() if name != "signature"}
    text = json.dumps(signed, sort_keys=True, separators=(",", ":"))
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def packed(
    version: int, content: bytes, codes: Any, known: Sequence[dict[str, Any]], key: str
) -> Manifest:
    """The signed manifest of a model."""
    manifest: Manifest = {
        "version": version,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "codes": codes,
        "known": list(known),
    }
    return manifest | {"signature": signature(manifest, key)}


def read(told: bytes) -> Manifest:
    """The manifest in a store's answer. Raises Refused where there is none: anybody can answer."""
    try:
        manifest: Manifest = json.loads(told)
        _NEEDED.validate_python(manifest, strict=True)
    except (ValueError, RecursionError) as problem:
        raise Refused(f"it is no manifest: {problem}") from problem
    return manifest


def check_signature(manifest: Manifest, key: str) -> None:
    """Raises Refused for a manifest that the holder of the key has not made as it is."""
    if not hmac.compare_digest(signature(manifest, key), str(manifest.get("signature"))):
        raise Refused("the signature is not its maker's")


def check_content(manifest: Manifest, size: int, sha256: str) -> None:
    """Raises Refused for a model that is not the one of the manifest."""
    if size != manifest["bytes"]:
        raise Refused(f"it has {size} bytes, not {manifest['bytes']}")
    if sha256 != manifest["sha256"]:
        raise Refused("its bytes are not those that were signed")
