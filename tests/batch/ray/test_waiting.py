"""Who waits for a node, or on one, is let go whatever becomes of others."""

import asyncio
import pickle
import threading

import pytest

from freeproviders import ChatRequest, Message
from freeproviders.backend import Backend
from freeproviders.batch.ray.asker import Asker
from freeproviders.batch.ray.nodes import Cluster, Node, Nodes
from freeproviders.errors import NotAskedWarning
from freeproviders.types import Text


class Ends:
    """A backend whose answer is cancelled from within after its first words."""

    name, model = "Ends", "m"

    async def batches(self, request):
        yield [Text("A")]
        raise asyncio.CancelledError


class Looking(Nodes):
    """Nodes for which one looks until it is told that there are none."""

    def __init__(self):
        super().__init__(b"", "auto")
        self.told = threading.Event()

    def _join(self, known):
        self.told.wait()


async def test_who_gives_up_waiting_for_nodes_ends_it_for_nobody_else():
    nodes = Looking()
    one, other = [asyncio.ensure_future(nodes.pick()) for _ in range(2)]
    await asyncio.sleep(0)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    nodes.told.set()
    assert await other is None


class Ended(Nodes):
    """Nodes whose first look finds none, since the program ends the connection meanwhile."""

    def __init__(self):
        super().__init__(b"", "auto")
        self.looks = 0

    @property
    def connected(self):
        return self.looks > 1

    def _join(self, known):
        self.looks += 1
        known.connection = f"connection {self.looks}"
        if self.connected:
            known.nodes["a"] = Node("a", "10.0.0.1", None)


async def test_who_waits_as_a_connection_ends_waits_for_the_next_one():
    nodes = Ended()
    found = await nodes.pick()
    assert found is not None
    assert (found.id, nodes.looks) == ("a", 2)


def test_a_node_that_was_refused_is_left_alone_for_a_while():
    """Each look at it starts a process there; where nobody else is left, it is tried all the same."""
    known, rows = Cluster(), [{"NodeID": name} for name in "abc"]
    with pytest.warns(NotAskedWarning, match="No key"):
        known.refuse(Node("a", "10.0.0.1", None), "No key.")
    assert known.missing(rows) == rows
    known.nodes["b"] = Node("b", "10.0.0.2", None)
    assert known.missing(rows) == rows[2:]


async def test_an_answer_that_is_cancelled_on_its_node_is_no_whole_one():
    asker = Asker(pickle.dumps(Backend.of(Ends())))
    assert (await asker.hello()).problem is None
    with pytest.raises(asyncio.CancelledError):
        async for _ in asker.ask(ChatRequest(messages=(Message("user", "Hi"),)), listened=False):
            pass
