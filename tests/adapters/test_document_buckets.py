"""What document buckets promise, wherever they are."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core.botocore_stubber import MockRawResponse
from moto.core.models import botocore_stubber
from moto.s3.models import s3_backends

from kbfleet.adapters.s3 import S3DocumentBuckets
from kbfleet.domain.errors import AccessRefused, BucketNameTaken, NotReadyYet, PolicyNotTaken
from kbfleet.domain.names import Life
from kbfleet.ports import DocumentBuckets
from tests.support.aws import client as aws_client
from tests.support.clock import START, FakeClock
from tests.support.documents import BucketSettings
from tests.support.fakes import InMemoryDocumentBuckets
from tests.support.hostile_keys import HOSTILE_KEYS
from tests.support.samples import ACCOUNT, ACME, NAMES, SAKURA

NAME = NAMES.bucket(Life(ACME))
TAGS = NAMES.tags(Life(ACME))
FOREIGN_ACCOUNT = "210987654321"


class World(ABC):
    """Where buckets are: what others do to them, and what they look like."""

    buckets: DocumentBuckets

    @abstractmethod
    def settings(self) -> BucketSettings: ...

    @abstractmethod
    def let_drift(self) -> None:
        """Every promised setting is undone."""

    @abstractmethod
    def tag(self, tags: Mapping[str, str]) -> None:
        """The customer adds tags of its own."""

    @abstractmethod
    def take(self) -> None:
        """The name belongs to somebody else."""

    @abstractmethod
    def fill(self, calls: int) -> None:
        """The bucket holds so much that deleting it takes that many calls."""

    @abstractmethod
    def refuse_deletions(self) -> None:
        """Nobody may delete documents."""


class DocumentBucketsSuite:
    @pytest.fixture
    def world(self) -> World:
        raise NotImplementedError

    def test_a_new_bucket_has_every_promised_setting(self, world: World) -> None:
        world.buckets.ensure(NAME, TAGS)
        assert world.settings() == BucketSettings(tags=TAGS)

    def test_a_second_run_leaves_it_so(self, world: World) -> None:
        world.buckets.ensure(NAME, TAGS)
        world.buckets.ensure(NAME, TAGS)
        assert world.settings() == BucketSettings(tags=TAGS)

    def test_the_fleets_buckets_are_listed_with_the_lives_that_they_are_of(self, world: World) -> None:
        lives = (Life(ACME), Life(ACME, 2), Life(SAKURA))
        for life in lives:
            world.buckets.ensure(NAMES.bucket(life), NAMES.tags(life))
        world.buckets.ensure("kbfleet-reports", {})
        world.buckets.ensure("somebody-elses", {})
        assert dict(world.buckets.of_fleet(NAMES)) == {NAMES.bucket(life): life for life in lives}

    def test_drift_is_repaired(self, world: World) -> None:
        world.buckets.ensure(NAME, TAGS)
        world.let_drift()
        assert world.settings() != BucketSettings(tags=TAGS)
        world.buckets.ensure(NAME, TAGS)
        assert world.settings() == BucketSettings(tags=TAGS)

    def test_a_customers_own_tags_stay(self, world: World) -> None:
        world.buckets.ensure(NAME, TAGS)
        own = {"cost-center": "4711", "aws:cloudformation:stack-name": "theirs"}
        world.tag(own)
        world.buckets.ensure(NAME, TAGS)
        assert world.settings() == BucketSettings(tags={**own, **TAGS})

    def test_a_name_that_belongs_to_somebody_else_is_refused(self, world: World) -> None:
        world.take()
        with pytest.raises(BucketNameTaken, match=NAME):
            world.buckets.ensure(NAME, TAGS)

    # --- telling of changes ---

    def test_its_changes_are_told_of_once_it_is_converged_until_somebody_switches_that_off(self, world: World) -> None:
        assert not world.buckets.tells_of_changes(NAME)
        world.buckets.ensure(NAME, TAGS)
        assert world.buckets.tells_of_changes(NAME)
        world.let_drift()
        assert not world.buckets.tells_of_changes(NAME)

    # --- what is otherwise than it should be ---

    def test_each_setting_that_somebody_has_changed_is_seen_until_it_is_put_right(self, world: World) -> None:
        assert world.buckets.differences(NAME, TAGS) is None
        world.buckets.ensure(NAME, TAGS)
        assert world.buckets.differences(NAME, TAGS) == []
        world.let_drift()
        found = world.buckets.differences(NAME, TAGS)
        assert found is not None
        pairs = zip(astuple(world.settings()), astuple(BucketSettings(tags=TAGS)), strict=True)
        assert len(found) == sum(setting != promised for setting, promised in pairs)
        assert [each.breaks for each in found if each.breaks is not False] == [True]
        world.buckets.ensure(NAME, TAGS)
        assert world.buckets.differences(NAME, TAGS) == []

    def test_what_customers_have_set_themselves_is_no_difference(self, world: World) -> None:
        world.buckets.ensure(NAME, TAGS)
        world.tag({"cost-center": "4711"})
        world.buckets.ensure(NAME, TAGS)
        assert world.buckets.differences(NAME, TAGS) == []

    # --- refusing uploads ---

    def test_a_bucket_that_refuses_uploads_keeps_every_other_setting(self, world: World) -> None:
        world.buckets.ensure(NAME, TAGS)
        world.buckets.refuse_uploads(NAME)
        world.buckets.refuse_uploads(NAME)
        assert world.settings() == BucketSettings(tags=TAGS, takes_uploads=False)

    def test_converging_opens_it_again(self, world: World) -> None:
        world.buckets.ensure(NAME, TAGS)
        world.buckets.refuse_uploads(NAME)
        world.buckets.ensure(NAME, TAGS)
        assert world.settings() == BucketSettings(tags=TAGS)

    def test_whether_one_that_does_not_show_refuses_uploads_is_worth_another_look(self, world: World) -> None:
        with pytest.raises(NotReadyYet, match=NAME):
            world.buckets.refuse_uploads(NAME)
        assert not world.buckets.exists(NAME)

    def test_each_counts_against_the_accounts_quota(self, world: World) -> None:
        before = world.buckets.count()
        world.buckets.ensure(NAME, TAGS)
        assert world.buckets.count() == before + 1

    # --- deleting ---

    def test_a_bucket_exists_until_it_is_deleted(self, world: World) -> None:
        assert not world.buckets.exists(NAME)
        world.buckets.ensure(NAME, TAGS)
        assert world.buckets.exists(NAME)
        assert world.buckets.delete(NAME, until=NO_TIME)
        assert not world.buckets.exists(NAME)

    def test_whether_one_that_does_not_show_is_gone_is_worth_another_look(self, world: World) -> None:
        with pytest.raises(NotReadyYet, match=NAME):
            world.buckets.delete(NAME, until=NO_TIME)

    def test_a_closed_bucket_can_be_deleted(self, world: World) -> None:
        world.buckets.ensure(NAME, TAGS)
        world.buckets.refuse_uploads(NAME)
        assert world.buckets.delete(NAME, until=NO_TIME)

    def test_what_no_call_can_delete_at_once_takes_several(self, world: World) -> None:
        world.buckets.ensure(NAME, TAGS)
        world.fill(calls=3)
        assert [world.buckets.delete(NAME, until=NO_TIME) for _ in range(3)] == [False, False, True]
        assert not world.buckets.exists(NAME)

    def test_documents_that_may_not_be_deleted_are_reported_and_the_bucket_stays(self, world: World) -> None:
        world.buckets.ensure(NAME, TAGS)
        world.fill(calls=1)
        world.refuse_deletions()
        with pytest.raises(AccessRefused, match=NAME):
            world.buckets.delete(NAME, until=NO_TIME)
        assert world.buckets.exists(NAME)

    def test_somebody_elses_bucket_is_neither_closed_nor_deleted_nor_taken_for_gone(self, world: World) -> None:
        world.take()
        with pytest.raises(AccessRefused):
            world.buckets.refuse_uploads(NAME)
        with pytest.raises(AccessRefused):
            world.buckets.delete(NAME, until=NO_TIME)
        with pytest.raises(BucketNameTaken):
            world.buckets.exists(NAME)
        with pytest.raises(BucketNameTaken):
            world.buckets.tells_of_changes(NAME)


class InMemory(World):
    def __init__(self) -> None:
        self.buckets = self.memory = InMemoryDocumentBuckets()

    def settings(self) -> BucketSettings:
        return self.memory.settings[NAME]

    def let_drift(self) -> None:
        self.memory.settings[NAME] = BucketSettings({}, False, False, False, False, False, False)

    def tag(self, tags: Mapping[str, str]) -> None:
        found = self.memory.settings[NAME]
        self.memory.settings[NAME] = replace(found, tags={**found.tags, **tags})

    def fill(self, calls: int) -> None:
        self.memory.batches_left[NAME] = calls - 1

    def refuse_deletions(self) -> None:
        self.memory.undeletable.add(NAME)

    def take(self) -> None:
        self.memory.foreign.add(NAME)


class S3(World):
    """S3 by moto, with small pages. It does not look at ExpectedBucketOwner: `refuse_what_expects_an_owner` does it in
    its place."""

    def __init__(self, region: str) -> None:
        self.client: Any = aws_client("s3", region=region)
        self.region = region
        self.clock = FakeClock()
        self.buckets = S3DocumentBuckets(self.client, account=ACCOUNT, region=region, clock=self.clock)
        self.operations: list[str] = []
        events = self.client.meta.events
        events.register("before-call.s3", self._note)

    def _note(self, model: Any, **_: Any) -> None:
        self.operations.append(model.name)

    @property
    def written(self) -> list[str]:
        return [operation for operation in self.operations if operation.startswith(("Put", "Delete"))]

    def settings(self) -> BucketSettings:
        policy = json.loads(self.client.get_bucket_policy(Bucket=NAME)["Policy"])
        return BucketSettings(
            tags={tag["Key"]: tag["Value"] for tag in self.client.get_bucket_tagging(Bucket=NAME)["TagSet"]},
            versioned=self.client.get_bucket_versioning(Bucket=NAME)["Status"] == "Enabled",
            encrypted=bool(
                self.client.get_bucket_encryption(Bucket=NAME)["ServerSideEncryptionConfiguration"]["Rules"]
            ),
            public_access_blocked=all(
                self.client.get_public_access_block(Bucket=NAME)["PublicAccessBlockConfiguration"].values()
            ),
            tls_only=any(_refuses_plain_http(statement) for statement in policy["Statement"]),
            notifies_event_bridge=self._notifies_event_bridge(),
            aborts_incomplete_uploads=self._aborts_incomplete_uploads(),
            takes_uploads=not any(_refuses_uploads(statement) for statement in policy["Statement"]),
        )

    def _aborts_incomplete_uploads(self) -> bool:
        try:
            rules = self.client.get_bucket_lifecycle_configuration(Bucket=NAME)["Rules"]
        except ClientError:
            return False
        return any(
            rule["Status"] == "Enabled"
            and rule.get("Filter") in ({}, {"Prefix": ""})
            and rule.get("AbortIncompleteMultipartUpload") == {"DaysAfterInitiation": 7}
            for rule in rules
        )

    def tag(self, tags: Mapping[str, str]) -> None:
        found = {tag["Key"]: tag["Value"] for tag in self.client.get_bucket_tagging(Bucket=NAME)["TagSet"]}
        # moto, as S3, lets nobody make a system tag: CloudFormation's are put where they would be.
        s3_backends[ACCOUNT]["aws"].tagger.tag_resource(
            f"arn:aws:s3:::{NAME}", [{"Key": key, "Value": value} for key, value in {**found, **tags}.items()]
        )

    def _notifies_event_bridge(self) -> bool:
        return "EventBridgeConfiguration" in self.client.get_bucket_notification_configuration(Bucket=NAME)

    def let_drift(self) -> None:
        client = self.client
        client.put_bucket_versioning(Bucket=NAME, VersioningConfiguration={"Status": "Suspended"})
        client.put_public_access_block(Bucket=NAME, PublicAccessBlockConfiguration={"BlockPublicAcls": False})
        client.put_bucket_policy(Bucket=NAME, Policy=json.dumps({"Version": "2012-10-17", "Statement": []}))
        client.put_bucket_notification_configuration(Bucket=NAME, NotificationConfiguration={})
        wrong = [{"Key": next(iter(TAGS)), "Value": "by hand"}]
        client.put_bucket_tagging(Bucket=NAME, Tagging={"TagSet": wrong})
        client.delete_bucket_lifecycle(Bucket=NAME)

    def fill(self, calls: int) -> None:
        self.client.meta.events.register("before-parameter-build.s3.ListObjectVersions", _ask_for_a_small_page)
        # moto takes the policy's refusal without its condition, and would refuse us too.
        self.client.delete_bucket_policy(Bucket=NAME)
        versions = (calls - 1) * SMALL_PAGE + 1
        # Some documents have several versions, and some end in a delete marker.
        for number in range(versions - 1):
            if number % 8 == 7:
                self.client.delete_object(Bucket=NAME, Key=f"議事録 {number - 1}.md")
            else:
                self.client.put_object(Bucket=NAME, Key=f"議事録 {number - number % 2}.md", Body=b"x")
        self.client.put_object(Bucket=NAME, Key="last <&>.md", Body=b"x")

    def refuse_deletions(self) -> None:
        refused = "<Key>議事録 0.md</Key><Code>AccessDenied</Code><Message>Access Denied</Message>"
        answer(self.client, "DeleteObjects", 200, f"<DeleteResult><Error>{refused}</Error></DeleteResult>")

    def take(self) -> None:
        assumed = aws_client("sts", region=self.region).assume_role(
            RoleArn=f"arn:aws:iam::{FOREIGN_ACCOUNT}:role/somebody", RoleSessionName="somebody"
        )["Credentials"]
        other = boto3.Session(
            region_name="us-east-1",
            aws_access_key_id=assumed["AccessKeyId"],
            aws_secret_access_key=assumed["SecretAccessKey"],
            aws_session_token=assumed["SessionToken"],
        ).client("s3")
        other.create_bucket(Bucket=NAME)
        refuse_what_expects_an_owner(self.client)


SMALL_PAGE = 2
NO_TIME = START
"""Each call deletes one page all the same."""


def _put_policy(client: Any, *statements: dict[str, Any]) -> None:
    policy = {"Version": "2012-10-17", "Statement": statements}
    client.put_bucket_policy(Bucket=NAME, Policy=json.dumps(policy))


def _ask_for_a_small_page(params: dict[str, Any], **_: Any) -> None:
    params["MaxKeys"] = SMALL_PAGE
    # moto looks for the very version behind which the page begins, and leaves versions out when it has been deleted.
    # Whoever deletes page after page is at the beginning anyhow.
    params.pop("KeyMarker", None)
    params.pop("VersionIdMarker", None)


def answer(client: Any, operation: str, status: int, body: str) -> None:
    """Every call of that operation is answered so."""

    def give(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        return AWSResponse(request.url, status, HTTPHeaders(), MockRawResponse(body.encode()))

    client.meta.events.register_first(f"before-send.s3.{operation}", give)


def refuse_what_expects_an_owner(client: Any) -> None:
    """Source: Amazon S3 documentation, Verifying bucket ownership with bucket owner condition."""

    def refuse(request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        if b"x-amz-expected-bucket-owner" not in _header_names(request):
            return None
        body = (
            b""
            if request.method == "HEAD"
            else b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        )
        return AWSResponse(request.url, 403, HTTPHeaders(), MockRawResponse(body))

    client.meta.events.register_first("before-send.s3", refuse)


def answer_head(client: Any, status: int) -> None:
    """HeadBucket is answered with that status. Source: Amazon S3 documentation, HeadBucket."""
    answer(client, "HeadBucket", status, "")


def _header_names(request: AWSPreparedRequest) -> set[bytes]:
    return {name.lower().encode() for name in request.headers}


def _refuses_plain_http(statement: dict[str, Any]) -> bool:
    plain_http = {"Bool": {"aws:SecureTransport": "false"}}
    return bool(statement["Effect"] == "Deny" and statement.get("Condition") == plain_http)


def _refuses_uploads(statement: dict[str, Any]) -> bool:
    return bool(
        (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:PutObject")
        and "Condition" not in statement
        and f"arn:aws:s3:::{NAME}/*" in statement["Resource"]
    )


def refuse_once(client: Any, operation: str, status: int, code: str) -> Iterator[str]:
    """The first call of that operation is answered so. Returns: what is still to be answered."""
    answers = iter([f"<Error><Code>{code}</Code><Message>Try again</Message></Error>"])

    def give(event_name: str, request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        for body in answers if event_name.endswith(f".{operation}") else ():
            return AWSResponse(request.url, status, HTTPHeaders(), MockRawResponse(body.encode()))
        answered: AWSResponse | None = botocore_stubber(event_name, request)
        return answered

    # botocore asks every handler, also when one has answered: moto must not carry out what is refused here.
    client.meta.events.unregister("before-send", botocore_stubber)
    client.meta.events.register_first("before-send", give)
    return answers


@dataclass(frozen=True)
class Own:
    """A customer's own part of a setting that S3 only takes as a whole: how it is made, and what is there of it."""

    operation: str
    make: Callable[[Any], object]
    look: Callable[[Any], object]


