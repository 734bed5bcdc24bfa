"""LangChain's own unit suite, for all chat models."""

import pytest
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_freeproviders import (
    ChatAIChatFree,
    ChatBackend,
    ChatChatgptFree,
    ChatEmbedded,
    ChatFlowGpt,
    ChatFreeNetfly,
    ChatOpenAICompatible,
)
from tests.langchain.test_backends import Scripted

NOT_IN_THE_LIST = (
    "langchain-core loads only classes of a fixed list, and offers packages outside it no way in; loading "
    "by name is tested in test_settings"
)


class UnitSuite(ChatModelUnitTests):
    @pytest.mark.xfail(reason=NOT_IN_THE_LIST)
    def test_serdes(self, model, snapshot):
        super().test_serdes(model, snapshot)


class FromEnvironment(UnitSuite):
    @property
    def init_from_env_params(self):
        head = self.chat_model_class.provider_class.slug.upper().replace("-", "_")
        environment = {
            f"{head}_API_KEY": "sk-1",
            f"{head}_API_BASE": "http://127.0.0.1:1",
            f"{head}_PROXY": "http://127.0.0.1:2",
        }
        needed = {"model": "m"} if self.chat_model_class is ChatOpenAICompatible else {}
        return (
            environment,
            needed,
            {"api_key": "sk-1", "base_url": "http://127.0.0.1:1", "proxy": "http://127.0.0.1:2"},
        )


class TestFreeNetfly(FromEnvironment):
    chat_model_class = ChatFreeNetfly


class TestChatgptFree(FromEnvironment):
    chat_model_class = ChatChatgptFree


class TestFlowGpt(FromEnvironment):
    chat_model_class = ChatFlowGpt


class TestAIChatFree(FromEnvironment):
    chat_model_class = ChatAIChatFree


class TestOpenAICompatible(FromEnvironment):
    chat_model_class = ChatOpenAICompatible
    chat_model_params = {"base_url": "http://127.0.0.1:1/v1", "model": "m"}  # noqa: RUF012


class TestServiceOfTheCatalogue(UnitSuite):
    """Its key of the environment is no field, so that it stays behind where the service is changed."""

    chat_model_class = ChatOpenAICompatible
    chat_model_params = {"service": "groq", "api_key": "gsk_1"}  # noqa: RUF012 - the suite's property


@pytest.mark.filterwarnings(
    "ignore::freeproviders.errors.UnsupportedOptionWarning"
)  # the suite passes an api_key, which this model has no use for
class TestEmbedded(UnitSuite):
    chat_model_class = ChatEmbedded


class TestAnyBackend(ChatModelUnitTests):
    chat_model_class = ChatBackend
    chat_model_params = {"backend": Scripted()}  # noqa: RUF012 - the suite's property
    # Without a timeout and retries, which are the backend's.
    standard_chat_model_params = {"temperature": 0, "max_tokens": 100, "stop": []}  # noqa: RUF012
