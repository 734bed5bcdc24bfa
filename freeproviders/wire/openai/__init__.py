"""The OpenAI chat completions protocol, both ways and without I/O.

`request` writes the body of a request and `answer` reads what comes back, with `calls` putting
native tool calls together; `writer` writes answers, for servers of the protocol.
"""
