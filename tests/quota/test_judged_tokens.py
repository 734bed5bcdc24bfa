"""A service that counts with a real tokenizer, which the client does not have: not one token over.

The tokenizer is wordllama's; the client does not know the model, so it has to be careful.
"""

import asyncio
import base64
import inspect
import json
import random
import tarfile
import textwrap
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import wordllama
from tokenizers import Tokenizer

from freeproviders import OpenAICompatible, Quota
from freeproviders.errors import QuotaSpentError

CAP = 20_000
MOST = 60  # tokens of an answer
SENTENCES = {
    "english": [
        "The ferry leaves at ten past six, unless the wind is from the north.",
        "Please check whether the invoice of last month has been paid, and by whom!",
        "Nobody had expected that a bridge of that age would carry so much traffic.",
        "Mitochondria convert adenosine diphosphate; lysosomes break down macromolecules.",
    ],
    "chinese": [
        "渡轮六点十分开,除非刮北风。",
        "请检查上个月的发票是否已经付款,以及由谁支付的!",
        "谁也没有料到这么古老的桥梁能够承受如此繁忙的交通。",
        "窗外的雨下了一整夜,清晨的街道上几乎没有行人。",
    ],
    "hindi": [
        "नाव छह बजकर दस मिनट पर चलती है, जब तक कि हवा उत्तर से न आ रही हो।",
        "कृपया देखें कि पिछले महीने के बिल का भुगतान हुआ है या नहीं, और किसने किया!",
        "किसी ने नहीं सोचा था कि इतना पुराना पुल इतना यातायात सह सकेगा।",
        "रात भर बारिश होती रही और सुबह सड़कों पर लगभग कोई नहीं था।",
    ],
    "russian": [
        "Паром отходит в десять минут седьмого, если только ветер не северный.",
        "Проверьте, пожалуйста, оплачен ли счёт за прошлый месяц и кем именно!",
        "Никто не ожидал, что столь старый мост выдержит такое движение.",
        "Всю ночь шёл дождь, и утром на улицах почти не было прохожих.",
    ],
}
CODE = [inspect.getsource(module) for module in (textwrap, tarfile, zipfile, json.decoder)]
KINDS = (*SENTENCES, "code", "base64", "digits")


def text_of(kind, chance):
    """A text of some kind, of 20 to 1200 characters."""
    match kind:
        case "mixed":
            return "\n".join(text_of(chance.choice(KINDS), chance) for _ in range(chance.randint(2, 4)))
        case "code":
            source = chance.choice(CODE)
            start = chance.randrange(len(source) - 1000)
            return source[start : start + chance.randint(100, 1000)]
        case "base64":
            return base64.b64encode(chance.randbytes(chance.randint(20, 600))).decode()
        case "digits":
            return " ".join(str(chance.getrandbits(chance.choice((8, 32, 128)))) for _ in range(40))
        case _:
            return " ".join(chance.choices(SENTENCES[kind], k=chance.randint(1, 8)))


class Counting(ThreadingHTTPServer):
    """A service that counts the tokens of prompts and answers, and refuses a prompt that does not fit."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        folder = Path(wordllama.__file__).parent / "tokenizers"
        self.tokenizer = Tokenizer.from_file(str(folder / "l2_supercat_tokenizer_config.json"))
        self.lock = threading.Lock()
        self.used = self.refused = self.answered = 0
        self.chance = random.Random(3)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        # A template puts some tokens around each message, as those of Llama 2 do.
        prompt = sum(len(server.tokenizer.encode(turn["content"])) + 8 for turn in body["messages"])
        with server.lock:
            fits = server.used + prompt <= CAP
            answer = server.chance.randint(1, body["max_tokens"])
            if fits:
                server.used += prompt + answer
                server.answered += 1
            else:
                server.refused += 1
        if not fits:
            self.reply(429, {"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}})
            return
        choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": answer,
            "total_tokens": prompt + answer,
        }
        self.reply(200, {"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage})

    def reply(self, status, document):
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def service():
    with Counting() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("kind", ["mixed", *KINDS])
async def test_no_token_over_and_hardly_one_unused(service, tmp_path, kind):
    """Four at once, until there is no room: nothing refused, and nine tenths of the cap used."""
    quota = Quota(
        [{"metric": "tokens", "per": "day", "cap": CAP}], name="counting", ledger=tmp_path / "quota.db"
    )
    provider = OpenAICompatible(
        "house-blend", base_url=f"http://127.0.0.1:{service.server_address[1]}/v1", quota=quota, retry=0
    )
    chance = random.Random(11)

    async def work():
        while True:
            try:
                await provider.complete(text_of(kind, chance), max_tokens=MOST, wait_up_to=0)
            except QuotaSpentError:
                return

    await asyncio.gather(*[work() for _ in range(4)])
    assert service.refused == 0
    assert 0.9 * CAP <= service.used <= CAP, service.answered
