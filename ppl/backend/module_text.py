"""The text of a native module: what it uses is imported or written out, so that it runs without Credo.

Emitted lines call helpers as `runtime.gather(...)` or `modules.FunctionModule(...)`. Here each helper that is called is
copied from its file into the text, with whatever it calls itself, and goes by its own name.
"""

from __future__ import annotations

import ast
import functools
import pkgutil
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .families import Library

ARRAY_LIBRARY: dict[Library, str] = {"pyro": "torch", "numpyro": "jax"}
HELPERS = ("modules", "runtime")
# How native text names what it imports; further names come with the helpers.
IMPORTS: dict[Library, dict[str, str]] = {
    "pyro": {
        "F": "import torch.nn.functional as F",
        "dist": "import pyro.distributions as dist",
        "pyro": "import pyro",
        "torch": "import torch",
    },
    "numpyro": {
        "dist": "import numpyro.distributions as dist",
        "eqx": "import equinox as eqx",
        "eqx_module": "from numpyro.contrib.module import eqx_module",
        "jax": "import jax",
        "jnp": "import jax.numpy as jnp",
        "jsp": "import jax.scipy.special as jsp",
        "numpyro": "import numpyro",
        "scan": "from numpyro.contrib.control_flow import scan",
    },
}
COMMON = {
    "OrderedDict": "from collections import OrderedDict",
    "Path": "from pathlib import Path",
    "np": "import numpy as np",
}


@dataclass(frozen=True)
class Definition:
    """A function, class or table in a file of helpers.

    Attributes:
        name: what it defines.
        text: its source, with the comment above it.
        uses: names that occur in it.
    """

    name: str
    text: str
    uses: frozenset[str]


@dataclass(frozen=True)
class HelperFile:
    """What a file of helpers defines and imports.

    Attributes:
        definitions: by name.
        imports: for each imported name the line that imports it.
        siblings: for each name from a neighbouring file, that file.
    """

    definitions: dict[str, Definition] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)
    siblings: dict[str, str] = field(default_factory=dict)


@functools.cache
def helper_file(module: str) -> HelperFile:
    """A file of this folder, read as text: emitting needs neither torch nor JAX."""
    raw = pkgutil.get_data("ppl.backend", f"{module}.py")
    assert raw is not None
    text = raw.decode()
    lines = text.splitlines()
    out = HelperFile()
    for node in ast.parse(text).body:
        match node:
            case ast.Import():
                for alias in node.names:
                    out.imports[alias.asname or alias.name] = ast.unparse(ast.Import([alias]))
            case ast.ImportFrom(level=1):
                out.siblings.update(dict.fromkeys((a.name for a in node.names), str(node.module)))
            case ast.ImportFrom():
                for alias in node.names:
                    line = ast.unparse(ast.ImportFrom(node.module, [alias], 0))
                    out.imports[alias.asname or alias.name] = line
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.Assign(targets=[ast.Name(id=name)]):
                first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))]) - 1
                while lines[first - 1].startswith("#") and not lines[first - 1].startswith("# ---"):
                    first -= 1
                own = "\n".join(lines[first : node.end_lineno])
                uses = frozenset(n.id for n in ast.walk(node) if isinstance(n, ast.Name))
                out.definitions[name] = Definition(name, own, uses - {name})
            case _:
                pass
    return out


def helpers_for(wanted: Iterable[tuple[str, str]]) -> tuple[list[Definition], set[str]]:
    """Helpers with all that they call, what is called before what calls it; and the imports that these need.

    Args:
        wanted: pairs of file and name.
    """
    found: dict[tuple[str, str], Definition] = {}
    imports: set[str] = set()

    def visit(module: str, name: str) -> None:
        file = helper_file(module)
        if name in file.siblings:
            return visit(file.siblings[name], name)
        if name in file.imports:
            imports.add(file.imports[name])
        definition = file.definitions.get(name)
        if definition is not None and (module, name) not in found:
            for used in sorted(definition.uses):
                visit(module, used)
            found[module, name] = definition
        return None

    for module, name in wanted:
        visit(module, name)
    # Two helpers of one name would hide each other; a helper that needs Credo would not run without it.
    assert len({d.name for d in found.values()}) == len(found)
    assert not [line for line in imports if re.match(r"(from|import) ppl\b", line)], imports
    return list(found.values()), imports


