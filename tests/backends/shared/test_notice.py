"""What is compiled is told where it takes long, and where somebody is watching."""

import time

import pytest

from rnnkit import console
from rnnkit.backends.shared import notice


@pytest.mark.parametrize("watched, seconds, told", [(True, 0.5, True), (True, 0.0, False), (False, 0.5, False)])
def test_after_a_while_a_line_says_what_is_compiled(watched, seconds, told, monkeypatch, capsys):
    monkeypatch.setattr(notice, "AFTER", 0.05)
    monkeypatch.setattr(notice, "is_watched", lambda: watched)
    with notice.telling("the gradient of leaky"):
        time.sleep(seconds)
    time.sleep(0.1)
    said = capsys.readouterr().err
    assert said == ("rnnkit: compiling the gradient of leaky, once on this machine\n" if told else "")


def test_parts_of_one_thing_are_told_as_one(monkeypatch, capsys):
    """Each takes less than a while, all of them more."""
    monkeypatch.setattr(notice, "AFTER", 0.3)
    monkeypatch.setattr(notice, "is_watched", lambda: True)
    with notice.telling("the gradient of leaky"):
        for part in ("its forward program", "its adjoint"):
            with notice.telling(part):
                time.sleep(0.2)
    with notice.telling("another"):
        time.sleep(0.5)
    said = capsys.readouterr().err.splitlines()
    assert said == [f"rnnkit: compiling {what}, once on this machine" for what in ("the gradient of leaky", "another")]


def test_a_notebook_shows_the_line(monkeypatch, capsys):
    monkeypatch.setattr(console, "in_jupyter", lambda: True)
    assert console.is_watched()
    console.say("a line")
    assert capsys.readouterr().out == "a line\n"
