"""Answers and rows as a notebook shows them: readable, short, and harmless whatever they hold."""

from __future__ import annotations

import traceback
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeproviders import FreeProviders, OpenAICompatible, Quota, display
from freeproviders.backend import Backend
from freeproviders.catalogue import catalogue
from freeproviders.errors import ProviderError, UsageError
from freeproviders.quota.opening import open_ledger
from freeproviders.testing import replica
from freeproviders.types import (
    Attempt,
    Completion,
    Finish,
    InvalidToolCall,
    Left,
    Reasoning,
    Seam,
    Text,
    ToolCall,
    Usage,
    collect,
)

HOSTILE = (
    '<script>alert(1)</script> <img src="http://tracker.example/x.png" onerror=alert(1)> '
    "![x](http://tracker.example/y.png) [here](javascript:alert(1)) "
    "<style>*{display:none}</style> </div></table>"
)
TAGS = {
    *("p", "br", "b", "code", "pre", "ul", "ol", "li", "div", "details", "summary"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}


class Page(HTMLParser):
    """The tags of a piece of HTML, their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def harmless(html: str) -> Page:
    """Check that nothing but our own tags is there, each closed; return the page."""
    page = Page(html)
    assert set(page.tags) <= TAGS
    assert page.attributes <= {"style", "start"}
    assert page.open == []
    return page


def words(text: str) -> str:
    return "".join(text.split())


@given(st.text(alphabet=st.sampled_from("ab<>&\"'`*#-~1. \n\t[]()!/"), max_size=200) | st.text(max_size=80))
def test_any_answer_is_harmless(text: str) -> None:
    """Whatever an answer holds, it is shown by our own few tags."""
    harmless(display.prose(text))
    harmless(display.table([{"a": text, text: 1}], text))
    harmless(display.facts({text: text}, text))


@given(st.text(alphabet=st.characters(blacklist_characters="`*#-+~.)", blacklist_categories=("Cc", "Cs"))))
def test_no_word_of_an_answer_is_lost(text: str) -> None:
    assert words(harmless(display.prose(text)).text) == words(text)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("one\ntwo\n\nthree", "<p>one<br>two</p><p>three</p>"),
        ("# A *title*\ntext", "<p><b>A *title*</b></p><p>text</p>"),
        ("- a\n- b\n  more\n\nend", "<ul><li>a</li><li>b more</li></ul><p>end</p>"),
        ("3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'),
        ("**bold** and `**code**`", "<p><b>bold</b> and <code>**code**</code></p>"),
        ("```python\nif a < b:\n    **x**\n```\nend", "<pre>if a &lt; b:\n    **x**</pre><p>end</p>"),
        ("```\nbroken off", "<pre>broken off</pre>"),
        ("~~~~\n~~~\n~~~~", "<pre>~~~</pre>"),
        ("2 * 3 * 4 ** 5", "<p>2 * 3 * 4 ** 5</p>"),
        ("", ""),
    ],
)
def test_marks_of_markdown(text: str, html: str) -> None:
    assert display.prose(text) == html


def an_answer(**finish: object) -> Completion:
    parts = [
        Reasoning(HOSTILE),
        Text(HOSTILE),
        ToolCall("1", HOSTILE, {HOSTILE: HOSTILE}),
        InvalidToolCall("2", HOSTILE, HOSTILE, HOSTILE),
        Usage(12, 34),
        Finish(provider=HOSTILE, model=HOSTILE, **finish),  # type: ignore[arg-type]
    ]
    return collect(parts)


def test_a_hostile_answer_is_shown_as_it_is() -> None:
    """Text, thinking, calls, names and attempts: all of it is what a model or a service wrote."""
    answer = an_answer(
        trail=(Attempt(HOSTILE, HOSTILE, HOSTILE), Attempt("b", "m")),
        seams=(Seam(3, HOSTILE, HOSTILE, "replay"),),
        quota=(Left("requests", "day", HOSTILE, 5, 4),),
    )
    page = harmless(answer._repr_html_())
    assert page.text.count("<script>alert(1)</script>") > 6
    assert "12 + 34 tokens" in page.text
    assert "Calls that are wrong" in page.text
    assert "<script>" in harmless(answer.finish._repr_html_()).text


def test_an_answer_is_its_text_and_its_repr_is_short() -> None:
    """`print(answer)` prints the text; the repr is one line, whatever came."""
    answer = collect([Text("word " * 500), Usage(10, 500), Finish(provider="Groq", model="m", attempts=2)])
    assert str(answer) == f"{answer}" == "word " * 500
    assert repr(answer) == (
        f"Completion({('word ' * 12 + '...')!r}, provider='Groq', model='m', reason='stop', tokens=510)"
    )
    assert "\n" not in repr(collect([Text("a\nb"), Finish()]))
    call = collect([ToolCall("1", "weather", {"city": "Paris"}), Finish(reason="tool_calls")])
    assert "weather" in repr(call)
    harmless(collect([Finish(reason="length")])._repr_html_())


def test_a_router_shows_who_answered_and_how_each_fares(tmp_path) -> None:
    """Attempts, states, members: one table each, from a real failover."""
    with (
        replica(OpenAICompatible, faults={"status": 500, "error": HOSTILE}) as bad,
        replica(OpenAICompatible, answer="here") as good,
    ):
        one, two = (OpenAICompatible("m", base_url=server.base_url) for server in (bad, good))
        router = FreeProviders(one, two, ledger=tmp_path / "ledger")
        answer = router.complete_sync("Hi")
        page = harmless(answer._repr_html_())
        assert "Attempts" in page.text
        assert "<script>" in page.text  # the service's words, as text
        status = router.status_sync()
    assert isinstance(status, list)
    assert harmless(status._repr_html_()).tags.count("tr") == 3
    assert "openai-compatible/m" in harmless(router.members._repr_html_()).text
    harmless(router.skipped._repr_html_())


async def test_states_of_limits_are_a_table(tmp_path) -> None:
    quota = Quota([{"metric": "requests", "cap": 5, "per": "day"}], ledger=tmp_path / "ledger")
    with replica(OpenAICompatible) as server:
        answer = await OpenAICompatible("m", base_url=server.base_url, quota=quota).complete("Hi")
    assert "requests" in harmless(answer.finish._repr_html_()).text
    page = harmless((await open_ledger(tmp_path / "ledger").standings())._repr_html_())
    assert page.tags.count("tr") == 3  # and the gate that a refusal shuts


def test_the_catalogue_and_its_services_are_tables() -> None:
    assert len(repr(catalogue())) < 60
    page = harmless(catalogue()._repr_html_())
    assert page.tags.count("tr") == len(catalogue().ids) + 1
    for service in catalogue():
        assert len(repr(service)) < 200
        assert service.id in harmless(service._repr_html_()).text


def test_long_tables_and_cells_are_cut() -> None:
    rows = display.Rows([{"n": number, "text": "word " * 200} for number in range(150)])
    page = harmless(rows._repr_html_())
    assert page.tags.count("tr") == display.MAX_ROWS + 1
    assert "and 50 more" in page.text
    assert page.text.count("word ...") == display.MAX_ROWS
    assert display.Rows([1, 2]) == [1, 2]
    assert "nothing" in harmless(display.Rows([])._repr_html_()).text


# --- errors ---------------------------------------------------------------------------------------


def frames(error: BaseException) -> list[str]:
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


@pytest.mark.parametrize("fault", [{"status": 429}, {"drop": True}])
@pytest.mark.parametrize("way", ["complete_sync", "stream_sync"])
def test_an_error_of_a_sync_call_is_raised_at_the_call(way: str, fault: dict[str, object]) -> None:
    """No frames of futures, of the background loop or of the client below, in its causes neither."""
    with replica(OpenAICompatible, faults=fault) as server:
        one = OpenAICompatible("m", base_url=server.base_url, retry=0)
        with pytest.raises(ProviderError) as caught:
            list(getattr(one, way)("Hi")) if way == "stream_sync" else one.complete_sync("Hi")
    names = frames(caught.value)
    assert names[0].startswith("test_an_error_of_a_sync_call")
    assert names[1:] in (["complete_sync", "run"], ["_flat", "__next__", "get"])
    cause = caught.value.__cause__
    assert (cause is None) == ("status" in fault)
    assert cause is None or frames(cause) == []


def test_frames_of_the_callers_own_code_stay() -> None:
    """A backend of the caller's that raises one of our errors is shown where it does."""

    class Mine(Backend):
        name = "Mine"
        model = "m"

        async def batches(self, request):
            raise UsageError("not like that")
            yield []

    with pytest.raises(UsageError) as caught:
        Mine().complete_sync("Hi")
    assert "batches" in frames(caught.value)


def test_the_log_at_debug_keeps_all_frames(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="freeproviders")
    with replica(OpenAICompatible, faults={"status": 429}) as server:
        with pytest.raises(ProviderError) as caught:
            OpenAICompatible("m", base_url=server.base_url, retry=0).complete_sync("Hi")
    assert "begun" in frames(caught.value)
