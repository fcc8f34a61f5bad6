"""A short way through FastAPI for endpoints that take one JSON body and nothing else.

The endpoint stays an ordinary one, with its validation and its OpenAPI page. What the short way
leaves out is what such a request does not need: the middleware, the search for a route, the
solving of dependencies. A request that is not plain (another content type, a content encoding, a
body in several parts, a body that is refused, an endpoint that raises) goes the ordinary way.
"""

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, Self, get_type_hints

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

from lab_services.services.decoding import Decode, Refused, decoder, plain
from lab_services.services.validation_errors import not_json, refuse_encoded

Endpoint = Callable[[Any], Coroutine[Any, Any, Any]]

# Where in the scope an error of the endpoint waits for the route to raise it again.
RAISED = "lab_services.raised"
JSON = (b"content-type", b"application/json")
ENCODING = b"content-encoding"
# What FastAPI makes of a body that it cannot read, be it no JSON or a caller who has left.
UNREADABLE = (400, "There was an error parsing the body")
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
            if raised := request.scope.get(RAISED):
                raise raised
            encoding = request.headers.get(ENCODING.decode(), "identity")
            if self.body_field and encoding.lower() != "identity":
                return refuse_encoded(encoding)
            try:
                return await ordinary(request)
            except HTTPException as error:
                wrong = error.__cause__
                of_fastapi = (error.status_code, error.detail) == UNREADABLE
                if of_fastapi and isinstance(wrong, ValueError | RecursionError):
                    raise not_json(wrong) from error
                raise

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
        answer = types["return"]
        # Where only plain values come back, as the decoder can tell, nothing needs a serializer.
        encode = orjson.dumps if decoder(answer) else TypeAdapter(answer).serializer.to_json
        return cls(decode, endpoint, encode) if decode else None

    @staticmethod
    def takes(scope: Scope) -> bool:
        """Whether the head of a request says that its body is plain JSON."""
        if scope["method"] != "POST" or JSON not in scope["headers"]:
            return False
        return all(name != ENCODING for name, _ in scope["headers"])

    def read(self, message: Message) -> Any:
        """The value that a body holds; None where that is for the ordinary way to say."""
        body = message.get("body", b"")
        if message.get("more_body") or len(body) > LONGEST_BODY:
            return None
        try:
            return plain(self.decode(body))
        except Refused:
            return None


def again(message: Message, receive: Receive) -> Receive:
    """A `receive` that first repeats a message already taken, for the ordinary way."""
    taken = [message]

    async def repeat() -> Message:
        return taken.pop() if taken else await receive()

    return repeat
