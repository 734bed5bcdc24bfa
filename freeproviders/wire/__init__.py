"""Bytes in, events out, no I/O.

`sse` cuts server-sent events, `lines` newline-delimited JSON, `text` decodes raw UTF-8, `json` is
the JSON decoder, `failure` reads error answers by the `signs` of a service's row, `limits` what it
announces of its limits, `parts` is what every protocol's decoder has in common, and `openai` is
the one protocol that many services speak, read and written. Any byte stream decodes to the same
events however the network cut it.
"""