def _made(client: Any, operation: str, **arguments: Any) -> None:
    getattr(client, operation)(Bucket=NAME, **arguments)


_THEIR_STATEMENT = {
    "Sid": "LetTheAuditorsRead",
    "Effect": "Allow",
    "Principal": {"AWS": f"arn:aws:iam::{FOREIGN_ACCOUNT}:root"},
    "Action": "s3:GetObject",
    "Resource": f"arn:aws:s3:::{NAME}/*",
}


def _their_queue(client: Any) -> dict[str, Any]:
    return {
        "Id": "theirs",
        "QueueArn": f"arn:aws:sqs:{client.meta.region_name}:{ACCOUNT}:theirs",
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "invoices/"}]}},
    }


_THEIR_RULES: list[dict[str, Any]] = [
    {"ID": "archive", "Status": "Enabled", "Filter": {"Prefix": "old/"}, "Expiration": {"Days": 400}},
    {
        "ID": "versions",
        "Status": "Disabled",
        "Filter": {"Prefix": ""},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 9},
    },
]
_THEIR_KEY = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": f"arn:aws:kms:us-east-1:{ACCOUNT}:key/theirs"}
OWN = [
    Own(
        "PutBucketTagging",
        lambda client: _made(client, "put_bucket_tagging", Tagging={"TagSet": [{"Key": "cost", "Value": "4711"}]}),
        lambda client: [tag for tag in client.get_bucket_tagging(Bucket=NAME)["TagSet"] if tag["Key"] not in TAGS],
    ),
    Own(
        "PutBucketPolicy",
        lambda client: _made(
            client,
            "put_bucket_policy",
            Policy=json.dumps({"Version": "2008-10-17", "Id": "theirs", "Statement": [_THEIR_STATEMENT]}),
        ),
        lambda client: [
            (policy["Id"], policy["Version"], statement)
            for policy in [json.loads(client.get_bucket_policy(Bucket=NAME)["Policy"])]
            for statement in policy["Statement"]
            if statement["Sid"] == _THEIR_STATEMENT["Sid"]
        ],
    ),
    Own(
        "PutBucketNotificationConfiguration",
        lambda client: _made(
            client,
            "put_bucket_notification_configuration",
            NotificationConfiguration={"QueueConfigurations": [_their_queue(client)]},
            SkipDestinationValidation=True,
        ),
        lambda client: client.get_bucket_notification_configuration(Bucket=NAME)["QueueConfigurations"],
    ),
    Own(
        "PutBucketEncryption",
        lambda client: _made(
            client,
            "put_bucket_encryption",
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": _THEIR_KEY, "BucketKeyEnabled": True}]
            },
        ),
        lambda client: client.get_bucket_encryption(Bucket=NAME)["ServerSideEncryptionConfiguration"]["Rules"],
    ),
    Own(
        "PutBucketLifecycleConfiguration",
        lambda client: _made(
            client, "put_bucket_lifecycle_configuration", LifecycleConfiguration={"Rules": _THEIR_RULES}
        ),
        lambda client: [
            rule
            for rule in client.get_bucket_lifecycle_configuration(Bucket=NAME)["Rules"]
            if rule["ID"] in {their["ID"] for their in _THEIR_RULES}
        ],
    ),
]


