"""A short way through FastAPI for endpoints that take one JSON body and nothing else.

The endpoint stays an ordinary one, with its validation and its OpenAPI page. What the short way
leaves out is what such a request does not need: the middleware, the search for a route, the
solving of dependencies. A request that is not plain (another content type, a body in several
parts, a body that is refused, an endpoint that raises) goes the ordinary way.
"""

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, Self, get_type_hints

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from starlette.types import Message, Receive, Scope

from lab_services.services.decoding import Decode, Refused, decoder, plain

Endpoint = Callable[[Any], Coroutine[Any, Any, Any]]

_RAISED = "lab_services.raised"
JSON = (b"content-type", b"application/json")
# A longer body is read, or refused, by the ordinary way.
LONGEST_BODY = 1 << 18


class HotRoute(APIRoute):
    """An APIRoute which also has a `short_way`, where its endpoint allows one."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.short_way = ShortWay.to(endpoint) if self._is_plain() else None

    def _is_plain(self) -> bool:
        needs = self.dependant
        return (
            self.methods == {"POST"}
            and "{" not in self.path
            and inspect.iscoroutinefunction(self.endpoint)
            and self.status_code is None
            and len(inspect.signature(self.endpoint).parameters) == 1
            and len(needs.body_params) == 1
            and not (needs.dependencies or self.dependencies)
        )

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        ordinary = super().get_route_handler()

        async def handler(request: Request) -> Response:
            # Raised again here, so that every exception handler sees it as it would have.
            if raised := request.scope.get(_RAISED):
                raise raised
            return await ordinary(request)

        return handler


class ShortWay(NamedTuple):
    """From the bytes of a body to the value, by the endpoint, to the bytes of its answer."""

    decode: Decode
    endpoint: Endpoint
    encode: Callable[[Any], bytes]

    @classmethod
    def to(cls, endpoint: Endpoint) -> Self | None:
        """None where the endpoint takes a type that needs pydantic in full."""
        types = get_type_hints(endpoint, include_extras=True)
        (name,) = inspect.signature(endpoint).parameters
        decode = decoder(types[name])
        encode = TypeAdapter(types["return"]).serializer.to_json
        return cls(decode, endpoint, encode) if decode else None

    async def answer(self, scope: Scope, receive: Receive) -> bytes | Receive:
        """The answer, or the `receive` with which the ordinary way can start over."""
        message = await receive()
        body = message.get("body", b"")
        if not message.get("more_body") and len(body) <= LONGEST_BODY:
            try:
                value = plain(self.decode(body))
            except Refused:
                return _again(message, receive)
            try:
                return self.encode(await self.endpoint(value))
            except Exception as error:  # noqa: BLE001  raised again by the route
                scope[_RAISED] = error
        return _again(message, receive)


def _again(message: Message, receive: Receive) -> Receive:
    """A `receive` that first repeats a message already taken."""
    taken = [message]

    async def repeat() -> Message:
        return taken.pop() if taken else await receive()

    return repeat
