"""The nodes of a Ray cluster: found, joined, lost, and which of them is asked next.

Ray is asked on a thread of its own where it may take long. Nothing is ever started but one actor on
each node, which takes no processor of Ray's count, so that it neither waits for one nor keeps one
from other work of the cluster.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from itertools import count
from math import inf
from time import monotonic
from typing import Any, Final

from freeproviders._version import __version__
from freeproviders.batch.ray.asker import Asker, Greeting
from freeproviders.batch.ray.loading import ray_module
from freeproviders.batch.ray.shared import HERE
from freeproviders.checks import caution
from freeproviders.errors import ClusterError, FreeProvidersError, NotAskedWarning
from freeproviders.naming import argument

AT_ONCE: Final = 1000
"""Questions that one node may be asked at the same time; how many there are is the caller's choice."""
_LOOK_SECONDS: Final = 5.0
"""How often nodes are looked for that have joined."""
_HELLO_SECONDS: Final = 60.0
"""How long a node may take to start a process and to make the backend there."""
_LISTEN_SECONDS: Final = 0.5
"""How often a look asks whether this process is still connected."""
_CONNECT_SECONDS: Final = 60.0
_LONGEST_REST: Final = 60.0
_LONGEST_REFUSAL: Final = 600.0
"""How long a node that cannot ask is left alone at most; each look at it starts a process there."""
_turns: Final = count(1)


@dataclass(slots=True, eq=False)
class Node:
    """One node: `address` is its machine's, `actor` what is asked there.

    `running` counts the questions of now, `turn` is the number of the last one among those of all
    nodes. After several failures to reach it in a row, a node rests until `rests_until`.
    """

    id: str
    address: str
    actor: Any
    ledgers: frozenset[str] = frozenset()
    turn: int = 0
    running: int = 0
    failures: int = 0
    rests_until: float = -inf

    def begin(self) -> None:
        """Note that a question goes there."""
        self.turn = next(_turns)
        self.running += 1

    def failed(self) -> None:
        """Let the node rest, longer after each failure in a row."""
        self.rests_until = monotonic() + min(2**self.failures, _LONGEST_REST)
        self.failures += 1

    def worked(self) -> None:
        """Note that the node answers."""
        self.failures = 0


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why a node is not asked, how often it was found so, and until when it is left alone."""

    why: str
    times: int
    until: float


@dataclass(slots=True)
class Cluster:
    """What is known of the cluster since this process connected to it.

    It is changed on the thread that looks, under its lock where event loops change it too.
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    refused: dict[str, _Refusal] = field(default_factory=dict)
    """Those that are not asked, by their ids."""
    told: set[str] = field(default_factory=set)
    """The ids of those that the user was told of."""
    had_one: bool = False
    connection: str | None = None
    """What Ray calls this process's connection to the cluster; None before the first look."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_over(self) -> bool:
        """Whether the program has ended that connection, and the actors with it."""
        return self.connection is not None and connection() != self.connection

    def missing(self, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the rows of nodes to try: no actor of ours is there, and none was refused of late.

        Where there is no other node, all are tried.
        """
        now = monotonic()
        missing = [row for row in rows if row["NodeID"] not in self.nodes]
        if not self.nodes:
            return missing
        refused = self.refused
        return [row for row in missing if row["NodeID"] not in refused or refused[row["NodeID"]].until <= now]

    def take(self, node: Node, greeting: Greeting) -> None:
        """Take a node, or refuse it with the reason."""
        node.ledgers = greeting.ledgers
        if greeting.problem is not None:
            self.refuse(node, _what(greeting.problem))
        elif greeting.version != __version__:
            self.refuse(node, f"It has version {greeting.version} of freeproviders, here is {__version__}.")
        elif unshared := [other for other in list(self.nodes.values()) if not _share(node, other)]:
            self.refuse(
                node,
                f"It keeps limits in another ledger than {unshared[0].address}, so that both together would "
                "ask for more than is allowed: set FREEPROVIDERS_QUOTA to one Redis URL on every node "
                "before `ray start`.",
            )
        else:
            with self.lock:
                self.nodes[node.id] = node
            self.had_one = True
            self.refused.pop(node.id, None)

    def refuse(self, node: Node, why: str, *, sure: bool = True) -> None:
        """Leave a node out, and say so once; where it may only have died, at the second time."""
        times = self.refused[node.id].times + 1 if node.id in self.refused else 1
        if (sure or times > 1) and node.id not in self.told:
            self.told.add(node.id)
            caution(f"The node {node.address} is not asked. {why}", NotAskedWarning)
        rest = min(_LOOK_SECONDS * 2**times, _LONGEST_REFUSAL)
        self.refused[node.id] = _Refusal(f"{node.address}: {why}", times, monotonic() + rest)

    def lost(self, node: Node) -> None:
        """Forget a node that does not answer; if it lives, it is found again."""
        with self.lock:
            if self.nodes.get(node.id) is node:
                del self.nodes[node.id]


