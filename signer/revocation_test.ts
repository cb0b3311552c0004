import assert from "node:assert/strict";
import { join } from "node:path";
import { bearerAuth } from "../service/bearer_auth.ts";
import { type Bus, BusError } from "../service/bus/bus.ts";
import { memoryBus } from "../service/bus/memory_bus.ts";
import { StartError } from "../service/life_cycle.ts";
import { noDeadline, testContext } from "../service/testing/context.ts";
import { eventually } from "../service/testing/eventually.ts";
import { startIssuer } from "../service/testing/issuer.ts";
import { testWith } from "../service/testing/permissions.ts";
import { keyRoutes } from "./api/key_routes.ts";
import { assertRecord } from "./document_check.ts";
import { openKeyDirectory } from "./keys/key_directory.ts";
import type { PublishedKey } from "./keys/key_files.ts";
import { exportPrivateJwk, generateKey } from "./keys/signing.ts";
import { publish, type TestSigner, testSigner } from "./test_signer.ts";
import { verifyAuditLog } from "./work/audit_chain.ts";
import { type SigningService, startSigningService } from "./work/signing_service.ts";

const needs: Deno.PermissionName[] = ["read", "write"];

interface Services {
  bus: Bus;
  /** A REST API whose services are those that are started. */
  signer: TestSigner;
  /** Starts a service on the folder; they all are stopped at the end. */
  start(name: string): Promise<SigningService & { folder: string; lines: readonly string[] }>;
}

async function withServices(run: (services: Services) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir();
  const bus = memoryBus();
  const started: SigningService[] = [];
  try {
    await using signer = await testSigner({ bus, worker: "none", algorithm: "base64" });
    await run({
      ...{ bus, signer },
      async start(name) {
        const folder = join(root, name);
        const flags = { algorithm: "ed25519" as const, dataDir: folder };
        const options = { bus, requestTopic: "signer.v1", group: "g", flags };
        const context = testContext();
        const service = await startSigningService(options, context);
        started.push(service);
        return { ...service, folder, lines: context.lines };
      },
    });
  } finally {
    for (const service of started) await service.close(AbortSignal.abort()).catch(() => {});
    await bus.close();
    await Deno.remove(root, { recursive: true });
  }
}

const kidOf = ({ keys }: SigningService) => keys!.active.publicJwk.kid;

async function post(url: string, body: unknown) {
  const response = await fetch(url, { method: "POST", body: JSON.stringify(body) });
  return await response.json();
}

/** The ids in the key set that everybody may see. */
async function jwksIds({ url }: TestSigner): Promise<string[]> {
  const response = await fetch(`${url}/.well-known/jwks.json`);
  assert.match(response.headers.get("cache-control")!, /max-age=60/);
  return ((await response.json()).keys as { kid: string }[]).map(({ kid }) => kid);
}

async function auditText(folder: string): Promise<string> {
  assert.equal((await verifyAuditLog(join(folder, "audit"))).ok, true);
  let text = "";
  for await (const { name } of Deno.readDir(join(folder, "audit"))) {
    if (name.endsWith(".jsonl")) text += await Deno.readTextFile(join(folder, "audit", name));
  }
  return text;
}

const routesOf = ({ keys, revocations }: SigningService, auth?: ReturnType<typeof bearerAuth>) =>
  keyRoutes({
    ...{ store: keys!, revocations: revocations!, log: testContext().log },
    ...(auth && { auth }),
  });

const revokeRequest = (reason: unknown, headers: HeadersInit = {}): RequestInit => ({
  method: "POST",
  body: JSON.stringify({ reason }),
  headers,
});

testWith(
  needs,
  "the key of a service whose disk is lost is revoked by another, for good",
  () =>
    withServices(async ({ bus, signer, start }) => {
      const lost = await start("lost");
      const kid = kidOf(lost);
      const answer = await post(`${signer.url}/sign`, { message: "hi" });
      assert.equal(answer.keyId, kid);
      await lost.close(noDeadline);
      await Deno.remove(lost.folder, { recursive: true });

      let other = await start("other");
      const signed = { message: "hi", ...answer };
      assert.equal((await post(`${signer.url}/verify`, signed)).valid, true);
      const request = revokeRequest("its disk was stolen");
      const response = await routesOf(other).request(`/keys/${kid}/revoke`, request);
      assert.equal(response.status, 200);
      const { revocation } = await response.json();
      assert.equal(revocation.revoked_by, "anonymous");
      const refused = {
        ...{ valid: false, reason: "revoked-key" },
        ...{ revokedAt: revocation.revoked_at, revokedBecause: "its disk was stolen" },
      };
      assert.deepEqual(await post(`${signer.url}/verify`, signed), refused);
      assert.deepEqual(await jwksIds(signer), [kidOf(other)]);
      assert.match(
        await auditText(other.folder),
        new RegExp(
          `"event":"key-revoked","actor":"anonymous","kid":"${kid}","reason":"its disk was stolen"`,
        ),
      );
      const again = await routesOf(other).request(`/keys/${kid}/revoke`, revokeRequest("again"));
      assert.deepEqual((await again.json()).revocation, revocation, "the first stands");

      // Neither its holder nor a tombstone brings it back.
      const key = signer.directory.keys.find((one) => one.kid === kid)!;
      await publish(bus, { ...key, state: "active" } as PublishedKey);
      await bus.send("signer.v1.keys", { key: `revoked:${kid}`, headers: [], value: null });
      assert.deepEqual(await post(`${signer.url}/verify`, signed), refused);
      assert.deepEqual(await jwksIds(signer), [kidOf(other)]);

      // A start anew keeps it, even where the topic has lost it; and notes it no second time.
      await other.close(noDeadline);
      await bus.deleteTopic("signer.v1.keys");
      other = await start("other");
      const directory = await openKeyDirectory({ bus, topic: "signer.v1.keys" });
      await directory.caughtUp;
      assert.deepEqual(directory.revocations.get(kid), revocation);
      await directory.close();
      assert.equal((await auditText(other.folder)).match(/key-revoked/g)!.length, 1);
    }),
);

