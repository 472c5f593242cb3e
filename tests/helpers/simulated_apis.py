"""Requests and answers of a made-up agent in the words of each API, as SDKs send them back.

Knows nothing of the daemon. ``Style`` is what one application's SDK does to the messages that it sends back.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass
class Called:
    """A call of a tool."""

    name: str
    arguments: dict[str, Any]
    id: str = ""


@dataclass
class Said:
    """A message: the user's text, the assistant's turn, or what tools returned."""

    role: str
    text: str = ""
    calls: list[Called] = field(default_factory=list)
    results: list[tuple[Called, str]] = field(default_factory=list)
    thinking: str = ""
    id: str = ""


@dataclass
class Style:
    """What an SDK does to what it sends back."""

    rng: random.Random
    has_ids: bool = True
    empty: Any = None
    """Content of an assistant's message that only calls tools: None, "" or left out ("absent")."""
    in_parts: bool = False
    keeps_fields: bool = True
    keeps_thinking: bool = True
    spaces: bool = False
    """Arguments and messages are encoded anew."""
    numbers: bool = False
    """Whole numbers come back as floats."""
    marks: bool = False

    @classmethod
    def any(cls, rng: random.Random, *, has_ids: bool) -> Style:
        toss = [rng.random() < 0.5 for _ in range(6)]
        return cls(rng, has_ids, rng.choice([None, "", "absent"]), *toss)

    def id(self, prefix: str, size: int = 24) -> str:
        return prefix + "".join(self.rng.choices(ALPHABET, k=size)) if self.has_ids else ""

    def arguments(self, given: dict[str, Any], *, sent_back: bool) -> dict[str, Any]:
        if not sent_back:
            return given
        items = list(given.items())
        if self.spaces:
            items.reverse()
        return {name: float(one) if self.numbers and isinstance(one, int) else one for name, one in items}

    def encoded(self, given: dict[str, Any], *, sent_back: bool) -> str:
        spaced = self.spaces and sent_back
        separators = (", ", ": ") if spaced else (",", ":")
        return json.dumps(self.arguments(given, sent_back=sent_back), separators=separators)


Body = dict[str, Any]


class Api:
    """One API's words; these are Chat Completions'."""

    prefix = "call_"

    def request(
        self, style: Style, system: str, tools: list[str], history: list[Said], previous: str
    ) -> Body:
        messages: list[Any] = [{"role": "system", "content": system}] if system else []
        for said in history:
            messages += self.message(style, said)
        return {"model": "m", "messages": messages, "tools": [self.tool(name) for name in tools]}

    def tool(self, name: str) -> Body:
        schema = {"type": "object", "properties": {"q": {"type": "string"}}}
        return {"type": "function", "function": {"name": name, "parameters": schema}}

    def message(self, style: Style, said: Said) -> list[Body]:
        if said.role == "tool":
            return [
                {"role": "tool", **named("tool_call_id", called.id), "content": text}
                for called, text in said.results
            ]
        return [self.spoken(style, said, sent_back=True)]

    def spoken(self, style: Style, said: Said, *, sent_back: bool) -> Body:
        body: Body = {"role": said.role, "content": said.text}
        if said.text and style.in_parts and sent_back:
            body["content"] = [{"type": "text", "text": said.text}]
        if said.role != "assistant":
            return body
        if not said.text:
            body["content"] = style.empty if sent_back else None
            if body["content"] == "absent":
                del body["content"]
        if said.calls:
            body["tool_calls"] = [
                {
                    **named("id", one.id),
                    "type": "function",
                    "function": {
                        "name": one.name,
                        "arguments": style.encoded(one.arguments, sent_back=sent_back),
                    },
                }
                for one in said.calls
            ]
        if style.keeps_fields or not sent_back:
            body |= {"refusal": None, "annotations": [], "audio": None, "function_call": None}
        if said.thinking and (style.keeps_thinking or not sent_back):
            body["reasoning_content"] = said.thinking
        return body

    def answer(self, style: Style, said: Said) -> Body:
        choice = {
            "index": 0,
            "message": self.spoken(style, said, sent_back=False),
            "finish_reason": "stop",
        }
        return {"id": "chatcmpl-" + said.id, "object": "chat.completion", "choices": [choice]}


def named(name: str, value: str) -> Body:
    return {name: value} if value else {}


