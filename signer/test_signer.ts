/**
 * For tests: REST API, bus and signing worker in this process, with keys and audit log in memory.
 *
 * @module
 */
import type { Meter } from "@opentelemetry/api";
import { httpApp, type HttpAppOptions } from "../service/http_app.ts";
import { listen } from "../service/http_server.ts";
import type { AuditEntry } from "./work/audit_chain.ts";
import type { AuditLog } from "./work/audit_log.ts";
import type { Bus } from "../service/bus/bus.ts";
import { type KeyDirectory, openKeyDirectory } from "./keys/key_directory.ts";
import type { PublishedKey } from "./keys/key_files.ts";
import { memoryBus } from "../service/bus/memory_bus.ts";
import { type Requester, type RequesterOptions, startRequester } from "./work/requester.ts";
import { type SignRoutes, signRoutes, type SignRoutesOptions } from "./api/sign_routes.ts";
import { type Algorithm, generateKey, type PrivateKey } from "./keys/signing.ts";
import {
  type SigningWorker,
  type SigningWorkerOptions,
  startSigningWorker,
} from "./work/signing_worker.ts";
import { type TestContext, testContext } from "../service/testing/context.ts";
import { realWorld, type World } from "../service/world/world.ts";
import { keysTopic } from "./work/wire.ts";

/** Options of {@linkcode testSigner}. */
export interface TestSignerOptions {
  bus?: Bus;
  algorithm?: Algorithm;
  requester?: Partial<RequesterOptions>;
  routes?: Partial<SignRoutesOptions>;
  http?: Partial<HttpAppOptions>;
  worker?: Partial<SigningWorkerOptions> | "none";
  /** Whose time requests and sockets go by. @default realWorld */
  world?: World;
  /** Makes the instruments. @default of whatever provider is installed */
  meter?: Meter;
}

/** All of it. `await using` ends it. */
export interface TestSigner extends AsyncDisposable {
  bus: Bus;
  context: TestContext;
  requester: Requester;
  directory: KeyDirectory;
  routes: SignRoutes;
  worker: SigningWorker | undefined;
  /** What was noted. */
  audited: AuditEntry[];
  key: PrivateKey | undefined;
  /** `http://127.0.0.1:port`. */
  url: string;
  /** Opens a socket and collects its answers. */
  socket(protocols?: string[]): Promise<TestSocket>;
}

/** A client's socket. */
export interface TestSocket {
  socket: WebSocket;
  answers: string[];
  closed: Promise<CloseEvent>;
  /** The answers, once there are so many. */
  reach(count: number): Promise<string[]>;
}

/** Starts all of it on a free port. */
export async function testSigner(options: TestSignerOptions = {}): Promise<TestSigner> {
  const { bus = memoryBus(), algorithm = "ed25519" } = options;
  const { world = realWorld } = options;
  const context = testContext({ world, ...(options.meter && { meter: options.meter }) });
  const topic = "signer.v1";
  const audited: AuditEntry[] = [];
  const audit: AuditLog = {
    head: "",
    count: 0,
    failed: new Promise(() => {}),
    append: (entry) => Promise.resolve("event" in entry || audited.push(entry)).then(() => {}),
    close: () => Promise.resolve(),
  };
  await bus.createTopic(topic, { partitions: 4 });
  const key = algorithm === "base64" ? undefined : generateKey(algorithm);
  const directory = await openKeyDirectory({ bus, topic: keysTopic(topic) });
  if (key) await publish(bus, { ...key.publicJwk, state: "active", version: 1, created_at: "" });
  const worker = options.worker === "none" ? undefined : await startSigningWorker({
    bus,
    requestTopic: topic,
    group: "g",
    algorithm,
    ...(key && { key: () => key }),
    audit,
    ...options.worker,
  }, context);
  const requester = await startRequester(
    { bus, requestTopic: topic, ...options.requester },
    context,
  );
  const routes = signRoutes({ requester, directory, ...options.routes }, context);
  const app = httpApp({ name: "signer-api", ...options.http }, context);
  app.route("/", routes.app);
  const server = await listen(app.fetch, { port: 0, portFlag: "--port" });
  const address = `127.0.0.1:${server.port}`;

  return {
    bus,
    context,
    requester,
    directory,
    routes,
    worker,
    audited,
    key,
    url: `http://${address}`,
    socket: (protocols = []) => openSocket(`ws://${address}/sign/ws`, protocols),
    async [Symbol.asyncDispose]() {
      await routes.closeSockets(AbortSignal.abort());
      await requester.close(AbortSignal.abort());
      await worker?.close(AbortSignal.abort());
      await directory.close();
      await server.stop(AbortSignal.abort());
      if (!options.bus) await bus.close();
    },
  };
}

/** Publishes a key as a signing service does. */
export async function publish(bus: Bus, key: PublishedKey): Promise<void> {
  await bus.send(keysTopic("signer.v1"), {
    key: key.kid,
    headers: [],
    value: new TextEncoder().encode(JSON.stringify(key)),
  });
}

/** Opens a socket and collects what comes. */
export async function openSocket(url: string, protocols: string[] = []): Promise<TestSocket> {
  const socket = new WebSocket(url, protocols);
  const answers: string[] = [];
  let onMore = () => {};
  const closed = new Promise<CloseEvent>((resolve) => socket.onclose = resolve);
  closed.then(() => onMore());
  socket.onmessage = ({ data }) => {
    answers.push(data);
    onMore();
  };
  await new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve();
    socket.onerror = (event) => reject(new Error((event as ErrorEvent).message));
  });
  return {
    socket,
    answers,
    closed,
    async reach(count) {
      while (answers.length < count) {
        if (socket.readyState > WebSocket.CLOSING) {
          throw new Error(`The socket closed after ${answers.length} answers, not ${count}.`);
        }
        await new Promise<void>((resolve) => onMore = resolve);
      }
      return answers;
    },
  };
}
