"""The Django back end of docs/calling.md, with users in a database of the test run's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import django
from django.conf import settings

from examples.documents_page import TEMPLATES

if TYPE_CHECKING:
    from examples.kbfleet_client import Kbfleet

ANSWER: dict[str, Any] = {
    "answer": "Two years.",
    "outcome": "ANSWERED",
    "stop_reason": "end_turn",
    "citations": [
        {
            "text": "Two years.",
            "start": 0,
            "end": 10,
            "sources": [
                {
                    "document": "rules.md",
                    "uri": "s3://kbfleet-acme/rules.md",
                    "passage": "The warranty is two years.",
                    "page": None,
                    "metadata": {},
                    "score": 0.5,
                    "ticket": None,
                }
            ],
        }
    ],
    "session": "a session",
    "freshness": {"synced_at": "2026-03-14T09:26:53Z", "pending_changes": False},
    "documents_left_out": None,
    "request_id": "r",
}


class DjangoBackend:
    """Its users, and which client its views call."""

    CONTENT = b"# Snow shoes\n\nSnow shoes are rented for eleven days at most.\n"

    def signed_in(self, name: str, *, tenant: str | None) -> Any:
        """A browser in which that user is signed in."""
        from django.contrib.auth.models import Group, User
        from django.test import Client

        user, _ = User.objects.get_or_create(username=name)
        user.groups.set([Group.objects.get_or_create(name=tenant)[0]] if tenant else [])
        browser = Client()
        browser.force_login(user)
        return browser

    def anonymous(self) -> Any:
        from django.test import Client

        return Client()

    def file(self, name: str) -> Any:
        from django.core.files.uploadedfile import SimpleUploadedFile

        return SimpleUploadedFile(name, self.CONTENT, "text/markdown")

    @contextmanager
    def calling(self, kbfleet: Kbfleet) -> Iterator[None]:
        """Has the views call that client."""
        from examples.django_app import views

        made = views.kbfleet
        views.kbfleet = lambda: kbfleet  # type: ignore[assignment] # the cached maker
        try:
            yield
        finally:
            views.kbfleet = made


def django_backend() -> DjangoBackend:
    """Django can be set up once in a process only."""
    if not settings.configured:
        settings.configure(
            SECRET_KEY="of a test",
            ROOT_URLCONF="examples.django_app.urls",
            # One for all threads: a browser's requests come in others than that which makes users.
            DATABASES={
                "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "file:users?mode=memory&cache=shared"}
            },
            TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [TEMPLATES]}],
            INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"],
            MIDDLEWARE=[
                "django.contrib.sessions.middleware.SessionMiddleware",
                "django.contrib.auth.middleware.AuthenticationMiddleware",
            ],
            ALLOWED_HOSTS=["testserver", "127.0.0.1"],
            KBFLEET_URL="http://127.0.0.1:9",
            UPLOADS_TO="http://127.0.0.1:9",
        )
        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
    return DjangoBackend()
