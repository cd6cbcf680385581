"""Knowledge bases and data sources as kbfleet sees them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from kbfleet.domain.aws_status import AwsStatus
from kbfleet.domain.bounds import bounded_texts
from kbfleet.domain.errors import (
    DataSourceFailed,
    DataSourceNotReady,
    KnowledgeBaseFailed,
    KnowledgeBaseNotReady,
    NotReadyYet,
)
from kbfleet.domain.names import Knowledge

_GROWTH = 0.15
_LEAST_WAIT = timedelta(seconds=1)
"""The shortest wait that Step Functions knows."""
_USUAL_UPDATE = timedelta(seconds=5)
"""Of a knowledge base or a data source; a guess."""


class KnowledgeBaseStatus(AwsStatus):
    """Source: botocore service model of bedrock-agent, shape KnowledgeBaseStatus."""

    CREATING = "CREATING"
    ACTIVE = "ACTIVE"
    DELETING = "DELETING"
    UPDATING = "UPDATING"
    FAILED = "FAILED"
    DELETE_UNSUCCESSFUL = "DELETE_UNSUCCESSFUL"
    UPDATE_UNSUCCESSFUL = "UPDATE_UNSUCCESSFUL"
    UNKNOWN = "UNKNOWN"

    @property
    def changing(self) -> bool:
        """Whether it may become another by itself. What Bedrock refuses meanwhile, it may take later."""
        passing = {KnowledgeBaseStatus.CREATING, KnowledgeBaseStatus.UPDATING, KnowledgeBaseStatus.DELETING}
        return self in passing | {KnowledgeBaseStatus.UNKNOWN}

    @property
    def of_no_use(self) -> bool:
        """Whether nothing can be had of it any more, nor will be."""
        return self in {
            KnowledgeBaseStatus.FAILED,
            KnowledgeBaseStatus.DELETING,
            KnowledgeBaseStatus.DELETE_UNSUCCESSFUL,
        }


class KnowledgeBaseKind(StrEnum):
    """Source: botocore service model of bedrock-agent, shape KnowledgeBaseType; only the kinds that kbfleet makes."""

    VECTOR = "VECTOR"
    MANAGED = "MANAGED"

    @property
    def quota(self) -> int:
        """Most knowledge bases of this kind in an account and Region; AWS may give more of MANAGED. Source: AWS
        documentation, Quotas for Amazon Bedrock."""
        return {KnowledgeBaseKind.VECTOR: 100, KnowledgeBaseKind.MANAGED: 10_000}[self]

    @property
    def concurrent_jobs(self) -> int | None:
        """Most ingestion jobs at once in an account and Region, not adjustable; `None` where only each knowledge base
        has a limit, which one data source cannot reach. Source: AWS documentation, Quotas for Amazon Bedrock (for
        MANAGED 50 a knowledge base)."""
        return {KnowledgeBaseKind.VECTOR: 5, KnowledgeBaseKind.MANAGED: None}[self]

    @property
    def concurrent_candidates(self) -> int | None:
        """Most first ingestions of candidates at once: what is left of the jobs is the fleet's own (decision 70)."""
        return {KnowledgeBaseKind.VECTOR: 3, KnowledgeBaseKind.MANAGED: None}[self]


