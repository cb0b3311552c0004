/**
 * The signer at a real Kafka that lets in by TLS, name and password only, and allows what its ACLs say:
 * those of signer/README.md are enough, where topics are made for the programs; what is refused is said
 * by a program that is alive, and ends with 0 when it is asked to.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createPublicKey, verify } from "node:crypto";
import { join } from "node:path";
import { createCertificate } from "../pingpong/certificates/certificate.ts";
import { type Bus, BusError, type Reader, type ReaderState } from "../service/bus/bus.ts";
import type { SaslMechanism } from "../service/bus/kafka_connection.ts";
import { openBus } from "../service/bus/open_bus.ts";
import { choosePorts } from "../service/ports.ts";
import { testContext } from "../service/testing/context.ts";
import { eventually } from "../service/testing/eventually.ts";
import { startProgram, type TestProgram } from "../service/testing/program.ts";
import { type RunningKafka, startKafka } from "../stack/kafka.ts";
import { testWithStack } from "../stack/test_with_stack.ts";

type User = "admin" | "signer-service" | "signer-api";

/** Of everybody, a person and a program that lacks one ACL alike. */
const passwordOf = (user: string) => `${user}-password`;

/** An ACL as the README has it. */
interface Allowed {
  principal: string;
  operation: "READ" | "WRITE" | "CREATE" | "DELETE";
  kind: "topic" | "group";
  name: string;
}

async function aclsOfReadme(): Promise<Allowed[]> {
  const readme = await Deno.readTextFile(new URL("../signer/README.md", import.meta.url));
  const [, block] = /```acls\n([\s\S]*?)```/.exec(readme)!;
  return block!.trim().split("\n").map((line) => {
    const [principal, operation, kind, name] = line.split(/\s+/);
    return { principal, operation, kind, name } as Allowed;
  });
}

/** For each ACL a user who has all of its owner's but that one. */
function withoutOneEach(all: readonly Allowed[]) {
  return all.map((missing, index) => {
    const user = `without-${index}`;
    const allowed = all
      .filter((one) => one.principal === missing.principal && one !== missing)
      .map((one) => ({ ...one, principal: `User:${user}` }));
    return { user, missing, allowed };
  });
}

/** Does what needs an ACL, until that is refused: with what the bus says then. */
async function refusalOf({ operation, kind, name }: Allowed, bus: Bus): Promise<string> {
  const topic = kind === "topic" ? name : name.replace(".service", "").replace(".reader.*", "");
  const used = topic.replace("*", operation === "CREATE" ? "made" : "fixed");
  // A reader that has joined its group may be refused its first records.
  const refused = Promise.withResolvers<string>();
  const onState = (state: ReaderState) => {
    if (state !== "ok") refused.resolve(state.reason);
  };
  let reader: Reader | undefined;
  try {
    if (operation === "WRITE") {
      await bus.send(used, { headers: [], value: new Uint8Array(1) });
    } else if (operation === "CREATE") await bus.createTopic(used);
    else if (operation === "DELETE") await bus.deleteTopic(used);
    else if (used === "signer.v1") {
      const handle = () => Promise.resolve();
      reader = await bus.consume({ topic: used, group: "signer.v1.service", handle, onState });
    } else reader = await bus.follow({ topic: used, from: "end", handle: () => {}, onState });
  } catch (error) {
    assert.ok(error instanceof BusError);
    return error.message;
  }
  assert.ok(reader, `${operation} was allowed`);
  const reason = await refused.promise;
  await reader.close(AbortSignal.abort());
  return reason;
}

/** A cluster that demands TLS and a password, with what a person makes on it beforehand. */
class SecuredKafka implements AsyncDisposable {
  readonly #kafka: RunningKafka;
  readonly folder: string;

  private constructor(kafka: RunningKafka, folder: string) {
    this.#kafka = kafka;
    this.folder = folder;
  }

