"""LangChain's indexing, killed and run again: vectors that came are not asked for twice."""

from freeproviders import OpenAICompatible
from freeproviders.testing import replica
from tests.embeddings.kills import asked, run

PROGRAM = """
import sys
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_freeproviders import OpenAICompatibleEmbeddings
from langchain_freeproviders.index import OneFamilyVectorStore

address, cache, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
embeddings = OpenAICompatibleEmbeddings(
    model="m", base_url=address, cache=cache, batch_size=5, concurrency=2, family="mine"
)
store = OneFamilyVectorStore(InMemoryVectorStore(embeddings))
records = InMemoryRecordManager("mine")
records.create_schema()
documents = [Document(page_content=f"text {place}", metadata={"n": place}) for place in range(count)]
done = index(documents, records, store, batch_size=50, key_encoder="sha256")
assert done["num_added"] == count == len(store.store.store)
assert index(documents, records, store, key_encoder="sha256")["num_skipped"] == count
found = store.similarity_search("text 7", k=count)
assert {one.metadata["embedding_family"] for one in found} == {"mine;256;unit;"}
"""


def test_a_killed_run_goes_on(tmp_path):
    """Even where neither the records nor the store outlive the process."""
    count, kills, in_flight = 150, 1, 2 * 5
    with replica(OpenAICompatible, faults={"on": "embeddings", "delay_headers": 0.01}) as server:
        run(server, PROGRAM, server.base_url, tmp_path / "vectors.db", count, kills=kills, most=20)
        times = asked(server)
    assert all(f"text {place}" in times for place in range(count))
    assert sum(times.values()) <= count + kills * in_flight + 3  # two queries, one of which is twice a text
