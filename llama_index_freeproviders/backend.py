"""Any backend as a LlamaIndex LLM."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from freeproviders.backend import Backend
from freeproviders.errors import UsageError
from llama_index_freeproviders.base import CoreLLM
from llama_index_freeproviders.saved import recognize


class BackendLLM(CoreLLM):
    """A backend of the core, or one of your own, as a LlamaIndex LLM.

    A backend is any object with `name`, `model` and `batches(request)`, which streams the parts of
    an answer; tools, typed answers and agents work on every one. The backend itself is not saved
    with `to_dict`.

    Examples:
        ```python
        from freeproviders.types import Finish, Text
        from llama_index.llms.freeproviders import BackendLLM


        class Echo:
            name = "Echo"
            model = "echo-1"

            async def batches(self, request):
                yield [Text(request.messages[-1].text), Finish()]


        print(BackendLLM(backend=Echo()).complete("Hello"))
        ```
    """

    backend: Any = Field(
        default=None, exclude=True, repr=False, description="An object with name, model and batches(request)."
    )

    @classmethod
    def class_name(cls) -> str:
        """The name under which the class is saved and found again."""
        return "freeproviders_backend"

    def _made_backend(self) -> Backend:
        if self.backend is None:
            raise UsageError(
                "backend is missing: pass an object with name, model and batches(request). It is not saved "
                "with an LLM, and must be passed again.",
                provider=type(self).__name__,
            )
        backend = Backend.of(self.backend)
        return backend.with_model(self.model) if self.model else backend


recognize({BackendLLM.class_name(): BackendLLM})