class TestInMemoryDocumentBuckets(DocumentBucketsSuite):
    @pytest.fixture
    def world(self) -> World:
        return InMemory()


class TestS3DocumentBuckets(DocumentBucketsSuite):
    @pytest.fixture(params=["us-east-1", "ap-northeast-1"])
    def world(self, aws: None, request: pytest.FixtureRequest) -> S3:
        return S3(request.param)

    def test_the_bucket_is_in_the_region_of_the_knowledge_base(self, world: S3) -> None:
        world.buckets.ensure(NAME, TAGS)
        location = world.client.get_bucket_location(Bucket=NAME)["LocationConstraint"]
        assert (location or "us-east-1") == world.region

    def test_our_own_bucket_is_never_created_again_because_that_resets_its_access_lists(self, world: S3) -> None:
        world.buckets.ensure(NAME, TAGS)
        world.operations.clear()
        world.buckets.ensure(NAME, TAGS)
        assert "HeadBucket" in world.operations
        assert "CreateBucket" not in world.operations

    @pytest.mark.parametrize("code", ["MalformedPolicy", "AccessDenied"])
    def test_what_s3_does_not_take_of_a_customers_policy_is_said_and_keeps_no_bucket_from_its_end(
        self, world: S3, code: str
    ) -> None:
        world.buckets.ensure(NAME, TAGS)
        _put_policy(world.client, _THEIR_STATEMENT)

        def refuse(params: dict[str, Any], **_: Any) -> None:
            # A role that is gone in S3's own words, or something public where our bucket takes nothing public.
            if _THEIR_STATEMENT["Sid"] in params["Policy"]:
                raise ClientError({"Error": {"Code": code, "Message": "it is refused"}}, "PutBucketPolicy")

        world.client.meta.events.register("provide-client-params.s3.PutBucketPolicy", refuse)
        with pytest.raises(PolicyNotTaken) as refused:
            world.buckets.ensure(NAME, TAGS)
        assert "roles that are gone" in refused.value.remedy
        world.buckets.refuse_uploads(NAME)
        statements = json.loads(world.client.get_bucket_policy(Bucket=NAME)["Policy"])["Statement"]
        assert [statement["Sid"] for statement in statements] == ["RefuseUnencryptedTransport", "RefuseUploads"]

    def test_a_customers_statement_may_be_called_like_ours(self, world: S3) -> None:
        world.buckets.ensure(NAME, TAGS)
        theirs = {**_THEIR_STATEMENT, "Sid": "RefuseUploads", "Effect": "Deny", "Action": "s3:DeleteObject"}
        _put_policy(world.client, theirs)
        world.buckets.ensure(NAME, TAGS)
        statements = json.loads(world.client.get_bucket_policy(Bucket=NAME)["Policy"])["Statement"]
        assert theirs in statements
        assert len(statements) == 2

    def test_a_rule_of_the_first_version_of_lifecycles_has_ours_beside_it(self, world: S3) -> None:
        world.buckets.ensure(NAME, TAGS)
        theirs = {"ID": "old", "Status": "Enabled", "Prefix": "old/", "Expiration": {"Days": 400}}
        world.client.put_bucket_lifecycle_configuration(Bucket=NAME, LifecycleConfiguration={"Rules": [theirs]})
        sent: list[dict[str, Any]] = []
        world.client.meta.events.register(
            "provide-client-params.s3.PutBucketLifecycleConfiguration",
            lambda params, **_: sent.extend(params["LifecycleConfiguration"]["Rules"]),
        )
        world.buckets.ensure(NAME, TAGS)
        assert [rule.get("Filter") for rule in sent] == [None, None]
        assert sent[1]["Prefix"] == ""

    def test_a_document_that_comes_in_behind_the_listing_takes_another_call(self, world: S3) -> None:
        world.buckets.ensure(NAME, TAGS)
        world.fill(calls=1)
        late = iter(["late.md"])

        def upload(**_: Any) -> None:
            for key in late:
                S3(world.region).client.put_object(Bucket=NAME, Key=key, Body=b"x")

        world.client.meta.events.register("before-call.s3.DeleteBucket", upload)
        with pytest.raises(NotReadyYet, match="has come into bucket"):
            world.buckets.delete(NAME, until=NO_TIME)
        assert world.buckets.delete(NAME, until=NO_TIME)

    def test_as_many_documents_are_deleted_in_a_call_as_there_is_time(self, world: S3) -> None:
        world.buckets.ensure(NAME, TAGS)
        world.fill(calls=30)
        world.client.meta.events.register("after-call.s3.DeleteObjects", lambda **_: world.clock.advance(1))
        gone = [world.buckets.delete(NAME, until=world.clock.now() + timedelta(seconds=10)) for _ in range(3)]
        assert (gone, world.operations.count("DeleteObjects")) == ([False, False, True], 30)

    def test_no_key_of_a_document_keeps_the_bucket(self, world: S3) -> None:
        world.buckets.ensure(NAME, TAGS)
        # moto takes the policy's refusal without its condition, and would refuse us too.
        world.client.delete_bucket_policy(Bucket=NAME)
        for key in HOSTILE_KEYS:
            world.client.put_object(Bucket=NAME, Key=key, Body=b"x")
        world.client.delete_object(Bucket=NAME, Key=HOSTILE_KEYS[-1])
        assert world.buckets.delete(NAME, until=NO_TIME + timedelta(seconds=1))

    def test_keys_that_no_batch_can_name_do_not_take_more_than_the_time_that_there_is(self, world: S3) -> None:
        world.buckets.ensure(NAME, TAGS)
        world.client.delete_bucket_policy(Bucket=NAME)
        for number in range(20):
            world.client.put_object(Bucket=NAME, Key=f"\x01{number}.md", Body=b"x")
        world.client.meta.events.register("after-call.s3.DeleteObject", lambda **_: world.clock.advance(1))
        gone = [world.buckets.delete(NAME, until=world.clock.now() + timedelta(seconds=8)) for _ in range(3)]
        assert (gone, world.operations.count("DeleteObject")) == ([False, False, True], 20)

    def test_documents_in_the_bucket_stay(self, world: S3) -> None:
        world.buckets.ensure(NAME, TAGS)
        # moto takes the policy's refusal without its condition, and would refuse us too.
        world.client.delete_bucket_policy(Bucket=NAME)
        world.client.put_object(Bucket=NAME, Key="就業規則.md", Body="有給休暇")
        world.buckets.ensure(NAME, TAGS)
        world.client.delete_bucket_policy(Bucket=NAME)
        assert world.client.get_object(Bucket=NAME, Key="就業規則.md")["Body"].read().decode() == "有給休暇"

    def test_a_name_that_somebody_takes_between_look_and_call_is_refused(self, world: S3) -> None:
        world.take()
        answer_head(world.client, 404)
        with pytest.raises(BucketNameTaken):
            world.buckets.ensure(NAME, TAGS)

    def test_a_bucket_that_another_execution_creates_between_look_and_call_is_converged(self, world: S3) -> None:
        S3(world.region).buckets.ensure(NAME, {})
        answer_head(world.client, 404)
        world.buckets.ensure(NAME, TAGS)
        assert replace(world.settings(), tags={}) == BucketSettings(tags={})

    # --- what else a customer has set on its bucket ---

    @pytest.mark.parametrize("setting", OWN, ids=lambda setting: setting.operation)
    def test_what_is_a_customers_own_in_a_setting_stays(self, world: S3, setting: Own) -> None:
        world.buckets.ensure(NAME, TAGS)
        setting.make(world.client)
        own = setting.look(world.client)
        assert own
        # Its way of writing leaves nothing of ours in the setting.
        changes: list[Callable[[], object]] = [
            lambda: None,
            lambda: setting.make(world.client),
            lambda: world.buckets.refuse_uploads(NAME),
        ]
        for change in changes:
            change()
            world.buckets.ensure(NAME, TAGS)
            assert setting.look(world.client) == own
            assert world.settings() == BucketSettings(tags=world.settings().tags)
            assert world.settings().tags.items() >= TAGS.items()

    def test_every_setting_that_is_written_is_wholly_ours_or_tried_for_what_is_a_customers_own(self, world: S3) -> None:
        world.buckets.ensure(NAME, TAGS)
        world.client.delete_bucket_encryption(Bucket=NAME)
        world.buckets.ensure(NAME, TAGS)
        wholly_ours = {"PutPublicAccessBlock", "PutBucketVersioning"}
        puts = {operation for operation in world.operations if operation.startswith("Put")}
        assert puts == wholly_ours | {setting.operation for setting in OWN}

    def test_what_is_as_it_should_be_is_not_written(self, world: S3) -> None:
        world.buckets.ensure(NAME, TAGS)
        world.operations.clear()
        world.buckets.ensure(NAME, TAGS)
        assert world.written == []
        world.buckets.refuse_uploads(NAME)
        world.operations.clear()
        world.buckets.refuse_uploads(NAME)
        assert world.written == []

    def test_a_policy_that_s3_gives_back_in_other_words_is_the_same(self, world: S3) -> None:
        world.buckets.ensure(NAME, TAGS)
        policy = json.loads(world.client.get_bucket_policy(Bucket=NAME)["Policy"])
        (statement,) = policy["Statement"]
        reworded = {
            **statement,
            "Action": ["s3:*"],
            "Principal": {"AWS": "*"},
            "Resource": statement["Resource"][::-1],
        }
        document = json.dumps({**policy, "Statement": reworded})
        world.client.put_bucket_policy(Bucket=NAME, Policy=document)
        world.operations.clear()
        world.buckets.ensure(NAME, TAGS)
        assert world.written == []

    def test_arns_are_of_the_regions_own_partition_of_aws(self) -> None:
        with mock_aws():
            client = aws_client("s3", region="us-gov-west-1")
            S3DocumentBuckets(client, account=ACCOUNT, region="us-gov-west-1", clock=FakeClock()).ensure(NAME, TAGS)
            policy = json.loads(client.get_bucket_policy(Bucket=NAME)["Policy"])
        assert policy["Statement"][0]["Resource"] == [f"arn:aws-us-gov:s3:::{NAME}", f"arn:aws-us-gov:s3:::{NAME}/*"]

    # --- a bucket that was just made ---

    @pytest.mark.parametrize(
        "refusal", [(404, "NoSuchBucket"), (409, "OperationAborted")], ids=lambda refusal: refusal[1]
    )
    def test_every_call_can_meet_a_bucket_that_does_not_show_everywhere_yet(
        self,
        aws: None,
        refusal: tuple[int, str],
    ) -> None:
        """Each call of each method is refused once: never for good, and the method repeated does its work."""
        uses: dict[str, Callable[[DocumentBuckets], object]] = {
            "ensure": lambda buckets: buckets.ensure(NAME, TAGS),
            "refuse_uploads": lambda buckets: buckets.refuse_uploads(NAME),
            "delete": lambda buckets: buckets.delete(NAME, until=NO_TIME),
        }
        world = S3("ap-northeast-1")
        for method, use in uses.items():
            for operation in self.calls_of(method, use, world):
                self.prepare(method, world)
                fresh = S3(world.region)
                answers = refuse_once(fresh.client, operation, *refusal)
                with pytest.raises(NotReadyYet, match=NAME):
                    use(fresh.buckets)
                assert next(answers, None) is None, f"{method} has not called {operation}"
                use(fresh.buckets)
                if method == "delete":
                    assert not fresh.buckets.exists(NAME)
                else:
                    assert fresh.settings() == BucketSettings(tags=TAGS, takes_uploads=method == "ensure")

    def prepare(self, method: str, world: S3) -> None:
        """Nothing is there, for `ensure`; else the bucket, as it was made."""
        if world.buckets.exists(NAME):
            world.client.delete_bucket_policy(Bucket=NAME)
            world.client.delete_bucket_tagging(Bucket=NAME)  # moto keeps them for the next bucket of that name
            world.buckets.delete(NAME, until=NO_TIME)
        if method != "ensure":
            world.buckets.ensure(NAME, TAGS)

    def calls_of(self, method: str, use: Callable[[DocumentBuckets], object], world: S3) -> list[str]:
        """Those that can be refused so; HeadBucket answers 404, which is what it is there for."""
        self.prepare(method, world)
        world.operations.clear()
        use(world.buckets)
        return sorted(set(world.operations) - {"HeadBucket"})

    def test_a_name_that_is_not_free_yet_is_worth_another_try(self, world: S3) -> None:
        answers = refuse_once(world.client, "CreateBucket", 409, "OperationAborted")
        with pytest.raises(NotReadyYet, match="OperationAborted"):
            world.buckets.ensure(NAME, TAGS)
        assert next(answers, None) is None
        world.buckets.ensure(NAME, TAGS)
        assert world.settings() == BucketSettings(tags=TAGS)
