import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { testWith } from "../../service/testing/permissions.ts";
import { testContext } from "../../service/testing/context.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { masked } from "./mask.ts";
import { events, withEvents } from "./orb_events.ts";
import { type Notice, startWebhook, type WebhookOptions } from "./webhook.ts";

const url = "http://hooks.test/services/T000/B000/topsecret";

function testWebhook(
  answers: (() => Response)[] = [() => new Response("ok")],
  options: Partial<WebhookOptions> = {},
) {
  const world = new VirtualWorld({ seed: 1 });
  const { log, lines, telemetry: { meter } } = testContext({ world });
  const posts: { atMs: number; text: string }[] = [];
  const webhook = startWebhook({
    ...{ url, sender: "orb-server", log, meter, world },
    fetch: ((_: string, init: RequestInit) => {
      assert.equal(init.redirect, "manual");
      const { text } = JSON.parse(init.body as string);
      posts.push({ atMs: world.monotonicMs(), text });
      try {
        return Promise.resolve(answers[Math.min(posts.length, answers.length) - 1]!());
      } catch (error) {
        return Promise.reject(error);
      }
    }) as typeof fetch,
    ...options,
  });
  const later = (ms: number) =>
    world.runUntil(new Promise<void>((resolve) => world.setTimeout(resolve, ms)));
  return { webhook, posts, lines, later, world };
}

const silent = (orb: number): Notice => ({
  kind: "orb.device.silent",
  level: "warn",
  text: "An orb is silent",
  fields: { orb: `orb-${orb}` },
});

Deno.test("notices of a kind that come together are one message, and messages have a distance", async () => {
  const { webhook, posts, later } = testWebhook();
  for (let orb = 1; orb <= 2_000; orb++) webhook.send(silent(orb));
  webhook.send({ kind: "orb.server.reset", level: "info", text: "Every token was forgotten" });
  await later(5_100);
  webhook.send(silent(7));
  await later(20_000);
  assert.equal(posts.length, 2);
  const lines = posts[0]!.text.split("\n");
  assert.equal(lines[0], "⚠️ *orb-server*: An orb is silent (2000 times)");
  assert.equal(lines[1], "  • orb=orb-1");
  assert.equal(lines[6], "  • and 1995 more");
  assert.equal(lines[7], "ℹ️ *orb-server*: Every token was forgotten");
  assert.ok(posts[1]!.atMs - posts[0]!.atMs >= 5_000);
});

Deno.test("a message is tried again, as late as the webhook asks, and given up in the end", async () => {
  const { webhook, posts, later, lines } = testWebhook([
    () => new Response("", { status: 429, headers: { "retry-after": "30" } }),
    () => {
      throw new TypeError(`error sending request for url (${url})`);
    },
    () => new Response("", { status: 500 }),
    () => new Response("ok"),
    () => new Response("", { status: 404 }),
  ]);
  webhook.send(silent(1));
  await later(300_000);
  assert.equal(posts.length, 4);
  assert.ok(posts[1]!.atMs - posts[0]!.atMs >= 30_000);
  assert.deepEqual(lines, []);
  webhook.send(silent(1));
  await later(300_000);
  assert.equal(posts.length, 5, "404 is not tried again");
  assert.deepEqual(lines, [
    'WARN A notification could not be sent reason="the webhook answered 404" attempts=1',
  ]);
});

Deno.test("the address never gets into the log, and kinds are bounded", async () => {
  const { webhook, posts, later, lines } = testWebhook([() => {
    throw new TypeError(`error sending request for url (${url})`);
  }], { maxAttempts: 2, maxKinds: 2 });
  for (const kind of ["a", "b", "c", "d"]) webhook.send({ kind, level: "warn", text: kind });
  await later(300_000);
  assert.match(posts[0]!.text, /and 2 notices of other kinds that were dropped/);
  assert.equal(lines.length, 1);
  assert.doesNotMatch(lines.join(), /topsecret/);
});

Deno.test("a stop sends what is gathered, at once", async () => {
  const { webhook, posts, world } = testWebhook();
  webhook.send({ kind: "orb.server.stopping", level: "info", text: "The orb server stops" });
  await world.runUntil(webhook.stop(new AbortController().signal));
  assert.equal(posts.length, 1);
  assert.ok(posts[0]!.atMs < 100);
});

Deno.test("nothing that looks like a secret leaves, and no text from outside is a mention", async () => {
  const secrets: Record<string, string> = {
    "Authorization: Bearer abc.def-ghi": "Authorization: Bearer ***",
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.": "***",
    "postgres://orb:hunter2@db/orb": "postgres://***@db/orb",
    "https://s3/x?X-Amz-Signature=abcd&X-Amz-Date=1":
      "https://s3/x?X-Amz-Signature=***&X-Amz-Date=***",
    "password=hunter2 host=db": "password=*** host=db",
    '{"client_secret": "hunter2"}': '{"client_secret": "***"}',
    "https://hooks.slack.com/services/T0/B0/xyz": "https://hooks.slack.com/services/***",
    "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----": "***",
    "an orb of 284 kB": "an orb of 284 kB",
  };
  for (const [text, expected] of Object.entries(secrets)) assert.equal(masked(text), expected);
  const { webhook, posts, later } = testWebhook();
  webhook.send({
    kind: "x",
    level: "error",
    text: "Bearer hunter2",
    fields: { path: "<!channel> & <http://evil|click>" },
  });
  await later(6_000);
  assert.match(posts[0]!.text, /Bearer \*\*\*/);
  assert.match(posts[0]!.text, /&lt;!channel&gt; &amp; &lt;http/);
});

testWith(["read"], "each event is the message of a line that is logged somewhere", async () => {
  const folder = fileURLToPath(new URL("..", import.meta.url));
  const sources: string[] = [];
  for (const path of ["", "auth", "devices", "signups", "stores"]) {
    for await (const { name } of Deno.readDir(join(folder, path))) {
      if (!name.endsWith(".ts") || name.endsWith("_test.ts")) continue;
      sources.push(await Deno.readTextFile(join(folder, path, name)));
    }
  }
  const logged = sources.join("\n");
  for (const message of Object.keys(events)) assert.ok(logged.includes(`"${message}"`), message);
});

Deno.test("withEvents() names events and errors, and leaves other lines alone", () => {
  const { log, lines } = testContext();
  const sent: Notice[] = [];
  const named = withEvents(log, { send: (notice) => sent.push(notice) });
  named.info("New Signup request Id: 1");
  named.warn("An orb is silent", { orb: "orb-1" });
  named.error("The queue cannot be read", { reason: "locked" });
  assert.deepEqual(lines, [
    "INFO New Signup request Id: 1",
    "WARN An orb is silent orb=orb-1 event.name=orb.device.silent",
    "ERROR The queue cannot be read reason=locked event.name=orb.server.error",
  ]);
  assert.deepEqual(sent.map(({ kind, level }) => [kind, level]), [
    ["orb.device.silent", "warn"],
    ["orb.server.error The queue cannot be read", "error"],
  ]);
});
