"""The tests that need a cluster: `python -m pytest tests/batch/ray/on_a_cluster.py`; see test_cluster.py."""

import asyncio
import os
import signal
import threading
from collections import Counter
from contextlib import aclosing
from dataclasses import replace

import pytest

from freeproviders import Quota
from freeproviders.batch import answered, batch, batch_sync
from freeproviders.batch.ray import OnRay, answered_dataset
from freeproviders.errors import BadRequestError, UsageError
from freeproviders.types import Admitted, Text
from tests.batch.ray.conftest import KEY
from tests.docs.pages import ROOT, blocks_of
from tests.quota.servers import redis_server


async def ask(backend, questions):
    return [one.text for one in await asyncio.gather(*(backend.complete(q) for q in questions))]


HERE = ', base_url="http://localhost:11434/v1"'


def rows(count):
    return [f"question {n}" for n in range(count)]


@pytest.fixture(scope="module")
def backend(cluster):
    """One for all, since its actors take seconds to start."""
    return OnRay(cluster.backend(), address=cluster.address)


async def test_questions_go_to_both_nodes(machines, backend):
    """Each node asks the server of its own environment, as many at a time as the other."""
    one, two = machines.engines
    for engine in machines.engines:
        engine.begin(until=lambda: one.peak + two.peak == 12)
    questions = rows(12)
    assert await ask(backend, questions) == [f"Answer to {question}" for question in questions]
    assert sorted(one.asked + two.asked) == sorted(questions)
    assert (one.peak, two.peak) == (6, 6)
    for engine in machines.engines:
        assert {request.headers["Authorization"] for request in engine.replica.requests} == {f"Bearer {KEY}"}
    assert backend.nodes == ["127.0.0.1", "127.0.0.1"]
    assert backend.most_waiting == 2


async def test_a_batch_is_asked_on_both_nodes(machines, backend, tmp_path):
    """Each row once, as many at a time on one node as on the other; and a second start asks nothing."""
    one, two = machines.engines
    for engine in machines.engines:
        engine.begin(until=lambda: one.peak + two.peak >= 16)
    report = await batch(rows(60), backend, store=tmp_path / "answers")
    assert (report.done, report.left) == (60, 0)
    assert sorted(one.asked + two.asked) == sorted(rows(60))
    assert one.peak == two.peak == 8
    again = await batch(rows(60), machines.backend(), store=tmp_path / "answers")
    assert (again.done, again.kept) == (60, 60)


async def test_events_and_parts_come_as_on_one_machine(machines, backend):
    """Whoever listens is told of the admission before the parts, which come in one piece or as they come."""
    heard = []
    request = replace(backend.request("one two three", stream=False), listener=heard.append)
    async with aclosing(backend.answer(request)) as batches:
        whole = [batch async for batch in batches]
    assert [type(event) for event in heard] == [Admitted]
    assert len(whole) == 1
    for engine in machines.engines:
        engine.replica.faults = {"stall": 1}  # what comes has come before the end, which never does
    async with aclosing(backend.answer(replace(request, stream=True))) as batches:
        first = await anext(batches)
    assert [type(part) for part in first] == [Text]


async def test_errors_come_as_they_were_raised(machines, backend):
    """An error has its class and fields, and says on which node it was raised."""
    for engine in machines.engines:
        engine.replica.faults = {"status": 400, "error": "too odd"}
    with pytest.raises(BadRequestError, match="too odd") as caught:
        await backend.complete("Hi")
    assert (caught.value.status, caught.value.model) == (400, "any")
    assert caught.value.__notes__ == ["It was asked on the node 127.0.0.1."]
    with pytest.raises(UsageError, match="temperature"):
        await backend.complete("Hi", temperature="hot")


async def test_who_leaves_ends_the_request(machines, backend):
    """A question that is cancelled ends its request on the node at once."""
    for engine in machines.engines:
        engine.begin(until=lambda: False)
    waiting = asyncio.create_task(backend.complete("Hi"))
    while not any(engine.running for engine in machines.engines):
        await asyncio.sleep(0.02)
    waiting.cancel()
    while any(engine.running for engine in machines.engines):
        await asyncio.sleep(0.02)
    assert sum(len(engine.asked) for engine in machines.engines) == 1


async def test_a_dead_engine_draws_no_questions(machines, backend):
    """Where nobody answers on a node, its questions are asked on the other one, and few more come."""
    await ask(backend, ["one", "two"])
    for engine in machines.engines:
        engine.begin()
    machines.engines[0].replica.faults = {"drop": True}
    questions = rows(20)
    for question in questions:
        assert await ask(backend, [question]) == [f"Answer to {question}"]
    assert machines.engines[1].asked == questions
    assert 1 <= len(machines.engines[0].asked) < 10


