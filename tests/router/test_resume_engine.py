"""The beginning of an answer as the engine is given it: tokens taken back, prompts, grammars, its stream."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeproviders.embedded.prefill import (
    MOST_TOKENS_AGAIN,
    Beginning,
    beginning_of,
    grammar_of,
    read_pieces,
    tokens_again,
    without_thinking,
)
from freeproviders.errors import MalformedResponseError, ServerError, TruncatedResponseError
from freeproviders.types import ChatRequest, Message, Text, Usage
from freeproviders.wire.completion import CompletionDecoder


def split(text):
    return [piece.encode() for piece in text.split("|")]


@pytest.mark.parametrize(
    ("tokens", "again"),
    [
        ("The| app", " app"),
        ("1|.| One|\n|2|.| Tw", " Tw"),
        ("Two|.\n|3", " Two.\n3"),
        ("is| 1|0", " 10"),
        ("a| b|\n", " b\n"),
        ("x|:\n|   | return", " return"),
        ("word", "word"),
        ("", ""),
        ("one| two| |", " two "),
    ],
)
def test_the_last_word_is_written_again(tokens, again):
    pieces = split(tokens)
    if again == " Two.\n3":
        pieces.insert(0, b"One ")
        pieces[1] = b" Two"
    count = tokens_again(pieces)
    assert b"".join(pieces[len(pieces) - count :]).decode() == again


@given(st.text(max_size=60), st.randoms())
def test_no_character_is_cut(text, random):
    """Wherever tokens are cut, also inside characters, what is written again is whole characters."""
    data, pieces = text.encode(), []
    while data:
        size = random.randint(1, 5)
        pieces.append(data[:size])
        data = data[size:]
    count = tokens_again(pieces)
    assert count <= max(MOST_TOKENS_AGAIN, 0)
    b"".join(pieces[len(pieces) - count :]).decode()
    assert count > 0 or not pieces


def test_text_without_blanks():
    """Where no word begins, a few tokens are written again."""
    assert (
        tokens_again([sign.encode() for sign in "苹果在阴凉的地下室里可以保存六个星期梨每天需要一千二百升"])
        == 4
    )
    assert tokens_again([b"a"] * 100) == 4


def test_pieces_of_characters():
    """A piece that is no whole character comes as a list of bytes."""
    body = json.dumps(
        {"tokens": [{"id": 1, "piece": "a"}, {"id": 2, "piece": [240, 159]}, {"id": 3, "piece": [153, 130]}]}
    )
    assert read_pieces(body.encode()) == ([1, 2, 3], [b"a", b"\xf0\x9f", b"\x99\x82"])
    for wrong in (b"{}", b"[]", b"x", b'{"tokens":[{"id":1}]}', b'{"tokens":[{"id":1,"piece":[999]}]}'):
        with pytest.raises(MalformedResponseError, match="cannot be read"):
            read_pieces(wrong)


@pytest.mark.parametrize(
    ("prompt", "closed"),
    [
        ("<|im_start|>assistant\n", "<|im_start|>assistant\n"),
        ("<|Assistant|><think>\n", "<|Assistant|><think>\n\n</think>\n\n"),
        ("assistant\n<think>\n\n</think>\n\n", "assistant\n<think>\n\n</think>\n\n"),
    ],
)
def test_thinking_that_a_template_opens_is_closed(prompt, closed):
    assert without_thinking(prompt) == closed


@pytest.mark.parametrize(
    ("begun", "prompt", "kwargs"),
    [
        ("<think>\nHm", "user<assistant>", {}),
        ("Hello", "user<assistant><think>\n\n</think>\n\n", {"enable_thinking": False}),
    ],
)
async def test_thinking_that_was_shown_as_text(begun, prompt, kwargs):
    """What the caller wanted kept in the text goes on inside the thinking, which is opened once."""
    sent = []

    async def post(path, body):
        sent.append(json.loads(body))
        if path == "/apply-template":
            return b'{"prompt": "user<assistant><think>\\n"}'
        return json.dumps({"tokens": [{"id": 7, "piece": begun}]}).encode()

    beginning = await beginning_of({"messages": []}, begun, post)
    assert beginning == Beginning((prompt,), begun, 1)
    assert sent[0].get("chat_template_kwargs", {}) == kwargs


def test_grammars():
    r"""Signs that mean something in a grammar are escaped."""
    assert grammar_of(' say "a\\b"\r\n\t\x07é') == (
        'root ::= " say \\"a\\\\b\\"\\r\\n\\t\\x07é" rest\nrest ::= [^\\x00]*\n'
    )


async def test_what_the_engine_is_asked():
    """The template without thinking, the tokens without special ones, and the rest of the settings."""
    sent = []

    async def post(path, body):
        sent.append((path, json.loads(body)))
        if path == "/apply-template":
            return b'{"prompt": "<user>Hi<assistant>"}'
        words = [{"id": 7, "piece": "Hello"}, {"id": 8, "piece": " wor"}]
        return json.dumps({"tokens": words}).encode()

    question = {"messages": [{"role": "user", "content": "Hi"}], "temperature": 0, "model": "m"}
    beginning = await beginning_of(question, "Hello wor", post)
    assert beginning == Beginning(("<user>Hi<assistant>", 7), " wor", 1)
    (_, template), (_, text) = sent
    assert template["chat_template_kwargs"] == {"enable_thinking": False}
    assert template["messages"] == question["messages"]
    assert (text["parse_special"], text["add_special"]) == (False, False)
    options = {"seed": 3, "chat_template_kwargs": {"x": 1}}
    asked = ChatRequest(messages=(Message("user", "Hi"),), temperature=0.5, max_tokens=9, options=options)
    assert json.loads(beginning.body(asked)) == {
        "prompt": ["<user>Hi<assistant>", 7],
        "stream": True,
        "temperature": 0.5,
        "n_predict": 10,
        "grammar": grammar_of(" wor"),
        "seed": 3,
    }


def frames(*documents):
    return b"".join([b"data: " + json.dumps(one).encode() + b"\n\n" for one in documents])


END = {"content": "", "stop": True, "stop_type": "eos", "tokens_evaluated": 20, "tokens_predicted": 5}


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("kind", "reason"), [("eos", "stop"), ("word", "stop"), ("limit", "length"), ("?", "unknown")]
)
def test_the_stream(size, kind, reason):
    """What was written again is left out, wherever reads and pieces end."""
    data = frames(
        {"content": " w", "stop": False},
        {"content": "orld", "stop": False},
        {"content": "s.", "stop": False},
        {**END, "stop_type": kind},
    )
    decoder, batch = CompletionDecoder(), []
    decoder.again = " wor"
    for at in range(0, len(data), size):
        batch += decoder.feed(data[at : at + size])
    batch += decoder.close()
    assert decoder.failure is None
    assert "".join(part.text for part in batch if isinstance(part, Text)) == "lds."
    assert (decoder.reason, decoder.confirmed, decoder.usage) == (reason, reason != "unknown", Usage(20, 5))


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (frames({"content": " x", "stop": False}), MalformedResponseError, "had to write"),
        (frames({"content": " wor", "stop": False}), TruncatedResponseError, "no end"),
        (frames({"error": {"code": 500, "message": "Out of memory"}}), ServerError, "memory"),
        (b"data: {]\n\n", MalformedResponseError, "no JSON"),
        (frames({"tokens": []}), MalformedResponseError, "no content"),
        (frames([1]), MalformedResponseError, "no content"),
    ],
)
def test_what_is_no_answer(data, error, words):
    decoder = CompletionDecoder()
    decoder.again = " wor"
    decoder.feed(data)
    if decoder.failure is None:
        decoder.close()
    assert isinstance(decoder.failure, error)
    assert words in str(decoder.failure)
