import assert from "node:assert/strict";
import { testContext } from "../../service/testing/context.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import type { CertificatePair } from "./certificate_files.ts";
import { CertificateRenewal } from "./renewal.ts";

function pairOf(name: string): CertificatePair {
  return { cert: name, key: name, hash: Uint8Array.of(name.length) };
}

function renewal(options: Partial<ConstructorParameters<typeof CertificateRenewal>[0]> = {}) {
  const world = new VirtualWorld();
  const lines: string[] = [];
  const files = { now: "old", broken: false, reads: 0 };
  const used: string[] = [];
  const it = new CertificateRenewal({
    pair: pairOf("old"),
    read: () => {
      files.reads++;
      if (files.broken) return Promise.reject(new Error("half a file"));
      return Promise.resolve(pairOf(files.now));
    },
    apply: ({ cert }) => used.push(cert),
    pollMs: 1_000,
    log: testContext({ lines }).log,
    world,
    ...options,
  });
  it.start();
  return { it, world, lines, files, used };
}

Deno.test("CertificateRenewal takes a new pair into use within one poll, and each once", async () => {
  const { it, world, files, used, lines } = renewal();
  await world.advance(10_000);
  assert.deepEqual(used, []);
  files.now = "new";
  await world.advance(1_000);
  assert.deepEqual(used, ["new"]);
  assert.equal(it.pair.cert, "new");
  await world.advance(10_000);
  assert.deepEqual(used, ["new"]);
  assert.match(lines.join("\n"), /A new certificate is in use/);
  await it.stop();
  assert.equal(world.pendingTimers, 0);
});

Deno.test("CertificateRenewal keeps the old pair when the new one cannot be used, and backs off", async () => {
  let failing = true;
  let attempts = 0;
  const { it, world, files, lines } = renewal({
    apply: () => {
      attempts++;
      if (failing) throw new Error("port taken");
    },
  });
  files.now = "new";
  await world.advance(600_000);
  assert.equal(it.pair.cert, "old");
  assert.ok(attempts > 5 && attempts < 60, `${attempts} attempts in ten minutes`);
  const warnings = lines.filter((line) => /WARN .*port taken/.test(line));
  assert.equal(warnings.length, 1, "a state that stays is said once");
  assert.match(lines.join("\n"), /the old one stays.*port taken/);
  failing = false;
  await world.advance(61_000);
  assert.equal(it.pair.cert, "new");
  await it.stop();
});

Deno.test("CertificateRenewal reads half a file again, and soon again after it was whole", async () => {
  const { it, world, files, used, lines } = renewal();
  files.broken = true;
  await world.advance(600_000);
  const warned = () => lines.filter((line) => /WARN .*half a file/.test(line)).length;
  assert.equal(warned(), 1, "a state that stays is said once");
  files.broken = false;
  await world.advance(61_000);
  files.broken = true;
  await world.advance(1_000);
  assert.equal(warned(), 2, "it had been whole meanwhile");
  files.broken = false;
  files.now = "new";
  await world.advance(2_000);
  assert.deepEqual(used, ["new"]);
  const before = files.reads;
  await world.advance(5_000);
  assert.equal(files.reads - before, 5);
  await it.stop();
});

Deno.test("poll() takes turns with the polling, and stop() waits for it", async () => {
  const reading = Promise.withResolvers<CertificatePair>();
  const { it, used } = renewal({ read: () => reading.promise });
  const both = Promise.all([it.poll(), it.poll()]);
  const stopping = it.stop();
  reading.resolve(pairOf("new"));
  assert.deepEqual(await both, [true, false]);
  await stopping;
  assert.deepEqual(used, ["new"]);
});