  static async start(allowed: readonly Allowed[]): Promise<SecuredKafka> {
    const principals = allowed.map(({ principal }) => principal.replace("User:", ""));
    const names = new Set(["admin", ...principals]);
    const users = Object.fromEntries([...names].map((name) => [name, passwordOf(name)]));
    const folder = await Deno.makeTempDir({ prefix: "signer-secured-" });
    const { cert, key } = await createCertificate({ names: ["127.0.0.1"] });
    await Deno.writeTextFile(join(folder, "ca.pem"), cert);
    for (const [name, password] of Object.entries(users)) {
      await Deno.writeTextFile(join(folder, `${name}.password`), `${password}\n`);
    }
    const kafka = await startKafka({ secured: { cert, key, users, superUser: "admin" } });
    const secured = new SecuredKafka(kafka, folder);
    await secured.#prepare(cert, allowed);
    return secured;
  }

  /** Topics and ACLs, as an administrator makes them. */
  async #prepare(ca: string, allowed: readonly Allowed[]): Promise<void> {
    // Imported when it is needed: the client library reads the whole environment when it is loaded.
    const { Admin, AclOperations, AclPermissionTypes, ResourcePatternTypes, ResourceTypes } =
      await import("@platformatic/kafka");
    const admin = new Admin({
      clientId: "admin",
      bootstrapBrokers: [this.#kafka.bootstrapServer],
      tls: { ca: [ca] },
      sasl: { mechanism: "PLAIN", username: "admin", password: passwordOf("admin") },
    });
    try {
      await admin.createTopics({ topics: ["signer.v1"], partitions: 12, replicas: 1 });
      await admin.createTopics({
        ...{ topics: ["signer.v1.keys"], partitions: 1, replicas: 1 },
        configs: [{ name: "cleanup.policy", value: "compact" }],
      });
      await admin.createTopics({ topics: ["signer.v1.resp.fixed"], partitions: 1, replicas: 1 });
      await admin.createAcls({
        creations: allowed.map(({ principal, operation, kind, name }) => ({
          resourceType: kind === "topic" ? ResourceTypes.TOPIC : ResourceTypes.GROUP,
          resourceName: name.replace(/\*$/, ""),
          resourcePatternType: name.endsWith("*")
            ? ResourcePatternTypes.PREFIXED
            : ResourcePatternTypes.LITERAL,
          ...{ principal, host: "*" },
          operation: AclOperations[operation],
          permissionType: AclPermissionTypes.ALLOW,
        })),
      });
    } finally {
      await admin.close();
    }
  }

  /** The bus as one of the users has it, in this process. */
  async bus(user: string): Promise<Bus> {
    return await openBus(
      {
        kafkaBrokers: [this.#kafka.bootstrapServer],
        ...{ kafkaStartTimeoutMs: 30_000, kafkaOutageLimitMs: 300_000, maxMessageBytes: 1_000_000 },
        ...{ kafkaTls: true, kafkaTlsCa: join(this.folder, "ca.pem") },
        ...{ kafkaSaslMechanism: "PLAIN", kafkaSaslUsername: user },
        kafkaSaslPasswordFile: join(this.folder, `${user}.password`),
      },
      { clientId: user, topics: [] },
      testContext(),
    );
  }

  /** Starts a program of the signer as one of the users. */
  async program(
    entry: "service" | "rest_api",
    user: User,
    { mechanism = "PLAIN", more = [] }: {
      mechanism?: SaslMechanism;
      more?: readonly string[];
    } = {},
  ): Promise<{ program: TestProgram; url: string }> {
    const [port] = choosePorts(undefined);
    const program = await startProgram(new URL(`../signer/${entry}.ts`, import.meta.url), [
      ...["--port", String(port), "--data-dir", join(this.folder, entry)],
      ...["--kafka-brokers", this.#kafka.bootstrapServer],
      ...["--kafka-tls", "--kafka-tls-ca", join(this.folder, "ca.pem")],
      ...["--kafka-sasl-mechanism", mechanism, "--kafka-sasl-username", user],
      ...["--kafka-sasl-password-file", join(this.folder, `${user}.password`)],
      ...more,
    ]);
    return { program, url: `http://127.0.0.1:${port}` };
  }

  async [Symbol.asyncDispose]() {
    await this.#kafka.stop();
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** Whoever lacks one ACL hears which, where it is needed. */
async function lackingAcl(
  { user, missing }: { user: string; missing: Allowed },
  kafka: SecuredKafka,
): Promise<void> {
  const bus = await kafka.bus(user);
  const { operation, kind, name } = missing;
  const acl = `needs the ACL: ${operation} ${kind} ${name.replace("*", "")}`;
  // The broker hears of the ACLs a moment after they were made: until then others lack, too.
  await eventually(acl, async () => (await refusalOf(missing, bus)).includes(acl) || undefined);
  await bus.close();
}

async function sign({ program, url }: { program: TestProgram; url: string }) {
  await program.line(/Listening/);
  const response = await fetch(`${url}/sign`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ message: "hello", format: "der" }),
  });
  assert.equal(response.status, 200, program.lines.join("\n"));
  return await response.json() as Record<string, string>;
}

testWithStack(
  "the README's ACLs are enough at a Kafka that demands TLS and a password",
  async () => {
    await using kafka = await SecuredKafka.start(await aclsOfReadme());
    const service = await kafka.program("service", "signer-service", {
      mechanism: "SCRAM-SHA-256",
      more: ["--algorithm", "es256"],
    });
    await using _service = service.program;
    await service.program.line(/Listening/);
    const api = await kafka.program("rest_api", "signer-api", { mechanism: "SCRAM-SHA-512" });
    await using _api = api.program;
    const { signature, keyId } = await sign(api);
    assert.ok(signature && keyId);
    const verified = await fetch(`${api.url}/verify`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ message: "hello", format: "der", signature, keyId }),
    });
    assert.equal((await verified.json()).valid, true);
    // By another implementation, as DER has it.
    const { keys: [jwk] } = await (await fetch(`${api.url}/.well-known/jwks.json`)).json();
    const key = createPublicKey({ key: jwk, format: "jwk" });
    const der = Uint8Array.fromBase64(signature);
    const message = new TextEncoder().encode("hello");
    assert.ok(verify("sha256", message, { key, dsaEncoding: "der" }, der));
    for (const { program } of [api, service]) {
      program.kill("SIGTERM");
      assert.equal((await program.status).code, 0, program.lines.join("\n"));
      // Its own topic of answers is removed before the bus is closed.
      assert.deepEqual(program.lines.filter((line) => /WARN|ERROR/.test(line)), []);
    }
  },
);

