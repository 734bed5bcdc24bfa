"""Random users: their keys, confirmations and arguments; and a second opinion on whom they may ask.

The opinion is written from the files of the services themselves and shares no code with the
router's. `benchmarks/router/configurations.py` runs more of them than the tests do.
"""

from __future__ import annotations

import json
import os
import random
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from freeproviders.catalogue import look_again
from freeproviders.catalogue.pins import VARIABLES
from freeproviders.catalogue.places import OWN

KEY = "key-of-nobody-12345"
NOBODY = "http://127.0.0.1:9/v1"
MADE_UP = 24
"""Services of a user's own, of all kinds that the package's rows do not have."""


def made_up_rows(folder: Path, seed: int) -> None:
    """Write files of services with random costs, terms, keys and privacy."""
    rng = random.Random(seed)
    for n in range(MADE_UP):
        key = rng.choice(["required", "optional", "none"])
        lines = [
            f'name = "Made up {n}"',
            f'base_url = "https://made-up-{n}.example/v1"',
            f'key = "{key}"',
            f'keys = ["MADE_UP_{n}_KEY"]' if key != "none" else "",
            f"key_is_billed = {rng.choice(['true', 'false'])}" if key == "optional" else "",
            f"auto = {rng.choice(['true', 'true', 'false'])}",
            'default_model = "first"',
            'fallback_models = ["second", "third"]',
            "checked = 2026-11-01",
            'source = "made up"',
        ]
        if rng.random() < 0.5:
            models = rng.choice(['["*"]', '["first"]', '["t*"]'])
            keyless = rng.choice(["", ", keyless = true", ", keyless = false"])
            line = f'{{ metric = "requests", per = "day", cap = 50, models = {models}{keyless} }}'
            lines.append(f"limit = [{line}]")
        if rng.random() < 0.1:
            lines.append(
                f'gone = {{ what = "{rng.choice(["service", "free tier"])}", on = 2026-01-01, why = "." }}'
            )
        lines.append("[models]")
        for model in ("first", "second", "*"):
            cost = rng.choice(["never", "allowance", "allowance", "paid", ""])
            lines.append(f'"{model}" = {{ {f"cost = {json.dumps(cost)}" if cost else ""} }}')
        lines += ["[privacy]", f'trains = "{rng.choice(["yes", "no", "no", "opt-out", "unknown"])}"']
        lines += [
            "[terms]",
            f'use = "{rng.choice(["", "", "any", "personal", "evaluation", "non-commercial"])}"',
        ]
        if rng.random() < 0.2:
            lines += ["[retired]", '"second" = { on = 2026-01-01 }'] if "gone" not in " ".join(lines) else []
        text = "\n".join(line for line in lines if line) + "\n"
        if "[retired]" in text:  # whose models must be no fallbacks
            text = text.replace('["second", "third"]', '["third"]')
        (folder / f"made-up-{n}.toml").write_text(text, encoding="utf-8")


def raw_rows(folder: Path) -> dict[str, Mapping[str, Any]]:
    """All files as plain data."""
    paths = [*OWN.glob("*.toml"), *folder.glob("*.toml")]
    return {path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in paths}


@dataclass
class User:
    """One user: what is in the environment, and what is passed."""

    keys: set[str]
    outside: set[str]
    arguments: dict[str, Any]
    members: list[str] = field(default_factory=list)

    @property
    def confirmed(self) -> set[str]:
        return self.outside | set(self.arguments.get("confirmed", ()))


