"""A question that stops finding its document is told once, with the right ids and documents, and is over when that is
repaired; and what does no harm is never told. Documents are really read and searched, and the product itself asks."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from pypdf import PdfWriter

from kbfleet.domain.question_runs import RunCause
from local import samples
from tests.proofs.proof import Row
from tests.support.breaches import add_in_console
from tests.support.data_source_configurations import as_sent
from tests.support.losses import Loss, lose
from tests.support.question_worlds import (
    A_ROUND,
    NEIGHBOUR,
    QUESTIONS,
    QUIET,
    STORE,
    TENANT,
    QuestionWorld,
    question_world,
    told_of_questions,
)
from tests.support.virtual_fleet import AN_HOUR, VirtualFleet
from tests.support.virtual_time import Unfinished
from tests.support.world_copies import CopyDied, in_copy

REAL_SECONDS = 300
"""For one regression; it takes a few."""
HARMLESS = 100
_ASKED_AFTER_A_SYNC = 900
"""Seconds: until the index may be trusted to show it, and then once more, if a question has failed."""
Act = Callable[[QuestionWorld], None]


@dataclass(frozen=True)
class Regression:
    """
    Args:
        happens, is_repaired: what somebody does.
        hits: the documents that are not found any more, by one of their questions at least; no others are lost.
        named: the documents that people are told have changed.
        is_ingested: whether a sync brings it about. Else a round finds it.
        least_score: what passages have to have, by the tenant's profile.
    """

    name: str
    happens: Act
    is_repaired: Act
    hits: frozenset[str]
    named: frozenset[str] = frozenset()
    is_ingested: bool = True
    least_score: float = 0.0


# --- what happens to documents ---


def original(key: str, tenant_id: str = TENANT) -> bytes:
    return next(path for path in samples.documents(tenant_id) if path.name == key).read_bytes()


def _put(key: str, body: bytes) -> Act:
    return lambda world: world.put(key, body)


def _bring_back(*keys: str) -> Act:
    return _one_by_one(*(_put(key, original(key)) for key in keys))


def _remove(*keys: str) -> Act:
    return _one_by_one(*(partial(QuestionWorld.remove, key=key) for key in keys))


def _one_by_one(*acts: Act) -> Act:
    def act(world: QuestionWorld) -> None:
        for one in acts:
            one(world)

    return act


def _replaced(name: str, key: str, body: bytes) -> Regression:
    return Regression(name, _put(key, body), _bring_back(key), frozenset({key}), frozenset({key}))


def _page_without_text() -> bytes:
    """A scan that nobody has read."""
    writer, written = PdfWriter(), io.BytesIO()
    writer.add_blank_page(595, 842)
    writer.write(written)
    return written.getvalue()


def _stop_half_way(world: QuestionWorld) -> None:
    """A document is taken out, and comes back; the job that is to read it again is stopped."""
    world.remove("faq.html")
    world.settle()
    world.put("faq.html", original("faq.html"))
    world.until(lambda: world.fleet.sync(TENANT).job is not None, within=AN_HOUR)
    world.fleet.timeline.run_for(60)
    world.lives.stop_in_console(TENANT)


def _sync_by_hand(world: QuestionWorld) -> None:
    world.lives.sync(TENANT)


_CHOIR = b"The choir of the village meets on Mondays at seven. Bring your own cup; tea is made for everybody."
_HANDBOOK, _MANUAL, _FAQ = "employee-handbook.md", "ridgeway-tent-manual.pdf", "faq.html"
_SIDECAR = f"{_MANUAL}.metadata.json"
_DRAFTS = tuple(f"drafts/guarantee-{number}.md" for number in range(6))
_DRAFT = (
    b"For how many months is a new tent guaranteed? We shall say here for how many months a new tent is guaranteed.\n"
    b"How long does the workshop take to repair something? Here, how long the workshop takes to repair something.\n"
)
_TOO_LARGE = json.dumps({"metadataAttributes": {"summary": "tent " * 300}}).encode()


# --- what happens to that which is made of them ---


def _read_one_folder_only(world: QuestionWorld) -> None:
    """The next job forgets all documents that are not in it."""
    _configure(world, inclusionPrefixes=["archive/"])
    world.put("archive/choir.md", _CHOIR)


def _read_all_again(world: QuestionWorld) -> None:
    _configure(world)
    world.lives.sync(TENANT)


def _configure(world: QuestionWorld, **changes: object) -> None:
    """Somebody changes the data source in the console."""
    agent, ids = world.fleet.client("bedrock-agent"), world.lives.data_source(TENANT)
    found = agent.get_data_source(**ids)["dataSource"]
    configuration = as_sent(found["dataSourceConfiguration"])
    bucket = {name: value for name, value in configuration["s3Configuration"].items() if name != "inclusionPrefixes"}
    kept = {
        name: found[name] for name in ("name", "dataDeletionPolicy", "vectorIngestionConfiguration") if name in found
    }
    agent.update_data_source(
        **ids, **kept, dataSourceConfiguration=configuration | {"s3Configuration": bucket | changes}
    )
    world.until(lambda: agent.get_data_source(**ids)["dataSource"]["status"] == "AVAILABLE", within=AN_HOUR)


def _empty_the_index(world: QuestionWorld) -> None:
    lose(world.fleet, STORE, TENANT, Loss.INDEX_REPLACED)


def _provision_again(world: QuestionWorld) -> None:
    world.lives.provisioned(TENANT)


def _with_profile(name: str, **description: object) -> Act:
    def act(world: QuestionWorld) -> None:
        named = {"pathParameters": {"profile": name}, "path": f"/profiles/{name}", "body": json.dumps(description)}
        world.lives.profile("put_profile", named)
        world.lives.given(TENANT, name)

    return act


def _by_the_stack(world: QuestionWorld) -> None:
    """As its parameters say, and no profile."""
    world.fleet.timeline.run_for(1)  # executions are named after the time
    world.lives.given(TENANT, "default")


_ALL = frozenset(QUESTIONS.values())
_STRICT = 0.98
REGRESSIONS: tuple[Regression, ...] = (
    _replaced("a document is replaced by a wrong one", "warranty-policy.md", _CHOIR),
    _replaced(
        "it is replaced by another tenant's", "security-policy.html", original("maintenance-plans.pdf", "sakura")
    ),
    _replaced("it is replaced by one in another language", _HANDBOOK, original("就業規則.md", "sakura")),
    _replaced("it is cut off", "Operations meeting 2026-03-12.md", original("Operations meeting 2026-03-12.md")[:60]),
    _replaced("an old version is restored", "price-list.csv", b"sku,product,price\nTN-R3,Ridgeway 3 tent,299.00\n"),
    _replaced("it is emptied", "expenses-policy.txt", b""),
    _replaced("it is damaged", "rental-terms.pdf", original("rental-terms.pdf")[:2_000]),
    _replaced("it is replaced by a scan that nobody reads", _MANUAL, _page_without_text()),
    Regression("it is deleted", _remove(_FAQ), _bring_back(_FAQ), frozenset({_FAQ}), frozenset({_FAQ})),
    Regression(
        "it is renamed",
        _one_by_one(
            _put("delivery.txt", original("delivery-calendar-2026.txt")), _remove("delivery-calendar-2026.txt")
        ),
        _one_by_one(_bring_back("delivery-calendar-2026.txt"), _remove("delivery.txt")),
        frozenset({"delivery-calendar-2026.txt"}),
        frozenset({"delivery.txt", "delivery-calendar-2026.txt"}),
    ),
    Regression(
        "many drafts crowd it out",
        _one_by_one(*(_put(key, _DRAFT) for key in _DRAFTS)),
        _remove(*_DRAFTS),
        frozenset({"warranty-policy.md"}),
        frozenset(_DRAFTS),
    ),
    Regression(
        "its metadata hides it",
        _put(_SIDECAR, _TOO_LARGE),
        _bring_back(_SIDECAR),
        frozenset({_MANUAL}),
        frozenset({_SIDECAR}),
    ),
    Regression(
        "its metadata cannot be read",
        _put(_SIDECAR, b'{"metadataAttributes": {"year": 2026'),
        _bring_back(_SIDECAR),
        frozenset({_MANUAL}),
        frozenset({_SIDECAR}),
    ),
    Regression("a job is stopped half-way", _stop_half_way, _sync_by_hand, frozenset({_FAQ}), frozenset({_FAQ})),
    Regression(
        "the data source forgets",
        _read_one_folder_only,
        _read_all_again,
        _ALL,
        frozenset({"archive/choir.md"}),
    ),
    Regression("the index is emptied", _empty_the_index, _provision_again, _ALL, is_ingested=False),
    Regression(
        "a profile lets too little through",
        _with_profile("strict", answering={"least_score": _STRICT}),
        _by_the_stack,
        _ALL,
        is_ingested=False,
        least_score=_STRICT,
    ),
)


def told_once(regression: Regression, fleet: VirtualFleet, world: QuestionWorld) -> list[str]:
    """Has it happen, and repaired. Returns: what is wrong with what people are told, in sentences."""
    wrong: list[str] = []
    with world.told():
        try:
            regression.happens(world)
            within = QUIET if regression.is_ingested else A_ROUND
            world.until(lambda: bool(told_of_questions(world.said)), within)
            lost = world.lost(regression.least_score)
            fleet.timeline.run_for(QUIET)
            wrong += _wrong_with_what_is_told(regression, world, lost)
            regression.is_repaired(world)
            world.until(lambda: len(told_of_questions(world.said)) > 1, A_ROUND)
            fleet.timeline.run_for(QUIET)
        except Unfinished as error:
            return [*wrong, f"{error}: people were told {world.said}, and lost are {world.lost()}"]
        if [each.over for each in told_of_questions(world.said)] != [False, True]:
            wrong.append(f"people were told {world.said}")
        if left := world.lost():
            wrong.append(f"it is over, and {left} are lost")
    return wrong


def _wrong_with_what_is_told(regression: Regression, world: QuestionWorld, lost: set[str]) -> Iterator[str]:
    told, *more = told_of_questions(world.said)
    if more:
        yield f"it is told {1 + len(more)} times"
    hit = {key for text, key in QUESTIONS.items() if world.ids[text] in lost}
    if not hit <= regression.hits or not hit:
        yield f"questions about {hit or 'nothing'} are lost"
    if told.ids != lost or told.numbers != (len(lost), len(world.ids)):
        yield f"{lost} are lost, and people are told {told.text}"
    if told.documents != regression.named:
        yield f"{set(regression.named)} have changed, and people are told {told.documents}: {told.text}"
    if told.says_the_sync is not regression.is_ingested:
        yield f"which sync it was after is not said as it should be: {told.text}"


# --- what does no harm ---

_TOPICS = tuple(QUESTIONS.items())
_AT_ONCE = 2
"""New documents on one question's topic: with more of them than there are places, it is right to say that none is left
for the document that is expected."""


def _quotes(text: str, key: str) -> str:
    """It comes first for this question, and is no reason to complain."""
    return f"# Asked at the counter\n\n{text} Please look into {key}; it is answered there.\n"


def _announces(text: str, key: str) -> str:
    words = " ".join(reversed(text.rstrip("?").split()))
    return f"# What is new\n\nWe have looked through {key}. About this nothing has changed: {words}.\n"


def _minutes(text: str, _key: str) -> str:
    return f"# Minutes\n\nPresent: everybody.\n\n1. {text}\nMaria will write to those who have asked.\n\n2. Lunch.\n"


def _in_another_language(text: str, key: str) -> str:
    return f"# お知らせ\n\nよくある質問「{text}」の答えは {key} にあります。\n"


_WORDS = (_quotes, _announces, _minutes, _in_another_language)


def _on_topic(number: int) -> Act:
    """A new document about what a question asks; the one before the last on that topic goes."""
    text, key = _TOPICS[number % len(_TOPICS)]
    turn = number // len(_TOPICS)

    def act(world: QuestionWorld) -> None:
        world.put(_news(number), _WORDS[turn % len(_WORDS)](text, key).encode())
        if turn >= _AT_ONCE:
            world.remove(_news(number - _AT_ONCE * len(_TOPICS)))

    return act


def _news(number: int) -> str:
    return f"news/{number:03}.md"


def _longer(key: str) -> Act:
    return _put(key, original(key) + b"\n\nThis was looked through in November. Nothing had to be changed.\n")


def _shown_late(world: QuestionWorld) -> None:
    """The index takes longer to show it than golden questions wait."""
    world.lives.order({"effect": "vectors_not_searchable", "seconds": 400, "count": 1})
    _longer(_HANDBOOK)(world)


def _searches_refused(world: QuestionWorld) -> None:
    refused = {"code": "ThrottlingException", "message": "Your request rate is too high."}
    world.lives.order({"effect": "error", "operation": "Retrieve", "count": 12, **refused})
    _put("unread.md", _CHOIR)(world)


def _searches_denied(world: QuestionWorld) -> None:
    """For a moment, Bedrock finds that it may not: that says nothing of the documents."""
    denied = {"code": "AccessDeniedException", "message": "no"}
    world.lives.order({"effect": "error", "operation": "Retrieve", "count": 5, **denied})
    _remove("unread.md")(world)


def _job_fails_once(world: QuestionWorld) -> None:
    world.lives.order({"effect": "job_fails", "failureReasons": ["Internal."], "count": 1})
    _bring_back(_HANDBOOK)(world)
    world.settle()
    _sync_by_hand(world)


def _held_for_a_while(world: QuestionWorld) -> None:
    world.lives.api("put_suspension", TENANT)
    world.fleet.timeline.run_for(AN_HOUR)
    world.lives.api("delete_suspension", TENANT)
    _put("choir.md", _CHOIR)(world)


_SERENE = json.dumps({"metadataAttributes": {"department": "shops", "year": 2026}}).encode()
BESIDE: tuple[Act, ...] = (
    _put("stories/choir.md", _CHOIR),
    _remove("stories/choir.md"),
    _bring_back("warranty-policy.md", "price-list.csv", _MANUAL),
    _longer("warranty-policy.md"),
    _bring_back("warranty-policy.md"),
    _put("warranty-policy.md.metadata.json", _SERENE),
    _remove("warranty-policy.md.metadata.json"),
    _sync_by_hand,
    _put("stories/empty.md", b""),
    _remove("stories/empty.md"),
    _shown_late,
    _job_fails_once,
    _searches_refused,
    _searches_denied,
    _held_for_a_while,
    _remove("choir.md"),
)
"""What happens beside the questions' own topics, over and over."""


