/** Servers on one PostgreSQL and one S3 whose clocks are minutes apart. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { testContext } from "../../service/testing/context.ts";
import { realWorld } from "../../service/world/world.ts";
import { type RunningMinio, startMinio } from "../../stack/minio.ts";
import { startPostgresql } from "../../stack/postgresql.ts";
import { testWithStack } from "../../stack/test_with_stack.ts";
import { eventually } from "../../service/testing/eventually.ts";
import { challengeText } from "../auth/challenge_text.ts";
import { type Device, openDeviceKeys, publicKeysFile } from "../auth/device_keys.ts";
import { startOrbServer } from "../server.ts";
import { SignupLoad } from "../signups/test_signup_load.ts";

const minuteMs = 60_000;
/** Behind, right, and ahead; S3 takes no request that is fifteen minutes off. */
const offsetsMs = [-10 * minuteMs, 0, 10 * minuteMs];

interface Where {
  databaseUrl: string;
  /** Where images are looked at by other servers. */
  minio: RunningMinio | undefined;
  folder: string;
}

/** A server in this process, as only so its clock can be set. */
async function startServer(
  offsetMs: number,
  { databaseUrl, minio, folder }: Where,
  more: { deviceKeys?: string },
  undo: AsyncDisposableStack,
): Promise<string> {
  const context = testContext({
    world: { ...realWorld, nowMs: () => realWorld.nowMs() + offsetMs },
  });
  const server = await startOrbServer({
    ...{ orbApiPort: 0, databaseUrl, dataDir: join(folder, String(offsetMs)) },
    ...more,
    ...(minio && {
      s3Endpoint: minio.url,
      s3AccessKeyId: minio.accessKeyId,
      s3SecretAccessKey: minio.secretAccessKey,
    }),
    ...(more.deviceKeys && { attestationKey: join(folder, "attestation_key.json") }),
  }, context);
  undo.defer(async () => {
    context.stop();
    await server.stop(AbortSignal.timeout(10_000));
  });
  return server.url;
}

async function startServers(
  more: { deviceKeys?: string },
  folder: string,
  undo: AsyncDisposableStack,
): Promise<string[]> {
  const { databaseUrl } = undo.use(await startPostgresql());
  const minio = more.deviceKeys === undefined ? undo.use(await startMinio()) : undefined;
  const where = { databaseUrl, minio, folder };
  const urls: string[] = [];
  for (const offsetMs of offsetsMs) urls.push(await startServer(offsetMs, where, more, undo));
  return urls;
}

async function temporaryFolder(undo: AsyncDisposableStack): Promise<string> {
  const folder = await Deno.makeTempDir();
  undo.defer(() => Deno.remove(folder, { recursive: true }));
  return folder;
}

async function post(url: string, body: unknown, token?: string) {
  const response = await fetch(url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

testWithStack(
  "clocks that are minutes apart end no lease early and silence no orb, and each signup is decided once",
  async () => {
    await using undo = new AsyncDisposableStack();
    const urls = await startServers({}, await temporaryFolder(undo), undo);
    const load = new SignupLoad(() => urls);
    const done = new AbortController();
    const running = load.run(6, done.signal);
    await eventually("signups", () => load.acknowledged.size >= 150 || undefined);
    done.abort();
    await running;
    const all = await load.verify(urls[0]!);
    const nowMs = realWorld.nowMs();
    for (const { id, attempts, createdAt, decidedAt } of all) {
      assert.ok(attempts <= 1, `${id} was worked on ${attempts} times: its lease had ended`);
      assert.ok(Date.parse(createdAt) <= Date.parse(decidedAt!), id);
      assert.ok(Math.abs(Date.parse(createdAt) - nowMs) < 2 * minuteMs, `${id}: ${createdAt}`);
    }

    for (const [index, url] of urls.entries()) {
      const report = { timestamp: new Date(nowMs).toISOString() };
      assert.equal((await post(`${url}/v2/orbs/orb-${index}/status`, report)).status, 200);
    }
    for (const url of urls) {
      await eventually("every orb at every server", async () => {
        const { orbs } = await (await fetch(`${url}/v2/orbs`)).json();
        assert.ok(
          orbs.every(({ state }: { state: string }) => state === "ok"),
          JSON.stringify(orbs),
        );
        return orbs.length === urls.length || undefined;
      });
    }
  },
);

async function signed({ privateKey }: Device, challenge: string): Promise<string> {
  const bytes = new TextEncoder().encode(challengeText(challenge));
  const signature = await crypto.subtle.sign("Ed25519", privateKey, bytes);
  return new Uint8Array(signature).toBase64({ alphabet: "base64url", omitPadding: true });
}

testWithStack(
  "what servers whose clocks are minutes apart say of tokens holds at each of them, and once",
  async () => {
    await using undo = new AsyncDisposableStack();
    const folder = await temporaryFolder(undo);
    const [device] = await openDeviceKeys(join(folder, "keys"), 1);
    const deviceKeys = join(folder, "keys", publicKeysFile);
    const urls = await startServers({ deviceKeys }, folder, undo);
    for (const from of urls) {
      for (const to of urls) {
        const asked = await post(`${from}/v2/auth/challenges`, { device: device!.id });
        const { challenge } = asked.body;
        const answer = { challenge, signature: await signed(device!, challenge) };
        const given = await post(`${to}/v2/auth/tokens`, answer);
        assert.equal(given.status, 200, JSON.stringify(given.body));
        for (const url of urls) {
          const again = await post(`${url}/v2/auth/tokens`, answer);
          assert.equal(again.status, 401, "a challenge gives one token");
          const report = { timestamp: new Date(realWorld.nowMs()).toISOString() };
          const token = given.body.token ?? given.body.access_token;
          const { status } = await post(`${url}/v2/orbs/${device!.id}/status`, report, token);
          assert.equal(status, 200);
        }
      }
    }
  },
);
