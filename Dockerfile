# syntax=docker/dockerfile:1
FROM node:24-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
# No install script is needed: better-sqlite3 ships its binaries, and this image brings Node itself.
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build \
 && npm prune --omit=dev --ignore-scripts \
 && scripts/image-rootfs /rootfs

# Nothing but Node, the libraries it links, the compiled agent and its production dependencies: no shell, no package manager.
FROM scratch
COPY --from=build /rootfs/ /
ENV NODE_ENV=production
# Root, because the runtime's socket is root's; the DaemonSet drops every capability and makes the file system read-only.
USER 0:0
ENTRYPOINT ["/usr/local/bin/node", "/opt/pullwarden/dist/agent/main.js"]
CMD ["agent"]
