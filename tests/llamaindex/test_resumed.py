"""LlamaIndex's pipeline, killed and run again: vectors that came are not asked for twice."""

from freeproviders import OpenAICompatible
from freeproviders.testing import replica
from tests.embeddings.kills import asked, run

PROGRAM = """
import sys
from llama_index.core import Document
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index_freeproviders.embeddings import OpenAICompatibleEmbedding
from llama_index_freeproviders.index import OneFamilyIndex, StampFamily

address, cache, count, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
model = OpenAICompatibleEmbedding(
    "m", base_url=address, cache=cache, embed_batch_size=5, num_workers=2, family="mine"
)
documents = [Document(text=f"text {place}", doc_id=str(place)) for place in range(count)]
pipeline = IngestionPipeline(
    transformations=[StampFamily.of(model), model], docstore=SimpleDocumentStore()
)
nodes = pipeline.run(documents=documents)
assert len(nodes) == count
pipeline.persist(folder)
index = OneFamilyIndex(nodes, embed_model=model)
assert len(index.as_retriever(similarity_top_k=count).retrieve("text 7")) == count
again = IngestionPipeline(transformations=[StampFamily.of(model), model], docstore=SimpleDocumentStore())
again.load(folder)
assert again.run(documents=documents) == []
"""


def test_a_killed_run_goes_on(tmp_path):
    """The pipeline keeps the step of the model only when all of it is done."""
    count, kills, in_flight = 150, 1, 2 * 5
    with replica(OpenAICompatible, faults={"on": "embeddings", "delay_headers": 0.01}) as server:
        facts = (server.base_url, tmp_path / "vectors.db", count, tmp_path / "pipeline")
        run(server, PROGRAM, *facts, kills=kills, most=20)
        times = asked(server)
    assert all(f"text {place}" in times for place in range(count))
    assert sum(times.values()) <= count + kills * in_flight + 3  # two queries, one of which is twice a text
