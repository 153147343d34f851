"""The mailbox as pages for people: a list of mails and text messages, and a mail by itself. Whatever came in a mail stays in its frame."""

import html
from typing import Any, Final

STYLE: Final = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}
ul{list-style:none;padding:0}
li{border-top:1px solid #8884;padding:.6em 0}
a{color:inherit;text-decoration:none;font-weight:600}
a:hover,nav a[aria-current]{text-decoration:underline}
nav a{margin-right:1em}
small,dt{opacity:.7}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2em 1em}
dd{margin:0}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#8881;padding:1em}
iframe{width:100%;height:70vh;border:1px solid #8884;background:#fff}
"""
# nothing from elsewhere, no script; a mail's own HTML has an address of its own and is framed
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'"
MAIL_POLICY: Final = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
REFRESH: Final = '<meta http-equiv="refresh" content="5">'


def index(mails: list[dict[str, Any]], texts: list[dict[str, Any]]) -> str:
    """All that came, newest first; looks again every five seconds."""
    letters = "".join(
        f'<li><a href="/mails/{_safe(one["id"])}">{_safe(one["subject"] or "(no subject)")}</a><br>'
        f"<small>{_safe(one['from'])} to {_safe(one['to'])}, {_safe(one['date'])}</small></li>"
        for one in mails
    )
    messages = "".join(
        f"<li>{_safe(one['body'])}<br><small>{_safe(one['from'])} to {_safe(one['to'])}, {_safe(one['date_created'])}</small></li>"
        for one in texts
    )
    body = f"<h1>Mailbox</h1><h2>Mails</h2>{_list(letters, 'No mail yet.')}<h2>Text messages</h2>{_list(messages, 'None yet.')}"
    return _page("Mailbox", body, REFRESH)


def mail(one: dict[str, Any], part: str) -> str:
    """A mail with its `html` or its `text`, or with all `headers`."""
    parts = [name for name in ("html", "text") if one[name] is not None] + ["headers"]
    shown = part if part in parts else parts[0]
    links = "".join(f'<a href="?part={name}"{" aria-current=page" * (name == shown)}>{name}</a>' for name in parts)
    known = "".join(f"<dt>{name}</dt><dd>{_safe(one[name])}</dd>" for name in ("from", "to", "date"))
    if shown == "html":
        content = f'<iframe sandbox src="/mails/{_safe(one["id"])}/html" title="{_safe(one["subject"])}"></iframe>'
    elif shown == "text":
        content = f"<pre>{_safe(one['text'])}</pre>"
    else:
        content = f"<pre>{_safe(''.join(f'{name}: {value}' + chr(10) for name, value in one['headers'].items()))}</pre>"
    title = one["subject"] or "(no subject)"
    return _page(title, f'<p><a href="/">Mailbox</a></p><h1>{_safe(title)}</h1><dl>{known}</dl><nav>{links}</nav>{content}')


def _page(title: str, body: str, head: str = "") -> str:
    start = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">{head}'
    return f"{start}<title>{_safe(title)}</title><style>{STYLE}</style></head><body>{body}</body></html>"


def _list(items: str, otherwise: str) -> str:
    return f"<ul>{items}</ul>" if items else f"<p>{otherwise}</p>"


def _safe(text: str) -> str:
    return html.escape(text)
