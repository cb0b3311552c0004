/**
 * The routes of v2's signups: hand in, follow, upload; and for an operator the queue with its dead
 * letters.
 *
 * @module
 */
import type { Context } from "hono";
import { ProblemError } from "../../service/problem.ts";
import { readBody } from "../../service/request_body.ts";
import type { OrbAccess, OrbApi, OrbEnv, z } from "../api/orb_api.ts";
import type { BodyBudget } from "../overload/body_budget.ts";
import type { TokenBuckets } from "../overload/token_buckets.ts";
import { type ImageStore, ImageStoreError } from "../stores/image_store.ts";
import type { RecordStore } from "../stores/record_store.ts";
import { inWords, type SignupIntake } from "./signup_intake.ts";
import {
  getImage,
  getQueue,
  getSignup,
  listSignups,
  maxWaitSeconds,
  postUpload,
  putSignup,
  putUpload,
  requeueSignup,
  streamSignup,
} from "./signup_operations.ts";
import type { SignupRecord } from "./signup_record.ts";
import {
  NewUploadSchema,
  OrbIdSchema,
  signupResource,
  UlidSchema,
  UploadSchema,
} from "./signup_resource.ts";
import type { SignupWaiters } from "./signup_waiters.ts";

/** What the routes need. */
export interface SignupRoutesOptions {
  access: OrbAccess;
  store: RecordStore;
  images: ImageStore;
  intake: SignupIntake;
  waiters: SignupWaiters;
  buckets: TokenBuckets;
  budget: BodyBudget;
  /** The most bytes of an image. */
  maxBodyBytes: number;
  /** How long a body may take to arrive, in milliseconds. */
  bodyTimeoutMs: number;
  /** Signups that may be under way. */
  maxQueued: number;
}

/**
 * Adds the routes.
 *
 * @example
 * ```ts
 * addSignupRoutes(api, { access, store, images, intake, waiters, buckets, budget, … });
 * ```
 */
export function addSignupRoutes(api: OrbApi, options: SignupRoutesOptions): void {
  addHandIn(api, options);
  addStatus(api, options);
  addUploads(api, options);
  addOperators(api, options);
}

function addHandIn(api: OrbApi, { access, intake, waiters, buckets }: SignupRoutesOptions): void {
  // Registered by hand: the library would read and parse the whole body before anybody asks for its size.
  api.openAPIRegistry.registerPath(putSignup);
  api.put("/v2/signups/:id", access.require("orb:signup"), async (c) => {
    const id = parsed(UlidSchema, c.req.param("id"), "id").toUpperCase();
    const orbId = orbOf(c);
    const device = orbId ?? c.get("caller").subject;
    const limits = device === undefined ? {} : buckets.take(device);
    const record = await intake.take(id, orbId, c.req.raw);
    const [waitMs, applied] = waitOf(c);
    const latest = await inWords(waiters.untilSettled(record, waitMs));
    // Not by `c.json()`, which makes and copies `Headers` field by field.
    return new Response(JSON.stringify(signupResource(latest)), {
      status: 202,
      headers: {
        ...{ "content-type": "application/json", location: `/v2/signups/${id}` },
        ...limits,
        ...applied,
      },
    });
  });
}

function addStatus(api: OrbApi, { access, store, waiters }: SignupRoutesOptions): void {
  api.use("/v2/signups/:id", onlyFor("GET", access.require("orb:signup", "orb:admin")));
  api.openapi(getSignup, async (c) => {
    const record = await visible(c, store, c.req.valid("param").id);
    const [waitMs, applied] = waitOf(c);
    const latest = await inWords(waiters.untilSettled(record, waitMs));
    return c.json(signupResource(latest), 200, applied);
  });

  api.use("/v2/signups/:id/events", access.require("orb:signup", "orb:admin"));
  api.openapi(streamSignup, async (c) => {
    const { id } = await visible(c, store, c.req.valid("param").id);
    return await inWords(waiters.stream(id)) as never;
  });
}

function addUploads(api: OrbApi, options: SignupRoutesOptions): void {
  const { access, images, budget, maxBodyBytes, bodyTimeoutMs: timeoutMs, intake } = options;
  api.openAPIRegistry.registerPath(postUpload);
  api.post("/v2/uploads", access.require("orb:signup"), async (c) => {
    intake.shed();
    const text = new TextDecoder().decode(
      await readBody(c.req.raw, { limitBytes: 1_024, timeoutMs }),
    );
    const { mediaType } = parsed(NewUploadSchema, jsonOrNothing(text), "body");
    const ticket = await inWords(images.openUpload({ maxBytes: maxBodyBytes, mediaType }));
    return c.json({
      ...{ upload: ticket.id, method: "PUT", url: ticket.url, headers: ticket.headers },
      expiresAt: new Date(ticket.expiresMs).toISOString(),
    }, 201);
  });

  api.openAPIRegistry.registerPath(putUpload);
  api.put("/v2/uploads/:upload", access.require("orb:signup"), async (c) => {
    const id = parsed(UploadSchema.shape.upload, c.req.param("upload"), "upload");
    if (images.receiveUpload === undefined) {
      throw new ProblemError(404, {
        title: "Not found",
        detail: "Uploads go to the address that POST /v2/uploads gave.",
      });
    }
    using _ = budget.reserve(c.req.raw, maxBodyBytes);
    const bytes = await readBody(c.req.raw, { limitBytes: maxBodyBytes, timeoutMs });
    await inWords(images.receiveUpload(id, bytes));
    return c.body(null, 204);
  });
}