@dataclass(frozen=True, slots=True)
class KnowledgeBase:
    """A knowledge base as Bedrock describes it.

    Args:
        configuration: `knowledgeBaseConfiguration` and, unless it is of type MANAGED, `storageConfiguration`, in the
            API's own words. Neither can be changed once it is made.
        described: whether its description is the fleet's.
        role_arn: the service role that it assumes.
        status_since: when its status last changed.
    """

    knowledge_base_id: str
    arn: str
    name: str
    status: KnowledgeBaseStatus
    created_at: datetime
    status_since: datetime
    failure_reasons: tuple[str, ...] = ()
    configuration: Mapping[str, object] = field(default_factory=dict)
    described: bool = True
    role_arn: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "failure_reasons", bounded_texts(self.failure_reasons))

    @property
    def kind(self) -> KnowledgeBaseKind | None:
        return kind_of(self.configuration)

    def stores_as(self, wanted: Mapping[str, object]) -> bool:
        """Whether its vectors are where a knowledge base made with the arguments `wanted` would have them."""
        storage = wanted.get("storageConfiguration", {})
        return _holds(self.configuration.get("storageConfiguration", {}), storage) and kind_of(wanted) == self.kind

    def drift_from(self, wanted: Mapping[str, object]) -> tuple[str, ...]:
        """What it was made with that a new one would be made without, for people; Bedrock cannot change it."""
        own, new = self.configuration.get("knowledgeBaseConfiguration"), wanted.get("knowledgeBaseConfiguration")
        if _holds(own, new):
            return ()
        return (
            f"Knowledge base {self.knowledge_base_id} was made with {json.dumps(own, sort_keys=True)}, a new one would "
            f"be made with {json.dumps(new, sort_keys=True)}. It works as it is; to change it, offboard the tenant "
            "and provision it anew.",
        )

    def ready(self, *, now: datetime, deadline: datetime) -> bool:
        """Whether documents can be ingested and questions asked; `False` means look again later.

        Raises:
            NotReadyYet: it is being deleted, so its name is not free yet either.
            KnowledgeBaseFailed: Bedrock gave it up.
            KnowledgeBaseNotReady: the deadline has passed.
        """
        match self.status:
            case KnowledgeBaseStatus.ACTIVE | KnowledgeBaseStatus.UPDATE_UNSUCCESSFUL:
                return True
            case KnowledgeBaseStatus.DELETING:
                raise NotReadyYet(f"Knowledge base {self.name} ({self.knowledge_base_id}) is being deleted.")
            case KnowledgeBaseStatus.FAILED | KnowledgeBaseStatus.DELETE_UNSUCCESSFUL:
                reasons = "; ".join(self.failure_reasons) or "no reason given"
                raise KnowledgeBaseFailed(
                    f"Knowledge base {self.name} ({self.knowledge_base_id}) is {self.status}: {reasons}.",
                    remedy="Fix the cause, delete that knowledge base, then provision the tenant again.",
                )
        if now >= deadline:
            raise KnowledgeBaseNotReady(
                f"Knowledge base {self.name} ({self.knowledge_base_id}) is still {self.status} at the deadline.",
                remedy="Provision the tenant again: it takes up where this execution stopped.",
            )
        return False

    def look_again_after(self, now: datetime, usual: timedelta, deadline: datetime) -> timedelta:
        """How long to wait before looking at it again while it is not ready; see `_look_again_after`.

        Args:
            usual: how long it usually takes to be created.
            deadline: as of `ready`.
        """
        # One that is ready has just been asked to change, and does not say so yet.
        elapsed = timedelta() if self.status in _READY else now - self.status_since
        creating = self.status is KnowledgeBaseStatus.CREATING
        return _look_again_after(elapsed, usual if creating else _USUAL_UPDATE, deadline - now)


_READY = {KnowledgeBaseStatus.ACTIVE, KnowledgeBaseStatus.UPDATE_UNSUCCESSFUL}
"""A failed update leaves the former configuration in force and the knowledge base usable."""


def _look_again_after(elapsed: timedelta, usual: timedelta, left: timedelta) -> timedelta:
    """The first look is due when it is `usual`ly over; after that the time grows with the time that has gone by, so
    that what is slow costs few looks, and is found ready at most 15 % late. The last look is at the deadline."""
    return max(min(max(usual - elapsed, elapsed * _GROWTH), left), _LEAST_WAIT)


@dataclass(frozen=True, slots=True)
class KnowledgeBaseState:
    knowledge_base_id: str
    status: str
    ready: bool
    look_again_after: timedelta


