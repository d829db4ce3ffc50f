# syntax=docker/dockerfile:1
FROM node:24-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
# No install script is needed: better-sqlite3 ships its binaries, and this image brings Node itself.
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build && scripts/image-rootfs /rootfs

# Nothing but Node, the libraries it links, the bundled agent and its database addon: no shell, no package manager.
FROM scratch
COPY --from=build /rootfs/ /
ENV NODE_ENV=production
# Root, because the runtime's socket is root's; the DaemonSet drops every capability and makes the file system read-only.
USER 0:0
# Without a compiler at run time there is no memory that is both writable and executable, and 20 MiB less of it; what is
# not kept is collected more often. What that costs in time stands in docs/numbers.md.
ENTRYPOINT ["/usr/local/bin/node", "--jitless", "--optimize-for-size", "--max-semi-space-size=1", "/opt/pullwarden/dist/agent/main.js"]
CMD ["agent"]
