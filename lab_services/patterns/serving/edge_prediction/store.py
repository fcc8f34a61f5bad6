"""The model store: it keeps packages and says which is the newest. It cannot sign one itself."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Body, HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles

from lab_services.services.service import Service

packages: dict[int, bytearray] = {}
latest: dict[str, Any] = {}


@asynccontextmanager
async def resources(_: Service) -> AsyncIterator[None]:
    """Nothing: what it keeps is gone with the process."""
    yield


app = Service("model store", lifespan=resources)


@app.put("/packages/{version}")
async def upload(version: int, request: Request, begin: Annotated[int, Query(ge=0)] = 0) -> None:
    """A part of a model, from this byte on; whatever came after it is gone."""
    packages.setdefault(version, bytearray())[begin:] = await request.body()


@app.get("/packages/{version}")
async def download(version: int) -> Response:
    """A model, whole."""
    if version not in packages:
        raise HTTPException(404, f"There is no package {version}.")
    return Response(bytes(packages[version]), media_type="application/octet-stream")


@app.put("/latest")
async def release(manifest: Annotated[dict[str, Any], Body()]) -> None:
    """From now on this is the newest."""
    latest.clear()
    latest.update(manifest)


@app.get("/latest")
async def newest() -> dict[str, Any]:
    """The manifest of the newest package; empty before the first one."""
    return latest


@app.get("/browser")
async def browser() -> Response:
    """The page that runs the newest model in the browser that asks for it."""
    return RedirectResponse("/browser/", 307)


@app.get("/browser/package.json")
async def package() -> dict[str, Any]:
    """The newest package as one file, for browsers."""
    if not latest:
        raise HTTPException(404, "Nothing has been released yet.")
    model = base64.b64encode(packages[latest["version"]]).decode()
    return {"manifest": latest, "model": model}


app.mount("/browser", StaticFiles(directory=Path(__file__).with_name("browser"), html=True))
