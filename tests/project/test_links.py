"""Links of the pages and notebooks lead to files and headings that are there, and the menu leads to every page."""

import json
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
DOCS = ROOT / "docs"
BUILT = ("gallery_pages", "notebooks", "reference/api")  # by Sphinx, see docs/conf.py
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *DOCS.glob("**/*.md"), *ROOT.glob("notebooks/*.ipynb")]
    if not (path.is_relative_to(DOCS) and path.relative_to(DOCS).as_posix().startswith(BUILT))
)
LINK = re.compile(r"(?<!!)\[[^\]\[]*\]\(<?([^)\s>]+)>?\)")
MENU = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def name(path: pathlib.Path) -> str:
    """A page's path in the repository."""
    return path.relative_to(ROOT).as_posix()


def text_of(path: pathlib.Path) -> str:
    """The Markdown of a page, or of a notebook's cells, without its blocks of code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text = "\n\n".join(
            "".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"
        )
    return re.sub(r"^ *(```|~~~)(?!\{).*?^ *\1$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(path: pathlib.Path) -> set[str]:
    """What links to a page may have behind #: its headings, as GitHub and MyST write them."""
    included = re.findall(r"^```\{include\} (\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    texts = [text_of(path), *(text_of(path.parent / one) for one in included if (path.parent / one).exists())]
    headings = [heading for text in texts for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
    return {slug(heading) for heading in headings}


def slug(heading: str) -> str:
    """The anchor of a heading.

    >>> slug("`Auto`: a custom vjp, and why")
    'auto-a-custom-vjp-and-why'
    """
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
    return re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    wrong = []
    for target in LINK.findall(text_of(page)):
        path, _, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:") or target == "#gallery":  # its label is in the header there
            continue
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            wrong.append(target)
    assert wrong == []


def test_the_menu_leads_to_every_page():
    """From docs/index.md, by tables of contents."""
    seen, left = set(), [DOCS / "index.md"]
    while left:
        page = left.pop()
        seen.add(page)
        if page.suffix != ".md":
            continue
        for menu in MENU.findall(page.read_text(encoding="utf-8")):
            for line in filter(None, menu.split("\n")):
                entry = re.sub(r".*<(.*)>$", r"\1", line.strip())
                if entry.startswith((":", *BUILT)):
                    continue
                found = [
                    path for end in (".md", ".ipynb") if (path := (page.parent / f"{entry}{end}").resolve()).exists()
                ]
                assert found, f"{name(page)} lists {entry}, which is not there"
                left += [path for path in found if path not in seen]
    assert sorted({page for page in PAGES if page.is_relative_to(DOCS)} - seen) == []


def test_nothing_is_loaded_from_elsewhere():
    """The pages work without a network: no page brings pictures or scripts of other hosts."""
    loaded = re.compile(r"!\[[^\]]*\]\(https?:|<(?:script|img|link)[^>]+(?:src|href)=.https?:")
    assert [name(page) for page in PAGES if loaded.search(page.read_text(encoding="utf-8"))] == []
