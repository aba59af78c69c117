"""A language model behind an endpoint that speaks OpenAI's chat completions: LM Studio, Ollama,
vLLM and others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from alcyon.domain.errors import UnreachableError

if TYPE_CHECKING:
    import httpx2

ANSWER_BYTES_MAX = 65_536
TOKENS_MAX = 300


class _Message(msgspec.Struct):
    content: str | None = None
    tool_calls: list[Any] | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Completion(msgspec.Struct):
    choices: list[_Choice]


class LanguageModel:
    """Asks the model `model` at `url` (such as http://localhost:1234/v1).

    client: reaches what may be reached, and nothing else; its time-out is that of each step.
    """

    def __init__(
        self, client: httpx2.Client, url: str, model: str, api_key: str | None = None
    ) -> None:
        self._client, self._model = client, model
        self._url = f"{url.rstrip('/')}/chat/completions"
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"

    def ask(self, system: str, user: str) -> str:
        """The answer's text. UnreachableError: there is none that can be used."""
        import httpx2

        body = {
            "model": self._model,
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": user},
            ],
            "temperature": 0,
            "max_tokens": TOKENS_MAX,
            "stream": False,
        }
        try:
            return self._answer(msgspec.json.encode(body))
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            why = str(error) or type(error).__name__
            raise UnreachableError(f"the language model does not answer: {why}") from error

    def close(self) -> None:
        """Called once, last."""
        self._client.close()

    def _answer(self, body: bytes) -> str:
        with self._client.stream(
            "POST", self._url, content=body, headers=self._headers, follow_redirects=False
        ) as response:
            if response.status_code != 200:
                raise UnreachableError(f"the language model answers {response.status_code}")
            read = b""
            for part in response.iter_bytes():
                read += part
                if len(read) > ANSWER_BYTES_MAX:
                    raise UnreachableError(f"its answer has more than {ANSWER_BYTES_MAX} bytes")
        try:
            message = msgspec.json.decode(read, type=_Completion).choices[0].message
        except (msgspec.DecodeError, UnicodeDecodeError, IndexError) as error:
            raise UnreachableError(f"its answer is no chat completion: {error}") from error
        if message.tool_calls or not message.content:
            raise UnreachableError("its answer holds no text")
        return message.content