class World:
    """The services, and users drawn from a seed."""

    def __init__(self, folder: Path) -> None:
        self.rows = raw_rows(folder)
        self.remote = sorted(name for name, row in self.rows.items() if not row.get("local"))

    def models(self, name: str) -> list[str]:
        """Names of models of a service, one that its row does not have among them."""
        lines = self.rows[name].get("models", {})
        return [
            *(model.replace("*", "any") for model in lines),
            "unheard-of",
            *self.rows[name].get("retired", {}),
        ]

    def variables(self, name: str) -> list[str]:
        row = self.rows[name]
        if row.get("key", "required") == "none":
            return []
        return row.get("keys") or [f"{name.upper().replace('-', '_')}_API_KEY"]

    def user(self, seed: int) -> User:
        """Draw a user."""
        rng = random.Random(seed)

        def some(most: int) -> list[str]:
            return rng.sample(self.remote, rng.randint(0, most))

        def names(most: int) -> list[str]:
            return [
                f"{name}/{rng.choice(self.models(name))}" if rng.random() < 0.4 else name
                for name in some(most)
            ]

        with_key = {
            *some(6),
            *(name for name in self.remote if name.startswith("made") and rng.random() < 0.15),
        }
        pool = sorted(with_key) or self.remote
        arguments: dict[str, Any] = {
            "confirmed": [*some(2), *rng.sample(pool, rng.randint(0, len(pool)))],
            "allow": names(3),
            "prefer": names(2),
            "exclude": names(1),
            "paid": rng.random() < 0.3,
        }
        if rng.random() < 0.8:
            arguments["privacy"] = rng.choice(["local", "no-training", "any", "any"])
        keys = {rng.choice(found) for name in sorted(with_key) if (found := self.variables(name))}
        user = User(keys, set(some(2)), arguments)
        if rng.random() < 0.4:
            user.members = [
                f"{name}/{rng.choice(self.models(name))}" if rng.random() < 0.6 else name
                for name in rng.choices(pool, k=rng.randint(1, 2))
            ]
        return user

    # --- the second opinion -----------------------------------------------------------------------

    def has_key(self, user: User, name: str) -> bool:
        return any(variable in user.keys for variable in self.variables(name))

    def cost(self, user: User, name: str, model: str) -> str:
        row = self.rows[name]
        if "gone" in row or (row.get("key_is_billed") and self.has_key(user, name)):
            return "paid"
        lines = row.get("models", {})
        line = lines.get(model)
        if line is None:
            line = next((one for key, one in lines.items() if "*" in key and fnmatchcase(model, key)), {})
        return line.get("cost") or "unknown"

    def is_there(self, user: User, name: str, model: str) -> bool:
        row = self.rows[name]
        if row.get("gone", {}).get("what", "service" if "gone" in row else "") == "service":
            return False
        if model in row.get("retired", {}):
            return False
        return self.has_key(user, name) or row.get("key", "required") != "required"

    def is_private(self, user: User, name: str, usual: str) -> bool:
        privacy = user.arguments.get("privacy", usual)
        trains = self.rows[name].get("privacy", {}).get("trains", "unknown")
        return privacy == "any" or (privacy == "no-training" and trains == "no")

    def may_be_named(self, user: User, name: str, model: str) -> bool:
        """Whether a user who names a model may ask it."""
        cost = self.cost(user, name, model)
        free = cost in {"never", "allowance"}
        return (
            self.is_there(user, name, model)
            and (free or user.arguments["paid"])
            and self.is_private(user, name, "any")
        )

    def may_be_found(self, user: User, name: str, model: str) -> bool:
        """Whether a router may choose a model for a user by itself."""
        row, keyed = self.rows[name], self.has_key(user, name)
        allowed = any(one.partition("/")[0] == name for one in user.arguments["allow"])
        reached = (keyed or allowed) and (bool(row.get("auto")) or allowed)
        return reached and self.is_chosen(user, name, model)

    def is_chosen(self, user: User, name: str, model: str) -> bool:
        """Whether cost, consent, terms and privacy let a router choose a model by itself."""
        row, cost, keyed = self.rows[name], self.cost(user, name, model), self.has_key(user, name)
        confirmed = name in user.confirmed
        limits = [
            one
            for one in row.get("limit", ())
            if one.get("keyless") in {None, not keyed}
            and (not one.get("models") or any(fnmatchcase(model, key) for key in one["models"]))
        ]
        return (
            self.is_there(user, name, model)
            and self.is_private(user, name, "no-training")
            and cost in {"never", "allowance"}
            and (confirmed or row.get("terms", {}).get("use") not in {"evaluation", "non-commercial"})
            and (cost == "never" or ((confirmed or not keyed) and bool(limits)))
        )


