"""The words in which services refuse tools and schemas, as they were seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Words:
    """A refusal: its status and its body, in which `{model}` stands for the model."""

    status: int
    body: Any

    def document(self, model: str) -> Any:
        """Write the body."""
        return _named(self.body, model)


def _named(value: Any, model: str) -> Any:
    if isinstance(value, str):
        return value.replace("{model}", model)
    if isinstance(value, list):
        return [_named(item, model) for item in value]
    if isinstance(value, dict):
        return {key: _named(item, model) for key, item in value.items()}
    return value


def _error(message: str, code: Any = None, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": code, **more}}


REFUSED_TOOLS: Final = {
    "openai": Words(
        400,
        _error(
            "Unsupported parameter: 'tools' is not supported with this model.",
            "unsupported_parameter",
            param="tools",
        ),
    ),
    "azure": Words(400, _error("Unrecognized request argument supplied: tools", param=None)),
    "vllm": Words(
        400,
        {
            "object": "error",
            "message": '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be '
            "set",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
    ),
    "ollama": Words(
        400,
        _error("registry.ollama.ai/library/{model} does not support tools", type="api_error", param=None),
    ),
    "llama.cpp": Words(
        500, {"error": {"code": 500, "message": "tools param requires --jinja flag", "type": "server_error"}}
    ),
    "groq": Words(400, _error("`tool calling` is not supported with this model")),
    "openrouter": Words(
        404,
        {
            "error": {
                "message": "No endpoints found that support tool use. To learn more about provider routing, "
                "visit: https://openrouter.ai/docs/provider-routing",
                "code": 404,
            }
        },
    ),
    "gemini": Words(
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": "Function calling is not enabled for models/{model}",
                    "status": "INVALID_ARGUMENT",
                }
            }
        ],
    ),
    "mistral": Words(
        400,
        {
            "object": "error",
            "message": "Function calling is not enabled for this model",
            "type": "invalid_request_error",
            "param": None,
            "code": "3051",
        },
    ),
    "litellm": Words(
        400,
        _error(
            "litellm.UnsupportedParamsError: openai does not support parameters: ['tools'], for "
            "model={model}. To drop these, set `litellm.drop_params=True`.",
            "400",
        ),
    ),
    "pydantic": Words(
        422,
        {
            "detail": [
                {
                    "type": "extra_forbidden",
                    "loc": ["body", "tools"],
                    "msg": "Extra inputs are not permitted",
                    "input": [],
                }
            ]
        },
    ),
    "vague": Words(400, _error("Tool use failed: this endpoint is for chat.")),
}
"""By service; "vague" names tools without saying that they are the reason."""

REFUSED_SCHEMAS: Final = {
    "openai": Words(
        400,
        _error(
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
            param="response_format",
        ),
    ),
    "groq": Words(400, _error("This model does not support response format `json_schema`.")),
    "pydantic": Words(
        422,
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "response_format"], "msg": "Extra inputs"}]},
    ),
}
"""By service."""
