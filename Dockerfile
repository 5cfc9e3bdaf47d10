# The environment is made where a compiler's leftovers and pip's cache may lie around, and only the result is kept.
FROM python:3.11-slim AS build
WORKDIR /build
COPY scripts/requirements ./scripts/requirements
RUN python -m venv tools \
    && tools/bin/pip install --require-hashes --requirement scripts/requirements/image.txt \
    && python -m venv --without-pip /opt/creditmeter \
    && tools/bin/pip --python /opt/creditmeter/bin/python install --require-hashes --requirement scripts/requirements/server.txt
COPY pyproject.toml LICENSE README.md ./
COPY proto ./proto
COPY src ./src
RUN tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir wheels . \
    && tools/bin/pip --python /opt/creditmeter/bin/python install --no-deps --no-index wheels/*.whl
COPY scripts/generate-sbom ./scripts/
RUN PYTHON=tools/bin/python scripts/generate-sbom /opt/creditmeter/bin/python >/opt/creditmeter/sbom.cdx.json

FROM python:3.11-slim
RUN pip uninstall --yes pip setuptools wheel \
    && groupadd --gid 10001 creditmeter \
    && useradd --uid 10001 --gid creditmeter --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin creditmeter \
    && install --directory --owner=creditmeter --group=creditmeter --mode=0750 /data
COPY --from=build /opt/creditmeter /opt/creditmeter
# Settings of the image: every command run in the container finds the sidecar by them, not only `serve`.
ENV PATH=/opt/creditmeter/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    CREDITMETER_DATA_DIR=/data

USER 10001:10001

# The journal lies here: charges that are not yet settled live nowhere else, so the volume must outlive the container.
VOLUME ["/data"]

# No EXPOSE: it listens on 127.0.0.1:50151 and on the socket in /data. docs/security.md says how to let others in.
# No HEALTHCHECK: the sidecar speaks gRPC health (grpc.health.v1.Health), which orchestrators probe by themselves at the address
# of the setting `health_listen`.

ENTRYPOINT ["creditmeter"]
CMD ["serve"]
