# Madeleine as an image: the built command and what it needs at run time. See docker-compose.yml for the whole of it.
# Both stages share a base: node_modules holds binaries made for it (the embedded engine needs glibc, which rules Alpine out).

FROM node:22.23.3-bookworm-slim@sha256:43ac6c60b8f89723f746e8a92ce91abd5017e627ce1ddfe4238355d3a30b772c AS base
WORKDIR /app

FROM base AS build
# Packages first: they change less often than the sources. Without scripts: `prepare` would build sources that are not here yet, and no package needs its
# own (esbuild, which builds, is a dependency, so nothing has to be taken away afterwards).
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts
COPY build.mjs tsconfig.json ./
COPY pixels ./pixels
COPY src ./src
RUN node build.mjs

FROM base
# A named volume takes its owner from here when it is first mounted.
RUN mkdir /data && chown node:node /data
ENV MADELEINE_CONFIG=/app/config MADELEINE_DATA=/data
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
# The sample configuration, to try the image with; mount your own over it.
COPY config ./config
USER node
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.PORT || 8080) + '/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Not through npm, which would keep SIGTERM to itself: the server has to ship what it has acknowledged before it ends.
CMD ["node", "dist/main.js", "serve"]
