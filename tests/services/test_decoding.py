import json
from typing import Annotated, Literal, NotRequired

import pytest
from annotated_types import Gt
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from lab_services.services.decoding import Refused, decoder, plain
from lab_services.services.predictor import Flight, Flights


class Strict(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[misc]
    count: Annotated[int, Field(ge=0, le=9)]
    share: Annotated[float, Field(ge=0, le=1)]
    code: Annotated[str, Field(pattern="^[A-Z]{2}$")]
    name: Annotated[str, Field(max_length=3)]
    kind: Literal["a", "b"]


class Open(TypedDict):
    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    word: str


class Loose(TypedDict):
    late: bool


class Optional(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    word: NotRequired[str]


class Validated(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    word: Annotated[str, AfterValidator(str.upper)]


class Stripped(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid", str_strip_whitespace=True)  # type: ignore[misc]
    word: str


@pytest.mark.parametrize(
    "untranslatable",
    [
        Open,
        Optional,
        Validated,
        Stripped,
        list[Validated],
        Annotated[int, Gt(0)],
        Annotated[str, Field(pattern=r"^\d$")],
        Annotated[str, Field(pattern="^[A-Z]{2}$", max_length=2)],
        Annotated[str, Field(pattern="^[A-Z]{9}$")],
        int | None,
    ],
    ids=str,
)
def test_a_type_that_says_more_is_left_to_pydantic(untranslatable):
    """A validator, a default or a limit that the short way would silently skip."""
    assert decoder(untranslatable) is None


@pytest.mark.parametrize("translatable", [Flight, Flights, Strict, list[Strict], Loose, int, float])
def test_these_are_translated(translatable):
    assert decoder(translatable) is not None


VALUES = [
    *(0, 1, 9, 10, -1, 0.0, -0.0, 0.5, 1.0, 1.1, 1e300, True, None, [], {}),
    *("", "a", "b", "AB", "ABC", "AB\n", "\nAB", "ab", "ÄB", "1", "abcd"),
]


@pytest.mark.parametrize("field", Strict.__annotations__)
def test_what_is_accepted_is_what_pydantic_accepts(field):
    """One value that pydantic refuses and the short way does not is a hole in the validation."""
    good = {"count": 1, "share": 0.5, "code": "AB", "name": "abc", "kind": "a"}
    decode, full = decoder(Strict), TypeAdapter(Strict)
    accepted = 0
    for value in VALUES:
        body = json.dumps({**good, field: value}).encode()
        try:
            decoded = plain(decode(body))  # type: ignore[misc]
        except Refused:
            with pytest.raises(ValidationError):
                full.validate_json(body)
        else:
            assert repr(decoded) == repr(full.validate_json(body))
            accepted += 1
    assert 0 < accepted < len(VALUES)


@pytest.mark.parametrize("body", ['{"late": true, "more": 1}', '{"late": true}'])
def test_unknown_fields_are_dropped_where_pydantic_drops_them(body):
    decode = decoder(Loose)
    assert plain(decode(body)) == TypeAdapter(Loose).validate_json(body) == {"late": True}  # type: ignore[misc]
