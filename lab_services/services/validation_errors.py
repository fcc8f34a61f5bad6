"""Refusals that help: which field, which limits, and a value that would be accepted."""

from collections.abc import Callable, Coroutine, Sequence
from functools import cache
from typing import Annotated, Any, NotRequired

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException
from typing_extensions import TypedDict

# A batch can be wrong a thousand times over: nobody reads more than the first few.
SHOWN = 10
# What FastAPI makes of a body that it cannot read, be it no JSON or a caller who has left.
UNREADABLE = (400, "There was an error parsing the body")


class Problem(TypedDict):
    """One thing that is wrong with a request."""

    field: str
    row: NotRequired[int]
    problem: str
    got: NotRequired[str]
    limits: str
    example: Any


class Refusal(TypedDict):
    """The body of a 422, and of a 415."""

    detail: list[Problem]
    more: int


class JsonRoute(APIRoute):
    """A route whose body is refused in one shape, whatever is wrong with it.

    A custom route class is FastAPI's way to look at a request before its body is read.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        read_and_answer = super().get_route_handler()

        async def handler(request: Request) -> Response:
            encoding = request.headers.get("content-encoding", "identity")
            if self.body_field and encoding.lower() != "identity":
                return refuse_encoded(encoding)
            try:
                return await read_and_answer(request)
            except HTTPException as error:
                wrong = error.__cause__
                of_fastapi = (error.status_code, error.detail) == UNREADABLE
                if of_fastapi and isinstance(wrong, ValueError | RecursionError):
                    raise not_json(wrong) from error
                raise

        return handler


def not_json(wrong: Exception) -> RequestValidationError:
    """The error of a body that json refuses with something else than a JSONDecodeError."""
    match wrong:
        case UnicodeDecodeError():
            said = f"it is not {wrong.encoding.upper()}, {wrong.reason}"
        case RecursionError():
            said = "it is nested too deeply"
        case _:
            said = str(wrong)  # a number of thousands of digits
    place = ("body", wrong.start) if isinstance(wrong, UnicodeDecodeError) else ("body",)
    return RequestValidationError(
        [{"type": "json_invalid", "loc": place, "msg": said, "input": {}, "ctx": {"error": said}}]
    )


def refuse_encoded(encoding: str) -> JSONResponse:
    """Answer a body with a content encoding with 415, a `Refusal` and what is taken instead."""
    refusal: Refusal = {
        "detail": [
            {
                "field": "content-encoding",
                "problem": "A body is taken as it is, without a content encoding",
                "got": repr(encoding)[:80],
                "limits": "identity, or no such header",
                "example": "identity",
            }
        ],
        "more": 0,
    }
    return JSONResponse(refusal, status_code=415, headers={"accept-encoding": "identity"})


async def refuse(request: Request, error: Exception) -> JSONResponse:
    """Answer a request that does not pass validation with 422 and a `Refusal`."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    schema = _schema(request.scope["route"].body_field)
    refusal: Refusal = {
        "detail": [_problem(one, schema) for one in found[:SHOWN]],
        "more": max(0, len(found) - SHOWN),
    }
    return JSONResponse(refusal, status_code=422)


@cache
def _schema(body: Any) -> dict[str, Any]:
    if body is None:
        return {}
    info = body.field_info
    whole: TypeAdapter[Any] = TypeAdapter(Annotated[info.annotation, info])  # type: ignore[arg-type]
    return whole.json_schema()


def _problem(error: dict[str, Any], schema: dict[str, Any]) -> Problem:
    place: Sequence[str | int] = error["loc"][1:]
    text = error["msg"]
    if error["type"] == "json_invalid":
        at = f" at character {place[0]}" if place else ""
        text = f"Not JSON: {error['ctx']['error']}{at}"
        place = ()
    expected = _at(place, schema)
    problem: Problem = {
        "field": next((part for part in reversed(place) if isinstance(part, str)), "body"),
        "problem": text,
        "limits": _limits(expected),
        "example": _example(expected, schema),
    }
    if rows := [part for part in place if isinstance(part, int)]:
        problem["row"] = rows[0]
    if error["type"] not in ("missing", "json_invalid"):
        problem["got"] = repr(error["input"])[:80]
    return problem


def _at(place: Sequence[str | int], schema: dict[str, Any]) -> dict[str, Any]:
    """The part of a JSON schema that describes this place; its parent where there is none."""
    here = schema
    for part in place:
        inner = here.get("items") if isinstance(part, int) else here.get("properties", {}).get(part)
        if inner is None:
            break
        here = _resolved(inner, schema)
    return here


def _resolved(part: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = part.get("$ref", "").removeprefix("#/$defs/")
    found: dict[str, Any] = schema["$defs"][name] if name else part
    return found


def _limits(expected: dict[str, Any]) -> str:
    match expected:
        case {"enum": values}:
            return f"one of {', '.join(map(str, values))}"
        case {"minimum": low, "maximum": high, "type": kind}:
            unit = f" ({expected['unit']})" if "unit" in expected else ""
            return f"{kind} from {low:g} to {high:g}{unit}"
        case {"pattern": pattern}:
            return f"text that matches {pattern}"
        case {"properties": fields}:
            return f"a JSON object with {', '.join(fields)}, sent as application/json"
        case {"minItems": low, "maxItems": high}:
            return f"a JSON list of {low} to {high} rows, sent as application/json"
        case _:
            return str(expected.get("type", "JSON"))


def _example(expected: dict[str, Any], schema: dict[str, Any]) -> Any:
    if "properties" in expected:
        return {
            name: _example(_resolved(part, schema), schema)
            for name, part in expected["properties"].items()
        }
    if "items" in expected:
        return [_example(_resolved(expected["items"], schema), schema)]
    return expected.get("examples", [None])[0]
