# The base is pinned by its tag to one Python minor version on one Debian release. For reproducible
# builds, pin it by digest as well: --build-arg BASE=python:3.13-slim-bookworm@sha256:…
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
ARG UV_VERSION=0.13.9
ENV UV_PROJECT_ENVIRONMENT=/opt/defender-devops \
    UV_PYTHON_DOWNLOADS=never \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_SYSTEM_CERTS=true \
    PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet --no-cache-dir "uv==${UV_VERSION}"
WORKDIR /src
# Dependencies change rarely, so they have a layer of their own that most builds reuse.
COPY pyproject.toml uv.lock ./
RUN /opt/uv/bin/uv sync --frozen --no-default-groups --extra traces --no-install-project --python "$(command -v python3)"
COPY README.md LICENSE ./
COPY operator ./operator
# uv_cache.json contains the time of the build, which would make two builds differ.
RUN /opt/uv/bin/uv sync --frozen --no-default-groups --extra traces --no-editable --python "$(command -v python3)" \
    && find /opt/defender-devops -name uv_cache.json -delete \
    && find /opt/defender-devops -name RECORD -exec sed -i '/uv_cache.json/d' {} +
COPY deploy/image/compile_imported.py deploy/image/sbom.py ./
RUN PYTHONPYCACHEPREFIX=/opt/defender-devops/bytecode /opt/defender-devops/bin/python -B compile_imported.py \
    && /opt/uv/bin/uv export --quiet --frozen --no-default-groups --extra traces --format cyclonedx1.5 > locked.cdx.json \
    && /opt/defender-devops/bin/python -B sbom.py < locked.cdx.json > /opt/defender-devops/sbom.cdx.json

FROM ${BASE}
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="defender-devops-operator" \
      org.opencontainers.image.description="Connects Azure DevOps organizations to Microsoft Defender for Cloud" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
COPY --from=build /opt/defender-devops /opt/defender-devops
ENV PATH=/opt/defender-devops/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPYCACHEPREFIX=/opt/defender-devops/bytecode \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    # kopf reads the name of its user, which a numeric user does not have.
    LOGNAME=defender-devops
# Numeric, so that the kubelet can verify runAsNonRoot.
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["python", "-m", "defender_devops"]
