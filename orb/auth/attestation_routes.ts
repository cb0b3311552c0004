/**
 * `POST /v2/auth/challenges` and `POST /v2/auth/tokens`: a token for a signed challenge.
 *
 * @module
 */
import { bodyLimit } from "hono/body-limit";
import { decodeBase64 } from "../../service/base64.ts";
import { problemResponse } from "../../service/problem.ts";
import { createRoute, type OrbApi, problems, z } from "../api/orb_api.ts";
import { inWords } from "../signups/signup_intake.ts";
import type { Attestation } from "./attestation.ts";
import type { AuditLog } from "./audit_log.ts";

const maxBodyBytes = 4_096;

const challengeRoute = createRoute({
  method: "post",
  path: "/v2/auth/challenges",
  summary: "A challenge for a device, good for a minute.",
  tags: ["tokens"],
  middleware: limitBody(),
  request: {
    body: {
      required: true,
      content: {
        "application/json": {
          schema: z.object({ device: z.string().min(1).max(128).openapi({ example: "orb-1" }) }),
        },
      },
    },
  },
  responses: {
    200: {
      description: "The challenge. It is given for any name.",
      content: { "application/json": { schema: z.object({ challenge: z.string() }) } },
    },
    ...problems({
      400: "The body is not JSON.",
      413: "The body is too large.",
      422: "The body has not the right form.",
    }),
  },
});

const tokenRoute = createRoute({
  method: "post",
  path: "/v2/auth/tokens",
  summary: "A token for a challenge that the device's key has signed; one each.",
  tags: ["tokens"],
  middleware: limitBody(),
  request: {
    body: {
      required: true,
      content: {
        "application/json": {
          schema: z.object({
            challenge: z.string().max(2_048),
            // Its last digit has four bits that belong to no byte: none of them is set.
            signature: z.string().regex(
              /^[A-Za-z0-9_-]{85}[AQgw]$/,
              "must be 64 bytes in base64url",
            )
              .openapi({
                description:
                  "Ed25519 over the UTF-8 bytes of `orrery orb attestation v1`, a newline and the challenge.",
              }),
          }),
        },
      },
    },
  },
  responses: {
    200: {
      description: "As OAuth gives it (RFC 6749, section 5.1).",
      content: {
        "application/json": {
          schema: z.object({
            access_token: z.string(),
            token_type: z.literal("Bearer"),
            expires_in: z.number().int().openapi({ description: "Seconds." }),
            scope: z.string(),
          }),
        },
      },
    },
    ...problems({
      400: "The body is not JSON.",
      401: "No challenge of this server, over, answered before, or not signed by that device.",
      413: "The body is too large.",
      422: "The body has not the right form.",
      503: "Too many devices ask for tokens, or the records cannot be written.",
    }),
  },
});

/** Adds the routes. */
export function addAttestationRoutes(api: OrbApi, attestation: Attestation, audit: AuditLog): void {
  api.openapi(challengeRoute, async (c) => {
    const { device } = c.req.valid("json");
    return c.json({ challenge: await attestation.challenge(device) }, 200, noStore);
  });
  api.openapi(tokenRoute, async (c) => {
    const { challenge, signature } = c.req.valid("json");
    const bytes = decodeBase64(signature, "base64url")!;
    try {
      const { token, lifetimeSeconds, scope } = await inWords(attestation.grant(challenge, bytes));
      return c.json(
        {
          access_token: token,
          token_type: "Bearer" as const,
          expires_in: lifetimeSeconds,
          scope,
        },
        200,
        noStore,
      );
    } catch (error) {
      const { status = 500, message: reason } = error as { status?: number; message: string };
      if (status < 500) audit.refused({ method: "POST", path: c.req.path, status, reason });
      throw error;
    }
  });
}

const noStore = { "cache-control": "no-store" };

function limitBody() {
  return bodyLimit({
    maxSize: maxBodyBytes,
    onError: () =>
      problemResponse(413, {
        title: "Body too large",
        detail: `The body may have ${maxBodyBytes} bytes.`,
      }),
  });
}
