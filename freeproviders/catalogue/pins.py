"""The hosts and key variables of known services, fixed in code.

A row is data, and data may be changed by a file of the user's, by another package, or by mistake.
What stands here decides where the key of a known service may go: a row of our own must agree with
it, and no other row may name one of these variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Pin(NamedTuple):
    """The only hosts to which the keys in these environment variables go by a row."""

    hosts: tuple[str, ...]
    variables: tuple[str, ...]


PINS: Final[Mapping[str, Pin]] = {
    "aihorde": Pin(("oai.aihorde.net",), ("AIHORDE_API_KEY",)),
    "aionlabs": Pin(("api.aionlabs.ai",), ("AIONLABS_API_KEY",)),
    "api-airforce": Pin(("api.airforce",), ("AIRFORCE_API_KEY",)),
    "ark": Pin(("ark.cn-beijing.volces.com",), ("ARK_API_KEY",)),
    "cerebras": Pin(("api.cerebras.ai",), ("CEREBRAS_API_KEY",)),
    "chutes": Pin(("llm.chutes.ai",), ("CHUTES_API_KEY",)),
    "cloudflare": Pin(("api.cloudflare.com",), ("CLOUDFLARE_API_TOKEN", "CLOUDFLARE_API_KEY")),
    "cohere": Pin(("api.cohere.ai", "api.cohere.com"), ("COHERE_API_KEY", "CO_API_KEY")),
    "dashscope-intl": Pin(("dashscope-intl.aliyuncs.com",), ("DASHSCOPE_API_KEY",)),
    "fireworks": Pin(("api.fireworks.ai",), ("FIREWORKS_API_KEY",)),
    "gemini": Pin(("generativelanguage.googleapis.com",), ("GEMINI_API_KEY", "GOOGLE_API_KEY")),
    "gonka": Pin(("proxy.gonkabroker.com",), ("GONKA_API_KEY",)),
    "groq": Pin(("api.groq.com",), ("GROQ_API_KEY",)),
    "huggingface": Pin(
        ("router.huggingface.co",), ("HF_TOKEN", "HUGGINGFACEHUB_API_TOKEN", "HUGGING_FACE_HUB_TOKEN")
    ),
    "kilo": Pin(("api.kilo.ai",), ("KILOCODE_API_KEY", "KILO_API_KEY")),
    "llm7": Pin(("api.llm7.io",), ("LLM7_API_KEY",)),
    "llmgateway": Pin(("api.llmgateway.io",), ("LLMGATEWAY_API_KEY",)),
    "longcat": Pin(("api.longcat.chat",), ("LONGCAT_API_KEY",)),
    "mistral": Pin(("api.mistral.ai",), ("MISTRAL_API_KEY",)),
    "modelscope": Pin(("api-inference.modelscope.cn",), ("MODELSCOPE_API_KEY", "MODELSCOPE_SDK_TOKEN")),
    "novita": Pin(("api.novita.ai",), ("NOVITA_API_KEY",)),
    "nvidia": Pin(("integrate.api.nvidia.com",), ("NVIDIA_API_KEY", "NVIDIA_NIM_API_KEY")),
    "ollama-cloud": Pin(("ollama.com",), ("OLLAMA_API_KEY",)),
    "opencode-zen": Pin(("opencode.ai",), ("OPENCODE_API_KEY",)),
    "openrouter": Pin(("openrouter.ai",), ("OPENROUTER_API_KEY",)),
    "ovhcloud": Pin(("oai.endpoints.kepler.ai.cloud.ovh.net",), ("OVHCLOUD_API_KEY",)),
    "pollinations": Pin(("gen.pollinations.ai",), ("POLLINATIONS_API_KEY",)),
    "publicai": Pin(("api.publicai.co",), ("PUBLICAI_API_KEY",)),
    "qianfan": Pin(("qianfan.baidubce.com",), ("QIANFAN_API_KEY",)),
    "requesty": Pin(("router.requesty.ai",), ("REQUESTY_API_KEY",)),
    "sambanova": Pin(("api.sambanova.ai",), ("SAMBANOVA_API_KEY",)),
    "sealion": Pin(("api.sea-lion.ai",), ("SEALION_API_KEY",)),
    "siliconflow": Pin(("api.siliconflow.com", "api.siliconflow.cn"), ("SILICONFLOW_API_KEY",)),
    "spark": Pin(("spark-api-open.xf-yun.com",), ("SPARK_API_KEY",)),
    "together": Pin(("api.together.xyz",), ("TOGETHER_API_KEY",)),
    "vercel-ai-gateway": Pin(("ai-gateway.vercel.sh",), ("AI_GATEWAY_API_KEY",)),
    "zai": Pin(("api.z.ai",), ("ZAI_API_KEY",)),
    "zai-cn": Pin(("open.bigmodel.cn",), ("ZHIPUAI_API_KEY", "ZHIPU_API_KEY")),
}
"""The services of the catalogue by their ids. A test compares them with the rows."""

FOREIGN: Final = frozenset(
    {
        "ANTHROPIC_API_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AZURE_API_KEY",
        "AZURE_OPENAI_API_KEY",
        "DEEPSEEK_API_KEY",
        "GH_TOKEN",
        "GITHUB_TOKEN",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "LANGCHAIN_API_KEY",
        "LANGSMITH_API_KEY",
        "OPENAI_API_KEY",
        "PERPLEXITY_API_KEY",
        "XAI_API_KEY",
    }
)
"""Variables with keys of services that are not ours to send anywhere; no row may name them."""

VARIABLES: Final = FOREIGN | {name for pin in PINS.values() for name in pin.variables}
"""Every variable that only its own service's row may name."""


def owner_of(variable: str) -> str:
    """Return the id of the service whose key a variable holds; "" for one that is not ours."""
    return next((id_ for id_, pin in PINS.items() if variable in pin.variables), "")
