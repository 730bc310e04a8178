# syntax=docker/dockerfile:1

# --- build -------------------------------------------------------------------------------------
FROM rust:1.95-slim-bookworm AS build
# A C compiler, for the allocator and the cryptography.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends build-essential \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# The dependencies first: they change less often than the sources.
COPY Cargo.toml Cargo.lock build.rs ./
RUN mkdir src \
 && echo 'fn main() {}' > src/main.rs \
 && touch src/lib.rs \
 && cargo build --release --locked \
 && rm -r src
COPY src src
# The stand-ins above must not look newer than the sources.
RUN find src -name '*.rs' -exec touch {} + \
 && cargo build --release --locked \
 && strip target/release/offleash

# --- run ---------------------------------------------------------------------------------------
# glibc, libgcc and certificate authorities; no shell, no package manager, user 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/release/offleash /offleash
COPY LICENSE NOTICE /
# The allocator gives freed pages back at once, and takes no huge ones where the system gives them
# unasked.
ENV MIMALLOC_PURGE_DELAY=0 MIMALLOC_ALLOW_THP=0
USER nonroot
# The Unleash Proxy's port, and Unleash Edge's.
EXPOSE 3000 3063
HEALTHCHECK --interval=10s --timeout=6s --start-period=5s CMD ["/offleash", "health"]
ENTRYPOINT ["/offleash"]
