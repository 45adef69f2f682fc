"""All settings, read from the environment (see `.env.example` for every variable and its meaning)."""

from __future__ import annotations

import base64
import sys
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from . import celery_settings, sentry
from .admin_site import UNFOLD  # noqa: F401  the look of the admin

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
env.prefix = ""
if (BASE_DIR / ".env").exists():
    environ.Env.read_env(BASE_DIR / ".env")

ENVIRONMENT = env("ENVIRONMENT", default="production")
DEBUG = env.bool("DEBUG", default=False)
VAR_DIR = Path(env("VAR_DIR", default=str(BASE_DIR / "var"))).resolve()


def required(name: str) -> str:
    """A variable without which nothing may start."""
    value: str = env(name, default="")
    if not value:
        raise ImproperlyConfigured(
            f"{name} is not set. Start with script/server, which makes one, or set it in the environment or .env."
        )
    return value


def secret(name: str) -> str:
    """A required variable that must be long enough to be a secret."""
    value = required(name)
    if len(value) < 32 or value.lower().startswith(("changeme", "your_")):
        raise ImproperlyConfigured(f"{name} is too weak: give it at least 32 random characters.")
    return value


def key_bytes(name: str, text: str) -> bytes:
    """32 bytes from base64. Raises ImproperlyConfigured."""
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ImproperlyConfigured(f"{name} must be 32 random bytes in base64 (openssl rand -base64 32).")
    return key


def clock(text: str, name: str) -> str:
    """`10`, `9:30` or `09:30` as `HH:MM`. Raises ImproperlyConfigured."""
    hours, _colon, minutes = text.strip().partition(":")
    if hours.isdigit() and (minutes or "0").isdigit() and int(hours) < 24 and int(minutes or 0) < 60:
        return f"{int(hours):02}:{int(minutes or 0):02}"
    raise ImproperlyConfigured(f"{name} is a time of day such as 10 or 10:30.")


def rising(hours: list[float]) -> list[float]:
    """At most five numbers of hours, each greater than the one before. Raises ImproperlyConfigured."""
    if not 1 <= len(hours) <= 5 or hours[0] <= 0 or any(after <= before for before, after in pairwise(hours)):
        raise ImproperlyConfigured("FOLLOW_UP_INTERVALS is one to five rising numbers of hours: 24,72,168,336,720.")
    return hours


# ── Secrets ──────────────────────────────────────────────────────────────────────────────────────────────────────────
SECRET_KEY = secret("SECRET_KEY")
JWT_SECRET_KEY = secret("JWT_SECRET_KEY")
#: Key id → 32 bytes; the first seals, all open. `ENCRYPTION_KEYS=k2:BASE64,k1:BASE64`
ENCRYPTION_KEYS: dict[str, bytes] = {
    key_id.strip(): key_bytes("ENCRYPTION_KEYS", text.strip())
    for key_id, separator, text in (item.partition(":") for item in required("ENCRYPTION_KEYS").split(","))
}
INDEX_KEY = key_bytes("INDEX_KEY", required("INDEX_KEY"))
if INDEX_KEY in ENCRYPTION_KEYS.values() or JWT_SECRET_KEY == SECRET_KEY:
    raise ImproperlyConfigured("SECRET_KEY, JWT_SECRET_KEY, ENCRYPTION_KEYS and INDEX_KEY must all differ.")

