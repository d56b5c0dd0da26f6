"""A `Card` as HTML: no scripts and nothing from elsewhere, light or dark as the page around it."""

from __future__ import annotations

import html

from rnnkit.cards import Card, Table

_LONG = 26  # letters of a table's field that may be broken into lines
_LIGHT = "--ink:#1f2733;--soft:#566172;--line:#d8dee6;--paper:#fbfcfd;--tint:#eef2f7;--mark:#1f6fb4;--second:#b4560f"
_DARK = "--ink:#e3e8ef;--soft:#a3afbf;--line:#3a4452;--paper:#1a2029;--tint:#252d39;--mark:#7db8ef;--second:#f0a35e"
# Themes that pages declare: those of Sphinx, JupyterLab and VS Code; otherwise the reader's system decides.
_SAYS_LIGHT = "html[data-theme=light] .rnnkit,body[data-jp-theme-light=true] .rnnkit,body.vscode-light .rnnkit"
_SAYS_DARK = "html[data-theme=dark] .rnnkit,body[data-jp-theme-light=false] .rnnkit,body.vscode-dark .rnnkit"
_RULES = f"""
.rnnkit{{{_LIGHT};color:var(--ink);background:var(--paper);border:1px solid var(--line);border-radius:6px;
box-sizing:border-box;display:inline-block;max-width:100%;min-width:min(100%,22em);padding:10px 14px;margin:2px 0;
font:13px/1.5 system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;text-align:left}}
@media(prefers-color-scheme:dark){{.rnnkit{{{_DARK}}}}}
{_SAYS_LIGHT}{{{_LIGHT}}}
{_SAYS_DARK}{{{_DARK}}}
.rnnkit code,.rnnkit .rk-lines,.rnnkit td{{
font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:12px}}
.rnnkit code,.rnnkit .rk-lines{{color:var(--ink);background:none;border:0;padding:0;margin:0;white-space:pre-wrap;
overflow-wrap:anywhere;line-height:1.5}}
.rnnkit .rk-lines>div{{padding-left:4ch;text-indent:-4ch;min-height:1.5em}}
.rnnkit b{{color:var(--mark);font-weight:600}}
.rnnkit .rk-soft{{color:var(--soft)}}
.rnnkit .rk-code{{background:var(--tint);border-radius:4px;padding:2px 7px;margin:4px 0;width:fit-content;
max-width:100%;box-sizing:border-box}}
.rnnkit dl{{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:1px 14px;margin:6px 0 2px}}
.rnnkit dt{{color:var(--soft);font-weight:400;margin:0}}
.rnnkit dd{{margin:0;overflow-wrap:anywhere}}
.rnnkit .rk-wide{{overflow-x:auto;max-width:100%}}
.rnnkit table{{border-collapse:collapse;border:0;margin:8px 0 2px;width:auto;color:var(--ink);background:none}}
.rnnkit tr,.rnnkit tr:nth-child(even),.rnnkit tr:hover{{background:none}}
.rnnkit th,.rnnkit td{{border:0;border-bottom:1px solid var(--line);padding:2px 14px 2px 0;text-align:left;
white-space:nowrap;color:var(--ink);background:none}}
.rnnkit th{{color:var(--soft);font-size:12px;font-weight:400}}
.rnnkit tr:last-child td{{border-bottom:0}}
.rnnkit th:last-child,.rnnkit td:last-child{{padding-right:0}}
.rnnkit .rk-long{{white-space:normal;overflow-wrap:anywhere;min-width:11em}}
@media(max-width:480px){{.rnnkit th,.rnnkit td{{font-size:11px;padding-right:8px}}}}
.rnnkit .rk-number{{text-align:right}}
.rnnkit .rk-gap,.rnnkit details{{border-top:1px solid var(--line);margin:0;padding:4px 0}}
.rnnkit summary{{cursor:pointer;overflow-wrap:anywhere}}
.rnnkit details>div{{margin:2px 0 4px 6px;padding-left:12px;border-left:2px solid var(--line)}}
.rnnkit .rk-parts{{margin-top:8px}}
.rnnkit svg{{display:block;max-width:100%;height:auto;margin:8px 0}}
"""
STYLE = f"<style>{''.join(_RULES.splitlines())}</style>"


def page(card: Card) -> str:
    """Return a card with its style, which reaches nothing around it."""
    title = f"<div>{_title(card)}</div>" if card.kind else ""
    return f'<div class="rnnkit">{STYLE}{title}{_body(card)}</div>'


def _title(card: Card) -> str:
    name = f' <span class="rk-soft">{html.escape(card.name)}</span>' if card.name else ""
    return f"<b>{html.escape(card.kind)}</b>{name}"


def _body(card: Card) -> str:
    """Return everything below the title."""
    code = f'<div class="rk-code"><code>{html.escape(card.shown_code)}</code></div>' if card.shown_code else ""
    facts = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in card.shown_facts.items()
    )
    facts = f"<dl>{facts}</dl>" if facts else ""
    table = "" if card.table is None else _table(card.table)
    parts = "".join(_part(path, part) for path, part in card.parts)
    parts = f'<div class="rk-parts">{parts}</div>' if parts else ""
    return f"{code}{facts}{card.picture}{table}{_lines(card.lines)}{parts}"


def _table(table: Table) -> str:
    def row(texts, tag):
        inside = []
        for head, text in zip(table.heads, texts, strict=True):
            kind = "rk-number" if head in table.numbers else "rk-long" if len(text) > _LONG else ""
            look = f' class="{kind}"' if kind else ""
            inside.append(f"<{tag}{look}>{html.escape(text)}</{tag}>")
        return f"<tr>{''.join(inside)}</tr>"

    head, rows = row(table.heads, "th"), "".join(row(texts, "td") for texts in table.rows)
    return f'<div class="rk-wide"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _lines(lines: str) -> str:
    """Return text line by line; a line that ends in a colon is a heading."""
    if not lines:
        return ""
    shown = (f"<b>{html.escape(one)}</b>" if one.endswith(":") else html.escape(one) for one in lines.split("\n"))
    return f'<div class="rk-lines">{"".join(f"<div>{one}</div>" for one in shown)}</div>'


def _part(path: str, card: Card | None) -> str:
    if card is None:
        return f'<div class="rk-gap rk-soft">{html.escape(path)}</div>'
    facts = card.shown_facts
    count = facts.get("parameters", "")
    count = f"{count} parameters" if count[:1].isdigit() else count
    brief = " · ".join(filter(None, (facts.get("shape", ""), count)))
    brief = f' <span class="rk-soft rk-brief">{html.escape(brief)}</span>' if brief else ""
    return (
        f'<details><summary><span class="rk-soft">{html.escape(path)}</span> {_title(card)}{brief}</summary>'
        f"<div>{_body(card)}</div></details>"
    )
