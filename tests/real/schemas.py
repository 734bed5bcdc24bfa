"""Twenty-five schemas with a text and the right values: what structured output is examined with.

An answer is valid if the schema allows it, and right if it also holds the values of the text.
"""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NotRequired,  # which pydantic wants on Python 3.11
)

from pydantic import BaseModel, Field, TypeAdapter
from typing_extensions import TypedDict

from tests.real.questions import Either, same


class Employee(BaseModel):
    name: str
    department: str
    years: int


class Address(BaseModel):
    street: str
    city: str
    postcode: str | None = None


class Parcel(BaseModel):
    recipient: str
    address: Address


class Soup(BaseModel):
    ingredients: list[str]


class Size(enum.Enum):
    SMALL = "S"
    MEDIUM = "M"
    LARGE = "L"


class Shirt(BaseModel):
    colour: Literal["red", "green", "blue"]
    size: Size
    cotton: bool


class Line(BaseModel):
    product: str
    quantity: int = Field(ge=1)
    price: float = Field(ge=0)


class Bill(BaseModel):
    number: str
    lines: list[Line] = Field(min_length=1)


class Appointment(BaseModel):
    title: str
    day: dt.date


class Review(BaseModel):
    stars: int = Field(ge=1, le=5)
    good: str
    bad: str


class Mood(BaseModel):
    label: Literal["positive", "negative", "neutral"]


class Car(BaseModel):
    kind: Literal["car"]
    seats: int


class Truck(BaseModel):
    kind: Literal["truck"]
    tonnes: float
    axles: int


class Vehicle(BaseModel):
    vehicle: Car | Truck


class Folder(BaseModel):
    name: str
    folders: list[Folder] = []


class Contact(BaseModel):
    name: str
    email: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")
    phone: str | None = None


class Points(BaseModel):
    points: dict[str, int]


class Place(TypedDict):
    latitude: float
    longitude: float


class Book(TypedDict):
    title: str
    author: str
    year: int
    translator: NotRequired[str]


@dataclass
class Workout:
    name: str
    minutes: int
    exercises: list[str]


class School(BaseModel):
    class Group(BaseModel):
        grade: int
        pupils: int

    name: str
    groups: list[Group]


class Grid(BaseModel):
    rows: list[list[int]]


class Article(BaseModel):
    title: str
    tags: Annotated[list[Literal["health", "business", "sport"]], Field(min_length=1)]


class Departure(BaseModel):
    flight: str
    leaves: dt.datetime


class Span(BaseModel):
    lowest: float
    highest: float


class Spouse(BaseModel):
    name: str


class Guest(BaseModel):
    name: str
    spouse: Spouse | None


class Move(BaseModel):
    piece: Literal["king", "queen", "rook", "bishop", "knight", "pawn"]
    square: str = Field(pattern="^[a-h][1-8]$")


class Opening(BaseModel):
    moves: list[Move]


class Loan(BaseModel):
    amount: int
    approved: bool
    reason: str


COUNTRY: dict[str, Any] = {
    "title": "Country",
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "capital": {"type": "string"},
        "population": {"type": "integer", "minimum": 0},
        "landlocked": {"type": "boolean"},
    },
    "required": ["name", "capital", "population", "landlocked"],
    "additionalProperties": False,
}
TEMPERATURES: dict[str, Any] = {
    "title": "Temperatures",
    "type": "object",
    "properties": {"degrees": {"type": "array", "items": {"type": "number"}, "maxItems": 6}},
    "required": ["degrees"],
}
NOTHING = Either((None,))


class Sample(NamedTuple):
    """A schema, a text, and what the right object holds."""

    schema: Any
    text: str
    right: dict[str, Any]