testWith(
  needs,
  "an active key that is revoked by another never signs again, at work or after a restart",
  () =>
    withServices(async ({ bus, signer, start }) => {
      let first = await start("first");
      const kid = kidOf(first);
      const second = await start("second");
      await second.revocations!.revoke({ kid, reason: "leaked", actor: "ann" });
      await eventually("another key", () => kidOf(first) !== kid || undefined);
      await eventually(
        "its note",
        async () => /"actor":"ann"/.test(await auditText(first.folder)) || undefined,
      );
      const answers = await Promise.all(
        Array.from({ length: 40 }, () => post(`${signer.url}/sign`, { message: "x" })),
      );
      assert.ok(answers.every(({ keyId }) => typeof keyId === "string" && keyId !== kid));
      const own = first.keys!.keys.find((one) => one.kid === kid)!;
      assert.equal(own.state, "retired");
      for await (const { name } of Deno.readDir(join(first.folder, "keys"))) {
        if (name === ".lock") continue;
        const jwk = JSON.parse(await Deno.readTextFile(join(first.folder, "keys", name)));
        assert.equal(jwk.kid === kid && "d" in jwk, false, "its private part is gone");
      }

      // One that was stopped meanwhile hears of it before it signs anything.
      await first.close(noDeadline);
      const next = kidOf(first);
      await second.revocations!.revoke({ kid: next, reason: "leaked too", actor: "ann" });
      first = await start("first");
      assert.notEqual(kidOf(first), next);

      const records: string[] = [];
      const follower = await bus.follow({
        ...{ topic: "signer.v1.keys", from: "beginning" },
        handle: (record) => {
          if (!record.key!.startsWith("revoked:")) return;
          assertRecord("revocation", record);
          records.push(record.key!);
        },
      });
      await follower.caughtUp;
      await follower.close();
      assert.ok(records.includes(`revoked:${kid}`) && records.includes(`revoked:${next}`));
    }),
);

testWith(
  needs,
  "a revoked key does not sign while the one after it cannot be published",
  () =>
    withServices(async ({ bus, signer, start }) => {
      const inner = bus.send.bind(bus);
      const service = await start("only");
      const kid = kidOf(service);
      bus.send = (topic, record, timeoutMs) =>
        topic === "signer.v1.keys" && !record.key?.startsWith("revoked:")
          ? Promise.reject(new BusError("unavailable", "no"))
          : inner(topic, record, timeoutMs);
      await service.revocations!.revoke({ kid, reason: "leaked", actor: "ann" });
      const waiting = post(`${signer.url}/sign`, { message: "x" });
      await eventually(
        "a request that waits",
        () =>
          service.lines.some((line) => /taken up again later.*is revoked/.test(line)) || undefined,
      );
      bus.send = inner;
      assert.notEqual((await waiting).keyId, kid);
    }),
);

testWith(
  needs,
  "a revoked key in a single file ends the service, and its start",
  () =>
    withServices(async ({ bus, start }) => {
      const other = await start("other");
      const key = generateKey("ed25519");
      const file = join(other.folder, "single.json");
      await Deno.writeTextFile(file, JSON.stringify(exportPrivateJwk(key)), { mode: 0o600 });
      const flags = {
        ...{ algorithm: "ed25519" as const, keys: file },
        dataDir: join(other.folder, "single"),
      };
      const options = { bus, requestTopic: "signer.v1", group: "g", flags };
      const single = await startSigningService(options, testContext());
      const failed = assert.rejects(single.failed, /is revoked and may not sign: give another/);
      await other.revocations!.revoke({ kid: kidOf(single), reason: "leaked", actor: "ann" });
      await failed;
      await single.close(noDeadline);
      await assert.rejects(
        startSigningService(options, testContext()),
        (error) => error instanceof StartError && /is revoked and may not sign/.test(error.message),
      );
      assert.match(await auditText(join(other.folder, "single")), /"event":"key-revoked"/);
    }),
);

testWith(
  needs,
  "revoking wants a key that is known, a reason, and signer:admin",
  () =>
    withServices(async ({ start }) => {
      const service = await start("one");
      await using issuer = await startIssuer();
      const routes = routesOf(service, bearerAuth({ issuer: issuer.url, audience: "api" }));
      const scoped = async (scope: string) => ({
        authorization: `Bearer ${await issuer.token({ scope })}`,
      });
      const admin = await scoped("signer:admin");
      const path = `/keys/${kidOf(service)}/revoke`;
      const status = async (at: string, request: RequestInit) => {
        const response = await routes.request(at, request);
        await response.body?.cancel();
        return response.status;
      };
      assert.equal(await status(path, revokeRequest("x")), 401);
      assert.equal(await status(path, revokeRequest("x", await scoped("signer:sign"))), 403);
      assert.equal(await status(`/keys/${"A".repeat(43)}/revoke`, revokeRequest("x", admin)), 404);
      for (const reason of [undefined, 1, " ", "a\nb", "x".repeat(501)]) {
        assert.equal(await status(path, revokeRequest(reason, admin)), 400, String(reason));
      }
      assert.equal(service.revocations!.all.size, 0);
      assert.equal(await status(path, revokeRequest("leaked", admin)), 200);
      assert.equal(service.revocations!.all.size, 1);
    }),
);
