"""What kbfleet tells people to do, collected from the code that says it.

An advice is a text that names a command to run (of kbfleet, of the local AWS, of `sam` or of the AWS CLI), or that
stands where an error, a finding or a check says what is to be done. Docstrings are none, but for those of commands,
which are their help.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.support.template import REPOSITORY

_PLACES = ("cli", "functions", "layers/kbfleet/kbfleet", "local")
_ADVISING = {"remedy", "advice", "way_out", "before"}
"""Parameters and variables that hold what is to be done."""
_HOP_ADVICE = 3
"""The argument of `Hop` that says what is to be done."""
_COMPARING = {"startswith", "endswith", "removeprefix", "removesuffix"}
_IN_BACKTICKS = re.compile(r"`((?:kbfleet-local|kbfleet|sam|aws) [^`]+)`")
_BARE = re.compile(r"(?:^|(?<=: ))((?:kbfleet-local|kbfleet) [a-z{].*)")
_NO_COMMANDS = re.compile(r"kbfleet (?:cannot|is|may|waits|tries|does|local development|verify(?:: |$)|\{shlex)")
"""What begins with the product's name, and speaks of it."""
_NO_ADVICE = {"cli/verify/facts.py"}
"""What is said there of `kbfleet verify`, it says to whoever writes it."""


@dataclass(frozen=True, order=True)
class Advice:
    """One text, as the code has it.

    Args:
        place: the module, below the repository.
        scope: the class and function that say it.
        text: with what is filled in as `{expression}`.
        lines: in the module, from where to where it stands.
    """

    place: str
    scope: str
    text: str
    lines: tuple[int, int] = field(default=(0, 0), compare=False)

    @property
    def key(self) -> str:
        return f"{self.place}::{self.scope}: {self.text}"

    @property
    def commands(self) -> list[str]:
        return commands_in(self.text)

    def said_in(self, texts: Iterable[str]) -> Iterator[str]:
        """What of these texts it has become, with something filled in; their white space is single."""
        fixed = re.split(r"\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}", " ".join(self.text.split()))
        pattern = re.compile(".*?".join(map(re.escape, fixed)))
        # What begins with a command is nothing else.
        look = pattern.fullmatch if _BARE.match(self.text) else pattern.search
        return (found[0] for text in texts if (found := look(text)))


def commands_in(text: str) -> list[str]:
    """Those in backticks, and one with which the text begins, or ends behind a colon."""
    found = [*_IN_BACKTICKS.findall(text), *_BARE.findall(_IN_BACKTICKS.sub("", text))]
    return [each for each in found if not _NO_COMMANDS.match(each)]


@cache
def of_the_code() -> tuple[Advice, ...]:
    """Every one, in the order of modules."""
    found = [path for place in _PLACES for path in sorted((REPOSITORY / place).rglob("*.py"))]
    paths = [path for path in found if path.relative_to(REPOSITORY).as_posix() not in _NO_ADVICE]
    return tuple(dict.fromkeys(each for path in paths for each in _of_module(path)))


@cache
def verbs() -> tuple[str, ...]:
    """What messages put before a tenant's id: the first argument of `Deployment.command` and `commands`, wherever it is
    written down."""
    found = set[str]()
    for path in sorted((REPOSITORY / "layers" / "kbfleet" / "kbfleet").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(attr="command" | "commands"), args=[ast.Constant(value=str(verb)), _]):
                    found.add(verb)
    return tuple(sorted(found))


def _of_module(path: Path) -> Iterator[Advice]:
    place = path.relative_to(REPOSITORY).as_posix()
    tree = ast.parse(path.read_text("utf-8"))
    yield from _below(tree, place, (), advising=False)


def _below(node: ast.AST, place: str, scope: tuple[str, ...], *, advising: bool) -> Iterator[Advice]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        scope = (*scope, node.name)
    if (text := _text(node)) is not None:
        lines = (node.lineno, node.end_lineno or node.lineno)  # type: ignore[attr-defined]
        one = Advice(place, ".".join(scope), text, lines)
        if text.strip() and (one.commands or advising):
            yield one
        return
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _COMPARING:
        return
    for child in ast.iter_child_nodes(node):
        if not _is_docstring(node, child):
            yield from _below(child, place, scope, advising=_advises(node, child, advising))


def _text(node: ast.AST) -> str | None:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(
                str(part.value) if isinstance(part, ast.Constant) else f"{{{ast.unparse(part.value)}}}"  # type: ignore[attr-defined]
                for part in parts
            )
    return None


def _is_docstring(node: ast.AST, child: ast.AST) -> bool:
    """Those of commands are read by people."""
    if any("command(" in ast.unparse(each) for each in getattr(node, "decorator_list", ())):
        return False
    return isinstance(child, ast.Expr) and _text(child.value) is not None


def _advises(node: ast.AST, child: ast.AST, advising: bool) -> bool:
    """Whether the child is what is to be done, where `node` was as `advising` says."""
    match node:
        case ast.keyword(arg=str(name)):
            return name in _ADVISING
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if child is value:
            return name in _ADVISING
        case ast.Call(func=ast.Name(id="Hop"), args=given):
            return len(given) > _HOP_ADVICE and child is given[_HOP_ADVICE]
        case ast.IfExp(test=test):
            return advising and child is not test
        case ast.Tuple(elts=[first, _, last]) if ast.unparse(first).startswith("Verdict."):
            return child is last
        case ast.Call() | ast.FormattedValue() | ast.Subscript() | ast.Compare():
            return False
        case ast.stmt():
            return False
    return advising
