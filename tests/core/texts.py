"""Texts of many scripts and sorts, to count tokens in."""
# ruff: noqa: RUF001 - letters and signs of other scripts are meant

import base64
import random
from pathlib import Path

import freeproviders.stop

_RANDOM = random.Random(20261121)

TEXTS = {
    "english": (
        "The library keeps a small notebook for every reader. When somebody borrows a book, the librarian "
        "writes down the title, the day and the shelf, and when it comes back the line is crossed out. "
        "Nobody remembers who began the custom, but visitors from other towns often ask whether they may "
        "photograph the oldest pages, which are more than two hundred years old and hardly readable."
    ),
    "chinese": (
        "图书馆为每一位读者都准备了一本小小的笔记本。有人借书的时候，管理员会写下书名、日期和书架的位置；"
        "书还回来以后，再把这一行划掉。没有人记得这个习惯是谁开始的，不过从外地来的客人常常会问，"
        "能不能拍下那些最古老的页面。它们已经有两百多年的历史，字迹几乎看不清楚了。"
    ),
    "hindi": (
        "पुस्तकालय हर पाठक के लिए एक छोटी सी कॉपी रखता है। जब कोई किताब लेता है तो पुस्तकालयाध्यक्ष उसका नाम, "
        "तारीख और अलमारी लिख देता है, और किताब लौटने पर वह पंक्ति काट दी जाती है। किसी को याद नहीं कि यह "
        "रिवाज किसने शुरू किया था, लेकिन दूसरे शहरों से आने वाले लोग अक्सर पूछते हैं कि क्या वे सबसे पुराने "
        "पन्नों की तस्वीर ले सकते हैं।"
    ),
    "russian": (
        "Библиотека ведёт для каждого читателя маленькую тетрадь. Когда кто-нибудь берёт книгу, библиотекарь "
        "записывает название, день и полку, а когда книга возвращается, строка зачёркивается. Никто не "
        "помнит, кто начал этот обычай, но гости из других городов часто спрашивают, можно ли "
        "сфотографировать самые старые страницы, которым больше двухсот лет "
        "и которые почти невозможно прочитать."
    ),
    "arabic": (
        "تحتفظ المكتبة بدفتر صغير لكل قارئ. عندما يستعير أحد كتابا يكتب أمين المكتبة العنوان واليوم والرف، "
        "وعندما يعود الكتاب يشطب السطر. لا أحد يتذكر من بدأ هذه العادة، لكن الزوار من المدن الأخرى كثيرا ما "
        "يسألون إن كان بإمكانهم تصوير أقدم الصفحات التي يزيد عمرها على مئتي عام ولا تكاد تقرأ."
    ),
    "code": Path(freeproviders.stop.__file__).read_text(encoding="utf-8")[:2000],
    "base64": base64.b64encode(_RANDOM.randbytes(450)).decode(),
    "digits": "".join(_RANDOM.choices("0123456789", k=500)),
    "emoji": " ".join("🎉🚀😀🔥👍🙏😊✨💡📌🤔😭💪👀🌍📈🏆🎯👉🐍🦀🧪🍕🎸🚲") * 2,
}
"""All but the last four tell the same story, in words of our own."""
