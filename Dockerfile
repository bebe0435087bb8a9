FROM python:3.12-slim AS build

WORKDIR /build
COPY requirements.lock .
RUN python -m venv /opt/nectar && /opt/nectar/bin/pip install --no-cache-dir -r requirements.lock

COPY pyproject.toml README.md ./
COPY adapters adapters
COPY commands commands
COPY domain domain
COPY migrations migrations
COPY projections projections
COPY read_api read_api
COPY write_api write_api
RUN /opt/nectar/bin/pip install --no-cache-dir --no-deps .


FROM python:3.12-slim

RUN useradd --system --uid 10001 --home-dir /data nectar && install --directory --owner=nectar --mode=0700 /data
COPY --from=build /opt/nectar /opt/nectar

ENV PATH=/opt/nectar/bin:$PATH NECTAR_DATA=/data PYTHONUNBUFFERED=1
USER nectar
WORKDIR /data
VOLUME /data
EXPOSE 8000

HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]

# Reached from outside the container, so the default password is refused: set PASSWORD.
CMD ["nectar", "serve", "--host", "0.0.0.0", "--port", "8000"]