function addOperators(
  api: OrbApi,
  { access, store, images, maxQueued }: SignupRoutesOptions,
): void {
  const admin = access.require("orb:admin");
  for (
    const path of ["/v2/signups", "/v2/signups/:id/requeue", "/v2/signups/:id/image", "/v2/queue"]
  ) {
    api.use(path, admin);
  }
  api.openapi(listSignups, async (c) => {
    const { state, orbId, before, limit } = c.req.valid("query");
    const records = await inWords(store.run({
      ...{ type: "list", limit },
      ...(state !== undefined && { states: [state] }),
      ...(orbId !== undefined && { orbId }),
      ...(before !== undefined && { before: before.toUpperCase() }),
    }));
    const last = records.at(-1);
    return c.json({
      signups: records.map(signupResource),
      ...(last !== undefined && records.length === limit && { next: last.id }),
    }, 200);
  });
  api.openapi(requeueSignup, async (c) => {
    const { id } = await visible(c, store, c.req.valid("param").id);
    const reply = await inWords(store.run({ type: "requeue", id }));
    if (reply.result === "changed") return c.json(signupResource(reply.record), 200);
    throw new ProblemError(409, {
      title: "No dead letter",
      detail: `Signup ${id} is no dead letter: there is nothing to requeue.`,
    });
  });
  api.openapi(getImage, async (c) => {
    const record = await visible(c, store, c.req.valid("param").id);
    const image = await inWords(
      images.get(record.sha256).catch((error) => {
        if (!(error instanceof ImageStoreError && error.kind === "missing")) throw error;
        throw new ProblemError(404, { title: "Not found", detail: "Its image is not there." });
      }),
    );
    return new Response(image as Uint8Array<ArrayBuffer>, {
      headers: {
        "content-type": record.mediaType,
        "x-content-type-options": "nosniff",
        "content-disposition": "inline",
        "cache-control": "private, max-age=3600",
      },
    }) as never;
  });
  api.openapi(
    getQueue,
    async (c) => c.json({ ...await inWords(store.run({ type: "statistics" })), maxQueued }, 200),
  );
}

/** The signup, if the caller may see it; that of another device is not there. */
async function visible(
  c: Context<OrbEnv>,
  store: Pick<RecordStore, "run">,
  id: string,
): Promise<SignupRecord> {
  const record = await inWords(store.run({ type: "find", id: id.toUpperCase() }));
  if (record !== null && (record.orbId === undefined || c.get("caller").mayActFor(record.orbId))) {
    return record;
  }
  throw new ProblemError(404, { title: "Not found", detail: `There is no signup ${id}.` });
}

/** Which device signs up: the one of the header, if the caller may act for it, or the caller itself. */
function orbOf(c: Context<OrbEnv>): string | undefined {
  const caller = c.get("caller");
  const header = c.req.header("orb-id");
  if (header === undefined) return caller.subject;
  const orbId = parsed(OrbIdSchema, header, "orb-id");
  if (caller.mayActFor(orbId)) return orbId;
  throw new ProblemError(403, {
    title: "Another device",
    detail: "The token is not that of the device which 'orb-id' names.",
  });
}

/** How long to wait by `Prefer: wait` (RFC 7240, section 4.3), and what says so in the answer. */
function waitOf(c: Context): [waitMs: number, headers: Record<string, string>] {
  const seconds = /(?:^|[,;\s])wait="?(\d{1,6})"?/i.exec(c.req.header("prefer") ?? "")?.[1];
  if (seconds === undefined) return [0, {}];
  const granted = Math.min(Number(seconds), maxWaitSeconds);
  return [granted * 1_000, { "preference-applied": `wait=${granted}` }];
}

function onlyFor(
  method: string,
  middleware: ReturnType<OrbAccess["require"]>,
): ReturnType<OrbAccess["require"]> {
  return function onlyForMethod(c, next) {
    return c.req.method === method || c.req.method === "HEAD" ? middleware(c, next) : next();
  };
}

function parsed<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  name: string,
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const faults = result.error.issues.slice(0, 10).map(({ path, message }) =>
    `'${[name, ...path].join(".")}': ${message}`
  );
  throw new ProblemError(422, { title: "Request refused", detail: faults.join("; ") });
}

function jsonOrNothing(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ProblemError(400, { title: "Bad request", detail: "The body is not JSON." });
  }
}
