"""An examination in tool calling: fifty questions over fifteen tools, in twelve kinds.

Each question has what a right answer must hold. Of each kind every second question is held out:
prompts and data are tuned on the others only, and what is claimed of a model is its score on these.
The questions were written before any tuning and are not changed to suit it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


def tool(
    name: str, description: str, required: list[str] | None = None, /, **properties: Any
) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": list(properties) if required is None else required,
            },
        },
    }


def text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def among(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


INTEGER, NUMBER, BOOLEAN = {"type": "integer"}, {"type": "number"}, {"type": "boolean"}
DATE = {"type": "string", "format": "date", "description": "YYYY-MM-DD"}
CODE = text("Three-letter code, such as CHF")

WEATHER = tool(
    "get_weather",
    "Get the current weather in a city.",
    ["city"],
    city=text("Name of the city"),
    unit=among("celsius", "fahrenheit"),
)
STOCK = tool("get_stock_price", "Get the current price of a share.", symbol=text("Ticker, such as IBM"))
CONTACT = tool(
    "find_contact", "Look up a person's phone number and email address.", name=text("Full name of the person")
)
SAVE = tool(
    "save_contact",
    "Save a person with phone numbers in the address book.",
    name=text("Full name"),
    phones={
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"kind": among("home", "work", "mobile"), "number": text("Phone number")},
            "required": ["kind", "number"],
        },
    },
)
SMS = tool(
    "send_sms", "Send a text message.", number=text("Phone number of the recipient"), text=text("The message")
)
CONVERT = tool(
    "convert_currency",
    "Convert an amount of money at today's rate.",
    amount=NUMBER,
    source=CODE,
    target=CODE,
)
FLIGHTS = tool(
    "search_flights",
    "Search flights between two cities.",
    ["origin", "destination", "date"],
    origin=text("City of departure"),
    destination=text("City of arrival"),
    date=DATE,
    cabin=among("economy", "business", "first"),
    direct={**BOOLEAN, "description": "Only flights without a stop"},
)
TABLE = tool(
    "book_table",
    "Book a table in a restaurant.",
    ["restaurant", "people", "date", "time"],
    restaurant=text("Name of the restaurant"),
    people={**INTEGER, "minimum": 1},
    date=DATE,
    time=text("HH:MM, 24 hours"),
    notes=text("Special wishes"),
)
ALARM = tool(
    "set_alarm",
    "Set an alarm clock.",
    ["time"],
    time=text("HH:MM, 24 hours"),
    label=text("Name of the alarm"),
)
PLAY = tool(
    "play_song", "Play a song.", ["title"], title=text("Title of the song"), artist=text("Who performs it")
)
THERMOSTAT = tool(
    "set_thermostat",
    "Set the heating and cooling of a room.",
    ["room", "mode"],
    room=text("Name of the room"),
    mode=among("heat", "cool", "off"),
    degrees={**NUMBER, "description": "Wanted temperature"},
)
PIZZA = tool(
    "order_pizza",
    "Order a pizza to an address.",
    size=among("small", "medium", "large"),
    toppings={"type": "array", "items": {"type": "string"}},
    address={
        "type": "object",
        "properties": {"street": text("Street and number"), "city": text("City")},
        "required": ["street", "city"],
    },
)
TASK = tool(
    "create_task",
    "Put a task on the to-do list.",
    ["title"],
    title=text("What is to be done"),
    priority=among("low", "normal", "high"),
    due=DATE,
)
TRANSLATE = tool(
    "translate",
    "Translate a text into another language.",
    text=text("The text"),
    target_language=text("Name of the language"),
)
DISTANCE = tool(
    "get_distance",
    "Get the distance between two cities by road.",
    origin=text("City"),
    destination=text("City"),
)
ALL = [WEATHER, STOCK, CONTACT, SMS, CONVERT, FLIGHTS, TABLE, ALARM, PLAY, THERMOSTAT, TRANSLATE, DISTANCE]
LOOKUPS = {"get_weather", "get_stock_price", "find_contact", "convert_currency", "get_distance"}
"""Tools that change nothing: to ask one of them twice is no fault of an agent."""

Call = tuple[str, dict[str, Any]]
Calls = list[Call]
Right = Callable[[Calls, str], bool]
Results = Mapping[str, Callable[[dict[str, Any]], str]]


@dataclass(frozen=True)
class Question:
    """What is asked with which tools, and whether calls and text are a right answer.

    `results` answers the calls of a question with several steps, by the tools' names: then the
    model is asked on until it makes no more calls, and all its calls and its last text are judged.
    """

    name: str
    ask: str | list[dict[str, Any]]
    tools: list[dict[str, Any]]
    right: Right
    options: dict[str, Any] = field(default_factory=dict)
    results: Results | None = None
    held_out: bool = False

    @property
    def kind(self) -> str:
        return self.name.partition(":")[0]


# --- what is right --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Either:
    """Several values, each of which is right."""

    values: tuple[Any, ...]


def same(value: Any, expected: Any) -> bool:
    """Whether a value is what is expected: texts without case, by being contained."""
    if isinstance(expected, Either):
        return any(same(value, each) for each in expected.values)
    if isinstance(expected, str):
        return isinstance(value, str) and expected.casefold() in value.casefold()
    if isinstance(expected, dict):
        return isinstance(value, dict) and all(same(value.get(key), part) for key, part in expected.items())
    if isinstance(expected, list):
        return isinstance(value, list) and len(value) == len(expected) and all(map(same, value, expected))
    return isinstance(value, bool) == isinstance(expected, bool) and bool(value == expected)


def fits(call: Call, name: str, wanted: dict[str, Any]) -> bool:
    return call[0] == name and same(call[1], wanted)


def one(name: str, /, **wanted: Any) -> Right:
    """Exactly one call, of this tool, whose arguments hold what is wanted."""
    return lambda calls, text: len(calls) == 1 and fits(calls[0], name, wanted)


def only(name: str, /, **wanted: Any) -> Right:
    """Exactly one call, of this tool, with these arguments and no others."""
    return lambda calls, text: (
        len(calls) == 1 and fits(calls[0], name, wanted) and calls[0][1].keys() == wanted.keys()
    )


def each(*wanted: Call) -> Right:
    """One call for each of these, in any order, and no other."""
    return lambda calls, text: (
        len(calls) == len(wanted) and all(any(fits(call, *one_of) for call in calls) for one_of in wanted)
    )


def spoken(*words: str) -> Right:
    """No call, and a text that holds one of the words (any text without words)."""
    return lambda calls, text: not calls and said(text, *words)


def said(text: str, *words: str) -> bool:
    return bool(text.strip()) and (not words or any(word.casefold() in text.casefold() for word in words))


def steps(*wanted: Call, words: tuple[str, ...] = (), ordered: bool = True) -> Right:
    """These calls and no others, and a last text with one of the words; a lookup may be repeated."""

    def right(calls: Calls, text: str) -> bool:
        made: Calls = []
        for call in calls:
            if call[0] not in LOOKUPS or call not in made:
                made.append(call)
        inorder = len(made) == len(wanted) and all(
            fits(call, *w) for call, w in zip(made, wanted, strict=True)
        )
        return (inorder if ordered else each(*wanted)(made, text)) and said(text, *words)

    return right


# --- conversations --------------------------------------------------------------------------------


def after(
    question: str, name: str, arguments: dict[str, Any], result: str, *more: str
) -> list[dict[str, Any]]:
    """A conversation in which a tool has answered; `more` are the assistant's and the user's next words."""
    call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}
    return [
        {"role": "user", "content": question},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": result},
        *({"role": role, "content": words} for role, words in zip(("assistant", "user"), more, strict=False)),
    ]


def on_friday(question: str) -> list[dict[str, Any]]:
    """A question to an assistant that is told the date."""
    return [
        {"role": "system", "content": "Today is Friday, 6 March 2026."},
        {"role": "user", "content": question},
    ]


def looked_up(**known: str) -> Callable[[dict[str, Any]], str]:
    """A tool that knows some things: the result of the first whose name is among the arguments."""

    def result(arguments: dict[str, Any]) -> str:
        given = " ".join(str(value) for value in arguments.values()).casefold()
        return next((said for key, said in known.items() if key in given), "Error: nothing found.")

    return result


# --- the questions --------------------------------------------------------------------------------

_ASKED: list[Question] = [
    Question(
        "single: share",
        "What is the price of an Nvidia share (ticker NVDA) right now?",
        [STOCK],
        one("get_stock_price", symbol="NVDA"),
    ),
    Question("single: alarm", "Set an alarm for 06:45.", [ALARM], one("set_alarm", time="6:45")),
    Question(
        "single: translation",
        'Translate the sentence "The library is closed today" into Portuguese.',
        [TRANSLATE],
        one("translate", text="library is closed today", target_language="portuguese"),
    ),
    Question(
        "single: money",
        "Convert 250 US dollars to Japanese yen.",
        [CONVERT],
        one("convert_currency", amount=250, source="USD", target="JPY"),
    ),
    Question(
        "choice: distance",
        "How far is it from Munich to Salzburg?",
        ALL,
        one("get_distance", origin="Munich", destination="Salzburg"),
    ),
    Question(
        "choice: weather",
        "What is the temperature in Helsinki at the moment?",
        ALL,
        one("get_weather", city="Helsinki"),
    ),
    Question(
        "choice: contact",
        "Find the phone number of Laura Stein.",
        ALL,
        one("find_contact", name="Laura Stein"),
    ),
    Question(
        "choice: song",
        "Put on the song Heroes by David Bowie.",
        ALL,
        one("play_song", title="Heroes", artist="David Bowie"),
    ),
    Question(
        "choice: message",
        "Text +4366012345 that I am running ten minutes late.",
        ALL,
        one("send_sms", number="4366012345", text="late"),
    ),
    Question(
        "choice: translation",
        'Please translate "good morning, everybody" to Finnish.',
        ALL,
        one("translate", text="good morning", target_language="finnish"),
    ),
    Question(
        "parallel: shares",
        "What are the share prices of AAPL and MSFT?",
        [STOCK],
        each(("get_stock_price", {"symbol": "AAPL"}), ("get_stock_price", {"symbol": "MSFT"})),
    ),
    Question(
        "parallel: three cities",
        "Compare the weather in Oslo, Cairo and Lima.",
        [WEATHER],
        each(*(("get_weather", {"city": city}) for city in ("Oslo", "Cairo", "Lima"))),
    ),
    Question(
        "parallel: alarm and song",
        "Wake me at 07:00, and play the song Imagine now.",
        [ALARM, PLAY],
        each(("set_alarm", {"time": "7:00"}), ("play_song", {"title": "Imagine"})),
    ),
    Question(
        "parallel: money",
        "Convert 100 euros to US dollars, and 100 euros to British pounds.",
        [CONVERT],
        each(
            ("convert_currency", {"amount": 100, "source": "EUR", "target": "USD"}),
            ("convert_currency", {"amount": 100, "source": "EUR", "target": "GBP"}),
        ),
    ),
    Question(
        "parallel: distances",
        "How far is it from Rome to Naples, and how far from Rome to Florence?",
        ALL,
        each(
            ("get_distance", {"origin": "Rome", "destination": "Naples"}),
            ("get_distance", {"origin": "Rome", "destination": "Florence"}),
        ),
    ),
    Question(
        "parallel: rooms",
        "Turn the heating on in the living room, and switch the bedroom off.",
        [THERMOSTAT, ALARM],
        each(
            ("set_thermostat", {"room": "living", "mode": "heat"}),
            ("set_thermostat", {"room": "bedroom", "mode": "off"}),
        ),
    ),
    Question(
        "steps: message",
        "Send Maria Lopez a text message that says: Dinner is at eight.",
        [CONTACT, SMS],
        steps(
            ("find_contact", {"name": "Maria Lopez"}),
            ("send_sms", {"number": "34911222333", "text": Either(("eight", "8"))}),
        ),
        results={
            "find_contact": looked_up(maria="Maria Lopez: phone +34911222333, email maria@example.com"),
            "send_sms": lambda arguments: "The message has been sent.",
        },
    ),
    Question(
        "steps: share in euros",
        "What is the price of a TSLA share in euros? Look up the price, then convert it.",
        [STOCK, CONVERT],
        steps(
            ("get_stock_price", {"symbol": "TSLA"}),
            ("convert_currency", {"amount": 212.5, "source": "USD", "target": "EUR"}),
            words=("195.5",),
        ),
        results={
            "get_stock_price": looked_up(tsla="TSLA: 212.50 USD"),
            "convert_currency": looked_up(**{"212.5": "195.50 EUR"}),
        },
    ),
    Question(
        "steps: warmer",
        "Is it warmer in Madrid or in Dublin right now?",
        [WEATHER],
        steps(
            ("get_weather", {"city": "Madrid"}),
            ("get_weather", {"city": "Dublin"}),
            words=("Madrid",),
            ordered=False,
        ),
        results={"get_weather": looked_up(madrid="Madrid: 27 degrees", dublin="Dublin: 14 degrees")},
    ),
    Question(
        "steps: if it rains",
        "Look up the weather in Hamburg. If it rains there, set an alarm for 06:30, else for 07:15.",
        [WEATHER, ALARM],
        steps(("get_weather", {"city": "Hamburg"}), ("set_alarm", {"time": "6:30"})),
        results={
            "get_weather": looked_up(hamburg="Hamburg: 9 degrees, heavy rain"),
            "set_alarm": lambda arguments: f"The alarm is set for {arguments.get('time')}.",
        },
    ),
    Question(
        "follow-up: another city",
        after(
            "What is the weather in Paris?",
            "get_weather",
            {"city": "Paris"},
            "18 degrees and sunny",
            "It is 18 degrees and sunny in Paris.",
            "And what is it like in Vienna?",
        ),
        [WEATHER, ALARM],
        one("get_weather", city="Vienna"),
    ),
    Question(
        "follow-up: another time",
        after(
            "Set an alarm for 06:15.",
            "set_alarm",
            {"time": "06:15"},
            "The alarm is set for 06:15.",
            "Your alarm is set for 06:15.",
            "Please set another one for 07:30.",
        ),
        [WEATHER, ALARM],
        one("set_alarm", time="7:30"),
    ),
    Question(
        "follow-up: distance",
        after(
            "How far is Lyon from Geneva?",
            "get_distance",
            {"origin": "Lyon", "destination": "Geneva"},
            "149 km",
        ),
        [DISTANCE, FLIGHTS],
        spoken("149"),
    ),
    Question(
        "follow-up: money",
        after(
            "How much are 100 dollars in euros?",
            "convert_currency",
            {"amount": 100, "source": "USD", "target": "EUR"},
            "92.40 EUR",
        ),
        [CONVERT, STOCK],
        spoken("92.4"),
    ),
    Question(
        "optional: no artist",
        "Play the song Golden Morning.",
        [PLAY, ALARM],
        only("play_song", title="Golden Morning"),
    ),
    Question(
        "optional: only a title",
        "Put this task on my list: buy printer paper.",
        [TASK, ALARM],
        only("create_task", title="printer paper"),
    ),
    Question(
        "optional: no wishes",
        "Book a table for 4 people at Luigi on 2026-05-02 at 19:30.",
        [TABLE],
        only("book_table", restaurant="Luigi", people=4, date="2026-05-02", time="19:30"),
    ),
    Question(
        "optional: any cabin",
        "Find flights from Zurich to Athens on 2026-07-21.",
        [FLIGHTS],
        only("search_flights", origin="Zurich", destination="Athens", date="2026-07-21"),
    ),
    Question(
        "required: cold",
        "The office is freezing, please heat it.",
        [THERMOSTAT, ALARM],
        one("set_thermostat", room="office", mode="heat"),
        {"tool_choice": "required"},
    ),
    Question(
        "required: early",
        "I have to get up at 05:20.",
        [ALARM, PLAY],
        one("set_alarm", time="5:20"),
        {"tool_choice": "required"},
    ),
    Question(
        "named: distance",
        "I am going from Berlin to Hamburg.",
        ALL,
        one("get_distance", origin="Berlin", destination="Hamburg"),
        {"tool_choice": "get_distance"},
    ),
    Question(
        "named: share",
        "The ticker of Amazon is AMZN.",
        ALL,
        one("get_stock_price", symbol="AMZN"),
        {"tool_choice": "get_stock_price"},
    ),
    Question(
        "enum: cooling",
        "Switch the thermostat in the kitchen to cooling.",
        [THERMOSTAT, WEATHER],
        one("set_thermostat", room="kitchen", mode="cool"),
    ),
    Question(
        "enum: business class",
        "Find flights in business class from Boston to Madrid on 2026-09-03.",
        [FLIGHTS],
        one("search_flights", origin="Boston", destination="Madrid", date="2026-09-03", cabin="business"),
    ),
    Question(
        "nested: two toppings",
        "Order a large pizza with mushrooms and olives to 12 Elm Street in Leeds.",
        [PIZZA],
        one(
            "order_pizza",
            size="large",
            toppings=["mushroom", "olive"],
            address={"street": "12 Elm", "city": "Leeds"},
        ),
    ),
    Question(
        "nested: one topping",
        "Order a small pizza with ham to 7 Rue Verte in Lyon.",
        [PIZZA],
        one("order_pizza", size="small", toppings=["ham"], address={"street": "7 Rue Verte", "city": "Lyon"}),
    ),
    Question(
        "nested: mobile and work",
        "Save Ivan Petrov with the mobile number 555-0101 and the work number 555-0202.",
        [SAVE, CONTACT],
        one(
            "save_contact",
            name="Ivan Petrov",
            phones=[{"kind": "mobile", "number": "555-0101"}, {"kind": "work", "number": "555-0202"}],
        ),
    ),
    Question(
        "nested: home and mobile",
        "Save Aiko Tanaka with the home number 555-0303 and the mobile number 555-0404.",
        [SAVE, CONTACT],
        one(
            "save_contact",
            name="Aiko Tanaka",
            phones=[{"kind": "home", "number": "555-0303"}, {"kind": "mobile", "number": "555-0404"}],
        ),
    ),
    Question(
        "dates: written out",
        "Find flights from Vienna to Lisbon on 14 April 2026.",
        [FLIGHTS, TABLE],
        one("search_flights", origin="Vienna", destination="Lisbon", date="2026-04-14"),
    ),
    Question(
        "dates: evening",
        "Book a table for 2 people at Chez Paul on the 9th of June 2026 at 8 pm.",
        [FLIGHTS, TABLE],
        one("book_table", restaurant="Chez Paul", people=2, date="2026-06-09", time="20:00"),
    ),
    Question(
        "dates: due tomorrow",
        on_friday("Create a task to call the dentist, due tomorrow."),
        [TASK],
        one("create_task", title="dentist", due="2026-03-07"),
    ),
    Question(
        "dates: flights tomorrow",
        on_friday("Find flights from Oslo to Bergen for tomorrow."),
        [FLIGHTS],
        one("search_flights", origin="Oslo", destination="Bergen", date="2026-03-07"),
    ),
    Question(
        "languages: German",
        "Wie ist das Wetter in Hannover?",
        ALL,
        one("get_weather", city=Either(("Hannover", "Hanover"))),
    ),
    Question(
        "languages: Spanish",
        "Pon una alarma a las 08:15, por favor.",
        [ALARM, PLAY, WEATHER],
        one("set_alarm", time="8:15"),
    ),
    Question(
        "languages: French",
        "Quelle est la distance entre Paris et Marseille ?",
        [DISTANCE, FLIGHTS],
        one("get_distance", origin="Paris", destination="Marseille"),
    ),
    Question(
        "languages: Italian",
        "Converti 80 franchi svizzeri in euro.",
        [CONVERT, STOCK],
        one("convert_currency", amount=80, source="CHF", target="EUR"),
    ),
    Question("none: who", "Hi there! Who are you?", ALL, spoken()),
    Question(
        "none: bye", "Thanks a lot, you have been very helpful. Bye!", [WEATHER, STOCK, CONVERT], spoken()
    ),
    Question(
        "none: colour",
        "Which colour do you get when you mix blue and yellow paint?",
        [PLAY, ALARM],
        spoken("green"),
    ),
    Question("none: sentence", "Write one sentence about the sea.", [CONTACT, SMS, TASK], spoken()),
]


def _halved(questions: list[Question]) -> list[Question]:
    """The questions with every second one held out; each kind has an even number, side by side."""
    return [
        Question(**{**vars(question), "held_out": bool(number % 2)})
        for number, question in enumerate(questions)
    ]


QUESTIONS = _halved(_ASKED)
