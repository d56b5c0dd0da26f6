"""Docstrings in numpydoc's sections; descriptions that several public names share are written once."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

Described = TypeVar("Described", bound=Callable[..., Any])

_HEADING = re.compile(r"^(\w[\w ]*)\n-+\n", re.MULTILINE)
_SHARED = ("Parameters", "Attributes", "Returns", "Raises")  # in numpydoc's order


def described_as(*sources: Callable, with_attributes: bool = False) -> Callable[[Described], Described]:
    """Return a decorator that completes a docstring by those of functions or classes.

    Parameters that it doesn't describe are taken from the first source that does, and so are the sections Returns and
    Raises of a function that has none; `with_attributes` also attributes, and what a class raises.

    >>> def double(x):
    ...     '''Compute ``2 x``.
    ...
    ...     Parameters
    ...     ----------
    ...     x : float
    ...     '''
    >>> @described_as(double)
    ... def triple(x):
    ...     '''Compute ``3 x``.'''
    >>> print(triple.__doc__)
    Compute ``3 x``.
    <BLANKLINE>
    Parameters
    ----------
    x : float
    """

    def completed(thing: Described) -> Described:
        if thing.__doc__:  # python -OO strips it
            told = [sections(source) for source in sources]
            own = sections(thing)
            texts = {"": own.pop("")}
            order = list(inspect.signature(thing).parameters)
            for name in _SHARED if with_attributes or not inspect.isclass(thing) else _SHARED[:1]:
                mine, others = own.pop(name, ""), [one[name] for one in told if name in one]
                if name in _SHARED[:2]:
                    text = _listed(mine, others, order if name == "Parameters" else None)
                else:
                    text = mine or "".join(others[:1])
                if text:
                    texts[name] = text
            thing.__doc__ = text_of(texts | own)
        return thing

    return completed


class CommonArguments:
    """Arguments that many layers have.

    Parameters
    ----------
    activation : str, callable or None
    use_bias : bool
    kernel_initializer, bias_initializer, beta_initializer, gamma_initializer : str, callable or initializer
    kernel_regularizer, bias_regularizer, beta_regularizer, gamma_regularizer : str or Regularizer, optional
        Penalties on the weights, see `rnnkit.regularizers`.
    kernel_constraint, bias_constraint, beta_constraint, gamma_constraint : str or callable, optional
        What the weights must keep to in training, see `rnnkit.constraints`.
    data_format : {"channels_last"}, optional
    """


def describe_by_bases(kind: type) -> None:
    """Complete the docstring of a class of rnnkit's own by those of its bases, and by `CommonArguments`."""
    if kind.__module__.startswith("rnnkit."):
        described_as(*kind.__mro__[1:-1], CommonArguments)(kind)


def sections(thing: Any) -> dict[str, str]:
    """Return the sections of a docstring by their headings; the text above the first one has the heading ''."""
    return dict(_parted(thing.__doc__ or inspect.getdoc(thing) or ""))


@cache
def _parted(text: str) -> tuple[tuple[str, str], ...]:
    first, *others = _HEADING.split(inspect.cleandoc(text))
    rest = zip(others[::2], others[1::2], strict=True)
    return ("", first.strip()), *((name, text.rstrip()) for name, text in rest)


def text_of(sections: dict[str, str]) -> str:
    """Return the docstring that has these sections."""
    return "\n\n".join(f"{name}\n{'-' * len(name)}\n{text}" if name else text for name, text in sections.items())


def _listed(own: str, others: list[str], order: list[str] | None) -> str:
    """Return a section of parameters or attributes: its own, and of each other one what the first text says.

    With the order of a signature, the others are those that it has, and all come in this order.
    """
    entries = list(_entries(own))
    for text in others:
        told = {name for names, _ in entries for name in names}
        for names, rest in _entries(text):
            if lacking := [one for one in names if one not in told and (order is None or one.lstrip("*") in order)]:
                entries.append((lacking, rest))
    if order is not None:
        entries.sort(key=lambda entry: order.index(entry[0][0]) if entry[0][0] in order else len(order))
    return "\n".join(", ".join(names) + rest for names, rest in entries)


@cache
def _entries(text: str) -> tuple[tuple[list[str], str], ...]:
    """Return the entries of a section of parameters: names that stand together, and the text behind them."""
    found = [re.match(r"([\w*]+(?:, [\w*]+)*)(.*)", entry, re.DOTALL) for entry in re.split(r"\n(?=\S)", text)]
    return tuple((one[1].split(", "), one[2]) for one in found if one)
