/**
 * What breaks a signing service over Kafka, done for real: brokers and programs are killed, bad
 * messages sent by an independent client, and every request must end in exactly one answer or one
 * clear error, the right one.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { jsonProtocol } from "../signer/api/sign_socket.ts";
import { importVerifier, type PublicJwk } from "../signer/keys/signing.ts";
import { eventually } from "../service/testing/eventually.ts";
import { startProgram, type TestProgram } from "../service/testing/program.ts";
import { type RunningKafka, startKafka } from "../stack/kafka.ts";
import { testWithStack } from "../stack/test_with_stack.ts";

const entry = (name: string) => new URL(`../signer/${name}.ts`, import.meta.url);

interface Api {
  program: TestProgram;
  url: string;
}

async function startApi(broker: string, flags: string[] = []): Promise<Api> {
  const program = await startProgram(entry("rest_api"), [
    ...["--port", "0", "--kafka-brokers", broker, "--sweep-interval-ms", "500", ...flags],
  ]);
  const [, url] = await program.line(/Listening url=(http:\/\/[^/]+)/);
  return { program, url: url! };
}

async function startService(broker: string, folder: string, flags: string[] = []) {
  const program = await startProgram(entry("service"), [
    ...["--port", "0", "--kafka-brokers", broker, "--data-dir", folder, ...flags],
  ]);
  await program.line(/Listening url=/);
  return program;
}

/** What became of each message of a load. */
interface Outcome {
  message: string;
  sentMs: number;
  /** Every answer that came for it; more than one is the fault that is looked for. */
  answers: { atMs: number; ok?: { signature: string; keyId: string }; error?: { type: string } }[];
}

/** A steady stream of messages on one JSON socket, until it is stopped. */
async function startLoad(url: string, { everyMs = 5, socketMayClose = false } = {}) {
  const socket = new WebSocket(`${url.replace("http", "ws")}/sign/ws`, jsonProtocol);
  await new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve();
    socket.onerror = () => reject(new Error(`Cannot open the socket of ${url}`));
  });
  let closed = false;
  socket.onclose = () => closed = true;
  const outcomes: Outcome[] = [];
  socket.onmessage = ({ data }) => {
    const { id, ok, error } = JSON.parse(data);
    outcomes[id]!.answers.push({ atMs: performance.now(), ok, error });
  };
  const timer = setInterval(() => {
    if (socket.readyState !== WebSocket.OPEN) return;
    const message = `message ${outcomes.length} ${crypto.randomUUID()}`;
    socket.send(JSON.stringify({ id: outcomes.length, message }));
    outcomes.push({ message, sentMs: performance.now(), answers: [] });
  }, everyMs);
  return {
    outcomes,
    /** Resolves once a message sent after now is signed. */
    async nextSignature(): Promise<number> {
      const from = outcomes.length;
      return await eventually("a new signature", () => {
        for (const { answers: [answer] } of outcomes.slice(from)) {
          if (answer?.ok) return answer.atMs;
        }
      });
    },
    /** Sends no more, waits for what is open, and checks what must hold of all. */
    async stop(): Promise<Outcome[]> {
      clearInterval(timer);
      await eventually(
        "an answer to everything",
        () => closed || outcomes.every(({ answers }) => answers.length > 0) || undefined,
        15_000,
      );
      assert.equal(closed && !socketMayClose, false, "the socket lives");
      socket.close();
      return outcomes;
    },
  };
}

/** Exactly one answer each, errors only of the stable types, and every signature over its own message. */
async function checkOutcomes(
  outcomes: Outcome[],
  url: string,
): Promise<{ signed: number; failed: number }> {
  const { keys } = await (await fetch(`${url}/.well-known/jwks.json`)).json() as {
    keys: PublicJwk[];
  };
  const verifiers = new Map(keys.map((key) => [key.kid, importVerifier(key)]));
  let signed = 0;
  for (const { message, answers } of outcomes) {
    assert.equal(answers.length, 1, `${answers.length} answers to one message`);
    const { ok, error } = answers[0]!;
    if (!ok) {
      assert.match(error!.type, /^(timeout|unavailable|overloaded)$/);
      continue;
    }
    const verifier = verifiers.get(ok.keyId);
    assert.ok(verifier, `nobody knows the key ${ok.keyId}`);
    const signature = Uint8Array.fromBase64(ok.signature);
    assert.ok(verifier.verify(new TextEncoder().encode(message), signature), "wrong pairing");
    signed++;
  }
  return { signed, failed: outcomes.length - signed };
}

