"""Guardrails as word lists: service ``bedrock`` makes them, and other services ask what they say of a text.

Of a guardrail's policies only the words of its own are emulated. AWS says of them that they match exactly (AWS
documentation, "Remove a specific list of words and phrases"); that case does not count, and that a word does not match
within a longer one, is inferred. In scripts without spaces a word matches wherever it stands.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bedrock_emulator.account import Account
from bedrock_emulator.wire.errors import ServiceError, conflict, not_found, validation
from bedrock_emulator.wire.paging import page
from bedrock_emulator.world.records import Guardrail, GuardrailVersion

Members = dict[str, Any]
Side = Literal["INPUT", "OUTPUT"]

DRAFT = "DRAFT"
_ID_CHARACTERS = string.ascii_lowercase + string.digits
_UNKNOWN = "The guardrail identifier or version provided in the request does not exist."  # reported by users
_UNIT = 1_000  # characters, AWS documentation, "Amazon Bedrock pricing": a text unit


class Guardrails:
    """Operations of service ``bedrock`` by their names in the model, in snake case."""

    def __init__(self, account: Account) -> None:
        """``account`` holds the state."""
        self._account = account

    def create_guardrail(self, given: Members) -> Members:
        """Version DRAFT, READY at once. ConflictException when the name is taken."""
        account = self._account
        earlier: Guardrail | None = account.remembered("CreateGuardrail", given.get("clientRequestToken"))
        if earlier is None:
            self._check_name(given["name"])
            identifier = "".join(secrets.choice(_ID_CHARACTERS) for _ in range(12))
            arn = account.arn("bedrock", f"guardrail/{identifier}")
            made = Guardrail(identifier, arn, account.now(), {DRAFT: self._version(given, given.get("description"))})
            account.guardrails[identifier] = earlier = made
            account.remember("CreateGuardrail", given.get("clientRequestToken"), made)
        return {**_named(earlier, DRAFT), "createdAt": earlier.created_at}

    def update_guardrail(self, given: Members) -> Members:
        """Replaces the draft; versions stay as they are."""
        guardrail = self._find(given)
        if given["name"] != guardrail.versions[DRAFT].name:
            self._check_name(given["name"])
        guardrail.versions[DRAFT] = self._version(given, given.get("description"))
        return {**_named(guardrail, DRAFT), "updatedAt": self._account.now()}

    def create_guardrail_version(self, given: Members) -> Members:
        """The draft as it is now, numbered from 1."""
        token = given.get("clientRequestToken")
        if earlier := self._account.remembered("CreateGuardrailVersion", token):
            return dict(earlier)
        guardrail = self._find(given)
        draft = guardrail.versions[DRAFT]
        guardrail.last_version += 1
        number = str(guardrail.last_version)
        guardrail.versions[number] = GuardrailVersion(
            draft.name, given.get("description"), draft.words, draft.on_input, draft.on_output, self._account.now()
        )
        made = {"guardrailId": guardrail.identifier, "version": number}
        self._account.remember("CreateGuardrailVersion", token, made)
        return made

    def get_guardrail(self, given: Members) -> Members:
        """The draft, unless a version is named."""
        guardrail = self._find(given)
        number = given.get("guardrailVersion", DRAFT)
        version = self._of_version(guardrail, number)
        return {
            **_named(guardrail, number),
            "name": version.name,
            "description": version.description,
            "status": "READY",
            "wordPolicy": {"words": version.words} if version.words else None,
            "blockedInputMessaging": version.on_input,
            "blockedOutputsMessaging": version.on_output,
            "createdAt": guardrail.created_at,
            "updatedAt": version.updated_at,
        }

    def list_guardrails(self, given: Members) -> Members:
        """The draft of each guardrail; all versions of one that is named."""
        named = given.get("guardrailIdentifier")
        if named is not None:
            guardrail = self._find(given)
            listed = [(guardrail, number) for number in guardrail.versions]
        else:
            listed = [(guardrail, DRAFT) for guardrail in self._account.guardrails.values()]
        shown, token = page(listed, f"ListGuardrails {named}", given.get("maxResults"), given.get("nextToken"))
        return {"guardrails": [_summary(guardrail, number) for guardrail, number in shown], "nextToken": token}

    def delete_guardrail(self, given: Members) -> Members:
        """The guardrail with all versions, or the version that is named."""
        guardrail = self._find(given)
        number = given.get("guardrailVersion")
        if number is None:
            del self._account.guardrails[guardrail.identifier]
        else:
            self._of_version(guardrail, number)
            del guardrail.versions[number]
        return {}

    def _version(self, given: Members, description: str | None) -> GuardrailVersion:
        words = given.get("wordPolicyConfig", {}).get("wordsConfig", [])
        now = self._account.now()
        messages = given["blockedInputMessaging"], given["blockedOutputsMessaging"]
        return GuardrailVersion(given["name"], description, words, *messages, now)

    def _check_name(self, name: str) -> None:
        if any(guardrail.versions[DRAFT].name == name for guardrail in self._account.guardrails.values()):
            # That names are unique is documented by the operation's ConflictException; its words are ours.
            raise conflict(f"Another guardrail in your account already has the name {name}.")

    def _find(self, given: Members) -> Guardrail:
        found = _guardrail(self._account, given["guardrailIdentifier"])
        if found is None:
            raise not_found(f"Guardrail {given['guardrailIdentifier']} does not exist.")
        return found

    def _of_version(self, guardrail: Guardrail, number: str) -> GuardrailVersion:
        if number not in guardrail.versions:
            raise not_found(f"Guardrail {guardrail.identifier} has no version {number}.")
        return guardrail.versions[number]


@dataclass(frozen=True)
class Assessment:
    """What a guardrail says of a text: the words of its list that are in it, and whether one of them blocks it."""

    words: tuple[Members, ...]
    blocked: bool

    def told(self) -> Members:
        """As a ``GuardrailAssessment`` of the models."""
        return {"wordPolicy": {"customWords": list(self.words), "managedWordLists": []}} if self.words else {}


@dataclass(frozen=True)
class Guard:
    """A guardrail in force for one call. ``message`` gives what is answered in place of a blocked text."""

    identifier: str
    version: GuardrailVersion

    def assess(self, side: Side, text: str) -> Assessment:
        """Look for the words that count on this side."""
        found = []
        for word in self.version.words:
            if word.get(f"{side.lower()}Enabled", True) and _contains(text, word["text"]):
                blocks = word.get(f"{side.lower()}Action", "BLOCK") == "BLOCK"
                found.append({"match": word["text"], "action": "BLOCKED" if blocks else "NONE", "detected": True})
        return Assessment(tuple(found), any(word["action"] == "BLOCKED" for word in found))

    def message(self, side: Side) -> str:
        """What the guardrail's maker has written for it."""
        return self.version.on_input if side == "INPUT" else self.version.on_output


