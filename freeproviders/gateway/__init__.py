"""A backend as an OpenAI-compatible endpoint, for every client that speaks this protocol.

Tools and typed answers work for all of them, on models that have neither::

    from freeproviders import FlowGpt
    from freeproviders.gateway import serve

    with serve(FlowGpt()) as gateway:
        client = openai.OpenAI(base_url=gateway.base_url, api_key="any")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from freeproviders.lazy import lazy

if TYPE_CHECKING:
    from freeproviders.gateway.limits import Limits
    from freeproviders.gateway.running import Gateway, serve
    from freeproviders.gateway.server import GatewayServer

__all__ = ["Gateway", "GatewayServer", "Limits", "serve"]

__getattr__, __dir__ = lazy(
    globals(), {"Gateway": "running", "GatewayServer": "server", "Limits": "limits", "serve": "running"}
)