class DataSourceStatus(AwsStatus):
    """Source: botocore service model of bedrock-agent, shape DataSourceStatus."""

    CREATING = "CREATING"
    AVAILABLE = "AVAILABLE"
    UPDATING = "UPDATING"
    DELETING = "DELETING"
    DELETE_UNSUCCESSFUL = "DELETE_UNSUCCESSFUL"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"

    @property
    def changing(self) -> bool:
        """Whether it may become another by itself. What Bedrock refuses meanwhile, it may take later."""
        passing = {DataSourceStatus.CREATING, DataSourceStatus.UPDATING, DataSourceStatus.DELETING}
        return self in passing | {DataSourceStatus.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Index:
    """Where the vectors of one knowledge are. `made_at` is `None` where its store does not say since when."""

    knowledge: Knowledge
    made_at: datetime | None = None


_NOTHING_BROUGHT_WITHIN = timedelta(seconds=5)
"""No data source has brought anything so soon after it was made: users report jobs of minutes. And no further apart are
the clocks of two AWS services: by how much they are, AWS does not say."""


def content_lost(index_made_at: datetime | None, data_source_made_at: datetime | None) -> bool:
    """Whether the index is not the one that the data source has brought its documents into: that one has been lost, or
    somebody has put another in its place. A data source brings no document twice: a sync looks for what has changed
    since the last one (AWS documentation, Sync your data with your Amazon Bedrock knowledge base). So what is lost
    comes back by another data source only.

    Args:
        index_made_at: as its store says, or as the tenant's record does.
        data_source_made_at: as Bedrock says. Where either is `None`, nothing can be said, and nothing counts as lost.
    """
    if index_made_at is None or data_source_made_at is None:
        return False
    return index_made_at - data_source_made_at > _NOTHING_BROUGHT_WITHIN


_OF_DATA_SOURCE = "Data source "


@dataclass(frozen=True, slots=True)
class DataSource:
    """A data source as Bedrock describes it. A list leaves out all but the first three and `updated_at`.

    Args:
        ingestion: how it reads (`vectorIngestionConfiguration`); empty where it was made with Bedrock's default.
    """

    data_source_id: str
    name: str
    status: DataSourceStatus
    failure_reasons: tuple[str, ...] = ()
    configuration: Mapping[str, object] = field(default_factory=dict)
    deletion_policy: str = "DELETE"
    updated_at: datetime | None = None
    created_at: datetime | None = None
    ingestion: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "failure_reasons", bounded_texts(self.failure_reasons))

    def reads(self, wanted: Mapping[str, object]) -> bool:
        """Whether it says that it reads the bucket that one made with `wanted` (`dataSourceConfiguration`) would."""
        return all(found == named for found, named in self._named_beside(wanted))

    def reads_another(self, wanted: Mapping[str, object]) -> bool:
        """Whether it names something else to read. One that names nothing cannot be judged: see
        `says_what_it_reads`."""
        return any(found is not None and found != named for found, named in self._named_beside(wanted))

    def says_what_it_reads(self, wanted: Mapping[str, object]) -> bool:
        """Else it may or may not be its tenant's own."""
        return self.reads(wanted) or self.reads_another(wanted)

    def require_described(self, wanted: Mapping[str, object]) -> None:
        """Raises: NotReadyYet when it does not say what it reads."""
        if not self.says_what_it_reads(wanted):
            raise NotReadyYet(f"AWS does not say what data source {self.data_source_id} reads.")

    def reads_as(self, wanted: Mapping[str, object]) -> bool:
        """Whether it was made with nothing else than `wanted`, apart from what the service adds by itself, and takes
        its vectors along when it is deleted."""
        same = _with_defaults(self.configuration) == _with_defaults(wanted)
        return same and self.deletion_policy == "DELETE"

    def ingests_as(self, wanted: Mapping[str, object]) -> bool:
        """Whether it reads as one made with `wanted` (`vectorIngestionConfiguration`) would, apart from what the
        service adds by itself: also where nothing is wanted but Bedrock's default."""
        own, new = _reading(self.ingestion), _reading(wanted)
        same_parser = all(_member(own, path) == _member(new, path) for path in _CHOSEN_OF_PARSER)
        return own.keys() == new.keys() and _holds(own, new) and same_parser

    def can_ingest_as(self, wanted: Mapping[str, object]) -> bool:
        """Whether it could be changed to that: a parser's model and prompt can be, nothing else. Source: Amazon Bedrock
        User Guide, Customize ingestion for a data source."""
        own, new = (_without_parser(_reading(one)) for one in (self.ingestion, wanted))
        return own.keys() == new.keys() and _holds(own, new)

    def ingests_otherwise(self, wanted: Mapping[str, object]) -> bool:
        """Whether it reads otherwise than it should, in a way that can be changed."""
        return not self.ingests_as(wanted) and self.can_ingest_as(wanted)

    def drift_from(self, wanted: Mapping[str, object]) -> tuple[str, ...]:
        """How it reads otherwise than one would that is made now, for people; Bedrock cannot change it."""
        if self.ingests_as(wanted) or self.can_ingest_as(wanted):
            return ()
        made, new = (_for_people(_reading(one)) for one in (self.ingestion, wanted))
        return (
            f"{_OF_DATA_SOURCE}{self.data_source_id} was made with {made}, a new one would be made with {new}. It "
            "works as it is; to change it, offboard the tenant and provision it anew.",
        )

    def _named_beside(self, wanted: Mapping[str, object]) -> Iterator[tuple[object, object]]:
        named = ((_member(self.configuration, path), _member(wanted, path)) for path in _WHAT_IS_READ)
        return ((found, expected) for found, expected in named if expected is not None)

    def given_up(self) -> DataSourceFailed | None:
        """Why nothing can be ingested through it until somebody does something; `None` if Bedrock has not given it
        up."""
        if self.status not in {DataSourceStatus.FAILED, DataSourceStatus.DELETE_UNSUCCESSFUL}:
            return None
        reasons = "; ".join(self.failure_reasons) or "no reason given"
        return DataSourceFailed(
            f"Data source {self.name} ({self.data_source_id}) is {self.status}: {reasons}.",
            remedy="Fix the cause, delete that data source, then provision the tenant again.",
        )

    def ready(self, *, now: datetime, deadline: datetime) -> bool:
        """Whether documents can be ingested through it; `False` means look again later.

        Raises:
            NotReadyYet: it is being deleted, so its name is not free yet either.
            DataSourceFailed: Bedrock gave it up; one of a MANAGED knowledge base can do so after it was created without
                an error (reported by users).
            DataSourceNotReady: the deadline has passed.
        """
        match self.status:
            case DataSourceStatus.AVAILABLE:
                return True
            case DataSourceStatus.DELETING:
                raise NotReadyYet(f"Data source {self.name} ({self.data_source_id}) is being deleted.")
        if failure := self.given_up():
            raise failure
        if now >= deadline:
            raise DataSourceNotReady(
                f"Data source {self.name} ({self.data_source_id}) is still {self.status} at the deadline.",
                remedy="Provision the tenant again: it takes up where this execution stopped.",
            )
        return False

    def look_again_after(self, now: datetime, usual: timedelta, deadline: datetime) -> timedelta:
        """How long to wait before looking at it again while it is not ready; see `_look_again_after`.

        Args:
            usual: how long it usually takes to be created.
            deadline: as of `ready`.
        """
        elapsed = now - self.updated_at if self.updated_at is not None else timedelta()
        creating = self.status is DataSourceStatus.CREATING
        return _look_again_after(elapsed, usual if creating else _USUAL_UPDATE, deadline - now)


