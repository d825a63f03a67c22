# syntax=docker/dockerfile:1

# tagsweep, and with `--target im-simulator` the stand-in for the API. BuildKit is needed.
#
#   docker build --build-arg COMMIT=$(git rev-parse --short=12 HEAD) --tag tagsweep .
#
# A release also states what is in it, and from which base images, by digest:
#
#   docker buildx build --sbom=true --provenance=mode=max --push --tag REGISTRY/tagsweep:0.1.0 .
#
# To pin them, take the digests that `docker buildx imagetools inspect IMAGE` prints:
# --build-arg RUST_IMAGE=rust:1.95-slim-bookworm@sha256:…

# The same Debian in both: a binary needs the glibc it was linked against, or a newer one.
ARG RUST_IMAGE=rust:1.95-slim-bookworm
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${RUST_IMAGE} AS source
WORKDIR /src
COPY . .
# The caches keep crates and what is compiled of them over changes of the sources. Cargo goes by times,
# and sources that are checked out anew can be older than what the cache was made of.
RUN touch src/lib.rs src/main.rs simulator/src/lib.rs simulator/src/main.rs

FROM source AS build-im-simulator
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked --package im-simulator \
    && cp target/release/im-simulator /usr/local/bin/ \
    && mkdir /tls

FROM source AS build-tagsweep
# There is no .git here to ask.
ARG COMMIT=unknown
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    TAGSWEEP_COMMIT="$COMMIT" cargo build --release --locked --bin tagsweep \
    && cp target/release/tagsweep /usr/local/bin/

FROM ${BASE_IMAGE} AS im-simulator
LABEL org.opencontainers.image.title="im-simulator" \
      org.opencontainers.image.description="Stand-in for the tag interface of Tencent Cloud Chat, for tests and demos" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build-im-simulator /usr/local/bin/im-simulator /usr/local/bin/im-simulator
# A named volume takes the owner of the folder it is first mounted on.
COPY --from=build-im-simulator --chown=65532:65532 /tls /tls
# By number, as Kubernetes cannot tell from a name that it is not root.
USER 65532:65532
EXPOSE 8443
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/im-simulator"]

FROM ${BASE_IMAGE} AS tagsweep
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="tagsweep" \
      org.opencontainers.image.description="Clears all tags of deleted or reset Tencent Cloud Chat users" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$COMMIT" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="gcr.io/distroless/cc-debian12:nonroot"
COPY --from=build-tagsweep /usr/local/bin/tagsweep /usr/local/bin/tagsweep
USER 65532:65532
# Within a container the default, 127.0.0.1, is out of reach for whoever probes or scrapes it.
ENV TAGSWEEP__ADMIN__LISTEN=0.0.0.0:9464
EXPOSE 9464
STOPSIGNAL SIGTERM
# It reads the configuration that `run` reads; where that is named by --config, the check has to name it too.
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/tagsweep", "health"]
ENTRYPOINT ["/usr/local/bin/tagsweep"]
CMD ["run"]