def guard(
    account: Account,
    identifier: str,
    version: str,
    missing: Callable[[str], ServiceError] = validation,
) -> Guard:
    """The guardrail that a call names by its id or ARN. ServiceError of kind ``missing`` when there is none."""
    with account.lock:
        found = _guardrail(account, identifier)
        if found is None or version not in found.versions:
            raise missing(_UNKNOWN)
        return Guard(found.identifier, found.versions[version])


def apply_guardrail(account: Account, given: Mapping[str, Any]) -> Members:
    """ApplyGuardrail of service ``bedrock-runtime``."""
    guarding = guard(account, given["guardrailIdentifier"], given["guardrailVersion"], not_found)
    side: Side = given["source"]
    texts = [block["text"]["text"] for block in given["content"]]
    assessment = guarding.assess(side, "\n".join(texts))
    characters = sum(len(text) for text in texts)
    usage = dict.fromkeys(
        (
            "topicPolicyUnits",
            "contentPolicyUnits",
            "sensitiveInformationPolicyUnits",
            "sensitiveInformationPolicyFreeUnits",
            "contextualGroundingPolicyUnits",
        ),
        0,
    )
    return {
        "usage": {**usage, "wordPolicyUnits": -(-characters // _UNIT)},
        "action": "GUARDRAIL_INTERVENED" if assessment.blocked else "NONE",
        "outputs": [{"text": guarding.message(side)}] if assessment.blocked else [],
        "assessments": [assessment.told()] if assessment.words else [],
        "guardrailCoverage": {"textCharacters": {"guarded": characters, "total": characters}},
    }


def _guardrail(account: Account, identifier: str) -> Guardrail | None:
    found = account.guardrails.get(identifier)
    return found or next((each for each in account.guardrails.values() if each.arn == identifier), None)


def _contains(text: str, word: str) -> bool:
    edges = (r"(?<![^\W_])" if _is_spaced(word[0]) else "", r"(?![^\W_])" if _is_spaced(word[-1]) else "")
    return re.search(edges[0] + re.escape(word) + edges[1], text, re.IGNORECASE) is not None


def _is_spaced(character: str) -> bool:
    """Whether it is a letter or digit of a script that parts its words by spaces; roughly, below the CJK symbols."""
    return character.isalnum() and character < "\u2e80"


def _named(guardrail: Guardrail, number: str) -> Members:
    return {"guardrailId": guardrail.identifier, "guardrailArn": guardrail.arn, "version": number}


def _summary(guardrail: Guardrail, number: str) -> Members:
    version = guardrail.versions[number]
    return {
        "id": guardrail.identifier,
        "arn": guardrail.arn,
        "status": "READY",
        "name": version.name,
        "description": version.description,
        "version": number,
        "createdAt": guardrail.created_at,
        "updatedAt": version.updated_at,
    }
