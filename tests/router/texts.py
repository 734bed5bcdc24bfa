"""Texts in which an answer may break off, each with something that a splice may trip over."""

ORDINARY = (
    "Here are three fruits that keep well:\n\n1. Apples stay fresh for 6 weeks in a cool cellar.\n"
    "2. Pears need 1,250 litres of air a day - don't seal the box.\n3. Quinces smell of roses, and "
    "cost about $3.75 a kilo.\n\nStore them apart: **apples** make the others ripe."
)
CODE = (
    "Use this:\r\n\r\n```python\r\ndef add(first, second):\r\n    '''Add two numbers.'''\r\n    total = "
    "first + second\r\n    return total\r\n\r\n\r\nprint(add(2, 40))  # 42\r\n```\r\n\r\nIt prints `42`."
)
CJK = "苹果在阴凉的地下室里可以保存六个星期。梨每天需要一千二百升空气,所以不要把箱子封死。木瓜闻起来像玫瑰。"
SIGNS = (
    "Family: \U0001f468\u200d\U0001f469\u200d\U0001f467 and flags \U0001f1e9\U0001f1ea, an e\u0301 of two "
    "code points, nai\u0308ve words, \U0001f44d\U0001f3fd thumbs, and a heart \u2764\ufe0f at the end of it."
)
REPETITIVE = "ha ha ha ha " * 12 + "that was funny."
PERIODIC = "one two three four five six seven " * 6 + "done."
BLANK = " \n\n  \t\n   " * 8
LETTERS = "a" * 120
JSONLIKE = (
    'The list is {"items": [{"name": "bolt", "count": 12}, {"name": "nut", "count": 12}, '
    '{"name": "gear", "count": 7}], "total": 31}, as you asked for it.'
)
TEXTS = {
    "ordinary": ORDINARY,
    "code": CODE,
    "CJK": CJK,
    "signs": SIGNS,
    "repetitive": REPETITIVE,
    "periodic": PERIODIC,
    "blank": BLANK,
    "letters": LETTERS,
    "jsonlike": JSONLIKE,
}
