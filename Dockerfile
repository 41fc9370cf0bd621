# syntax=docker/dockerfile:1
FROM python:3.11-slim AS build
WORKDIR /src
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/* \
    && python -m venv /opt/sidecar
COPY pyproject.toml README.md LICENSE ./
COPY sidecar sidecar
# Others' packages come as wheels; of ours what requests and captures pass is compiled, and the compiler stays behind.
RUN HATCH_BUILD_HOOK_ENABLE_MYPYC=true /opt/sidecar/bin/pip install --no-cache-dir --only-binary=:all: '.[grpc,redis]' \
    && /opt/sidecar/bin/pip uninstall -y -q pip setuptools

FROM python:3.11-slim
LABEL org.opencontainers.image.title="sidecar" \
      org.opencontainers.image.description="A transparent proxy beside any model server that watches the model" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 1337 sidecar \
    && useradd --uid 1337 --gid 1337 --no-create-home --shell /usr/sbin/nologin sidecar \
    && install -d -o sidecar -g sidecar -m 0700 /var/lib/sidecar
COPY --from=build /opt/sidecar /opt/sidecar
ENV PATH=/opt/sidecar/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 1337:1337
EXPOSE 8080
VOLUME /var/lib/sidecar
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=2s --start-period=5s CMD ["python", "-c", \
  "import urllib.request as u; u.urlopen('http://127.0.0.1:9901/healthz', timeout=2)"]
ENTRYPOINT ["sidecar"]
CMD ["run"]
