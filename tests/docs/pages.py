"""The pages of the documentation, and the blocks of code in them.

A comment before a block says what its test needs, and is not shown on the site:

    <!-- with: GEMINI_API_KEY=key -->         a variable of the environment
    <!-- with: notebooks/data/ferry.md -->    a file of the clone
    <!-- with: nomic-embed.gguf -->           a small embedding model in a file of that name
    <!-- with: replica groq -->               a replica of a service, which the environment leads to
    <!-- with: questions.csv -->              a file of `tests/docs/answers.py`
    <!-- with: nothing -->                    nothing; a block for a shell is run where it has such a comment
    <!-- continues -->                        the names and needs of the block before
    <!-- tested: tests/catalogue/test_page.py -->   that test runs the block

What a replica answers is in `tests/docs/answers.py`. A block of `text` right behind a block of Python is
what the latter prints; `...` stands for anything.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

_BLOCK = re.compile(
    r"(?:^[ \t]*<!-- (?P<key>with|tested|continues)(?:: (?P<value>.*?))? -->\n+)?"
    r"^(?P<indent>[ \t]*)```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^[ \t]*```$"
    r"(?:\n\n[ \t]*```text\n(?P<output>.*?)^[ \t]*```$)?",
    re.DOTALL | re.MULTILINE,
)
_EMBEDDED = re.compile(r"\b(Chat)?Embedded(LLM)?\(")


@dataclass(frozen=True)
class Block:
    """One block of code, with the number of its first line on the page."""

    page: Path
    line: int
    language: str
    code: str
    needs: tuple[str, ...] = ()
    tested: str = ""
    output: str = ""
    real: bool = False
    continues: bool = False

    @property
    def where(self) -> str:
        """The page and line."""
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"


def blocks_of(page: Path, *languages: str) -> list[Block]:
    """Read the blocks of a page that are in one of the languages."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page,
            text.count("\n", 0, match.start("code")) + 1,
            match["language"],
            re.sub(rf"^{match['indent']}", "", match["code"], flags=re.MULTILINE),
            tuple((match["value"] or "").split(", ")) if match["key"] == "with" else (),
            match["value"] if match["key"] == "tested" else "",
            re.sub(rf"^{match['indent']}", "", match["output"] or "", flags=re.MULTILINE),
            bool(_EMBEDDED.search(match["code"])),
            match["key"] == "continues",
        )
        for match in _BLOCK.finditer(text)
        if match["language"] in languages
    ]


def where(page: Path) -> str:
    """The page's name as an id of a test."""
    return page.relative_to(ROOT).as_posix()
