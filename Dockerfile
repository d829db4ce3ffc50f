# syntax=docker/dockerfile:1
# A release pins this by digest (.github/workflows/release.yaml). By hand, the digest of today is what
#   docker buildx imagetools inspect node:24-bookworm-slim --format '{{.Manifest.Digest}}'
# prints: --build-arg NODE_IMAGE=node:24-bookworm-slim@sha256:…
ARG NODE_IMAGE=node:24-bookworm-slim
FROM ${NODE_IMAGE} AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
# No install script is needed: better-sqlite3 ships its binaries, and this image brings Node itself.
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build && scripts/image-rootfs /rootfs

# Nothing but Node, the libraries it links, the bundled agent and its database addon: no shell, no package manager.
FROM scratch
ARG VERSION=0.1.0
# The commit: --build-arg REVISION=$(git rev-parse HEAD). Shown by `pullwarden version` and pullwarden_build_info.
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Pullwarden" \
      org.opencontainers.image.description="Lets no container run an image that its pod could not have pulled itself" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /rootfs/ /
ENV NODE_ENV=production \
    PULLWARDEN_REVISION=${REVISION}
# Root, because the runtime's socket is root's; the DaemonSet drops every capability and makes the file system read-only.
USER 0:0
# SIGUSR1 would open a debugger on a port that every process of the node reaches (the flag is the whole process's, so of the
# thread for NRI as well).
# Without a compiler at run time there is no memory that is both writable and executable, and 20 MiB less of it; what is
# not kept is collected more often. What that costs in time stands in docs/numbers.md.
ENTRYPOINT ["/usr/local/bin/node", "--disable-sigusr1", "--jitless", "--optimize-for-size", "--max-semi-space-size=1", "/opt/pullwarden/dist/agent/main.js"]
CMD ["agent"]