def with_drift_of_data_source(known: tuple[str, ...], drift: tuple[str, ...]) -> tuple[str, ...]:
    """What a tenant's record says of drift, with this in place of what it says of a data source."""
    return (*(one for one in known if not one.startswith(_OF_DATA_SOURCE)), *drift)


@dataclass(frozen=True, slots=True)
class DataSourceState:
    data_source_id: str
    status: str
    ready: bool
    look_again_after: timedelta


def kind_of(configuration: Mapping[str, object]) -> KnowledgeBaseKind | None:
    """`None` for a kind that kbfleet does not make.

    Args:
        configuration: with the member `knowledgeBaseConfiguration` of the API.
    """
    made_as = configuration.get("knowledgeBaseConfiguration")
    found = made_as.get("type") if isinstance(made_as, Mapping) else None
    return next((kind for kind in KnowledgeBaseKind if kind == found), None)


_PARSING_MODEL = ("parsingConfiguration", "bedrockFoundationModelConfiguration")
_CHOSEN_OF_PARSER = ((*_PARSING_MODEL, "parsingPrompt"), (*_PARSING_MODEL, "parsingModality"))
"""What the service does not fill in: it is there where somebody has asked for it."""
_HOW_IT_READS = (
    "parsingConfiguration",
    "chunkingConfiguration",
    "customTransformationConfiguration",
    "contextEnrichmentConfiguration",
)
"""All members of a `vectorIngestionConfiguration` (botocore model of bedrock-agent). What another release of AWS adds
is no business of anybody here."""
_BY_ITSELF: tuple[Mapping[str, object], ...] = (
    {},
    {"parsingStrategy": "SMART_PARSING"},
    {
        "chunkingStrategy": "FIXED_SIZE",
        "fixedSizeChunkingConfiguration": {"maxTokens": 300, "overlapPercentage": 20},
    },
)
"""What the service does where nothing is asked for, however it may come to say so: a parser of its own, for a MANAGED
knowledge base the smart one, and passages of some 300 tokens. Source: Amazon Bedrock User Guide, How content chunking
works, and Customize ingestion for a managed knowledge base; the overlap is inferred. Whether GetDataSource ever says
any of it is not known: this is so that nobody is told of a difference that there is not."""


def _reading(ingestion: Mapping[str, object]) -> Mapping[str, object]:
    """A `vectorIngestionConfiguration` without what the service does by itself."""
    parts = ((name, ingestion.get(name)) for name in _HOW_IT_READS)
    return {name: part for name, part in parts if part is not None and part not in _BY_ITSELF}