class Ollama(Api):
    def spoken(self, style: Style, said: Said, *, sent_back: bool) -> Body:
        body: Body = {"role": said.role, "content": said.text}
        if said.calls:
            body["tool_calls"] = [
                {
                    "function": {
                        "name": one.name,
                        "arguments": style.arguments(one.arguments, sent_back=sent_back),
                    }
                }
                for one in said.calls
            ]
        if said.thinking and (style.keeps_thinking or not sent_back):
            body["thinking"] = said.thinking
        return body

    def message(self, style: Style, said: Said) -> list[Body]:
        if said.role == "tool":
            return [{"role": "tool", "content": text, "tool_name": one.name} for one, text in said.results]
        return [self.spoken(style, said, sent_back=True)]

    def answer(self, style: Style, said: Said) -> Body:
        return {
            "model": "m",
            "message": self.spoken(style, said, sent_back=False),
            "done": True,
            "eval_count": 3,
        }


class Messages(Api):
    prefix = "toolu_"

    def request(
        self, style: Style, system: str, tools: list[str], history: list[Said], previous: str
    ) -> Body:
        messages = [self.spoken(style, said, sent_back=True) for said in history]
        if style.marks and isinstance(messages[-1]["content"], list):
            messages[-1]["content"][-1]["cache_control"] = {"type": "ephemeral"}
        return {
            "model": "m",
            "max_tokens": 9,
            "system": [{"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}],
            "tools": [{"name": name, "input_schema": {"type": "object"}} for name in tools],
            "messages": messages,
        }

    def spoken(self, style: Style, said: Said, *, sent_back: bool) -> Body:
        if said.role == "user" and not style.in_parts:
            return {"role": "user", "content": said.text}
        content: list[Any] = []
        if said.thinking and (style.keeps_thinking or not sent_back):
            content.append({"type": "thinking", "thinking": said.thinking, "signature": "abc"})
        if said.text:
            content.append({"type": "text", "text": said.text})
        content += [
            {
                "type": "tool_use",
                **named("id", one.id),
                "name": one.name,
                "input": style.arguments(one.arguments, sent_back=sent_back),
            }
            for one in said.calls
        ]
        content += [
            {
                "type": "tool_result",
                **named("tool_use_id", called.id),
                "content": [{"type": "text", "text": text}] if style.in_parts else text,
            }
            for called, text in said.results
        ]
        return {"role": "assistant" if said.role == "assistant" else "user", "content": content}

    def answer(self, style: Style, said: Said) -> Body:
        return {
            "id": "msg_" + said.id,
            "type": "message",
            **self.spoken(style, said, sent_back=False),
            "stop_reason": "end_turn",
        }


class Converse(Api):
    prefix = "tooluse_"

    def request(
        self, style: Style, system: str, tools: list[str], history: list[Said], previous: str
    ) -> Body:
        messages = [self.spoken(style, said, sent_back=True) for said in history]
        if style.marks:
            messages[-1]["content"].append({"cachePoint": {"type": "default"}})
        specs = [{"toolSpec": {"name": name, "inputSchema": {"json": {}}}} for name in tools]
        return {"system": [{"text": system}], "toolConfig": {"tools": specs}, "messages": messages}

    def spoken(self, style: Style, said: Said, *, sent_back: bool) -> Body:
        content: list[Any] = [{"text": said.text}] if said.text else []
        if said.thinking and (style.keeps_thinking or not sent_back):
            content.insert(
                0, {"reasoningContent": {"reasoningText": {"text": said.thinking, "signature": "x"}}}
            )
        content += [
            {
                "toolUse": {
                    **named("toolUseId", one.id),
                    "name": one.name,
                    "input": style.arguments(one.arguments, sent_back=sent_back),
                }
            }
            for one in said.calls
        ]
        content += [
            {
                "toolResult": {
                    **named("toolUseId", called.id),
                    "content": [{"text": text}],
                    "status": "success",
                }
            }
            for called, text in said.results
        ]
        return {"role": "assistant" if said.role == "assistant" else "user", "content": content}

    def answer(self, style: Style, said: Said) -> Body:
        message = self.spoken(style, said, sent_back=False)
        return {"output": {"message": message}, "stopReason": "end_turn", "usage": {"inputTokens": 1}}


class Gemini(Api):
    def request(
        self, style: Style, system: str, tools: list[str], history: list[Said], previous: str
    ) -> Body:
        return {
            "contents": [self.spoken(style, said, sent_back=True) for said in history],
            "systemInstruction": {"parts": [{"text": system}]},
            "tools": [{"functionDeclarations": [{"name": name} for name in tools]}],
        }

    def spoken(self, style: Style, said: Said, *, sent_back: bool) -> Body:
        found: list[Any] = []
        signed = {"thoughtSignature": "c2ln"} if style.keeps_fields or not sent_back else {}
        if said.thinking and (style.keeps_thinking or not sent_back):
            found.append({"text": said.thinking, "thought": True})
        if said.text:
            found.append({"text": said.text, **signed})
        found += [
            {
                "functionCall": {
                    "name": one.name,
                    "args": style.arguments(one.arguments, sent_back=sent_back),
                },
                **signed,
            }
            for one in said.calls
        ]
        found += [
            {"functionResponse": {"name": called.name, "response": {"result": text}}}
            for called, text in said.results
        ]
        return {"role": "model" if said.role == "assistant" else "user", "parts": found}

    def answer(self, style: Style, said: Said) -> Body:
        content = self.spoken(style, said, sent_back=False)
        return {"candidates": [{"content": content, "finishReason": "STOP"}], "responseId": said.id}


class Cohere(Api):
    def answer(self, style: Style, said: Said) -> Body:
        message = self.spoken(style, said, sent_back=False)
        for name in ("refusal", "annotations", "audio", "function_call", "reasoning_content"):
            message.pop(name, None)
        message["content"] = [{"type": "text", "text": said.text}] if said.text else []
        return {"id": said.id, "message": message, "finish_reason": "COMPLETE"}


class Responses(Api):
    is_stateful = False

    def request(
        self, style: Style, system: str, tools: list[str], history: list[Said], previous: str
    ) -> Body:
        sent = self.unsent(history) if previous and self.is_stateful else history
        items = [item for said in sent for item in self.items(style, said, sent_back=True)]
        body: Body = {
            "model": "m",
            "instructions": system,
            "input": items,
            "tools": [{"type": "function", "name": name, "parameters": {}} for name in tools],
        }
        if self.is_stateful:
            return body | ({"previous_response_id": previous} if previous else {})
        return body | ({} if style.keeps_fields else {"store": False})

    @staticmethod
    def unsent(history: list[Said]) -> list[Said]:
        last = max(number for number, said in enumerate(history) if said.role == "assistant")
        return history[last + 1 :]

    def items(self, style: Style, said: Said, *, sent_back: bool) -> list[Body]:
        if said.role == "user":
            return [{"role": "user", "content": said.text}]
        full = style.keeps_fields or not sent_back
        found: list[Body] = []
        if said.thinking and (style.keeps_thinking or not sent_back):
            found.append(
                {"type": "reasoning", "id": "rs_" + said.id, "summary": [], "encrypted_content": "x"}
            )
        if said.text:
            content: Any = [
                {"type": "output_text", "text": said.text, **({"annotations": []} if full else {})}
            ]
            if sent_back and not style.in_parts:
                content = said.text
            own = {"id": "msg_" + said.id, "status": "completed"} if full else {}
            found.append({"type": "message", "role": "assistant", "content": content, **own})
        for one in said.calls:
            own = {"id": "fc_" + one.id, "status": "completed"} if full else {}
            arguments = style.encoded(one.arguments, sent_back=sent_back)
            call = {"type": "function_call", "call_id": one.id, "name": one.name, "arguments": arguments}
            found.append(call | own)
        found += [
            {"type": "function_call_output", "call_id": called.id, "output": text}
            for called, text in said.results
        ]
        return found

    def answer(self, style: Style, said: Said) -> Body:
        output = self.items(style, said, sent_back=False)
        return {"id": "resp_" + said.id, "object": "response", "status": "completed", "output": output}


class KeptResponses(Responses):
    is_stateful = True


APIS: dict[str, Callable[[], Api]] = {
    "chat": Api,
    "messages": Messages,
    "responses": Responses,
    "kept responses": KeptResponses,
    "converse": Converse,
    "gemini": Gemini,
    "ollama": Ollama,
    "cohere": Cohere,
}
WITHOUT_IDS = ("chat", "messages", "converse", "gemini", "ollama", "cohere")
"""Those in which ids of calls may be missing."""
