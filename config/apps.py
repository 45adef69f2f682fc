from django.apps import AppConfig

# Every process that knows the product knows its tasks and where they go; what only starts processes needs neither.
from . import celery as celery


class ConfigConfig(AppConfig):
    name = "config"
    label = "saudager"
