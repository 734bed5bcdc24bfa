"""The child process: llama.cpp behind its own OpenAI-compatible HTTP server.

This file is run as a script and imports nothing of the package, so that it is ready as soon as the
model is loaded. It gets its settings as JSON in its one argument and the key in the environment,
prints one line of JSON (`{"address": ...}` or `{"error": ..., "kind": ...}`), and ends when its
standard input ends: then the parent has died or asks for the end.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, NoReturn

ENV_KEY = "FREEPROVIDERS_ENGINE_KEY"


def main(argument: str) -> NoReturn:
    """Serve until standard input ends."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever the engine prints must not mix with that one line
    key = os.environ.pop(ENV_KEY)
    server: Any = None
    try:
        settings = json.loads(argument)
        sys.path.append(settings["path"])  # where the parent finds the engine
        server = start(settings, key)
        report = {"address": server.listening_address}
    except ImportError as error:
        report = {"error": str(error), "kind": "import"}
    except Exception as error:  # noqa: BLE001 - all of them are the parent's to explain
        report = {"error": str(error), "kind": "load"}
    try:
        with out:
            out.write(json.dumps(report) + "\n")
        while server is not None and os.read(0, 4096):
            pass
    finally:
        os._exit(0)  # a normal exit waits for the requests in flight


def start(settings: dict[str, Any], key: str) -> Any:
    """Load the model and return the listening server."""
    from xllamacpp import CommonParams, Server  # noqa: PLC0415 - a failure is reported to the parent

    params = CommonParams()
    params.model.path = settings["model"]
    params.model_alias = {settings["alias"]}
    params.n_parallel = settings["slots"]
    params.n_ctx = settings["context"] * settings["slots"]  # it is split over the slots
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]
    params.ui = False
    params.endpoint_slots = False
    params.cache_ram_mib = 256
    # After this time the weights leave the memory; the next request loads them again.
    params.sleep_idle_seconds = settings["idle"]
    params.sampling.temp = 0.2  # where a request has none: small models wander at the usual 0.8
    # Errors only: they say why a model cannot be loaded, which the exception does not.
    params.verbosity = 1
    if settings["pooling"]:
        make_vectors(params, settings)
    return Server(params)


def make_vectors(params: Any, settings: dict[str, Any]) -> None:
    """Let the model make vectors of length 1 in place of answers."""
    from xllamacpp import llama_pooling_type  # noqa: PLC0415 - as above

    params.embedding = True
    params.pooling_type = getattr(llama_pooling_type, f"LLAMA_POOLING_TYPE_{settings['pooling'].upper()}")
    # A text is read in one go, and one that is longer than that is refused.
    params.n_batch = params.n_ubatch = settings["context"]


if __name__ == "__main__":
    main(sys.argv[1])