@contextmanager
def environment(user: User, **more: str) -> Iterator[None]:
    """Give this process the user's environment, and nothing else of the kind."""
    before = dict(os.environ)
    for name in list(os.environ):
        if name in VARIABLES or name.endswith(("_API_KEY", "_API_BASE")):
            del os.environ[name]
    os.environ.update(dict.fromkeys(user.keys, KEY))
    os.environ.update(
        {"FREEPROVIDERS_CONFIRMED": ",".join(sorted(user.outside)), "OLLAMA_API_BASE": NOBODY, **more}
    )
    os.environ["CLOUDFLARE_ACCOUNT_ID"] = "account"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def world(folder: Path, seed: int = 13) -> Iterator[World]:
    """Make the world in a folder, with files of made-up services."""
    made_up_rows(folder, seed)
    before = dict(os.environ)
    os.environ["FREEPROVIDERS_SERVICES"] = str(folder)
    os.environ["XDG_CONFIG_HOME"] = str(folder / "config")
    look_again()
    try:
        yield World(folder)
    finally:
        os.environ.clear()
        os.environ.update(before)
        look_again()


def check_construction(world: World, seed: int) -> int:
    """Construct what a random user asks for; return how many members of services it has.

    Each member is one that the user may ask, and nobody is left out who is asked for in vain.
    """
    from freeproviders.errors import UsageError
    from freeproviders.router.found import find

    user = world.user(seed)
    names = [*user.arguments["exclude"]]

    def is_excluded(name: str, model: str) -> bool:
        return name in names or f"{name}/{model}" in names

    with environment(user):
        found, why = None, ""
        try:
            found = find(user.members, **user.arguments)
        except UsageError as error:
            why = str(error)
    services = [one for one in found.members if one.place == "service"] if found is not None else []
    if user.members:
        wanted = [one.partition("/") for one in user.members]
        asked = [(name, model or world.rows[name].get("default_model", "")) for name, _, model in wanted]
        may = all(bool(model) and world.may_be_named(user, name, model) for name, model in asked)
        if found is None:
            everybody = {pair for pair in asked if not is_excluded(*pair)}
            assert not may or not everybody, (seed, user, "is refused what he may ask", why)
        else:
            assert may, (seed, user, "got what he may not ask")
        for member in services:
            assert member.row is not None
            assert world.may_be_named(user, member.row.id, member.model), (seed, user, member.name)
    else:
        assert found is not None, (seed, user, why)
        have = {(member.row.id, member.model) for member in services if member.row is not None}
        for name, model in have:
            assert world.may_be_found(user, name, model), (seed, user, name, model)
        for name in world.remote:
            for model in (
                world.rows[name].get("default_model", ""),
                *world.rows[name].get("fallback_models", ()),
            ):
                if model and world.may_be_found(user, name, model) and not is_excluded(name, model):
                    assert (name, model) in have, (seed, user, name, model, found.skipped)
    for member in services:
        assert member.row is not None
        assert not is_excluded(member.row.id, member.model), (seed, user, member.name)
        free = world.cost(user, member.row.id, member.model) in {"never", "allowance"}
        assert (member.guarded is not None) == (free and not (user.members and user.arguments["paid"]))
    return len(services)


def check_decision(world: World, seed: int) -> bool:
    """Decide about one model for a random user; return whether the router may choose it."""
    from freeproviders.catalogue import catalogue
    from freeproviders.router.policy import Policy, reason_against

    user, rng = world.user(seed), random.Random(-seed)
    name = rng.choice(world.remote)
    row, model = catalogue().service(name), rng.choice(world.models(name))
    keyed = world.has_key(user, name)
    if not keyed and row.key == "required":
        return False
    for named in (False, True):
        usual = "any" if named else "no-training"
        policy = Policy(
            privacy=user.arguments.get("privacy", usual),
            confirmed=user.confirmed,
            named=named,
            paid=user.arguments["paid"],
        )
        reason = reason_against(policy, row, model, has_key=keyed, here=False)
        if named:
            assert (not reason) == world.may_be_named(user, name, model), (seed, user, name, model, reason)
        else:
            chosen = world.is_chosen(user, name, model)
            assert (not reason) == chosen, (seed, user, name, model, reason)
    return chosen


