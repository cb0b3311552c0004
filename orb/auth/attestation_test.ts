import assert from "node:assert/strict";
import { exportJWK, generateKeyPair, type JWK } from "jose";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { Attestation } from "./attestation.ts";
import { challengeText } from "./challenge_text.ts";

async function testAttestation() {
  const own = await generateKeyPair("EdDSA");
  const pair = await generateKeyPair("EdDSA", { extractable: true });
  const world = new VirtualWorld();
  const devices = new Map<string, JWK>([["orb-1", await exportJWK(pair.publicKey)]]);
  const attestation = new Attestation({
    devices: { find: (id) => Promise.resolve(devices.get(id)) },
    key: { id: "k", ...own },
    audience: "orb",
    tokenLifetimeSeconds: 300,
    world,
  });
  async function answer(challenge: string) {
    const bytes = new TextEncoder().encode(challengeText(challenge));
    const signature = await crypto.subtle.sign("Ed25519", pair.privateKey, bytes);
    return await attestation.grant(challenge, new Uint8Array(signature));
  }
  const later = (ms: number) =>
    world.runUntil(new Promise<void>((resolve) => world.setTimeout(resolve, ms)));
  return { attestation, devices, answer, later };
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
