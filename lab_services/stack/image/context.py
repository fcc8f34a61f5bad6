"""What goes into the image, and the name that this content has."""

import hashlib
import io
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from docker.utils.build import exclude_paths

from lab_services.errors import LabError
from lab_services.paths import repository

DOCKERFILE = "Dockerfile"  # inside the archive, out of reach of `COPY lab_services`
_RECIPE = "lab_services/stack/image/Dockerfile"
_AUTHORITY = "extra-ca.crt"
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")


@dataclass(frozen=True)
class Options:
    """How this machine builds the image; `network` and `proxies` leave no trace in its content."""

    base: str = "debian:trixie-slim"
    authority: bytes = b""
    network: str | None = None
    proxies: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> "Options":
        """The options that the environment states. Raises LabError for a CA file not there."""
        authority = b""
        if path := environment.get("LAB_EXTRA_CA"):
            try:
                authority = Path(path).expanduser().read_bytes()
            except OSError as error:
                raise LabError(
                    f"LAB_EXTRA_CA: {error.strerror}: {path}",
                    "Name a PEM file with the certificates to trust, or unset it.",
                ) from None
            if b"-----BEGIN CERTIFICATE-----" not in authority:
                raise LabError(
                    f"LAB_EXTRA_CA: there is no PEM certificate in {path}.",
                    "Convert it: openssl x509 -inform der -in FILE -out FILE.pem",
                )
        return cls(
            base=environment.get("LAB_BASE_IMAGE") or cls.base,
            authority=authority,
            network=environment.get("LAB_BUILD_NETWORK"),
            proxies={
                name: environment[name]
                for upper in _PROXIES
                for name in (upper, upper.lower())
                if environment.get(name)
            },
        )


@dataclass(frozen=True)
class Context:
    """A build context as one tar archive, and the hash of its content and of the base's name."""

    archive: bytes
    fingerprint: str


def pack(options: Options, root: Path | None = None) -> Context:
    """The files that `.dockerignore` lets through, without owners and times.

    So the same sources give the same archive in every checkout, whatever its umask.
    """
    root = root or repository()
    ignore = (root / ".dockerignore").read_text().splitlines()
    patterns = [line for line in ignore if line and not line.startswith("#")]
    names = sorted(exclude_paths(str(root), patterns, dockerfile=_RECIPE))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in names:
            if (root / name).is_file() and not (options.authority and name == _AUTHORITY):
                content = (root / name).read_bytes()
                _add(archive, DOCKERFILE if name == _RECIPE else name, content)
        if options.authority:
            _add(archive, _AUTHORITY, options.authority)
    archived = buffer.getvalue()
    digest = hashlib.sha256(options.base.encode() + b"\0" + archived)
    return Context(archived, digest.hexdigest()[:12])


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mode = 0o644
    archive.addfile(member, io.BytesIO(content))