# --- over the wire --------------------------------------------------------------------------------

QUESTIONS = 3


@dataclass
class Account:
    """A replica of a service with one kind of account; `shows` whether its answers tell that it is billed."""

    service: str
    server: Any
    shows: bool
    now: list[float]


@contextmanager
def accounts() -> Iterator[list[Account]]:
    """Start replicas with free and with billed accounts."""
    from freeproviders.testing import Billed, replica

    kinds: list[tuple[str, bool, dict[str, Any]]] = [
        ("groq", False, {}),
        ("groq", True, {"limits": {"requests/day": 500_000}}),
        ("groq", True, {"billed": Billed(model="openai/gpt-6")}),
        ("openrouter", False, {}),
        ("openrouter", False, {"billed": Billed(model="openai/gpt-6", cost=0.01)}),
        ("openrouter", True, {"billed": Billed(cost=0.01, anyway=True)}),
        ("openrouter", True, {"billed": Billed(model="openai/gpt-6", anyway=True)}),
        ("mistral", False, {}),
        ("mistral", False, {"billed": Billed(model="mistral-large-latest")}),  # which is free there too
        ("gemini", False, {}),
        ("gemini", True, {"billed": Billed(cost=0.001)}),
    ]
    with ExitStack() as stack:
        made = []
        for service, shows, options in kinds:
            now = [1.8e9]
            server = replica(service=service, answer="Yes", clock=partial(now.__getitem__, 0), **options)
            made.append(Account(service, stack.enter_context(server), shows, now))
        yield made


def check_over_the_wire(world: World, accounts: Sequence[Account], seed: int, folder: Path) -> int:
    """Let a random user ask some questions; return how many requests services got.

    Each went to a model that is free for the user, and none to an account that had shown itself.
    """
    from freeproviders import FreeProviders
    from freeproviders.errors import FreeProvidersError, UsageError

    user, rng = world.user(seed), random.Random(-seed)
    services = sorted({one.service for one in accounts})
    chosen = [rng.choice([one for one in accounts if one.service == name]) for name in services]
    keyed = [name for name in services if rng.random() < 0.7]
    user.keys = {world.variables(name)[0] for name in keyed}
    user.arguments["confirmed"] = [name for name in services if rng.random() < 0.6]
    user.arguments["allow"] = []
    user.arguments["prefer"] = []
    user.arguments["exclude"] = ["embedded", "ollama"]
    if user.members:
        named = [f"{name}/{rng.choice(world.models(name))}" for name in keyed if rng.random() < 0.4]
        user.members = [*named, rng.choice(keyed or services)]
    may = world.may_be_named if user.members else world.may_be_found
    addresses = {
        f"{one.service.upper()}_API_BASE": one.server.base_url for one in chosen if one.service in keyed
    }  # on this machine no key is needed, so that the others must stay where they are
    before = [len(one.server.requests) for one in chosen]
    for one in chosen:
        one.now[0] += 7 * 86_400  # all limits are there again
    with environment(user, FREEPROVIDERS_QUOTA=str(folder / f"{seed}.sqlite"), **addresses):
        try:
            router = FreeProviders(*user.members, **user.arguments)
        except UsageError:
            router = None
        for stream in rng.choices([True, False], k=QUESTIONS) if router is not None else ():
            with suppress(FreeProvidersError):
                router.complete_sync("Hi", wait_up_to=0, stream=stream)
    total = 0
    for one, start in zip(chosen, before, strict=True):
        got = one.server.requests[start:]
        total += len(got)
        for request in got:
            model = request.json["model"]
            assert may(user, one.service, model), (seed, user, one.service, model)
        must_be_free = not (user.members and user.arguments["paid"])
        if one.shows and must_be_free:
            assert len(got) <= 1, (seed, user, one.service, [request.json for request in got])
    return total
