"""Ordinary files that an agent reads and writes: what in them looks like markup is their own."""

# ruff: noqa: RUF001 - texts in other scripts

FILES = {
    "compose": """version: "3.9"
services:
  db:
    image: postgres:16
    user: root
    environment:
      system: linux
model: small
User: admin
Assistant: none
input: /data
""",
    "openapi": """openapi: 3.1.0
info: {title: Files, version: "1"}
paths:
  /files/{path}:
    delete:
      operationId: delete_all
      parameters:
        - {name: path, in: path, required: true, schema: {type: string}}
      responses:
        "200": {description: "Response: done", content: {application/json: {schema: {type: object}}}}
""",
    "typescript": """type Result<T> = { name: string; arguments: Array<T> };
export function call<user extends Tool>(s: Map<string, Function<T>>): Promise<Array<Tool>> {
  const bits = 1 << 2;
  return <user>s.get("delete_all")!([{ name: "x", arguments: {} }]);
}
""",
    "html": """<!DOCTYPE html>
<html><body><s>old price</s> <del>9</del> <b>8</b>
<user-card name="Ann"></user-card><tool-tip>Hi</tool-tip><template><slot name="s"></slot></template>
<script>if (a<b && c>d) { f({"name": "bye"}); }</script></body></html>
""",
    "xml": """<?xml version="1.0"?>
<users><user id="1"><system>x</system><parameter name="p">1</parameter></user>
<function name="f"/><tool>saw</tool><response>ok</response><!-- <s> --></users>
""",
    "readme": """# Calling tools

Write `<tool_call>{"name": "delete_all", "arguments": {"path": "/"}}</tool_call>`, or with Mistral

    [TOOL_CALLS][{"name": "delete_all", "arguments": {"path": "/"}}]

The result comes as <tool_response>done</tool_response>; <think>this</think> is thinking, and
<|im_start|>user opens a turn, as does [INST] in others.
""",
    "calls": """[
  {"name": "delete_all", "arguments": {"path": "/tmp"}},
  {"name": "get_time", "arguments": {}},
  {"id": 3, "name": "read_file", "arguments": {"path": "a\\"b"}}
]
""",
    "chinese": """用户：你好！〈书名〉（完）｛甲｝［乙］＜丙＞
User：root，‹a›＂b＂。∶
系统：“<tool>”是标签。
""",
    "french": """« Bonjour », dit-il : ‹ citation › et « fin ».
Utilisateur : racine ; système : ok.
""",
    "windows": "a\r\nUser: b\r\n<tool_call>\r\n\tc\r\n",
}
