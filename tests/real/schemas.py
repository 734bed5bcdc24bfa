"""Twenty schemas and a text for each: what structured output is examined with."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,  # which pydantic wants on Python 3.11
)

from pydantic import BaseModel, Field
from typing_extensions import TypedDict


class Person(BaseModel):
    name: str
    age: int


class Address(BaseModel):
    street: str
    city: str
    postcode: str | None = None


class Customer(BaseModel):
    name: str
    address: Address


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"
    BLUE = "blue"


class Car(BaseModel):
    brand: str
    colour: Colour
    electric: bool


class Shopping(BaseModel):
    items: list[str]


class Line(BaseModel):
    product: str
    quantity: int = Field(ge=1)
    price: float = Field(ge=0)


class Invoice(BaseModel):
    number: str
    lines: list[Line] = Field(min_length=1)


class Meeting(BaseModel):
    title: str
    day: dt.date


class Rating(BaseModel):
    stars: int = Field(ge=1, le=5)
    comment: str


class Sentiment(BaseModel):
    label: Literal["positive", "negative", "neutral"]


class Cat(BaseModel):
    kind: Literal["cat"]
    name: str
    indoor: bool


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str
    breed: str


class Pet(BaseModel):
    pet: Cat | Dog


class Node(BaseModel):
    name: str
    children: list[Node] = []


class Contact(BaseModel):
    email: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")
    phone: str | None = None


class Settings(BaseModel):
    values: dict[str, int]


class Point(TypedDict):
    x: float
    y: float


class Film(TypedDict):
    title: str
    year: int
    director: NotRequired[str]


@dataclass
class Recipe:
    dish: str
    minutes: int
    steps: list[str]


class Deep(BaseModel):
    class Company(BaseModel):
        class Office(BaseModel):
            city: str
            staff: int

        name: str
        offices: list[Office]

    company: Company


class Matrix(BaseModel):
    rows: list[list[int]]


class Tagged(BaseModel):
    text: str
    tags: Annotated[list[Literal["news", "sport", "science"]], Field(min_length=1)]


CITY: dict[str, Any] = {
    "title": "City",
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "population": {"type": "integer", "minimum": 0},
        "capital": {"type": "boolean"},
    },
    "required": ["name", "population", "capital"],
    "additionalProperties": False,
}
NUMBERS: dict[str, Any] = {
    "title": "Numbers",
    "type": "object",
    "properties": {"numbers": {"type": "array", "items": {"type": "number"}, "maxItems": 5}},
    "required": ["numbers"],
}

SCHEMAS: list[tuple[Any, str]] = [
    (Person, "Ada is 36 years old."),
    (Customer, "The customer Bob lives at 5 Main Street in Oslo."),
    (Car, "She drives a green electric Tesla."),
    (Shopping, "Buy milk, bread and eggs."),
    (Invoice, "Invoice A-7: two lamps at 19.50 each and one chair at 45."),
    (Meeting, "The budget meeting is on the 3rd of March 2026."),
    (Rating, "Four stars: good food, slow service."),
    (Sentiment, "I love this phone, it is wonderful."),
    (Pet, "Rex is a dog, a labrador."),
    (Node, "A tree: root has the children left and right."),
    (Contact, "Write to ann@example.com; she has no telephone."),
    (Settings, "Set volume to 7 and brightness to 3."),
    (Point, "The point lies at x 1.5 and y -2."),
    (Film, "The film Alien is from 1979, directed by Ridley Scott."),
    (Recipe, "Omelette takes 10 minutes: beat the eggs, heat the pan, fry."),
    (Deep, "Acme has two offices: 40 people in Rome and 12 in Bern."),
    (Matrix, "The matrix has the rows 1 2 and 3 4."),
    (Tagged, "A probe landed on Mars; tag it as science and news."),
    (CITY, "Paris is the capital of France and has 2100000 inhabitants."),
    (NUMBERS, "The numbers are 3, 1.5 and 8."),
]


def name_of(schema: Any) -> str:
    return schema["title"] if isinstance(schema, dict) else schema.__name__
