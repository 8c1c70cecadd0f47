"""The elements that the parts of the page are made of. Text is never parsed as HTML."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from streamrnn.page.ui import formatting

NEUTRAL = 0.005
"""Skills within this of 0 are coloured neither good nor bad."""


def text_element(tag: str, classes: str = "", text: str = "") -> TextElement:
    """Return an element with text."""
    return TextElement(tag=tag, text=text).classes(classes)


def container(tag: str = "div", classes: str = "") -> ui.element:
    """Return an element for other elements."""
    return ui.element(tag).classes(classes)


def button(label: str, on_click: Callable[[], None] | None = None, script: str = "") -> TextElement:
    """Return a button that calls a function on the server, or runs a script in the browser."""
    element = text_element("button", "button", label).props("type=button")
    if on_click is not None:
        element.on("click", lambda _: on_click(), args=[])
    if script:
        element.on("click", js_handler=script)
    return element


def set_text(element: TextElement, text: str) -> None:
    """Set the text of an element if it changed."""
    if element.text != text:
        element.set_text(text)


def set_visible(element: ui.element, *, visible: bool) -> None:
    """Show or hide an element."""
    set_class(element, "hidden", on=not visible)


def set_class(element: ui.element, name: str, *, on: bool) -> None:
    """Add or remove a class of an element if it is not so already."""
    if on != (name in element.classes):
        element.classes(add=name) if on else element.classes(remove=name)


def set_skill(element: TextElement, skill: float | None) -> None:
    """Show a skill, coloured by whether it is good."""
    set_text(element, formatting.percent(skill))
    value = 0.0 if skill is None or np.isnan(skill) else skill
    set_color(element, "good" if value > NEUTRAL else "bad" if value < -NEUTRAL else "none")


def set_color(element: TextElement, color: str) -> None:
    """Give an element the colour `good`, `bad` or `none`."""
    if color not in element.classes:
        element.classes(remove="good bad none", add=color)


def set_pressed(buttons: Sequence[TextElement], chosen: int) -> None:
    """Mark one of several buttons as chosen."""
    for number, element in enumerate(buttons):
        set_property(element, "aria-pressed", str(number == chosen).lower())


def set_property(element: ui.element, name: str, value: Any) -> None:
    """Set a property of an element if it changed."""
    if element.props.get(name) != value:
        element.props[name] = value
