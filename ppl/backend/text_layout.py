"""How emitted lines are laid out: plates that are entered together share a line, and long calls are broken up."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence

WIDTH = 110
STEP = "    "


def laid_out(lines: Iterable[str]) -> list[str]:
    """Lines of a function, one statement each, as a person would lay them out."""
    return [part for line in joined_plates(list(lines)) for part in wrapped(line)]


def joined_plates(lines: Sequence[str]) -> list[str]:
    """Lines in which `with` statements that hold nothing but another one are joined with it.

    >>> joined_plates(["with a:", "    with b:", "        x()", "y()"])
    ['with a, b:', '    x()', 'y()']
    """
    out = list(lines)
    at = 0
    while at + 1 < len(out):
        outer, inner = out[at], out[at + 1]
        depth = _depth(outer)
        nested = outer.lstrip().startswith("with ") and inner.startswith(STEP * depth + STEP + "with ")
        end = next((i for i in range(at + 1, len(out)) if out[i] and _depth(out[i]) <= depth), len(out))
        together = f"{outer.removesuffix(':')}, {inner.strip().removeprefix('with ')}"
        alone = nested and all(not line or _depth(line) > depth + 1 for line in out[at + 2 : end])
        if alone and len(together) <= WIDTH:
            out[at : at + 2] = [together]
            out[at + 1 : end - 1] = [line.removeprefix(STEP) for line in out[at + 1 : end - 1]]
        else:
            at += 1
    return out


def wrapped(line: str) -> list[str]:
    """A statement on as many lines as its width asks for.

    >>> wrapped("x = f(" + 40 * "a" + ", " + 40 * "b" + ", g=" + 40 * "c" + ")")[0::4]
    ['x = f(', ')']
    """
    if len(line) <= WIDTH:
        return [line]
    indent, code = STEP * _depth(line), line.lstrip()
    try:
        (statement,) = ast.parse(code).body
    except SyntaxError:
        # The head of a block.
        return [line]
    value = getattr(statement, "value", None)
    # Columns are counted in bytes.
    if not isinstance(value, ast.expr) or not code.isascii():
        return [line]
    front, text = code[: value.col_offset], code[value.col_offset :]
    if isinstance(value, ast.BinOp) and value.end_col_offset == len(code) and len(indent + STEP + text) <= WIDTH:
        return [f"{indent}{front}(", f"{indent}{STEP}{text}", f"{indent})"]
    return _broken(indent, front, text, "")


def _broken(indent: str, front: str, text: str, back: str) -> list[str]:
    """Lines for an expression with text in front and behind; calls and lists are broken at their commas."""
    whole = [f"{indent}{front}{text}{back}"]
    if len(whole[0]) <= WIDTH:
        return whole
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError:
        return whole
    match node:
        case ast.Call(func=function):
            # A chain of calls is broken in the first that is long.
            if isinstance(function, ast.Attribute) and len(indent + front) + (function.end_col_offset or 0) >= WIDTH:
                end = function.value.end_col_offset
                return _broken(indent, front, text[:end], text[end:] + back)
            start = function.end_col_offset or 0
        case ast.List(elts=[_, *_]):
            start = 0
        case _:
            return whole
    inside = text[start + 1 : -1]
    generator = isinstance(node, ast.Call) and any(isinstance(a, ast.GeneratorExp) for a in node.args)
    if node.col_offset or node.end_col_offset != len(text) or text[start] not in "([" or generator or not inside:
        return whole
    opening, closing = f"{indent}{front}{text[: start + 1]}", f"{indent}{text[-1]}{back}"
    if len(indent + STEP + inside) <= WIDTH:
        return [opening, indent + STEP + inside, closing]
    out = [opening]
    for item in _items(inside):
        name = re.match(r"\w+=(?!=)", item)
        start = name.end() if name else 0
        out += _broken(indent + STEP, item[:start], item[start:], ",")
    return [*out, closing]


def _items(text: str) -> list[str]:
    """The parts between the commas of a list of arguments."""
    out, depth, quote, start, at = [], 0, "", 0, 0
    while at < len(text):
        c = text[at]
        if quote:
            at += c == "\\"
            quote = "" if c == quote else quote
        elif c in "\"'":
            quote = c
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
        elif c == "," and not depth:
            out.append(text[start:at].strip())
            start = at + 1
        at += 1
    return [*out, text[start:].strip()]


def _depth(line: str) -> int:
    return (len(line) - len(line.lstrip())) // len(STEP)
