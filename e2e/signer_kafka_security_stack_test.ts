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
import { choosePorts } from "../service/ports.ts";
import { eventually } from "../service/testing/eventually.ts";
import { startProgram, type TestProgram } from "../service/testing/program.ts";
import { type RunningKafka, startKafka } from "../stack/kafka.ts";
import { testWithStack } from "../stack/test_with_stack.ts";

const users = { admin: "admin-pw", "signer-service": "service-pw", "signer-api": "api-pw" };

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

/** A cluster that demands TLS and a password, with what a person makes on it beforehand. */
class SecuredKafka implements AsyncDisposable {
  readonly #kafka: RunningKafka;
  readonly folder: string;

  private constructor(kafka: RunningKafka, folder: string) {
    this.#kafka = kafka;
    this.folder = folder;
  }

  static async start(allowed: readonly Allowed[]): Promise<SecuredKafka> {
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
      sasl: { mechanism: "PLAIN", username: "admin", password: users.admin },
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

  /** Starts a program of the signer as one of the users. */
  async program(
    entry: "service" | "rest_api",
    user: keyof typeof users,
    more: readonly string[] = [],
  ): Promise<{ program: TestProgram; url: string }> {
    const [port] = choosePorts(undefined);
    const program = await startProgram(new URL(`../signer/${entry}.ts`, import.meta.url), [
      ...["--port", String(port), "--data-dir", join(this.folder, entry)],
      ...["--kafka-brokers", this.#kafka.bootstrapServer],
      ...["--kafka-tls", "--kafka-tls-ca", join(this.folder, "ca.pem")],
      ...["--kafka-sasl-mechanism", "PLAIN", "--kafka-sasl-username", user],
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
    const service = await kafka.program("service", "signer-service", ["--algorithm", "es256"]);
    await using _service = service.program;
    await service.program.line(/Listening/);
    const api = await kafka.program("rest_api", "signer-api");
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
    }
  },
);

testWithStack("programs whose topics are there start where they may make none", async () => {
  const allowed = (await aclsOfReadme()).filter(({ operation }) =>
    operation === "READ" || operation === "WRITE"
  );
  await using kafka = await SecuredKafka.start(allowed);
  const service = await kafka.program("service", "signer-service", ["--algorithm", "es256"]);
  await using _service = service.program;
  await service.program.line(/Listening/);
  const fixed = ["--res-topic", "signer.v1.resp.fixed"];
  const api = await kafka.program("rest_api", "signer-api", fixed);
  await using _api = api.program;
  await sign(api);
});

testWithStack(
  "a service that is refused the topic of keys, or altogether, is alive, says so, and ends with 0",
  async () => {
    const allowed = (await aclsOfReadme())
      .filter(({ name, operation }) => !(name === "signer.v1.keys" && operation === "WRITE"));
    await using kafka = await SecuredKafka.start(allowed);
    await Deno.writeTextFile(join(kafka.folder, "signer-api.password"), "wrong\n");
    const refused = [
      { entry: "service", user: "signer-service", says: /part=keys.*authoriz/i },
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
