"""Trigger: `/profiles`, signed with IAM. How documents become knowledge, and how questions are answered from it: what
can be chosen.

It is a function of its own because it alone writes profiles, and nothing of tenants.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.contracts import parse_json
from kbfleet.contracts.profiles import (
    ListedProfileBody,
    ProfileBody,
    ProfileCheckBody,
    ProfileQuery,
    ProfileRequest,
    ProfilesBody,
)
from kbfleet.domain.profiles import Profile, ProfileName
from kbfleet.logs import logger
from kbfleet.responses import HttpResponse, respond
from kbfleet.routing import Request, Route, dispatch, path_parameter
from kbfleet.usecases.profiles import check_profile, put_version, remove_profile


def _name(request: Request) -> ProfileName:
    return ProfileName(path_parameter(request, "profile"))


def _wanted(request: Request) -> Profile:
    body = parse_json(ProfileRequest, request["body"])
    return body.to_domain(_name(request), 0, bootstrap.profile_catalogue().defaults)


def get_profiles(_request: Request) -> HttpResponse:
    """`default`, and the newest version of each."""
    found = bootstrap.profile_catalogue().all()
    return respond(ProfilesBody(profiles=tuple(map(ListedProfileBody.from_domain, found))))


def get_profile(request: Request, query: ProfileQuery) -> HttpResponse:
    return respond(ProfileBody.from_domain(bootstrap.profile_catalogue().get(_name(request), query.version)))


def put_profile(request: Request) -> HttpResponse:
    """Makes it the newest version, unless the newest describes the same."""
    profile = put_version(_wanted(request), catalogue=bootstrap.profile_catalogue(), offer=bootstrap.profile_offer())
    logger.info("A profile is put", profile=profile.name, version=profile.version)
    return respond(ProfileBody.from_domain(profile))


def post_profile_check(request: Request) -> HttpResponse:
    """What would be refused, and what would change."""
    refused, newest, changes = check_profile(
        _wanted(request), catalogue=bootstrap.profile_catalogue(), offer=bootstrap.profile_offer()
    )
    return respond(ProfileCheckBody.from_domain(refused, newest, changes))


def delete_profile(request: Request) -> HttpResponse:
    """It can be chosen no more. Answers with what it was."""
    name, catalogue = _name(request), bootstrap.profile_catalogue()
    removed = catalogue.get(name)
    remove_profile(name, catalogue=catalogue, registry=bootstrap.registry())
    logger.info("A profile is removed", profile=name)
    return respond(ProfileBody.from_domain(removed))


ROUTES = {
    ("GET", "/profiles"): Route(get_profiles),
    ("GET", "/profiles/{profile}"): Route(get_profile, ProfileQuery),
    ("PUT", "/profiles/{profile}"): Route(put_profile),
    ("DELETE", "/profiles/{profile}"): Route(delete_profile),
    ("POST", "/profiles/{profile}/check"): Route(post_profile_check),
}


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    return dispatch(event, ROUTES)
