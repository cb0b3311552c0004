/**
 * The operations of v2's signups as they are described: what each takes and answers. `signup_routes.ts`
 * carries them out.
 *
 * @module
 */
import { anyOf, createRoute, eventStream, problems, z } from "../api/orb_api.ts";
import { imageMediaTypes, signupStates } from "./signup_record.ts";
import {
  NewUploadSchema,
  OrbIdSchema,
  QueueSchema,
  SignupListSchema,
  SignupSchema,
  UlidSchema,
  UploadedSignupSchema,
  UploadSchema,
} from "./signup_resource.ts";

/** The longest that a `Prefer: wait` is granted, in seconds. */
export const maxWaitSeconds = 30;

const idParam = z.object({ id: UlidSchema });
const orbHeader = z.object({
  "orb-id": OrbIdSchema.optional().openapi({
    description: "Which device signs up; where tokens are needed, the token's own device",
  }),
});
const preferHeader = z.object({
  prefer: z.string().max(200).optional().openapi({
    description: `wait=<seconds> (RFC 7240) waits for the decision, up to ${maxWaitSeconds} s`,
    example: "wait=10",
  }),
});
const jsonOf = <Schema extends z.ZodType>(schema: Schema) => ({ "application/json": { schema } });
const signupBody = jsonOf(SignupSchema);
const bytes = z.string().openapi({ type: "string", format: "binary" });

const refusals = {
  ...problems({
    401: "A token is needed.",
    403: "The token does not allow it, or the request comes from another site's page.",
    422: "Something does not fit; `detail` says what.",
    503: "Too much at once, or a store cannot be reached; `Retry-After` says when to come again.",
  }),
};
const notFound = problems({ 404: "There is no such signup, or it is another device's." });

/** `PUT /v2/signups/{id}`. */
export const putSignup = createRoute({
  method: "put",
  path: "/v2/signups/{id}",
  summary: "Hand in an image",
  tags: ["signups"],
  security: anyOf("orb:signup"),
  description:
    "The id is the idempotency key: the same request again gives the same signup. What is answered 202 is durable.",
  request: {
    params: idParam,
    headers: orbHeader.extend(preferHeader.shape),
    body: {
      required: true,
      content: {
        ...Object.fromEntries(imageMediaTypes.map((type) => [type, { schema: bytes }])),
        ...jsonOf(UploadedSignupSchema),
      },
    },
  },
  responses: {
    202: {
      description:
        "It is kept: it waits for its decision, is decided already, or was handed in before.",
      headers: {
        location: { description: "Where its status is", schema: { type: "string" } },
        ratelimit: { description: "What the device has left", schema: { type: "string" } },
        "ratelimit-policy": { description: "What it may do", schema: { type: "string" } },
      },
      content: signupBody,
    },
    ...refusals,
    ...problems({
      400: "The body did not arrive whole, or is not JSON.",
      408: "The body took too long.",
      409: "The id stands for another image or another device.",
      413: "The image is too large.",
      415: "The body is neither an image nor names an upload.",
      429: "The device signs up too often; `Retry-After` says when to come again.",
    }),
  },
});

/** `GET /v2/signups/{id}`. */
export const getSignup = createRoute({
  method: "get",
  path: "/v2/signups/{id}",
  summary: "The status of a signup",
  tags: ["signups"],
  security: anyOf("orb:signup", "orb:admin"),
  request: { params: idParam, headers: preferHeader },
  responses: { 200: { description: "Its status.", content: signupBody }, ...refusals, ...notFound },
});

/** `GET /v2/signups/{id}/events`. */
export const streamSignup = createRoute({
  method: "get",
  path: "/v2/signups/{id}/events",
  summary: "The states of a signup as server-sent events",
  tags: ["signups"],
  security: anyOf("orb:signup", "orb:admin"),
  description:
    "An event `state` with the status, now and with each change; ends once it is decided.",
  request: { params: idParam },
  responses: {
    200: {
      description: "The stream.",
      content: eventStream,
    },
    ...refusals,
    ...notFound,
  },
});

/** `GET /v2/signups/{id}/image`. */
export const getImage = createRoute({
  method: "get",
  path: "/v2/signups/{id}/image",
  summary: "The image of a signup (operators)",
  tags: ["operators"],
  security: anyOf("orb:admin"),
  request: { params: idParam },
  responses: {
    200: {
      description: "The image.",
      content: Object.fromEntries(imageMediaTypes.map((type) => [type, { schema: bytes }])),
    },
    ...refusals,
    ...notFound,
  },
});

/** `GET /v2/signups`. */
export const listSignups = createRoute({
  method: "get",
  path: "/v2/signups",
  summary: "Signups, newest first (operators)",
  tags: ["operators"],
  security: anyOf("orb:admin"),
  request: {
    query: z.object({
      state: z.enum(signupStates).optional(),
      orbId: OrbIdSchema.optional(),
      before: UlidSchema.optional(),
      limit: z.coerce.number().int().min(1).max(500).default(50),
    }),
  },
  responses: {
    200: { description: "A page of them.", content: jsonOf(SignupListSchema) },
    ...refusals,
  },
});

/** `POST /v2/signups/{id}/requeue`. */
export const requeueSignup = createRoute({
  method: "post",
  path: "/v2/signups/{id}/requeue",
  summary: "Give a dead letter all its attempts anew (operators)",
  tags: ["operators"],
  security: anyOf("orb:admin"),
  request: { params: idParam },
  responses: {
    200: { description: "It is queued.", content: signupBody },
    ...refusals,
    ...notFound,
    ...problems({ 409: "It is no dead letter." }),
  },
});

/** `GET /v2/queue`. */
export const getQueue = createRoute({
  method: "get",
  path: "/v2/queue",
  summary: "How the queue is (operators)",
  tags: ["operators"],
  security: anyOf("orb:admin"),
  responses: { 200: { description: "Its figures.", content: jsonOf(QueueSchema) }, ...refusals },
});

/** `POST /v2/uploads`. */
export const postUpload = createRoute({
  method: "post",
  path: "/v2/uploads",
  summary: "Ask where to send an image",
  tags: ["signups"],
  security: anyOf("orb:signup"),
  description: "Then send it there, and hand in the signup with the upload's id.",
  request: { body: { required: true, content: jsonOf(NewUploadSchema) } },
  responses: {
    201: { description: "Where to send it.", content: jsonOf(UploadSchema) },
    ...refusals,
    ...problems({ 400: "The body is not JSON.", 413: "The body is too large." }),
  },
});

/** `PUT /v2/uploads/{upload}`. */
export const putUpload = createRoute({
  method: "put",
  path: "/v2/uploads/{upload}",
  summary: "Send an upload",
  tags: ["signups"],
  security: anyOf("orb:signup"),
  description:
    "Whoever knows its id may send it; only for stores whose uploads come by this server.",
  request: {
    params: z.object({ upload: UploadSchema.shape.upload }),
    body: {
      required: true,
      content: Object.fromEntries(imageMediaTypes.map((type) => [type, { schema: bytes }])),
    },
  },
  responses: {
    204: { description: "It has arrived." },
    ...refusals,
    ...problems({
      400: "The body did not arrive whole.",
      404: "Uploads do not come by this server.",
      408: "The body took too long.",
      413: "The image is too large.",
    }),
  },
});
