/**
 * The second version of the API: routes that carry their schemas, so that `/openapi.json` is made of
 * what is really checked.
 *
 * A room adds its routes with a function of its own, `add…Routes(api, …)`, in `server.ts`.
 *
 * @module
 */
import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import { problemResponse } from "../../service/problem.ts";
import { version } from "../../service/version.ts";

/** What a caller may do. */
export type OrbScope = "orb:signup" | "orb:telemetry" | "orb:admin";

/** Who calls. */
export interface OrbCaller {
  /** The device, or the operator's name; `undefined` where nobody has to say. */
  readonly subject: string | undefined;
  /** May it act for this device? An admin may act for all; without authentication everybody may. */
  mayActFor(orbId: string): boolean;
}

/** What the API's handlers find in their context. */
export interface OrbEnv {
  Variables: { caller: OrbCaller };
}

/** Who may call what. Made by `orb/auth/`, or {@linkcode openAccess}. */
export interface OrbAccess {
  /** True when every call needs a token: then the server may listen beyond loopback. */
  readonly authenticated: boolean;
  /** Middleware that lets only callers with one of these scopes pass, and sets `caller`. */
  require(...scopes: OrbScope[]): MiddlewareHandler<OrbEnv>;
}

const anybody: OrbCaller = { subject: undefined, mayActFor: () => true };

/** Without an issuer everybody who reaches the port may do everything: so it listens on loopback only. */
export const openAccess: OrbAccess = {
  authenticated: false,
  require() {
    return async function letPass(c, next) {
      c.set("caller", anybody);
      await next();
    };
  },
};

/** The API under construction. */
export type OrbApi = OpenAPIHono<OrbEnv>;

/** Problem details (RFC 9457), as every error of the API is. */
export const ProblemSchema = z.object({
  type: z.string().openapi({ example: "about:blank" }),
  title: z.string(),
  status: z.number().int(),
  detail: z.string().optional(),
}).openapi("Problem");

/**
 * What a route may answer besides what it is for: for `responses` of {@linkcode createRoute}.
 *
 * @example
 * ```ts
 * responses: { 200: …, ...problems({ 404: "There is no such signup." }) }
 * ```
 */
export function problems<Status extends number>(
  reasons: Readonly<Record<Status, string>>,
): Record<
  Status,
  { description: string; content: { "application/problem+json": { schema: typeof ProblemSchema } } }
> {
  return Object.fromEntries(
    Object.entries<string>(reasons).map(([status, description]) => [
      status,
      { description, content: { "application/problem+json": { schema: ProblemSchema } } },
    ]),
  ) as ReturnType<typeof problems<Status>>;
}

/** The name of the document's only security scheme. */
const tokenScheme = "token";

/**
 * Who may call a route, for `security` of {@linkcode createRoute}: who has a token with one of these
 * scopes. It is for the document; {@linkcode OrbAccess.require} is what checks it.
 *
 * @example
 * ```ts
 * security: anyOf("orb:signup", "orb:admin")
 * ```
 */
export function anyOf(...scopes: OrbScope[]): { [tokenScheme]: OrbScope[] }[] {
  return scopes.map((scope) => ({ [tokenScheme]: [scope] }));
}

/**
 * The content of a route that answers with server-sent events. OpenAPI 3.1 has no words for the form
 * of each event, so the route's description names them.
 */
export const eventStream = { "text/event-stream": { schema: z.unknown() } };

/**
 * Makes an API without routes; what does not fit a schema is answered 422 with every fault named.
 *
 * @example
 * ```ts
 * const api = createOrbApi();
 * addSignupRoutes(api, …);
 * serveOpenApi(api, access);
 * app.route("/", api);
 * ```
 */
export function createOrbApi(): OrbApi {
  return new OpenAPIHono<OrbEnv>({
    defaultHook(result) {
      if (result.success) return;
      const faults = result.error.issues.slice(0, 10).map(({ path, message }) =>
        `'${path.join(".")}': ${message}`
      );
      return problemResponse(422, {
        title: "Request refused",
        detail: `What does not fit, in ${result.target}: ${faults.join("; ")}`,
      });
    },
  });
}

/** For who reads the document first. */
const introduction = `Device signup: every image may sign up once.

Choose a ULID, \`PUT\` the image to \`/v2/signups/{id}\`, and read \`state\` in the answer or at that address \
until it is \`accepted\`, \`duplicate\` or \`rejected\`. After a lost answer, a 429 or a 503 send the same \
image under the same id again: it is one signup.

Errors are problem details (RFC 9457). Where an operation names scopes, it needs a bearer token with one of them, \
and a device acts for itself only; a server that names none lets everybody call who reaches it. The first version, \
\`POST /api/signup\`, answers in plain text and is not described here.`;

const tags = [
  { name: "signups", description: "Hand images in, and follow what becomes of them." },
  { name: "devices", description: "What a device says of itself, and is told." },
  { name: "operators", description: "The queue with its dead letters, and the fleet." },
  { name: "tokens", description: "A device's token for a challenge that its key signs." },
];

/** What is read of an operation here. */
interface Operation {
  tags?: readonly string[];
  security?: unknown;
}

/**
 * The OpenAPI document of the routes added so far.
 *
 * @param authenticated whether calls need a token: else the document asks for none.
 */
export function openApiDocument(api: OrbApi, authenticated: boolean): object {
  if (authenticated) {
    api.openAPIRegistry.registerComponent("securitySchemes", tokenScheme, {
      ...{ type: "http", scheme: "bearer", bearerFormat: "JWT" },
      description: "Of the server's OpenID Connect issuer, or of /v2/auth/tokens.",
    });
  }
  const document = api.getOpenAPI31Document({
    openapi: "3.1.0",
    info: { title: "Virtual Orb", version, description: introduction },
  });
  const operations = Object.values(document.paths ?? {}).flatMap((path) =>
    Object.values(path) as Operation[]
  );
  if (!authenticated) { for (const operation of operations) delete operation.security; }
  const used = new Set(operations.flatMap((operation) => operation.tags ?? []));
  return { ...document, tags: tags.filter(({ name }) => used.has(name)) };
}

/** Serves the document at `/openapi.json`. Call it after all routes were added. */
export function serveOpenApi(
  api: OrbApi,
  { authenticated }: Pick<OrbAccess, "authenticated">,
): void {
  let document: object | undefined;
  api.get("/openapi.json", (c) => c.json(document ??= openApiDocument(api, authenticated)));
}

export { createRoute, z };