def test_the_page_says_what_works(machines, monkeypatch, tmp_path, capsys):
    """The program of docs/batch-ray.md, with the servers of this cluster."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_ADDRESS", machines.address)
    monkeypatch.setenv("FREEPROVIDERS_ANSWERS", str(tmp_path / "own.sqlite3"))
    batches, datasets = (block.code for block in blocks_of(ROOT / "docs" / "batch-ray.md", "python"))
    exec(batches.replace(HERE, ""), {})  # noqa: S102 - a page of ours
    assert capsys.readouterr().out == "100 of 100\n"
    assert all(len(engine.asked) > 10 for engine in machines.engines)
    exec(datasets.replace(HERE, "").replace("redis://ledger-host:6379/0", str(tmp_path / "own")), {})  # noqa: S102
    assert capsys.readouterr().out == "20 answers\n"


def test_a_dataset_is_answered(machines, tmp_path):
    """By one actor on each node; a bad row is one row, and the answers are in the store."""
    import ray

    table = [{"n": n, "prompt": f"question {n}" if n != 7 else ""} for n in range(48)]
    one, two = machines.engines
    for engine in machines.engines:
        engine.begin(until=lambda: one.peak and two.peak)
    dataset = ray.data.from_items(table, override_num_blocks=6)
    answers = answered_dataset(dataset, machines.backend(), store=str(tmp_path / "answers"), batch_size=8)
    found = sorted(answers.take_all(), key=lambda row: row["n"])
    asked = [row["prompt"] for row in table if row["n"] != 7]
    assert [row["answer"] for row in found if row["n"] != 7] == [f"Answer to {one}" for one in asked]
    assert (found[7]["state"], found[8]["state"], found[8]["model"]) == ("refused", "done", "any")
    assert "prompt is empty" in found[7]["error"]
    assert sorted(one.asked + two.asked) == sorted(asked)
    assert batch_sync(asked, machines.backend(), store=tmp_path / "answers").kept == 47


async def test_nodes_share_one_limit(machines, tmp_path, monkeypatch):
    """No request more than is allowed goes out, whichever node sends it, and none less."""
    with redis_server(tmp_path) as server:
        quota = Quota([{"metric": "requests", "per": "day", "cap": 20}], name="all", ledger=server.url)
        model = OnRay(machines.backend(quota=quota), address=machines.address)
        report = await batch(rows(30), model, store=tmp_path / "answers")
    one, two = machines.engines
    assert (len(one.asked) + len(two.asked), report.done, report.left) == (20, 20, 10)
    assert one.asked
    assert two.asked


@pytest.mark.timeout(60)
async def test_a_lost_node_loses_no_question(machines, backend):
    """What was in flight on the node is asked on the other one, and a node that comes is taken."""
    one, two = machines.engines
    two.begin(until=lambda: False)
    questions = rows(8)
    asking = asyncio.create_task(ask(backend, questions))
    while len(one.asked) + two.running < 8:
        await asyncio.sleep(0.02)
    await asyncio.to_thread(machines.lose_the_second)
    assert await asking == [f"Answer to {question}" for question in questions]
    assert sorted(one.asked) == sorted(questions)
    assert 1 <= len(two.asked) <= 4
    assert backend.most_waiting == 1

    machines.have_the_second()
    two.begin()
    while not two.asked:
        await ask(backend, ["more", "and more"])
        await asyncio.sleep(0.2)


async def test_a_connection_that_is_ended_stays_so_until_the_next_question(machines):
    """A look for nodes that is under way makes no new one, which would end the process with the cluster."""
    import ray

    backend = OnRay(machines.backend(), address=machines.address)
    assert await ask(backend, ["one"]) == ["Answer to one"]
    pid = machines.second.all_processes["raylet"][0].process.pid
    os.kill(pid, signal.SIGSTOP)  # its node is there, and says nothing
    try:
        joining = OnRay(machines.backend(), address=machines.address)
        asking = asyncio.create_task(ask(joining, ["two"]))
        while not joining.nodes:  # from then on the look waits for the second node alone
            await asyncio.sleep(0.02)
        await asyncio.to_thread(ray.shutdown)
        looks = [thread for thread in threading.enumerate() if thread.name == "freeproviders-ray"]
        for look in looks:
            await asyncio.to_thread(look.join)
        assert looks
        assert not ray.is_initialized()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert await asking == ["Answer to two"]
    assert await ask(backend, ["three"]) == ["Answer to three"]


async def test_a_batch_outlives_a_node(machines, backend, tmp_path):
    """With a node lost in the middle, and bad rows, nothing is asked twice but what was in flight there."""
    one, two = machines.engines
    two.begin(until=lambda: False)
    questions = [*rows(40), [], *rows(60)[40:]]
    running = answered(questions, backend, store=tmp_path / "answers", in_flight=16)
    found = []
    async for row in running:
        found.append(row)
        if len(found) == 30:
            await asyncio.to_thread(machines.lose_the_second)
    assert Counter(row.state for row in found) == {"done": 60, "refused": 1}
    assert sorted(one.asked) == sorted(rows(60))
    assert 1 <= len(two.asked) <= 8
