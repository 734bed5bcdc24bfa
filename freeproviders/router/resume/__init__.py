"""What a router does where an answer breaks off after something of it has been shown.

`resumed(broken, ask)` streams the rest of the answer. It is an asynchronous generator of batches, as
`Backend.answer` is, and its caller hands its batches on as they are::

    said = Said()
    try:
        async for batch in ask(member, request):
            said.note(batch)
            yield batch
    except FreeProvidersError as error:
        if not said.begun:
            ...  # nothing was shown: another member is asked
        broken = Broken(request=request, member=member, error=error, said=said, others=..., policy=...)
        async with aclosing(resumed(broken, ask)) as rest:
            async for batch in rest:
                yield batch

It promises:

- Only text goes out that follows what was said; a `Usage` (the sum of the broken answer and of all
  hops) and a `Finish` (the last hop's, with all `seams`) end it. `attempts` and `trail` of that
  `Finish` are the business of the caller, which knows what `ask` did.
- Each hop is decided before a character of it goes out; a hop that is not taken costs its tokens and
  leaves no trace in the text. Members are asked one after the other, each by `ask(member, request)`:
  an asynchronous generator of batches which has deadline, quota, breaker and statistics in it, and
  raises errors of the tree. At most `broken.hops` of them may go on, or give another answer; a
  member that fails before a word of the rest is passed over, and asked once more when none is left.
  `ask` bounds how often that happens. `ask` may change a request as the member
  needs it, but `prefill` goes to the backend as it is.
- The request's `listener` is called with each `Seam` before anything behind it goes out.
- Where no member goes on, the error of the answer that broke off is raised with `partial`, the text
  that was shown (behind a restart: of the new answer), and `not_resumed`, why no member continued.
- With the policy "raise" no member is asked; an answer that was complete when the connection broke ends
  as if it had not.

`why_not` says beforehand whether going on is allowed at all. `splice` says what proves that a stream
goes on, and `ways` in which order members are asked.
"""

from freeproviders.router.resume.broken import MAX_HOPS, Broken, Said
from freeproviders.router.resume.going_on import Ask, resumed
from freeproviders.router.resume.rules import why_not

__all__ = ["MAX_HOPS", "Ask", "Broken", "Said", "resumed", "why_not"]
