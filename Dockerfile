# syntax=docker/dockerfile:1
#
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg VERSION=1.2.3 -t ghcr.io/you/sidecar:1.2.3 .
#
# The same bytes from the same sources: give the base image by its digest (BASE=python:3.11-slim@sha256:...), the packages
# as an earlier image has them (docker run --entrypoint cat IMAGE /opt/sidecar/requirements.txt; PIP_CONSTRAINT=URL), and
# the time (SOURCE_DATE_EPOCH=$(git log -1 --format=%ct), with --output type=image,rewrite-timestamp=true).
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
ARG SOURCE_DATE_EPOCH
ARG PIP_CONSTRAINT
WORKDIR /src
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/* \
    && python -m venv /opt/sidecar
COPY pyproject.toml README.md LICENSE ./
COPY sidecar sidecar
# What a checkout may hold beside its sources.
RUN find sidecar -name '*.so' -delete
# Others' packages come as wheels; of ours what requests and captures pass is compiled, and the compiler stays behind.
RUN HATCH_BUILD_HOOK_ENABLE_MYPYC=true \
    /opt/sidecar/bin/pip install --no-cache-dir --no-compile --only-binary=:all: '.[gpu,grpc,redis]' \
    && /opt/sidecar/bin/pip list --format=freeze --exclude sidecar --exclude pip --exclude setuptools \
       > /opt/sidecar/requirements.txt \
    && /opt/sidecar/bin/pip uninstall -y -q pip setuptools
# A third less: symbols for debuggers, others' tests, types. Not numpy's: its libraries are patched, and strip breaks them.
# The linker's build id goes, a hash over the names of temporary folders; and RECORD, which holds hashes of what was there.
# Bytecode is made here, since where it runs nothing can be written, and is not checked against its source's time.
RUN find /opt/sidecar/lib -name '*.so' -not -path '*/numpy*' -exec strip --strip-unneeded --remove-section=.note.gnu.build-id {} + \
    && rm /opt/sidecar/lib/python3*/site-packages/sidecar-*.dist-info/RECORD \
    && find /opt/sidecar/lib -depth -type d -name tests -exec rm -rf {} + \
    && find /opt/sidecar/lib -name '*.pyi' -delete \
    && /opt/sidecar/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/sidecar/lib

FROM ${BASE}
ARG SOURCE_DATE_EPOCH
ARG VERSION=0
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="sidecar" \
      org.opencontainers.image.description="A transparent proxy beside any model server that watches the model" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
# iptables: for `sidecar redirect`, which a pod's init container runs.
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends iptables \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache \
    && groupadd --gid 1337 sidecar \
    && useradd --uid 1337 --gid 1337 --no-create-home --shell /usr/sbin/nologin sidecar \
    && install -d -o sidecar -g sidecar -m 0700 /var/lib/sidecar
COPY --from=build /opt/sidecar /opt/sidecar
ENV PATH=/opt/sidecar/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /var/lib/sidecar
USER 1337:1337
EXPOSE 8080
VOLUME /var/lib/sidecar
STOPSIGNAL SIGTERM
# Without imports of weight: 15 ms each. Where `admin` is another address, so is this: --health-cmd.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-ISc", \
  "import socket; s = socket.create_connection(('127.0.0.1', 9901), 2); s.sendall(b'GET /healthz HTTP/1.0\\r\\n\\r\\n'); raise SystemExit(b' 200 ' not in s.recv(64))"]
ENTRYPOINT ["sidecar"]
CMD ["run"]
