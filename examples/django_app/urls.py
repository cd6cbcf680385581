from django.urls import include, path

from examples.django_app import documents, views

page = [
    path("", documents.show),
    path("open", documents.open_document),
    path("delete", documents.delete),
    path("upload", documents.upload),
    path("arrival", documents.arrival),
    path("<str:name>", documents.asset),
]
urlpatterns = [
    path("questions", views.ask),
    path("documents", views.upload),
    path("documents/", include(page)),
]