class Nodes:
    """The nodes of one cluster, each with the same backend.

    Args:
        packed: the backend, as `freeproviders.batch.ray.travel.packed` wrote it.
        address: where the cluster is: "auto" or host:port.
    """

    def __init__(self, packed: bytes, address: str) -> None:
        self._packed = packed
        self._address = address
        self._known = Cluster()
        self._look_at = -inf
        self._looking: Future[None] | None = None
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Node]:
        return iter(list(self._known.nodes.values()))

    async def pick(self, tried: Iterable[Node] = ()) -> Node | None:
        """Return the node with the fewest questions of those that were not tried; None for none.

        Raises `ClusterError` where the cluster cannot be used at all.
        """
        looking = self._look_if_due()
        while looking is not None and not self._known.nodes:
            await asyncio.wrap_future(looking)
            looking = self._look_if_due() if self._known.is_over else None
        left = [node for node in self if node not in tried]
        if not left:
            return None
        now = monotonic()
        return min(left, key=lambda node: (node.rests_until > now, node.running, node.turn))

    @property
    def is_over(self) -> bool:
        """Whether the program has ended the connection through which the nodes were found."""
        return self._known.is_over

    def lost(self, node: Node) -> None:
        """Forget a node that does not answer; if it lives, it is found again."""
        self._known.lost(node)

    # --- looking for nodes, on a thread ---

    def _look_if_due(self) -> Future[None] | None:
        """Begin to look for nodes where that is due; return the look that is under way."""
        with self._lock:
            if self._known.is_over:
                self._known, self._looking = Cluster(), None
            if self._looking is not None and not self._looking.done():
                return self._looking
            if monotonic() < self._look_at and self._known.nodes:
                return None
            looking = self._looking = Future()
            # All callers wait for the same look: one that gives up must not end it for the others.
            looking.set_running_or_notify_cancel()
            arguments = (self._known, looking)
        threading.Thread(target=self._look, args=arguments, name="freeproviders-ray", daemon=True).start()
        return looking

    def _look(self, known: Cluster, told: Future[None]) -> None:
        problem: BaseException | None = None
        try:
            self._join(known)
        except BaseException as error:  # noqa: BLE001 - raised in the callers that wait
            problem = error
        self._look_at = monotonic() + _LOOK_SECONDS  # before a caller asks whether to look again
        if problem is None:
            told.set_result(None)
        else:
            told.set_exception(problem)

    def _join(self, known: Cluster) -> None:
        """Start an actor on each node that has none, and take those that can ask.

        The program may end its connection at any time, and most functions of Ray then make a new one
        by themselves; where the cluster is about to end, that ends the process. So a look
        without a waiting caller connects to nothing, and answers are awaited as futures, which never do.
        """
        ray = ray_module()
        if not known.nodes:
            connect(self._address)
            known.connection = known.connection or connection()
        if known.is_over:
            return
        placed = ray_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
        actor_class = ray.remote(Asker)
        waiting: dict[Future[Greeting], Node] = {}
        for row in known.missing(living(ray)):
            actor = actor_class.options(
                num_cpus=0,
                max_concurrency=AT_ONCE,
                scheduling_strategy=placed(row["NodeID"], soft=False),
            ).remote(self._packed)
            waiting[actor.hello.remote().future()] = Node(row["NodeID"], row["NodeManagerAddress"], actor)
        until = monotonic() + _HELLO_SECONDS
        while waiting and (left := until - monotonic()) > 0:
            for answer in wait(waiting, min(left, _LISTEN_SECONDS), FIRST_COMPLETED).done:
                node = waiting.pop(answer)
                try:
                    known.take(node, answer.result())
                except ray.exceptions.RayError as error:
                    known.refuse(node, _what(error), sure=False)
            if known.is_over:
                return
        for node in waiting.values():
            known.refuse(node, f"It did not answer within {_HELLO_SECONDS:.0f} seconds.", sure=False)
        if not known.had_one:
            reasons = sorted({one.why for one in known.refused.values()})
            reasons = reasons or ["It has none that takes work."]
            raise ClusterError(f"No node of the Ray cluster can be asked. {' '.join(reasons)}")


def connect(address: str) -> None:
    """Connect this process to a cluster, if it is connected to none.

    No cluster is ever started. Raises `ClusterError` where there is none at the address.
    """
    ray = ray_module()
    if ray.is_initialized():
        return
    try:
        # What nodes print stays there: standard output is for answers.
        ray.init(address=address, logging_level="error", log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ClusterError(
            f"No Ray cluster was found at {argument('address')} {address!r}: {error} Start one with "
            "`ray start --head --disable-usage-stats`, and further nodes with `ray start "
            "--address=HOST:6379`."
        ) from error


def connection() -> str | None:
    """Return what Ray calls this process's connection to a cluster; None where there is none."""
    ray = ray_module()
    job: str | None = ray.get_runtime_context().get_job_id() if ray.is_initialized() else None
    return job


def living(ray: Any) -> list[dict[str, Any]]:
    """Return Ray's rows of the nodes that live and take work.

    A node that was started with `--num-cpus=0`, as a head often is, takes none.
    """
    return [row for row in ray.nodes() if row["Alive"] and row["Resources"].get("CPU", 0) > 0]


def _share(one: Node, other: Node) -> bool:
    """Return whether the limits that two nodes keep are kept in one ledger."""
    if not one.ledgers and not other.ledgers:
        return True
    on_one_machine = one.address == other.address
    return one.ledgers == other.ledgers and all(
        not place.startswith(HERE) or (on_one_machine and place != f"{HERE}memory") for place in one.ledgers
    )


def _what(error: Exception) -> str:
    """Say what went wrong on a node, without the lines of its program."""
    if isinstance(error, FreeProvidersError):
        return str(error)
    last = str(error).strip().splitlines()[-1:] or [""]
    return f"{type(error).__name__}: {last[0]}."
