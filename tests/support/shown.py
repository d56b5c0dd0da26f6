"""What a card's HTML says, read as a browser would: for comparing it with the text."""

import re
from collections import Counter
from html.parser import HTMLParser


class Reader(HTMLParser):
    """Collects the words of a card, and refuses elements that don't nest."""

    def __init__(self, html):
        super().__init__()
        self.open, self.words, self.tags, self.quiet = [], [], Counter(), 0
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        looks = (dict(attrs).get("class") or "").split()
        self.tags[tag] += 1
        self.open.append((tag, tag in ("style", "svg") or "rk-brief" in looks))
        self.quiet += self.open[-1][1]
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs)

    def handle_startendtag(self, tag, attrs):
        self.tags[tag] += 1

    def handle_endtag(self, tag):
        opened, quiet = self.open.pop()
        assert opened == tag, f"<{opened}> ends with </{tag}>"
        self.quiet -= quiet

    def handle_data(self, data):
        if not self.quiet:
            self.words += data.split()


def words(text: str) -> Counter:
    """The words of a card's text: without rules, quotes of names, colons after paths, and what HTML shows by looks."""
    lines = [re.sub(r"^(\s*)code( +)", r"\1", line) for line in text.splitlines() if set(line.strip()) != {"─"}]
    first = re.compile(r"^(?P<path>\s*[\w/]+)(?P<more> \d+)?: (?=\w)")
    lines = [first.sub(r"\g<path>\g<more> ", line) if first.match(line) else line for line in lines]
    lines = [re.sub(r"^(\s*(?:[\w/]+ )*\w+) '([^']*)'$", r"\1 \2", line) for line in lines]
    return Counter(" ".join(lines).split())