def module_text(library: Library, blocks: Sequence[str], imports: Iterable[str] = ()) -> str:
    """A module from its definitions: imports and helpers come in front.

    Args:
        library: whose module it is.
        blocks: definitions in order, without blank lines around them.
        imports: lines that are needed beside those for the names that occur.
    """
    body = joined(blocks)
    tree = ast.parse(body)
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and _owner(n) in HELPERS]
    wanted = sorted({(f"{ARRAY_LIBRARY[library]}_{_owner(n)}", n.attr) for n in calls})
    definitions, lines = helpers_for(wanted)
    known = {**COMMON, **IMPORTS[library]}
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    lines |= {known[name] for name in used if name in known} | set(imports)
    # A variable of the model may have a helper's name, or something that is imported; these were there first.
    taken = _bound(tree) | used & set(known)
    names = {d.name: f"_{d.name}" if d.name in taken else d.name for d in definitions}
    body = _replaced(body, [(n, names[n.attr]) for n in calls])
    helpers = [_renamed(d.text, {k: v for k, v in names.items() if k != v}) for d in definitions]
    return joined([import_text(lines), *helpers, body]) + "\n"


def import_text(lines: Iterable[str]) -> str:
    """Import lines in the usual order: the standard library first, modules before names."""
    groups: tuple[list[str], list[str]] = ([], [])
    names: dict[str, set[str]] = {}
    for line in set(lines):
        if line.startswith("from "):
            module, _, rest = line.removeprefix("from ").partition(" import ")
            names.setdefault(module, set()).add(rest)
        else:
            groups[_root(line.split()[1]) not in sys.stdlib_module_names].append(line)
    for group in groups:
        group.sort(key=lambda line: line.split()[1])
    for module in sorted(names):
        group = groups[_root(module) not in sys.stdlib_module_names]
        group.append(f"from {module} import {', '.join(sorted(names[module]))}")
    return "\n\n".join("\n".join(group) for group in groups if group)


def joined(blocks: Iterable[str]) -> str:
    """Blocks with the blank lines between them that Python's readers expect."""
    out = ""
    for block in filter(None, blocks):
        code = next(line for line in block.split("\n") if not line.startswith("#"))
        wide = code.startswith(("def ", "class ", "@")) or out.rsplit("\n", 1)[-1].startswith(" ")
        out += ("\n\n\n" if wide else "\n\n") * bool(out) + block
    return out


def _root(module: str) -> str:
    return module.partition(".")[0]


def _owner(node: ast.Attribute) -> str:
    return node.value.id if isinstance(node.value, ast.Name) else ""


def _bound(tree: ast.AST) -> set[str]:
    """All names that a text gives to something."""
    out: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name) | ast.FunctionDef(name=name):
                out.add(name)
            case _:
                pass
    return out


def _replaced(text: str, spots: Iterable[tuple[ast.expr, str]]) -> str:
    """Text with some of its expressions, each on one line, written differently."""
    # Python counts columns in bytes.
    lines = [line.encode() for line in text.split("\n")]
    for node, new in sorted(spots, key=lambda spot: (spot[0].lineno, spot[0].col_offset), reverse=True):
        line = lines[node.lineno - 1]
        lines[node.lineno - 1] = line[: node.col_offset] + new.encode() + line[node.end_col_offset :]
    return b"\n".join(lines).decode()


def _renamed(text: str, names: dict[str, str]) -> str:
    """A definition in which some names are called differently."""
    for old, new in names.items():
        spots = [(n, new) for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name) and n.id == old]
        text = re.sub(rf"^(def|class) {re.escape(old)}\b", rf"\1 {new}", _replaced(text, spots), flags=re.MULTILINE)
    return text
