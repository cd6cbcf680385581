"""The roles that Bedrock assumes for tenants' knowledge bases, by our fake and by IAM as moto has it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from kbfleet.adapters.iam import IamServiceRoles, SharedServiceRole
from kbfleet.bootstrap import store_types
from kbfleet.domain.errors import CapacityExceeded, NotReadyYet, ResourceMissing
from kbfleet.domain.finding import Drift
from kbfleet.domain.names import MAX_LIFE, Life, TenantId
from kbfleet.domain.service_role import ServiceRole, lacks
from kbfleet.ports import ServiceRoles
from tests.support.aws import client as aws_client
from tests.support.clock import FakeClock
from tests.support.deployment_values import Deployment
from tests.support.fakes import InMemoryServiceRoles
from tests.support.samples import ACCOUNT, ACME, NAMES, REGION, SAKURA

DEPLOYMENT = Deployment(ACCOUNT, REGION, {"OfferOpenSearchServerless": "true"})
BOUNDARY = DEPLOYMENT.property("ServiceRoleBoundary", "PolicyDocument")
BOUNDARY_ARN = f"arn:aws:iam::{ACCOUNT}:policy/ServiceRoleBoundary"
SHARED = f"arn:aws:iam::{ACCOUNT}:role/shared"


def wanted(tenant_id: TenantId, *knowledge_bases: str, store: str = "S3_VECTORS") -> ServiceRole:
    return ServiceRole(
        NAMES.service_role(Life(tenant_id)),
        NAMES.bucket(Life(tenant_id)),
        NAMES.vector_indexes(Life(tenant_id)),
        store_types()[store].role_services,
        NAMES.tags(Life(tenant_id)),
        knowledge_bases,
    )


ROLE = wanted(ACME)


class ServiceRolesSuite:
    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def roles(self, clock: FakeClock) -> ServiceRoles:
        raise NotImplementedError

    def let_drift(self, roles: ServiceRoles, name: str) -> None:
        """Somebody changes what the role of that name may."""
        raise NotImplementedError

    def test_one_that_was_never_made_is_not_there_and_can_be_deleted(self, roles: ServiceRoles) -> None:
        roles.delete(ROLE.name)
        assert not roles.exists(ROLE.name)
        assert roles.differences(ROLE) is None

    def test_one_is_as_it_should_be_however_often_it_is_ensured(self, roles: ServiceRoles) -> None:
        for _ in range(3):
            roles.ensure(ROLE)
            assert roles.exists(ROLE.name)
            assert not roles.differences(ROLE)

    def test_its_last_change_is_told(self, roles: ServiceRoles, clock: FakeClock) -> None:
        made_at = roles.ensure(ROLE)
        assert made_at is not None
        clock.advance(60)
        unchanged_since = roles.ensure(ROLE)
        assert unchanged_since is not None
        assert unchanged_since < clock.now()
        self.let_drift(roles, ROLE.name)
        assert roles.ensure(ROLE) == clock.now()

    def test_what_somebody_has_changed_is_seen_and_put_right(self, roles: ServiceRoles) -> None:
        roles.ensure(ROLE)
        self.let_drift(roles, ROLE.name)
        assert roles.differences(ROLE)
        roles.ensure(ROLE)
        assert not roles.differences(ROLE)

    def test_it_can_be_narrowed_to_knowledge_bases_and_widened_again(self, roles: ServiceRoles) -> None:
        narrow = replace(ROLE, knowledge_bases=("KB00000001", "KB00000002"))
        roles.ensure(ROLE)
        for _ in range(2):
            roles.trust(narrow)
            assert not roles.differences(narrow)
            assert roles.differences(ROLE)
        roles.ensure(ROLE)
        assert roles.differences(ROLE) == []

    def test_one_that_is_missing_cannot_be_narrowed(self, roles: ServiceRoles) -> None:
        with pytest.raises(ResourceMissing):
            roles.trust(ROLE)

    def test_one_that_is_deleted_is_gone_and_the_others_stay(self, roles: ServiceRoles) -> None:
        roles.ensure(ROLE)
        roles.ensure(wanted(SAKURA))
        for _ in range(2):
            roles.delete(ROLE.name)
            assert not roles.exists(ROLE.name)
        assert dict(roles.of_fleet(NAMES)) == {NAMES.service_role(Life(SAKURA)): Life(SAKURA)}
        roles.ensure(ROLE)
        assert roles.exists(ROLE.name)

    def test_those_of_the_fleet_are_listed_on_whichever_page_they_are(self, roles: ServiceRoles) -> None:
        tenants = [TenantId(f"tenant-{number}") for number in range(120)]
        for tenant_id in tenants:
            roles.ensure(wanted(tenant_id))
        assert dict(roles.of_fleet(NAMES)) == {NAMES.service_role(Life(each)): Life(each) for each in tenants}

    def test_the_account_has_room_for_one_less_with_each(self, roles: ServiceRoles) -> None:
        before = roles.room()
        roles.ensure(ROLE)
        after = roles.room()
        assert before is not None
        assert after is not None
        assert after == (before[0] + 1, before[1])

    def test_its_arn_is_known_before_it_is_made(self, roles: ServiceRoles) -> None:
        assert roles.arn(ROLE.name) == f"arn:aws:iam::{ACCOUNT}:role/kbfleet/kbfleet/{ROLE.name}"


class TestInMemoryServiceRoles(ServiceRolesSuite):
    @pytest.fixture
    def roles(self, clock: FakeClock) -> ServiceRoles:
        return InMemoryServiceRoles(clock, NAMES)

    def let_drift(self, roles: ServiceRoles, name: str) -> None:
        assert isinstance(roles, InMemoryServiceRoles)
        roles.drift[name] = [Drift("it may do less than it should", breaks=True)]


class TestIamServiceRoles(ServiceRolesSuite):
    @pytest.fixture
    def roles(self, clock: FakeClock, aws: None) -> IamServiceRoles:
        self.iam: Any = aws_client("iam")
        self.iam.create_policy(PolicyName="ServiceRoleBoundary", PolicyDocument=json.dumps(BOUNDARY))
        clock.advance((datetime.now(UTC) - clock.now()).total_seconds())  # moto has no other time
        return IamServiceRoles(self.iam, names=NAMES, partition="aws", boundary_arn=BOUNDARY_ARN, clock=clock)

    def let_drift(self, roles: ServiceRoles, name: str) -> None:
        for change in self.changes(name):
            change()

    def changes(self, name: str) -> list[Callable[[], object]]:
        """What somebody may do to a role in the console."""
        everything = json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
        )
        trusts_all = json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
            }
        )
        iam = self.iam
        (own,) = iam.list_role_policies(RoleName=name)["PolicyNames"]
        return [
            lambda: iam.put_role_policy(RoleName=name, PolicyName=own, PolicyDocument=everything),
            lambda: iam.put_role_policy(RoleName=name, PolicyName="more", PolicyDocument=everything),
            lambda: iam.delete_role_policy(RoleName=name, PolicyName=own),
            lambda: iam.attach_role_policy(RoleName=name, PolicyArn=BOUNDARY_ARN),
            lambda: iam.update_assume_role_policy(RoleName=name, PolicyDocument=trusts_all),
            lambda: iam.delete_role_permissions_boundary(RoleName=name),
        ]

    @pytest.mark.parametrize(("number", "breaks"), list(enumerate([True, None, True, None, True, False])))
    def test_each_change_by_itself_is_seen_and_put_right(
        self, roles: IamServiceRoles, number: int, breaks: bool | None
    ) -> None:
        roles.ensure(ROLE)
        self.changes(ROLE.name)[number]()
        assert [each.breaks for each in roles.differences(ROLE) or ()] == [breaks]
        roles.ensure(ROLE)
        assert not roles.differences(ROLE)
        assert self.iam.list_attached_role_policies(RoleName=ROLE.name)["AttachedPolicies"] == []
        assert len(self.iam.list_role_policies(RoleName=ROLE.name)["PolicyNames"]) == 1

    def test_one_with_everything_that_others_have_attached_to_it_can_be_deleted(self, roles: IamServiceRoles) -> None:
        roles.ensure(ROLE)
        self.let_drift(roles, ROLE.name)
        roles.delete(ROLE.name)
        assert not roles.exists(ROLE.name)

    def test_one_is_bounded_tagged_and_on_the_fleets_path(self, roles: IamServiceRoles) -> None:
        roles.ensure(ROLE)
        role = self.iam.get_role(RoleName=ROLE.name)["Role"]
        assert (role["Arn"], role["Path"]) == (roles.arn(ROLE.name), "/kbfleet/kbfleet/")
        assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == BOUNDARY_ARN
        assert {tag["Key"]: tag["Value"] for tag in role["Tags"]} == NAMES.tags(Life(ACME))

    def test_it_is_trusted_as_the_shared_role_is_until_it_is_narrowed(self, roles: IamServiceRoles) -> None:
        def trust() -> Any:
            return self.iam.get_role(RoleName=ROLE.name)["Role"]["AssumeRolePolicyDocument"]

        roles.ensure(ROLE)
        shared = DEPLOYMENT.property("KnowledgeBaseRole", "AssumeRolePolicyDocument")
        (any_of_the_account,) = shared["Statement"]
        any_of_the_account["Condition"]["ArnLike"]["aws:SourceArn"] = [
            any_of_the_account["Condition"]["ArnLike"]["aws:SourceArn"]
        ]
        assert trust() == shared
        roles.trust(replace(ROLE, knowledge_bases=("KB00000001",)))
        place = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:knowledge-base"
        assert trust()["Statement"][0]["Condition"]["ArnLike"] == {"aws:SourceArn": [f"{place}/KB00000001"]}

    def test_what_iam_gives_back_in_another_form_is_no_difference(self, roles: IamServiceRoles) -> None:
        """A list of one as its only member, reported of trust policies; the members of a list in another order."""

        def in_another_form(part: Any) -> Any:
            if isinstance(part, dict):
                return {name: in_another_form(part[name]) for name in reversed(part)}
            if isinstance(part, list):
                return in_another_form(part[0]) if len(part) == 1 else [in_another_form(one) for one in reversed(part)]
            return part

        narrowed = replace(ROLE, knowledge_bases=("KB00000001",))
        roles.ensure(narrowed)
        (own,) = self.iam.list_role_policies(RoleName=ROLE.name)["PolicyNames"]
        trust = self.iam.get_role(RoleName=ROLE.name)["Role"]["AssumeRolePolicyDocument"]
        policy = self.iam.get_role_policy(RoleName=ROLE.name, PolicyName=own)["PolicyDocument"]
        self.iam.update_assume_role_policy(RoleName=ROLE.name, PolicyDocument=json.dumps(in_another_form(trust)))
        self.iam.put_role_policy(RoleName=ROLE.name, PolicyName=own, PolicyDocument=json.dumps(in_another_form(policy)))
        assert roles.differences(narrowed) == []
        # It is assumed for fewer than it should be.
        assert [each.breaks for each in roles.differences(ROLE) or ()] == [True]
        # While its knowledge base is yet to be made, it is assumed for any.
        roles.ensure(ROLE)
        assert [each.breaks for each in roles.differences(narrowed) or ()] == [False]

    def test_another_regions_roles_are_not_listed(self, roles: IamServiceRoles) -> None:
        other = replace(NAMES, region="eu-west-1").service_role(Life(ACME))
        roles.ensure(replace(ROLE, name=other))
        assert not dict(roles.of_fleet(NAMES))

    def test_one_that_somebody_makes_at_the_same_moment_is_worth_another_try(
        self, roles: IamServiceRoles, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        roles.ensure(ROLE)
        monkeypatch.setattr(roles, "_find", lambda _: None)
        with pytest.raises(NotReadyYet, match="somebody else"):
            roles.ensure(ROLE)

    @pytest.mark.parametrize("call", ["put_role_policy", "list_role_policies", "list_attached_role_policies"])
    def test_one_that_iam_does_not_find_at_once_is_worth_another_try(
        self, roles: IamServiceRoles, monkeypatch: pytest.MonkeyPatch, call: str
    ) -> None:
        operation = "".join(word.title() for word in call.split("_"))
        unseen = ClientError({"Error": {"Code": "NoSuchEntity", "Message": "cannot be found"}}, operation)
        called = self.iam._make_api_call

        def not_seen_yet(name: str, arguments: Any) -> Any:
            if name == operation:
                raise unseen
            return called(name, arguments)

        with monkeypatch.context() as early:
            early.setattr(self.iam, "_make_api_call", not_seen_yet)
            with pytest.raises(NotReadyYet, match="cannot be found"):
                roles.ensure(ROLE)
        roles.ensure(ROLE)
        assert not roles.differences(ROLE)

    def test_a_full_account_says_what_to_do(self, clock: FakeClock) -> None:
        iam = aws_client("iam")
        roles = IamServiceRoles(iam, names=NAMES, partition="aws", boundary_arn=BOUNDARY_ARN, clock=clock)
        with Stubber(iam) as stubber:
            stubber.add_client_error("get_role", "NoSuchEntity", http_status_code=404)
            stubber.add_client_error("create_role", "LimitExceeded", "Cannot exceed quota", http_status_code=409)
            with pytest.raises(CapacityExceeded) as full:
                roles.ensure(ROLE)
        assert "ServiceRoles=SHARED" in full.value.remedy


class TestSharedServiceRole:
    @pytest.fixture
    def own(self, aws: None) -> IamServiceRoles:
        iam = aws_client("iam")
        iam.create_policy(PolicyName="ServiceRoleBoundary", PolicyDocument=json.dumps(BOUNDARY))
        return IamServiceRoles(iam, names=NAMES, partition="aws", boundary_arn=BOUNDARY_ARN, clock=FakeClock())

    def test_nothing_is_made_or_counted(self, own: IamServiceRoles) -> None:
        roles: ServiceRoles = SharedServiceRole(SHARED, own)
        assert roles.ensure(ROLE) is None
        assert (roles.arn(ROLE.name), roles.differences(ROLE), roles.room()) == (SHARED, (), None)
        assert not own.exists(ROLE.name)

    def test_whether_it_is_there_can_be_seen(self, own: IamServiceRoles) -> None:
        roles: ServiceRoles = SharedServiceRole(SHARED, own)
        assert not roles.shared_is_there()
        aws_client("iam").create_role(RoleName=SHARED.rpartition("/")[2], AssumeRolePolicyDocument="{}")
        assert roles.shared_is_there()

    def test_a_role_that_the_tenant_had_before_is_found_and_deleted(self, own: IamServiceRoles) -> None:
        own.ensure(ROLE)
        roles: ServiceRoles = SharedServiceRole(SHARED, own)
        assert dict(roles.of_fleet(NAMES)) == {ROLE.name: Life(ACME)}
        assert roles.exists(ROLE.name)
        roles.trust(ROLE)
        assert not own.exists(ROLE.name)
        roles.delete(ROLE.name)


class TestWhatItMay:
    """By the template: the boundary's statements, narrowed."""

    def allowed(self, role: ServiceRole) -> set[tuple[str, str]]:
        statements = role.policy(BOUNDARY)["Statement"]
        return {
            (action, resource)
            for statement in statements
            for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
            for resource in statement["Resource"]
        }

    def may(self, role: ServiceRole, action: str, resource: str) -> bool:
        return any(action == each and fnmatchcase(resource, pattern) for each, pattern in self.allowed(role))

    @pytest.mark.parametrize("tenant", ["acme", "acm", "acme-2", "me", "kbfleet"])
    def test_only_the_tenants_own_bucket_and_indexes(self, tenant: str) -> None:
        bucket, index = f"arn:aws:s3:::{NAMES.bucket(Life(TenantId(tenant.ljust(3, 'x'))))}", tenant
        vectors = f"arn:aws:s3vectors:{REGION}:{ACCOUNT}:bucket/kbfleet-vectors-{ACCOUNT}-{REGION}/index"
        own = tenant == "acme"
        assert self.may(ROLE, "s3:GetObject", f"{bucket}/議事録.pdf") == own
        assert self.may(ROLE, "s3:ListBucket", bucket) == own
        assert self.may(ROLE, "s3vectors:QueryVectors", f"{vectors}/{index}") == own
        assert self.may(ROLE, "s3vectors:QueryVectors", f"{vectors}/{index}.1.2") == own
        # Of another life, whosever it is.
        assert not self.may(ROLE, "s3vectors:QueryVectors", f"{vectors}/{index}.2.1")

    def test_nothing_wider_than_that(self) -> None:
        """A resource that the template comes to name, and that is not narrowed, is seen here."""
        for store in store_types():
            for _, resource in self.allowed(wanted(ACME, store=store)):
                if "*" in resource:
                    assert resource.endswith((f":::{NAMES.bucket(Life(ACME))}/*", f"/index/{ACME}.1.*")), resource

    def test_the_conditions_of_the_boundary_are_kept(self) -> None:
        (reading,) = (one for one in ROLE.policy(BOUNDARY)["Statement"] if one["Sid"] == "ReadTenantsDocuments")
        assert reading["Condition"] == {"StringEquals": {"aws:ResourceAccount": ACCOUNT}}

    @pytest.mark.parametrize(
        ("store", "services"),
        [
            ("S3_VECTORS", {"s3", "bedrock", "s3vectors"}),
            ("OPENSEARCH_SERVERLESS", {"s3", "bedrock", "aoss"}),
            ("MANAGED", {"s3"}),
        ],
    )
    def test_what_its_store_needs_and_no_other(self, store: str, services: set[str]) -> None:
        assert {action.partition(":")[0] for action, _ in self.allowed(wanted(ACME, store=store))} == services

    def test_no_statement_of_the_boundary_is_nobodys(self) -> None:
        granted = {
            one["Sid"] for store in store_types() for one in wanted(ACME, store=store).policy(BOUNDARY)["Statement"]
        }
        assert granted == {one["Sid"] for one in BOUNDARY["Statement"]}

    def test_a_profile_gives_its_own_models_and_no_others(self) -> None:
        profile, reranker, other = "us.amazon.nova-pro-v1:0", "cohere.rerank-v3-5:0", "cohere.embed-multilingual-v3"
        foundation = f"arn:aws:bedrock:{REGION}::foundation-model"
        own = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/{profile}"
        titan = f"{foundation}/amazon.titan-embed-text-v2:0"
        given = {"IngestionModelArns": f"{own},{foundation}/{reranker},{foundation}/{other}"}
        boundary = Deployment(ACCOUNT, REGION, given).property("ServiceRoleBoundary", "PolicyDocument")

        def models(role: ServiceRole) -> dict[str, list[str]]:
            return {
                each["Sid"]: [each["Resource"]] if isinstance(each["Resource"], str) else each["Resource"]
                for each in role.policy(boundary)["Statement"]
                if "bedrock:" in str(each["Action"])
            }

        assert models(ROLE) == {"EmbedPassagesAndQuestions": [titan]}
        titans = frozenset({"amazon.titan-embed-text-v2:0"})
        assert models(replace(ROLE, models=titans)) == {"EmbedPassagesAndQuestions": [titan]}
        whole = replace(ROLE, models=titans | {profile, reranker}, reranks=True)
        assert models(whole) == {
            "EmbedPassagesAndQuestions": [titan],
            "UseModelsOfProfiles": [own, f"{foundation}/{reranker}"],
            "UseThemInTheRegionsOfTheirProfiles": ["arn:aws:bedrock:*::foundation-model/amazon.nova-pro-v1:0"],
            "Rerank": ["*"],
        }
        (through,) = (each for each in whole.policy(boundary)["Statement"] if "Regions" in each["Sid"])
        assert through["Condition"] == {"StringEquals": {"bedrock:InferenceProfileArn": [own]}}
        # All of them are needed: that one is there is not enough.
        less = replace(whole, models=titans | {reranker})
        assert lacks(less.policy(boundary), whole.policy(boundary))
        assert not lacks(whole.policy(boundary), whole.policy(boundary))

    def test_it_fits_into_a_role(self) -> None:
        longest = TenantId("a" * 32)
        for store in store_types():
            policy = json.dumps(wanted(longest, store=store).policy(BOUNDARY), separators=(",", ":"))
            # Source: IAM User Guide, IAM and AWS STS quotas: of all inline policies of a role.
            assert len(policy) <= 10_240

    def test_names_fit(self) -> None:
        names = replace(NAMES, fleet="a" * 12)
        longest = TenantId("a" * 32)
        assert len(names.service_role(Life(longest, MAX_LIFE))) <= 64  # Source: as above
        assert 3 <= len(names.data_access_policy(Life(longest, MAX_LIFE))) <= 32
