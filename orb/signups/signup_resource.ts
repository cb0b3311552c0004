/**
 * Signups on the wire of v2: schemas, from which the OpenAPI document is made too.
 *
 * @module
 */
import { z } from "../api/orb_api.ts";
import { imageMediaTypes, type SignupRecord, signupStates } from "./signup_record.ts";

/** Crockford's base32; the first digit holds three bits only. Lower case is as good. */
export const UlidSchema = z.string()
  .regex(/^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$/, "must be a ULID: 26 characters")
  .openapi({ example: "01M7YWWF73WJAQYR7RMSPYEYZP" });

/** A device's id: it goes into paths, headers and logs. */
export const OrbIdSchema = z.string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._~-]{0,63}$/, "must be 1 to 64 letters, digits, or . _ ~ -")
  .openapi({ example: "orb-0042" });

const TimeSchema = z.iso.datetime().openapi({ example: "2026-11-29T12:00:00.000Z" });

/** A signup, as its status tells. */
export const SignupSchema = z.object({
  id: UlidSchema,
  state: z.enum(signupStates).openapi({
    description:
      "queued → processing → accepted | duplicate | rejected; dead_letter waits for an operator",
  }),
  orbId: OrbIdSchema.optional(),
  image: z.object({
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
    bytes: z.number().int(),
    mediaType: z.enum(imageMediaTypes),
  }),
  token: z.string().optional().openapi({
    description: "The image's token, once it is accepted",
    example: "371dd8e3f2423f4a",
  }),
  reason: z.string().optional().openapi({
    description:
      "Why it was rejected, what the last attempt failed with, or why it is a dead letter",
  }),
  duplicateOf: UlidSchema.optional(),
  distance: z.number().optional().openapi({
    description: "How near that image is: 0 the same, 1 nothing in common",
  }),
  attempts: z.number().int(),
  createdAt: TimeSchema,
  updatedAt: TimeSchema,
  decidedAt: TimeSchema.optional(),
}).openapi("Signup");

/** A signup on the wire. */
export type SignupResource = z.infer<typeof SignupSchema>;

/** The body that names an upload instead of bringing the image. */
export const UploadedSignupSchema = z.object({
  upload: z.string().regex(/^[0-9a-f]{32}$/, "must be the id of an upload"),
}).openapi("UploadedSignup");

/** Asks for an upload. */
export const NewUploadSchema = z.object({
  mediaType: z.enum(imageMediaTypes),
}).openapi("NewUpload");

/** Where to send an upload. */
export const UploadSchema = z.object({
  upload: z.string().regex(/^[0-9a-f]{32}$/),
  method: z.literal("PUT"),
  url: z.string().openapi({ description: "An address, or a path of this server" }),
  headers: z.record(z.string(), z.string()),
  expiresAt: TimeSchema,
}).openapi("Upload");

/** A page of signups, newest first. */
export const SignupListSchema = z.object({
  signups: z.array(SignupSchema),
  next: UlidSchema.optional().openapi({ description: "The value of `before` for the next page" }),
}).openapi("SignupList");

/** How the queue is. */
export const QueueSchema = z.object({
  byState: z.object({
    queued: z.number().int(),
    processing: z.number().int(),
    accepted: z.number().int(),
    duplicate: z.number().int(),
    rejected: z.number().int(),
    dead_letter: z.number().int(),
  }),
  oldestWaitMs: z.number().openapi({
    description: "How long the oldest waits that could be worked on now",
  }),
  tokens: z.number().int().openapi({ description: "Images that are known, of v1 and v2" }),
  maxQueued: z.number().int().openapi({ description: "Beyond it signups are refused with 503" }),
}).openapi("Queue");

/**
 * A record as its status tells. The token is for those who were accepted.
 *
 * @example
 * ```ts
 * return c.json(signupResource(record), 200);
 * ```
 */
export function signupResource(record: SignupRecord): SignupResource {
  return {
    id: record.id,
    state: record.state,
    ...(record.orbId !== undefined && { orbId: record.orbId }),
    image: { sha256: record.sha256, bytes: record.imageBytes, mediaType: record.mediaType },
    ...(record.state === "accepted" && { token: record.token }),
    ...(record.reason !== undefined && { reason: record.reason }),
    ...(record.duplicateOf !== undefined && { duplicateOf: record.duplicateOf }),
    ...(record.distance !== undefined && { distance: record.distance }),
    attempts: record.attempts,
    createdAt: timeOf(record.createdMs),
    updatedAt: timeOf(record.updatedMs),
    ...(record.decidedMs !== undefined && { decidedAt: timeOf(record.decidedMs) }),
  };
}

let [cachedMs, cachedTime] = [NaN, ""];

/** A signup that is decided with its arrival has three times that are one. */
function timeOf(ms: number): string {
  if (ms !== cachedMs) [cachedMs, cachedTime] = [ms, new Date(ms).toISOString()];
  return cachedTime;
}
