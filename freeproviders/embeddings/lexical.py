"""BM25 by bm25s: which texts have the words of a question, and how rare those words are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from freeproviders.errors import MissingDependencyError

if TYPE_CHECKING:
    import numpy as np

_WORD: Final = re.compile(
    # Chinese and Japanese put no spaces between words: there, a character counts as one.
    r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+"
)
_K1: Final = 1.5


class LexicalIndex:
    """An index of words.

    Args:
        texts: what is to be found; the index does not keep them.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        try:
            from bm25s import BM25  # noqa: PLC0415 - an extra
            from bm25s.stopwords import STOPWORDS_EN  # noqa: PLC0415 - the same
        except ImportError as error:
            raise MissingDependencyError(
                "bm25s is not installed.", advice='Run: pip install "freeproviders[rag]"'
            ) from error
        self._count = len(texts)
        # English, and harmless elsewhere: what is common in another language counts little anyway.
        self._common = frozenset(STOPWORDS_EN)
        self._bm25 = BM25(k1=_K1)
        corpus = [self._words_of(text) for text in texts]
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

        words = self._words_of(question)
        if not words or not self._has_words:
            return np.zeros(self._count, dtype=np.float32)
        ids = self._bm25.get_tokens_ids(words)
        starts = self._bm25.scores["indptr"]
        frequency = np.zeros(len(words))
        frequency[: len(ids)] = [starts[at + 1] - starts[at] for at in ids]  # 0: a word of no text
        most = np.log1p((self._count - frequency + 0.5) / (frequency + 0.5)).sum() / (_K1 + 1)
        if not ids:
            return np.zeros(self._count, dtype=np.float32)
        covered: np.ndarray = np.minimum(self._bm25.get_scores_from_ids(ids) / np.float32(most), 1)
        return covered

    def _words_of(self, text: str) -> list[str]:
        return [word for word in _WORD.findall(text.lower()) if word not in self._common]
