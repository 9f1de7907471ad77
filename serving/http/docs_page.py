"""The API's documentation as one plain page from its OpenAPI document: no script, nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Final

STYLE: Final = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
h1{font-size:1.6rem}h2{font-size:1.15rem;margin:2.2rem 0 .3rem;border-top:1px solid #d5dae0;padding-top:1rem}
h3{font-size:1rem;margin:1rem 0 .2rem}code,pre{font:14px/1.45 ui-monospace,monospace}
pre{background:#f4f6f8;padding:.7rem;overflow-x:auto;border-radius:4px}table{border-collapse:collapse}
th,td{text-align:left;padding:.2rem .8rem .2rem 0;vertical-align:top}nav li{margin:.1rem 0}
.method{display:inline-block;min-width:3.4rem;font-weight:700;color:#0b5394}
@media (prefers-color-scheme:dark){body{color:#e6e9ed;background:#15181c}pre{background:#20252b}
h2{border-color:#39414a}.method{color:#7db8f0}a{color:#7db8f0}}
"""
_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "parameters": ("Parameters", "参数"),
    "body": ("Body, as application/json", "请求体（application/json）"),
    "answers": ("Answers", "响应"),
    "required": ("required", "必填"),
    "document": ("The same as an OpenAPI document", "OpenAPI 文档"),
}


def docs_page(document: Mapping[str, object], lang: str) -> str:
    """HTML that lists every operation with its parameters, a body and its answers."""
    words = {key: pair[1 if lang == "zh" else 0] for key, pair in _WORDS.items()}
    info = _mapping(document.get("info"))
    title = escape(f"{info.get('title', '')} {info.get('version', '')}")
    operations = list(_operations(document))
    links = "".join(
        f'<li><a href="#{_anchor(method, path)}"><span class="method">{method}</span> <code>{escape(path)}</code></a> '
        f"{escape(str(one.get('summary', '')))}</li>"
        for method, path, one in operations
    )
    parts = "".join(_operation(document, words, *operation) for operation in operations)
    return (
        f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="stylesheet" href="/docs.css">'
        f"</head><body><h1>{title}</h1><p>{escape(str(info.get('description', '')))}</p>"
        f'<p><a href="/openapi.json">{words["document"]}</a></p><nav><ul>{links}</ul></nav><main>{parts}</main>'
        f"</body></html>"
    )


def _operations(document: Mapping[str, object]) -> Iterator[tuple[str, str, Mapping[str, object]]]:
    for path, methods in _mapping(document.get("paths")).items():
        for method, operation in _mapping(methods).items():
            yield method.upper(), path, _mapping(operation)


def _operation(
    document: Mapping[str, object], words: Mapping[str, str], method: str, path: str, operation: Mapping[str, object]
) -> str:
    out = [
        f'<h2 id="{_anchor(method, path)}"><span class="method">{method}</span> <code>{escape(path)}</code></h2>',
        f"<p>{escape(str(operation.get('description', operation.get('summary', ''))))}</p>",
    ]
    parameters = operation.get("parameters")
    if isinstance(parameters, list) and parameters:
        rows = "".join(_parameter(_mapping(one), words) for one in parameters)
        out.append(f"<h3>{words['parameters']}</h3><table>{rows}</table>")
    body = _body_example(document, operation)
    if body is not None:
        out.append(f"<h3>{words['body']}</h3>{_pre(body)}")
    out.append(f"<h3>{words['answers']}</h3>")
    out += [_answer(status, _mapping(one)) for status, one in _mapping(operation.get("responses")).items()]
    return "".join(out)


def _parameter(one: Mapping[str, object], words: Mapping[str, str]) -> str:
    needed = f" ({words['required']})" if one.get("required") else ""
    told = escape(str(one.get("description", "")))
    name, where = escape(str(one.get("name"))), escape(str(one.get("in")))
    return f"<tr><th><code>{name}</code>{needed}</th><td>{where}</td><td>{told}</td></tr>"


def _body_example(document: Mapping[str, object], operation: Mapping[str, object]) -> object | None:
    content = _mapping(_mapping(_mapping(operation.get("requestBody")).get("content")).get("application/json"))
    name = str(_mapping(content.get("schema")).get("$ref", "")).rpartition("/")[2]
    schema = _mapping(_mapping(_mapping(document.get("components")).get("schemas")).get(name))
    examples = schema.get("examples")
    return examples[0] if isinstance(examples, list) and examples else None


def _answer(status: str, one: Mapping[str, object]) -> str:
    told = f"<p><code>{escape(status)}</code> {escape(str(one.get('description', '')))}</p>"
    content = _mapping(_mapping(one.get("content")).get("application/json"))
    return told + (_pre(content["example"]) if "example" in content else "")


def _pre(value: object) -> str:
    return f'<pre tabindex="0">{escape(json.dumps(value, ensure_ascii=False, indent=2))}</pre>'


def _anchor(method: str, path: str) -> str:
    return escape(f"{method.lower()}{path}".replace("/", "-").replace("{", "").replace("}", ""), quote=True)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
