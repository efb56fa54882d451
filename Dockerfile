# One image for members, gateways and the init job.
FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc tsconfig.base.json tsconfig.json ./
COPY libs libs
COPY apps apps
RUN npm ci --no-audit --no-fund --loglevel=error \
 && npx tsc -b \
 && npm prune --omit=dev --no-audit --no-fund --loglevel=error

FROM node:22-bookworm-slim
ENV NODE_ENV=production
# Slabs of 64 KiB go back to the system when they are freed (see apps/cli/src/member.ts).
ENV MALLOC_MMAP_THRESHOLD_=65536
WORKDIR /app
COPY --from=build /app /app
# Volumes that are first mounted here take over these owners.
RUN mkdir -p /cluster/secrets/member /cluster/secrets/gateway /cluster/secrets/nats /data /data1 /data2 /data3 /secrets \
 && chown -R node:node /cluster /data /data1 /data2 /data3 /secrets
USER node
CMD ["node", "apps/cli/dist/main.js", "--help"]
