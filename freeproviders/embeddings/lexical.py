"""BM25 by bm25s: which texts have the words of a question, and how rare those words are."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from freeproviders.errors import MissingDependencyError
from freeproviders.installing import with_extra

if TYPE_CHECKING:
    import numpy as np

_WORD: Final = re.compile(
    # Chinese and Japanese put no spaces between words: there, a character counts as one.
    r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+"
)
_K1: Final = 1.5
_ENGLISH: Final = """
a about above after against all also am among an and any anybody anyone anything are as at away
be because been before below beside between both but by called can cannot come comes could did
do does done down each either else ever every few for from get gets give given go goes got had
has have he her here hers him his how i if in inside into is it its itself just let like long
many may me mean means might mine more most much must my near need needed needs never no nobody
none nor not nothing of off on once one only onto or other our out outside over own per please
quite rather same shall she should since so some somebody someone something somewhere still such
take takes tell than that the their them then there these they this those though through till to
together too toward under until up upon us very was way we were what when where whether which
while who whom whose why will with within without would yet you your
"""
FUNCTION_WORDS: Final = frozenset(_ENGLISH.split())
"""English words that say nothing of what a text is about.

In a few texts they would be rare; in many, they count little anyway, as those of other languages do.
"""


class LexicalIndex:
    """An index of words.

    Args:
        texts: what is to be found; the index does not keep them.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        try:
            with warnings.catch_warnings():
                # In a notebook without widgets tqdm complains, of whose bars none is shown.
                warnings.filterwarnings("ignore", message="IProgress not found")
                from bm25s import BM25  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise MissingDependencyError("bm25s is not installed.", advice=with_extra("rag")) from error
        self._count = len(texts)
        self._bm25 = BM25(k1=_K1)
        corpus = [_words_of(text) for text in texts]
        self._has_words = any(corpus)
        if self._has_words:
            self._bm25.index(corpus, show_progress=False)

    def coverage(self, question: str) -> np.ndarray:
        """Return for each text how much of a question it has: 0 for none of its words, at most 1.

        It is the text's BM25 score in parts of what a text of average length has that holds each
        word of the question once. So it says by itself whether the words of the question are of any
        use, which neither the score nor a rank does.
        """
        import numpy as np  # noqa: PLC0415 - an extra

        words = _words_of(question)
        if not words or not self._has_words:
            return np.zeros(self._count, dtype=np.float32)
        ids = self._bm25.get_tokens_ids(words)
        starts = self._bm25.scores["indptr"]
        frequency = np.ones(len(words))  # a word of no text counts like one of a single text
        frequency[: len(ids)] = [starts[at + 1] - starts[at] for at in ids]
        most = np.log1p((self._count - frequency + 0.5) / (frequency + 0.5)).sum() / (_K1 + 1)
        if not ids:
            return np.zeros(self._count, dtype=np.float32)
        covered: np.ndarray = np.minimum(self._bm25.get_scores_from_ids(ids) / np.float32(most), 1)
        return covered


def _words_of(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.lower()) if word not in FUNCTION_WORDS]