def _without_parser(ingestion: Mapping[str, object]) -> Mapping[str, object]:
    """The same without the model and the prompt of its parser."""
    parsing = ingestion.get("parsingConfiguration")
    if not isinstance(parsing, Mapping):
        return ingestion
    kept = {name: part for name, part in parsing.items() if name != "bedrockFoundationModelConfiguration"}
    return {**ingestion, "parsingConfiguration": kept}


def _for_people(ingestion: Mapping[str, object]) -> str:
    """Without the prompt, which may be pages."""
    return json.dumps(_without_parser(ingestion), sort_keys=True) if ingestion else "Bedrock's default"


_CONNECTOR = ("managedKnowledgeBaseConnectorConfiguration",)
_PARAMETERS = (*_CONNECTOR, "connectorParameters")

_WHAT_IS_READ = (
    ("type",),
    ("s3Configuration", "bucketArn"),
    (*_PARAMETERS, "type"),
    (*_PARAMETERS, "connectionConfiguration", "bucketName"),
)
"""Members of `dataSourceConfiguration` that say whose documents are read: a bucket's name is nobody else's. Source:
botocore service model of bedrock-agent; Amazon Bedrock User Guide, Connect a data source, Amazon S3."""

_DEFAULTS: Mapping[tuple[str, ...], object] = {
    (*_PARAMETERS, "aclEnabled"): False,
    (*_PARAMETERS, "filterConfiguration", "maxFileSizeInMegaBytes"): "500",
    (*_CONNECTOR, "mediaExtractionConfiguration", "imageExtractionConfiguration", "imageExtractionStatus"): "ENABLED",
    (*_CONNECTOR, "mediaExtractionConfiguration", "audioExtractionConfiguration", "audioExtractionStatus"): "DISABLED",
    (*_CONNECTOR, "mediaExtractionConfiguration", "videoExtractionConfiguration", "videoExtractionStatus"): "DISABLED",
    (*_CONNECTOR, "deletionProtectionConfiguration", "deletionProtectionThreshold"): 15,
}
"""What the service takes of a MANAGED knowledge base's connector that was not given, and what GetDataSource may then
say. Source: Amazon Bedrock User Guide, Connect a data source, for 15 percent and 500 megabytes; that images are
extracted, and that it answers with these and `aclEnabled`, users report; that audio and video are not is inferred. Of
type S3, GetDataSource adds nothing, as examples of AWS and users show it."""


def _with_defaults(configuration: Mapping[str, object]) -> Mapping[str, object]:
    """A `dataSourceConfiguration` as whole as the service may give it."""
    if not isinstance(_member(configuration, _CONNECTOR), Mapping):
        return configuration
    bucket = _member(configuration, (*_PARAMETERS, "connectionConfiguration", "bucketName"))
    # Reported by users, too: the bucket is named twice. Beside its name, its ARN has AWS's partition only.
    arn, resource = (*_PARAMETERS, "connectionConfiguration", "bucketArn"), f":s3:::{bucket}"
    whole = _filled(configuration, arn, resource, over=str(_member(configuration, arn)).endswith(resource))
    for path, value in _DEFAULTS.items():
        whole = _filled(whole, path, value)
    return whole


def _filled(
    configuration: Mapping[str, object], path: tuple[str, ...], value: object, *, over: bool = False
) -> Mapping[str, object]:
    """The same with that value there, unless there is one; `over` it, if need be."""
    name, *rest = path
    if not rest:
        return {**configuration, name: value} if over else {name: value, **configuration}
    below = configuration.get(name, {})
    if not isinstance(below, Mapping):
        return configuration
    return {**configuration, name: _filled(below, tuple(rest), value, over=over)}


def _member(configuration: Mapping[str, object], path: tuple[str, ...]) -> object:
    found: object = configuration
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _holds(actual: object, expected: object) -> bool:
    """Whether everything that is expected is there; the service fills in defaults of its own beside it."""
    if isinstance(expected, Mapping):
        return isinstance(actual, Mapping) and all(_holds(actual.get(name), value) for name, value in expected.items())
    return actual == expected


def client_token(*parts: str, configuration: Mapping[str, object] | None = None) -> str:
    """A deterministic idempotency token for Bedrock: the same request gives the same token, a changed one another.

    Returns:
        64 hexadecimal characters, within the 33 to 256 that the botocore model allows.
    """
    text = json.dumps([*parts, configuration or {}], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
