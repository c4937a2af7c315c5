FROM node:20-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --include=dev --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY scripts ./scripts
COPY src ./src
RUN node scripts/build.mjs && npm prune --omit=dev --no-audit --no-fund

FROM node:20-bookworm-slim
ENV NODE_ENV=production
# One slow write to disk must not hold up everything else that waits for a file.
ENV UV_THREADPOOL_SIZE=16
# Garbage is collected by one thread beside the node's own, and a little at a time: callers wait for either.
ENV NODE_OPTIONS="--v8-pool-size=1 --max-semi-space-size=4"
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY proto ./proto
COPY LICENSE ./
COPY deploy/compose ./deploy/compose
# A volume takes over the owner of the folder it is mounted on. /form is where the compose file's one-shot service
# sees the volumes of all nodes at once.
RUN ln -s /app/dist/cli/main.js /usr/local/bin/holdfast \
 && install -d -o node -g node -m 0700 /data /keys /client \
      /form/n1/data /form/n1/keys /form/n2/data /form/n2/keys /form/n3/data /form/n3/keys
USER node
EXPOSE 7440 7441
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 \
  CMD ["node", "/app/deploy/compose/listens.mjs"]
CMD ["holdfast", "server"]
