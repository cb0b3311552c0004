import assert from "node:assert/strict";
import { testWith } from "../service/testing/permissions.ts";
import { eventually } from "../service/testing/eventually.ts";
import { startProgram } from "../service/testing/program.ts";

const entry = new URL("./client.ts", import.meta.url);

/** A server that takes whatever an orb sends, and keeps it. */
function listenForOrbs() {
  const telemetry: Record<string, number>[] = [];
  const signups: { id: string; image_base64: string }[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const body = await request.json();
    if (new URL(request.url).pathname === "/telemetry") telemetry.push(body);
    else signups.push(body);
    return new Response("371dd8e3f2423f4a");
  });
  return {
    telemetry,
    signups,
    url: `http://127.0.0.1:${server.addr.port}`,
    stop: () => server.shutdown(),
  };
}

function flags(url: string, telemetryInterval: string, signupInterval: string): string[] {
  return [
    ...["--telemetry-url", `${url}/telemetry`, "--telemetry-interval", telemetryInterval],
    ...["--orb-server", url, "--orb-signup-interval", signupInterval],
  ];
}

function clientTest(name: string, run: () => Promise<void>): void {
  testWith(["net", "read", "run", "env"], name, run);
}

clientTest("an orb starts both loops at once and ends with 0 on SIGINT", async () => {
  const orbs = listenForOrbs();
  {
    await using client = await startProgram(entry, flags(orbs.url, "600", "600"));
    await client.line(/Signup request successful! Unique Image Hash Token 371dd8e3f2423f4a$/);
    await client.line(/Telemetry sent$/);
    client.kill("SIGINT");
    assert.equal((await client.status).code, 0);
    assert.match(client.lines[0]!, /Virtual Orb Test Client \d+\.\d+\.\d+$/);
    const text = client.lines.join("\n");
    assert.match(text, /📡 Telemetry started\.\.\./);
    assert.match(text, /👁 Signup check started\.\.\./);
  }
  assert.equal(orbs.signups.length, 1);
  const [image] = orbs.signups.map((signup) => Uint8Array.fromBase64(signup.image_base64));
  assert.equal(new TextDecoder().decode(image!.subarray(1, 4)), "PNG");
  assert.equal(orbs.telemetry.length, 1);
  const { cpu_usage, memory_usage, disk_space, timestamp } = orbs.telemetry[0]!;
  for (const share of [cpu_usage, memory_usage, disk_space]) assert.ok(share! >= 0 && share! <= 1);
  assert.ok(Math.abs(timestamp! - Date.now() / 1_000) < 600);
  await orbs.stop();
});

clientTest("a fleet spreads its orbs, and an interval of 0 disables its loop only", async () => {
  const orbs = listenForOrbs();
  {
    const more = ["--orbs", "3", "--images", "fresh"];
    await using client = await startProgram(entry, [...flags(orbs.url, "0", "0.1"), ...more]);
    for (const orb of [1, 2, 3]) await client.line(new RegExp(`successful.* orb=${orb}$`));
    await eventually("a second round", () => orbs.signups.length > 6 ? true : undefined);
    client.kill("SIGTERM");
    assert.equal((await client.status).code, 0);
    assert.match(client.lines.join("\n"), /📡 Telemetry disabled/);
  }
  assert.equal(orbs.telemetry.length, 0);
  const images = new Set(orbs.signups.map((signup) => signup.image_base64));
  assert.equal(images.size, orbs.signups.length);
  await orbs.stop();
});

clientTest("both loops disabled end it with 0, and it says so", async () => {
  await using client = await startProgram(entry, flags("http://127.0.0.1:9", "0", "0"));
  assert.equal((await client.status).code, 0);
  const text = client.lines.join("\n");
  assert.match(text, /📡 Telemetry disabled/);
  assert.match(text, /👁 Signup check disabled/);
  assert.match(text, /Nothing to do/);
});

clientTest("a server that is not there is logged, and tried again", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  await using client = await startProgram(entry, flags(`http://127.0.0.1:${port}`, "0.05", "0.05"));
  const failures = (pattern: RegExp) => client.lines.filter((line) => pattern.test(line)).length;
  await eventually("two failures of each", () =>
    failures(/❌️ Signup unable to connect/) >= 2 &&
      failures(/📡 Unable to send telemetry error: /) >= 2
      ? true
      : undefined);
});

clientTest("a missing or bad flag ends it with 2 and says which", async () => {
  const whole = flags("http://127.0.0.1:9", "1", "1");
  for (let at = 0; at < whole.length; at += 2) {
    await using client = await startProgram(entry, whole.toSpliced(at, 2));
    assert.equal((await client.status).code, 2);
    assert.match(client.lines.join("\n"), new RegExp(`'${whole[at]} .*not specified`));
  }
  await using client = await startProgram(entry, [...whole, "--orbs", "0"]);
  assert.equal((await client.status).code, 2);
});
