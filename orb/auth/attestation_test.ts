import assert from "node:assert/strict";
import { exportJWK, generateKeyPair, type JWK } from "jose";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { TestRecordDocuments } from "../devices/test_record_documents.ts";
import { Attestation } from "./attestation.ts";
import { AnsweredChallenges } from "./answered_challenges.ts";
import { challengeText } from "./challenge_text.ts";

async function testAttestation() {
  const own = await generateKeyPair("EdDSA");
  const pair = await generateKeyPair("EdDSA", { extractable: true });
  const world = new VirtualWorld();
  const devices = new Map<string, JWK>([["orb-1", await exportJWK(pair.publicKey)]]);
  const store = new TestRecordDocuments();
  /** Each with memory of its own, and the same key and records. */
  const makeServer = () =>
    new Attestation({
      devices: { find: (id) => Promise.resolve(devices.get(id)) },
      key: { id: "k", ...own },
      audience: "orb",
      answered: new AnsweredChallenges({ store, world }),
      tokenLifetimeSeconds: 300,
      world,
    });
  const attestation = makeServer();
  async function answer(challenge: string, server = attestation) {
    const bytes = new TextEncoder().encode(challengeText(challenge));
    const signature = await crypto.subtle.sign("Ed25519", pair.privateKey, bytes);
    return await server.grant(challenge, new Uint8Array(signature));
  }
  const later = (ms: number) =>
    world.runUntil(new Promise<void>((resolve) => world.setTimeout(resolve, ms)));
  return { attestation, makeServer, store, devices, answer, later };
}

Deno.test("a challenge ends after a minute, a token after its life", async () => {
  const { attestation, answer, later } = await testAttestation();
  const challenge = await attestation.challenge("orb-1");
  await later(70_000);
  await assert.rejects(answer(challenge), /challenge has expired/);
  const { token } = await answer(await attestation.challenge("orb-1"));
  assert.equal((await attestation.check(token)).subject, "orb-1");
  await later(310_000);
  await assert.rejects(attestation.check(token), /token has expired/);
});

Deno.test("a device that is taken off the list has no token any more", async () => {
  const { attestation, answer, devices } = await testAttestation();
  const { token } = await answer(await attestation.challenge("orb-1"));
  devices.delete("orb-1");
  await assert.rejects(attestation.check(token), /not known here any more/);
  await assert.rejects(answer(await attestation.challenge("orb-1")), /not signed by the key/);
});

Deno.test("a challenge that was answered at one server is refused at another", async () => {
  const { attestation, makeServer, answer } = await testAttestation();
  const other = makeServer();
  const challenge = await attestation.challenge("orb-1");
  // At once, too: one of the two gets it.
  const results = await Promise.allSettled([answer(challenge, other), answer(challenge)]);
  assert.deepEqual(results.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  await assert.rejects(answer(challenge, other), /answered before/);
  await assert.rejects(answer(challenge, makeServer()), /answered before/, "nor after a restart");
});

Deno.test("answered challenges that have ended are not kept", async () => {
  const { attestation, answer, store, later } = await testAttestation();
  const kept = async () =>
    (await store.run({ type: "listDocuments", collection: "answered_challenges", limit: 100 }))
      .length;
  for (let count = 0; count < 10; count++) await answer(await attestation.challenge("orb-1"));
  assert.equal(await kept(), 10);
  await later(180_000);
  for (let count = 0; count < 3; count++) await answer(await attestation.challenge("orb-1"));
  assert.equal(await kept(), 3);
});