/** A folder, a broker, and what else a test starts; all gone at the end. */
async function withKafka(run: (kafka: RunningKafka, folder: string) => Promise<void>) {
  const folder = await Deno.makeTempDir({ prefix: "signer-faults-" });
  try {
    await using kafka = await startKafka();
    await run(kafka, folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

testWithStack(
  "signer: a broker killed with -9 under load costs no request its one answer",
  async () => {
    const folder = await Deno.makeTempDir({ prefix: "signer-faults-" });
    const runFolder = join(folder, "kafka");
    try {
      let kafka = await startKafka({ runFolder });
      const broker = kafka.bootstrapServer;
      const port = Number(broker.split(":")[1]);
      await using service = await startService(broker, join(folder, "service"));
      const api = await startApi(broker);
      await using apiProgram = api.program;
      const load = await startLoad(api.url);
      await load.nextSignature();

      Deno.kill(kafka.pid, "SIGKILL");
      await kafka.exited;
      await eventually("readiness off", async () => {
        const response = await fetch(`${api.url}/readyz`);
        await response.body?.cancel();
        return response.status === 503 || undefined;
      });
      // Its controller may take any port: only clients must find it again.
      kafka = await startKafka({ runFolder, port, controllerPort: controllerPort(runFolder) });
      const backMs = performance.now();
      const recoveredMs = await load.nextSignature();
      assert.ok(recoveredMs - backMs < 10_000, `recovered after ${recoveredMs - backMs} ms`);

      await load.nextSignature();
      const { signed, failed } = await checkOutcomes(await load.stop(), api.url);
      assert.ok(signed > 0 && failed > 0, `${signed} signed, ${failed} failed`);
      apiProgram.kill("SIGTERM");
      service.kill("SIGTERM");
      assert.equal((await apiProgram.status).code, 0);
      assert.equal((await service.status).code, 0);
      await kafka.stop();
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

/** The one it had: the node's identity is bound to it. */
function controllerPort(runFolder: string): number {
  const properties = Deno.readTextFileSync(join(runFolder, "server.properties"));
  return Number(/controller\.quorum\.voters=1@[^:]+:(\d+)/.exec(properties)![1]);
}

testWithStack(
  "signer: a service killed with -9 under load costs no request its one answer",
  () =>
    withKafka(async (kafka, folder) => {
      await using first = await startService(kafka.bootstrapServer, join(folder, "first"));
      const api = await startApi(kafka.bootstrapServer);
      await using _api = api.program;
      const load = await startLoad(api.url);
      await load.nextSignature();
      first.kill("SIGKILL");
      await first.status;
      await using _second = await startService(kafka.bootstrapServer, join(folder, "second"));
      await load.nextSignature();
      const { signed } = await checkOutcomes(await load.stop(), api.url);
      assert.ok(signed > 0);
    }),
);

testWithStack(
  "signer: services that come and go under load share it, and nothing is lost",
  () =>
    withKafka(async (kafka, folder) => {
      await using _first = await startService(kafka.bootstrapServer, join(folder, "first"));
      const api = await startApi(kafka.bootstrapServer);
      await using _api = api.program;
      const load = await startLoad(api.url);
      await load.nextSignature();
      await using second = await startService(kafka.bootstrapServer, join(folder, "second"));
      const signers = () =>
        new Set(
          load.outcomes.slice(-200).map(({ answers }) => answers[0]?.ok?.keyId).filter(Boolean),
        );
      await eventually("signatures of both", () => signers().size === 2 || undefined);
      second.kill("SIGTERM");
      assert.equal((await second.status).code, 0);
      await eventually("signatures of the first alone", () => signers().size === 1 || undefined);
      const { signed, failed } = await checkOutcomes(await load.stop(), api.url);
      assert.equal(failed, 0, `${signed} signed, ${failed} failed`);
    }),
);

testWithStack(
  "signer: a REST API killed with -9 touches nobody else's answers, and its topic is swept",
  () =>
    withKafka(async (kafka, folder) => {
      await using _service = await startService(kafka.bootstrapServer, join(folder, "service"));
      const victim = await startApi(kafka.bootstrapServer);
      await using victimProgram = victim.program;
      const other = await startApi(kafka.bootstrapServer);
      await using otherProgram = other.program;
      const doomed = await startLoad(victim.url, { socketMayClose: true });
      const load = await startLoad(other.url);
      await doomed.nextSignature();
      await load.nextSignature();
      victimProgram.kill("SIGKILL");
      await victimProgram.status;
      await load.nextSignature();
      await doomed.stop();
      await otherProgram.line(/Removed the topic of an instance that is gone/);
      await load.nextSignature();
      const { failed } = await checkOutcomes(await load.stop(), other.url);
      assert.equal(failed, 0);
      otherProgram.kill("SIGTERM");
      await otherProgram.status;
      assert.deepEqual(await topics(kafka, /\.resp\./), []);
    }),
);

testWithStack(
  "signer: a topic of answers that is removed comes back",
  () =>
    withKafka(async (kafka, folder) => {
      await using _service = await startService(kafka.bootstrapServer, join(folder, "service"));
      const api = await startApi(kafka.bootstrapServer);
      await using _api = api.program;
      const load = await startLoad(api.url);
      await load.nextSignature();
      const { kafkaBus } = await import("../service/bus/kafka_bus.ts");
      const bus = kafkaBus({
        connection: { brokers: [kafka.bootstrapServer], clientId: "vandal" },
      });
      const [topic] = await topics(kafka, /\.resp\./);
      await bus.deleteTopic(topic!);
      await bus.close();
      await eventually("an error", () =>
        load.outcomes.some(({ answers: [answer] }) => answer?.error) || undefined);
      await load.nextSignature();
      await checkOutcomes(await load.stop(), api.url);
    }),
);

testWithStack(
  "signer: an outage beyond the limit ends both programs with 1 and the reason",
  () =>
    withKafka(async (kafka, folder) => {
      const limit = ["--kafka-outage-limit-ms", "1000"];
      await using service = await startService(
        kafka.bootstrapServer,
        join(folder, "service"),
        limit,
      );
      const api = await startApi(kafka.bootstrapServer, limit);
      await using apiProgram = api.program;
      Deno.kill(kafka.pid, "SIGKILL");
      for (const program of [service, apiProgram]) {
        assert.equal((await program.status).code, 1);
        assert.match(program.lines.join("\n"), /longer than the limit of 1000 ms/);
      }
    }),
);

testWithStack("signer: programs that find no broker end with 1 and say what to do", async () => {
  const folder = await Deno.makeTempDir();
  const flags = ["--kafka-brokers", "127.0.0.1:1", "--kafka-start-timeout-ms", "500"];
  try {
    for (const name of ["rest_api", "service"]) {
      await using program = await startProgram(entry(name), [
        ...["--port", "0", "--data-dir", folder, ...flags],
      ]);
      assert.equal((await program.status).code, 1);
      assert.match(program.lines.join("\n"), /Cannot use Kafka at 127\.0\.0\.1:1.*--kafka-brokers/);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

testWithStack(
  "signer: a stranger's kcat gets its answers, and its bad messages hurt nobody",
  () =>
    withKafka(async (kafka, folder) => {
      const broker = kafka.bootstrapServer;
      await using service = await startService(broker, join(folder, "service"), [
        "--algorithm",
        "base64",
      ]);
      const api = await startApi(broker);
      await using apiProgram = api.program;
      const { kafkaBus } = await import("../service/bus/kafka_bus.ts");
      const bus = kafkaBus({ connection: { brokers: [broker], clientId: "stranger" } });
      await bus.createTopic("strangers.answers");

      const good = ["-H", "msg_id=m1", "-H", "resp_topic=strangers.answers"];
      const swapped = ["-H", "resp_topic=strangers.answers", "-H", "msg_id=m2"];
      const id = (msgId: string) => ["-H", `msg_id=${msgId}`, "-H", "resp_topic=strangers.answers"];
      const responses = (await topics(kafka, /\.resp\./))[0]!;
      await produce(broker, "signer.v1", [], "no headers");
      await produce(broker, "signer.v1", ["-H", "msg_id=m3"], "one header");
      await produce(broker, "signer.v1", swapped, "swapped headers");
      await produce(
        broker,
        "signer.v1",
        ["-H", "msg_id=m4", "-H", "resp_topic=absent"],
        "no topic",
      );
      await produce(broker, "signer.v1", id("null"), null);
      await produce(broker, "signer.v1", id("utf8"), new Uint8Array([0xff, 0xfe]));
      await produce(broker, "signer.v1", id("large"), "x".repeat(900_000));
      // Answers that nobody asked for, and such as are none, on the REST API's own topic.
      await produce(broker, responses, ["-H", "msg_id=forged", "-H", "resp_id=r"], "forged");
      await produce(broker, responses, [], "no headers");
      await produce(broker, responses, ["-H", "msg_id=x", "-H", "resp_id=r"], null);
      await produce(broker, "signer.v1", good, "hello");

      const answers = await consume(broker, "strangers.answers", 4);
      const byId = new Map(answers.map((answer) => [answer.headers["msg_id"], answer]));
      assert.equal(byId.get("m1")?.payload, "aGVsbG8=");
      assert.deepEqual(byId.get("m1")?.names.slice(0, 2), ["msg_id", "resp_id"]);
      assert.equal(byId.get("large")?.headers["error"], "too-large");
      assert.equal(byId.get("null")?.headers["error"], "invalid");
      assert.equal(byId.get("utf8")?.headers["error"], "invalid");

      // Both programs have seen all of it, reported it, and work.
      const skipped = await eventually("lines of the service", () => {
        const lines = service.lines.filter((line) => /WARN/.test(line));
        return lines.length >= 7 ? lines : undefined;
      });
      assert.equal(skipped.length, 7, skipped.join("\n"));
      await eventually("lines of the API", () =>
        apiProgram.lines.filter((line) => /WARN/.test(line)).length === 3 || undefined);

      const text = new WebSocket(`${api.url.replace("http", "ws")}/sign/ws`);
      const texts: string[] = [];
      await new Promise((resolve) =>
        text.onopen = resolve
      );
      text.onmessage = ({ data }) => texts.push(data);
      for (const message of ["x".repeat(900_000), "x".repeat(1_100_000), "hello"]) {
        text.send(message);
      }
      await eventually("three answers", () => texts.length === 3 || undefined);
      assert.deepEqual(texts, ["error: too large", "error: too large", "ok: aGVsbG8="]);
      text.close();
      await bus.close();
    }),
);

testWithStack(
  "signer: a stranger's service answers our REST API as the original did",
  () =>
    withKafka(async (kafka) => {
      const broker = kafka.bootstrapServer;
      const api = await startApi(broker, ["--res-topic", "signer.v1.resp0"]);
      await using _api = api.program;
      const asking = fetch(`${api.url}/sign`, { method: "POST", body: '{"message":"hi"}' });
      const [request] = await consume(broker, "signer.v1", 1);
      assert.deepEqual(request!.names.slice(0, 2), ["msg_id", "resp_topic"]);
      assert.equal(request!.headers["resp_topic"], "signer.v1.resp0");
      assert.equal(request!.payload, "hi");
      const headers = ["-H", `msg_id=${request!.headers["msg_id"]}`, "-H", "resp_id=1"];
      await produce(broker, "signer.v1.resp0", headers, "aGk=");
      await produce(broker, "signer.v1.resp0", headers, "c2Vjb25k");
      assert.deepEqual(await (await asking).json(), {
        signature: "aGk=",
        algorithm: "base64",
        keyId: null,
      });
    }),
);

/** The broker's topics whose names fit. */
async function topics(kafka: RunningKafka, pattern: RegExp): Promise<string[]> {
  const output = await kcat(["-L", "-J", "-b", kafka.bootstrapServer]);
  const { topics } = JSON.parse(output) as { topics: { topic: string }[] };
  return topics.map(({ topic }) => topic).filter((topic) => pattern.test(topic));
}

async function produce(
  broker: string,
  topic: string,
  headers: string[],
  value: string | Uint8Array | null,
): Promise<void> {
  const args = ["-P", "-b", broker, "-t", topic, "-X", "message.max.bytes=2000000", ...headers];
  // An empty key and an empty value are both null with -Z.
  if (value === null) return void await kcat([...args, "-Z", "-K:"], ":\n");
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeFile(file, typeof value === "string" ? new TextEncoder().encode(value) : value);
    // A file is one message, whatever is in it.
    await kcat([...args, file]);
  } finally {
    await Deno.remove(file);
  }
}

interface Consumed {
  names: string[];
  headers: Record<string, string>;
  payload: string;
}

async function consume(broker: string, topic: string, count: number): Promise<Consumed[]> {
  const output = await kcat([
    ...["-C", "-b", broker, "-t", topic, "-o", "beginning", "-c", String(count), "-q", "-J"],
  ]);
  return output.trim().split("\n").map((line) => {
    const { headers, payload } = JSON.parse(line) as { headers: string[]; payload: string };
    const names = headers.filter((_, index) => index % 2 === 0);
    const values = headers.filter((_, index) => index % 2 === 1);
    return { names, headers: Object.fromEntries(names.map((n, i) => [n, values[i]!])), payload };
  });
}

async function kcat(args: string[], input = ""): Promise<string> {
  const child = new Deno.Command("kcat", {
    args,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(30_000),
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input));
  await writer.close();
  const { success, stdout, stderr } = await child.output();
  assert.ok(success, `kcat ${args.join(" ").slice(0, 200)}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}