testWithStack("programs whose topics are there start where they may make none", async () => {
  const allowed = (await aclsOfReadme()).filter(({ operation }) =>
    operation === "READ" || operation === "WRITE"
  );
  await using kafka = await SecuredKafka.start(allowed);
  const service = await kafka.program("service", "signer-service", {
    more: ["--algorithm", "es256"],
  });
  await using _service = service.program;
  await service.program.line(/Listening/);
  const api = await kafka.program("rest_api", "signer-api", {
    more: ["--res-topic", "signer.v1.resp.fixed"],
  });
  await using _api = api.program;
  await sign(api);
});

testWithStack(
  "what lacks is named: each ACL by the bus; by a service that is refused and yet alive, and ends with 0",
  async () => {
    const all = await aclsOfReadme();
    const lacking = withoutOneEach(all);
    const allowed = all
      .filter(({ name, operation }) => !(name === "signer.v1.keys" && operation === "WRITE"));
    await using kafka = await SecuredKafka.start([
      ...allowed,
      ...lacking.flatMap((one) => one.allowed),
    ]);
    await Promise.all(lacking.map((one) => lackingAcl(one, kafka)));
    await Deno.writeTextFile(join(kafka.folder, "signer-api.password"), "wrong\n");
    const refused = [
      {
        entry: "service",
        user: "signer-service",
        says: /part=keys.*needs the ACL: WRITE topic signer\.v1\.keys/,
      },
      { entry: "rest_api", user: "signer-api", says: /Waiting for the bus.*authentication/i },
    ] as const;
    for (const { entry, user, says } of refused) {
      const { program, url } = await kafka.program(entry, user);
      await using _program = program;
      const alive = await eventually("/livez", async () => {
        try {
          return await (await fetch(`${url}/livez`)).text();
        } catch (error) {
          if (error instanceof TypeError) return undefined;
          throw error;
        }
      });
      assert.ok(alive);
      await program.line(says, 60_000);
      const ready = await fetch(`${url}/readyz?verbose`);
      assert.equal(ready.status, 503);
      assert.match(await ready.text(), /starting: waiting for|not reachable/);
      program.kill("SIGTERM");
      assert.equal((await program.status).code, 0, program.lines.join("\n"));
    }
  },
);