SCHEMAS = [
    Sample(
        Employee,
        "Nadia has worked in accounting for 6 years.",
        {"name": "Nadia", "department": "accounting", "years": 6},
    ),
    Sample(
        Parcel,
        "Send the parcel to Tom Reed, 9 Harbour Lane, Bristol, BS1 4QD.",
        {
            "recipient": "Tom Reed",
            "address": {"street": "9 Harbour Lane", "city": "Bristol", "postcode": "BS1 4QD"},
        },
    ),
    Sample(
        Soup,
        "For the soup you need carrots, onions, lentils and salt.",
        {"ingredients": ["carrot", "onion", "lentil", "salt"]},
    ),
    Sample(
        Shirt,
        "I would like a blue shirt in size M, made of cotton.",
        {"colour": "blue", "size": "M", "cotton": True},
    ),
    Sample(
        Bill,
        "Bill 2031: three notebooks at 4.20 each and two pens at 1.10 each.",
        {
            "number": "2031",
            "lines": [
                {"product": "notebook", "quantity": 3, "price": 4.2},
                {"product": "pen", "quantity": 2, "price": 1.1},
            ],
        },
    ),
    Sample(
        Appointment,
        "The appointment with the dentist is on 17 November 2026.",
        {"title": "dentist", "day": "2026-11-17"},
    ),
    Sample(
        Review,
        "Three stars. The room was clean, but the street was noisy.",
        {"stars": 3, "good": "clean", "bad": "nois"},
    ),
    Sample(Mood, "The train was two hours late and nobody apologised.", {"label": "negative"}),
    Sample(
        Vehicle,
        "It is a truck that carries 12 tonnes and has 3 axles.",
        {"vehicle": {"kind": "truck", "tonnes": 12, "axles": 3}},
    ),
    Sample(
        Folder,
        "The folder docs holds two folders, api and guide, which are empty.",
        {"name": "docs", "folders": [{"name": "api"}, {"name": "guide"}]},
    ),
    Sample(
        Contact,
        "You can reach Ines at ines@example.org; she has no phone.",
        {"name": "Ines", "email": "ines@example.org", "phone": NOTHING},
    ),
    Sample(
        Points,
        "The points: Anna has 12, Boris has 9 and Chen has 15.",
        {"points": {"Anna": 12, "Boris": 9, "Chen": 15}},
    ),
    Sample(
        Place,
        "The tower stands at latitude 48.86 and longitude 2.29.",
        {"latitude": 48.86, "longitude": 2.29},
    ),
    Sample(
        Book,
        "The novel Solaris by Stanislaw Lem appeared in 1961.",
        {"title": "Solaris", "author": "Stanislaw Lem", "year": 1961, "translator": NOTHING},
    ),
    Sample(
        Workout,
        "The workout Morning Boost takes 20 minutes: squats, push-ups and lunges.",
        {"name": "Morning Boost", "minutes": 20, "exercises": ["squat", "push", "lunge"]},
    ),
    Sample(
        School,
        "Hill School has two groups: grade 1 with 21 pupils and grade 2 with 19 pupils.",
        {"name": "Hill", "groups": [{"grade": 1, "pupils": 21}, {"grade": 2, "pupils": 19}]},
    ),
    Sample(
        Grid,
        "The first row of the grid is 5 6 7 and the second row is 8 9 10.",
        {"rows": [[5, 6, 7], [8, 9, 10]]},
    ),
    Sample(
        Article,
        "The article New Vaccine Sold Out gets the tags health and business.",
        {"title": "New Vaccine Sold Out", "tags": ["health", "business"]},
    ),
    Sample(
        COUNTRY,
        "Austria has no coast, its capital is Vienna, and 9200000 people live there.",
        {"name": "Austria", "capital": "Vienna", "population": 9200000, "landlocked": True},
    ),
    Sample(TEMPERATURES, "We measured -3.5, 0 and 12.25 degrees.", {"degrees": [-3.5, 0, 12.25]}),
    Sample(
        Departure,
        "Flight OS 451 leaves on 1 August 2026 at 07:25.",
        {"flight": Either(("OS 451", "OS451")), "leaves": "2026-08-01T07:25"},
    ),
    Sample(Span, "Keep it between 18 and 21.5 degrees.", {"lowest": 18, "highest": 21.5}),
    Sample(Guest, "Otto comes alone, he is not married.", {"name": "Otto", "spouse": NOTHING}),
    Sample(
        Opening,
        "First the knight goes to f3, then the bishop goes to c4.",
        {"moves": [{"piece": "knight", "square": "f3"}, {"piece": "bishop", "square": "c4"}]},
    ),
    Sample(
        Loan,
        "The loan of 5000 euros was refused because the income is too low.",
        {"amount": 5000, "approved": False, "reason": "income"},
    ),
]


def name_of(schema: Any) -> str:
    return schema["title"] if isinstance(schema, dict) else schema.__name__


def is_right(sample: Sample, value: Any) -> bool:
    """Whether a valid object holds the right values."""
    if not isinstance(sample.schema, dict):
        value = TypeAdapter(sample.schema).dump_python(value, mode="json")
    return same(value, sample.right)
