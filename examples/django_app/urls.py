from django.urls import path

from examples.django_app import views

urlpatterns = [
    path("questions", views.ask),
    path("documents", views.upload),
]
