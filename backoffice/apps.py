"""Django app: Work done by staff. Empty until the desks arrive; it is here so that the layer rule already covers it."""

from django.apps import AppConfig


class BackOfficeConfig(AppConfig):
    """The backoffice app."""

    name = "backoffice"
    verbose_name = "Back office"