def harmless(number: int) -> Act:
    """Every other one is a new document on the topic of a question."""
    return _on_topic(number // 2) if number % 2 == 0 else BESIDE[number // 2 % len(BESIDE)]


def false_alarms(numbers: Sequence[int], fleet: VirtualFleet, world: QuestionWorld) -> list[str | None]:
    """One sync after the other. Returns: for each what is wrong, with what people are told."""
    outcomes: list[str | None] = []
    with world.told():
        for number in numbers:
            before = len(world.said), _last_change(world)
            harmless(number)(world)
            world.settle()
            fleet.timeline.run_for(_ASKED_AFTER_A_SYNC)
            said, asked = world.said[before[0] :], _last_change(world) != before[1]
            wrong = [f"people are told {said}"] if said else []
            wrong += [] if asked else ["nobody has asked after it"]
            outcomes.append(f"harmless({number}): {'; '.join(wrong)}" if wrong else None)
    return outcomes


def _last_change(world: QuestionWorld) -> str | None:
    """The last run that was made because something was ingested."""
    return next((str(run["run"]) for run in world.runs() if run["cause"] == RunCause.CHANGE), None)


# --- another tenant's documents ---


def foreign_passage_told(fleet: VirtualFleet, world: QuestionWorld) -> list[str]:
    """Somebody has a data source read the neighbour's bucket: the next round of questions finds it, and nobody else
    looks. It is a breach, and no question has regressed."""
    world.lives.open_the_service_role(TENANT)
    with world.told():
        add_in_console(world.lives, TENANT, NEIGHBOUR)
        try:
            world.until(lambda: bool(world.said), A_ROUND)
        except Unfinished as error:
            return [str(error)]
        fleet.timeline.run_for(QUIET)
        wrong = [] if len(world.said) == 1 else [f"people are told {world.said}"]
        if f"{TENANT}: something within its reach is not its own" not in world.said[0]:
            wrong.append(f"the breach is told as {world.said[0]}")
        if regressed := told_of_questions(world.said):
            wrong.append(f"and questions are told {regressed}")
        troubles = {verdict["trouble"] for verdict in world.runs()[0]["verdicts"]}
        if "IsolationBreached" not in troubles:
            wrong.append(f"the round came to {world.runs()[0]}")
    return wrong


# --- rows ---


def prove() -> Row:
    """Regressions each in a world of its own; and what does no harm in one world, one after the other."""
    row = Row(
        f"golden questions: {len(REGRESSIONS)} regressions told once, {HARMLESS} harmless syncs told never", STORE
    )
    with question_world() as world:
        for regression in REGRESSIONS:
            row.add(_tried(world, regression.name, partial(told_once, regression)))
        row.add(_tried(world, "a data source reads another tenant's bucket", foreign_passage_told))
        try:
            alarms = in_copy(
                world.fleet, lambda fleet: false_alarms(range(HARMLESS), fleet, world), within=4 * REAL_SECONDS
            )
        except CopyDied as error:
            alarms = [str(error)]
        for alarm in alarms:
            row.add(alarm)
    row.findings.append("; ".join(regression.name for regression in REGRESSIONS))
    return row


def _tried(world: QuestionWorld, name: str, work: Callable[..., list[str]]) -> str | None:
    try:
        wrong = in_copy(world.fleet, lambda fleet: work(fleet, world), within=REAL_SECONDS)
    except CopyDied as error:
        wrong = [str(error)]
    return f"{name}: {'; '.join(wrong)}" if wrong else None