# ── The web ──────────────────────────────────────────────────────────────────────────────────────────────────────────
PORT = env.int("PORT", default=8000)
#: Where customers' browsers and providers reach us, without a trailing slash.
PUBLIC_URL = env("PUBLIC_URL", default=f"http://127.0.0.1:{PORT}").rstrip("/")
#: Where the start page links to for the task queues; empty: no link.
FLOWER_URL = env("FLOWER_URL", default=f"http://127.0.0.1:{env.int('FLOWER_PORT', default=5555)}")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
HTTPS = env.bool("HTTPS", default=PUBLIC_URL.startswith("https://"))
#: How many proxies of ours stand before the web process; the client's address is taken that many hops from the right.
PROXIES = env.int("PROXIES", default=0)
SECURE_SSL_REDIRECT = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if PROXIES else None
SECURE_REDIRECT_EXEMPT = [r"^health$", r"^ready$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_NAME = "saudager_session"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
#: The largest webhook body that is read. Gateways put whole files in base64 into it.
MAX_WEBHOOK_BYTES = env.int("MAX_WEBHOOK_MB", default=32) * 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_WEBHOOK_BYTES
FILE_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024
APPEND_SLASH = True

INSTALLED_APPS = [
    "config.apps.ConfigConfig",
    "sales",
    "conversations",
    "knowledge",
    "channels",
    "llm",
    "foundation",
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "rest_framework",
    "rest_framework_simplejwt",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "axes",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "config" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
MEDIA_ROOT = VAR_DIR / "media"

# ── People ───────────────────────────────────────────────────────────────────────────────────────────────────────────
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "config.roles.GuestsOnlyRead",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "foundation.addresses.client_address"
AXES_RESET_ON_SUCCESS = True
AXES_ENABLE_ADMIN = False
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

# ── Language and time ────────────────────────────────────────────────────────────────────────────────────────────────
LANGUAGE_CODE = "ru"
LANGUAGES = [("ru", _("Russian")), ("kk", _("Kazakh")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = env("TIMEZONE", default="Asia/Almaty")

# ── PostgreSQL, Redis ────────────────────────────────────────────────────────────────────────────────────────────────
DATABASES = {"default": env.db_url_config(required("DATABASE_URL"))}
DATABASES["default"].update(
    ENGINE="django.db.backends.postgresql",
    CONN_HEALTH_CHECKS=True,
    DISABLE_SERVER_SIDE_CURSORS=True,
    TEST={"NAME": env("TEST_DATABASE_NAME", default="test_saudager")},
)
DATABASES["default"].setdefault("OPTIONS", {})
DATABASES["default"]["OPTIONS"].setdefault(
    "options",
    "-c lock_timeout=5s -c statement_timeout=30s -c idle_in_transaction_session_timeout=60s",
)
#: Where packets vanish on the way, a connection is given up after half a minute; the system's own patience is two hours.
DATABASES["default"]["OPTIONS"] = {
    "connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000,
} | DATABASES["default"]["OPTIONS"]  # fmt: skip
#: Statements are parsed and planned once a connection. Switch off behind a pooler that shares connections by transaction.
if env.bool("DATABASE_PREPARED", default=True):
    DATABASES["default"]["OPTIONS"] |= {"server_side_binding": True, "prepare_threshold": 2}
#: The web serves each request from a thread of its own, so its connections come from a pool; workers keep one a thread.
DATABASE_POOL = env.int("DATABASE_POOL", default=0)
if DATABASE_POOL:
    DATABASES["default"]["CONN_MAX_AGE"] = 0
    DATABASES["default"]["OPTIONS"]["pool"] = {"min_size": 2, "max_size": DATABASE_POOL, "timeout": 10}
else:
    DATABASES["default"]["CONN_MAX_AGE"] = None
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env("REDIS_URL", default="redis://127.0.0.1:6379/0")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "cache",
        "OPTIONS": {"socket_timeout": 3, "socket_connect_timeout": 2},
    }
}

# ── Celery ───────────────────────────────────────────────────────────────────────────────────────────────────────────
BROKER_URL = env("BROKER_URL", default="") or env("RABBITMQ_URL", default="") or REDIS_URL
POLLING_INTERVAL = env.float("POLLING_INTERVAL", default=5.0)
SWEEP_INTERVAL = env.float("SWEEP_INTERVAL", default=5.0)
CELERY = celery_settings.settings_for(BROKER_URL, polling_interval=POLLING_INTERVAL, sweep_interval=SWEEP_INTERVAL)
DJANGO_CELERY_BEAT_TZ_AWARE = True

#: In the web process a hint to the broker is published by a thread of its own, so that no request waits for the broker.
KICK_IN_BACKGROUND = env.bool("KICK_IN_BACKGROUND", default=bool(DATABASE_POOL))

#: Which task carries out which step.
PIPELINE = {
    "receive": "conversations.receive",
    "transcribe": "conversations.transcribe",
    "classify": "conversations.classify",
    "answer": "sales.answer",
    "touch": "sales.touch",
    "deliver": "conversations.deliver",
    "drain": "conversations.drain",
    "confirm": "conversations.confirm",
    "tell": "conversations.tell_managers",
    "parse": "knowledge.parse",
    "poll": "channels.poll",
    "reconcile": "channels.reconcile",
    "check": "channels.check",
}

# ── Limits (each documented in .env.example) ─────────────────────────────────────────────────────────────────────────
MAX_CONTEXT_MESSAGES = env.int("MAX_CONTEXT_MESSAGES", default=20)
SESSION_TTL_DAYS = env.int("SESSION_TTL_DAYS", default=30)
MAX_MESSAGE_LENGTH = env.int("MAX_MESSAGE_LENGTH", default=4000)
MAX_ATTACHMENTS = env.int("MAX_ATTACHMENTS", default=5)
MAX_RETRIES = env.int("MAX_RETRIES", default=3)
MAX_PDF_SIZE_MB = env.int("MAX_PDF_SIZE_MB", default=10)
LLM_TIMEOUT_SECONDS = env.float("LLM_TIMEOUT_SECONDS", default=30.0)
RATE_LIMIT_PER_MINUTE = env.int("RATE_LIMIT_PER_MINUTE", default=60)
RAW_EVENT_DAYS = env.int("RAW_EVENT_DAYS", default=30)
BOT_LOOP_TURNS = env.int("BOT_LOOP_TURNS", default=30)
KNOWLEDGE_BASE_PATH = Path(env("KNOWLEDGE_BASE_PATH", default=str(VAR_DIR / "knowledge_base"))).resolve()

#: Where the daily copies of the database lie, and how many are kept.
BACKUP_PATH = Path(env("BACKUP_PATH", default=str(VAR_DIR / "backups"))).resolve()
BACKUP_KEEP = max(1, env.int("BACKUP_KEEP", default=7))

# ── Hours and touches ────────────────────────────────────────────────────────────────────────────────────────────────
#: What a new assistant's working day is, Monday to Friday, in its zone: `10` and `10:00` mean the same.
WORKING_HOURS_START = clock(env("WORKING_HOURS_START", default="10"), "WORKING_HOURS_START")
WORKING_HOURS_END = clock(env("WORKING_HOURS_END", default="18"), "WORKING_HOURS_END")
ENABLE_FOLLOW_UPS = env.bool("ENABLE_FOLLOW_UPS", default=True)
#: Hours after our last unanswered message at which the touches are due, rising, at most five.
FOLLOW_UP_INTERVALS = rising(env.list("FOLLOW_UP_INTERVALS", cast=float, default=[24, 72, 168, 336, 720]))
#: The largest and longest voice message that is written down. Gemini takes 20 MB inline, a third of it lost to base64.
MAX_VOICE_MB = env.float("MAX_VOICE_MB", default=14)
MAX_VOICE_SECONDS = env.float("MAX_VOICE_SECONDS", default=600)

# ── API ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework_simplejwt.authentication.JWTAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["config.permissions.StaffOnly"],
    "DEFAULT_PAGINATION_CLASS": "config.pagination.Pages",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_THROTTLE_CLASSES": ["config.throttling.PerAddress"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "EXCEPTION_HANDLER": "config.api_errors.handler",
    "NUM_PROXIES": PROXIES,
}
JWT_EXPIRE_MINUTES = env.int("JWT_EXPIRE_MINUTES", default=1440)
SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    "SIGNING_KEY": JWT_SECRET_KEY,
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=JWT_EXPIRE_MINUTES),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=14),
    "CHECK_REVOKE_TOKEN": True,
    "UPDATE_LAST_LOGIN": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Saudager",
    "DESCRIPTION": "The self-hosted AI sales assistant: contacts, messages, classification, statistics.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["config.permissions.StaffOnly"],
    "SERVE_AUTHENTICATION": ["rest_framework.authentication.SessionAuthentication"],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {
        "MessageState": "conversations.models.Message.State",
        "FollowUpState": "sales.models.FollowUp.State",
        "TouchState": "sales.models.Touch.State",
        "TouchReason": "sales.models.Touch.Reason",
        "TurnReason": "conversations.models.Turn.Reason",
    },
}

# ── Logs, errors ─────────────────────────────────────────────────────────────────────────────────────────────────────
LOG_LEVEL = env("LOG_LEVEL", default="INFO")
LOGGING_CONFIG = "config.logging.configure"
LOGGING = {"level": LOG_LEVEL, "directory": env("LOG_DIR", default="")}
sentry.start(env("SENTRY_DSN", default=""), ENVIRONMENT)

TESTING = "pytest" in sys.modules
