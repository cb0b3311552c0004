/**
 * Devices over HTTP: their reports, who they are, and what they are told.
 *
 * @module
 */
import type { MiddlewareHandler } from "hono";
import { ProblemError } from "../../service/problem.ts";
import {
  anyOf,
  createRoute,
  type OrbAccess,
  type OrbApi,
  type OrbCaller,
  type OrbEnv,
  problems,
  z,
} from "../api/orb_api.ts";
import { inWords } from "../signups/signup_intake.ts";
import { OrbIdSchema } from "../signups/signup_resource.ts";
import { deviceStates } from "./device_state.ts";
import { DeviceError, type DeviceRegistry } from "./device_registry.ts";
import {
  CommandRequestSchema,
  CommandSchema,
  DeviceSchema,
  DeviceStatusSchema,
  DeviceSummarySchema,
} from "./device_status.ts";

/** The most bytes of a report. A full one has some 3 kB. */
const maxStatusBytes = 32 * 1024;

const idParams = z.object({ id: OrbIdSchema });

function json<Schema extends z.ZodType>(schema: Schema, description: string) {
  return { description, content: { "application/json": { schema } } };
}

function body<Schema extends z.ZodType>(schema: Schema) {
  return { required: true, content: { "application/json": { schema } } };
}

const refusals = {
  401: "A token is missing or not good.",
  403: "The token does not allow this, or is for another device.",
  422: "Something does not fit its schema.",
} as const;

const CommandListSchema = z.object({
  commands: z.array(CommandSchema),
}).openapi("CommandList");

const DeviceListSchema = z.object({
  orbs: z.array(DeviceSummarySchema),
  next: z.string().nullable().openapi({
    description: "Give it as `after` for the next page; null at the end.",
  }),
  counts: z.record(z.enum(deviceStates), z.number().int()).openapi({
    description: "All devices, by state.",
  }),
}).openapi("DeviceList");

/** Options of {@linkcode addDeviceRoutes}. */
export interface DeviceRoutesOptions {
  /** The fleet. */
  devices: DeviceRegistry;
  /** Who may call. */
  access: OrbAccess;
}

/**
 * Adds `/v2/orbs` and what is below it.
 *
 * @example
 * ```ts
 * addDeviceRoutes(api, { devices: await openDeviceRegistry({ store }), access: openAccess });
 * ```
 */
export function addDeviceRoutes(api: OrbApi, { devices, access }: DeviceRoutesOptions): void {
  const asDevice = access.require("orb:telemetry", "orb:admin");
  const asAdmin = access.require("orb:admin");
  addReports(api, devices, asDevice);
  addList(api, devices, asAdmin);
  addDevice(api, devices, asDevice);
  addCommands(api, devices, asAdmin);
  addForgetting(api, devices, asAdmin);
}

type Guard = MiddlewareHandler<OrbEnv>;

function addReports(api: OrbApi, devices: DeviceRegistry, asDevice: Guard): void {
  api.openapi(
    createRoute({
      method: "post",
      path: "/v2/orbs/{id}/status",
      summary: "A device reports how it is, and gets what it is to do",
      tags: ["devices"],
      security: anyOf("orb:telemetry", "orb:admin"),
      middleware: [asDevice, limitedBody] as const,
      request: { params: idParams, body: body(DeviceStatusSchema) },
      responses: {
        200: json(CommandListSchema, "The report is kept; these are to be carried out."),
        ...problems({
          ...refusals,
          400: "The body is not JSON.",
          413: "The report is too large.",
          503: "It cannot be kept now.",
        }),
      },
    }),
    async (c) => {
      const { id } = c.req.valid("param");
      mustActFor(c.get("caller"), id);
      const commands = await refused(() => devices.report(id, c.req.valid("json")));
      return c.json({ commands: [...commands] }, 200);
    },
  );
}

function addList(api: OrbApi, devices: DeviceRegistry, asAdmin: Guard): void {
  api.openapi(
    createRoute({
      method: "get",
      path: "/v2/orbs",
      summary: "Every device, by id (operators)",
      tags: ["operators"],
      security: anyOf("orb:admin"),
      middleware: [asAdmin] as const,
      request: {
        query: z.object({
          after: OrbIdSchema.optional(),
          limit: z.coerce.number().int().min(1).max(2_000).default(100),
          state: z.enum(deviceStates).optional(),
        }),
      },
      responses: { 200: json(DeviceListSchema, "A page of devices."), ...problems(refusals) },
    }),
    (c) => {
      const { after, limit, state } = c.req.valid("query");
      const all = devices.list();
      const counts = Object.fromEntries(
        deviceStates.map((one) => [one, all.filter((device) => device.state === one).length]),
      ) as Record<typeof deviceStates[number], number>;
      const from = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1;
      const rest = all.slice(from).filter((device) =>
        state === undefined || device.state === state
      );
      const orbs = rest.slice(0, limit);
      const next = rest.length > limit ? orbs.at(-1)!.id : null;
      return c.json({ orbs, next, counts }, 200);
    },
  );
}

function addDevice(api: OrbApi, devices: DeviceRegistry, asDevice: Guard): void {
  api.openapi(
    createRoute({
      method: "get",
      path: "/v2/orbs/{id}",
      summary: "A device with its last report and its commands",
      tags: ["devices"],
      security: anyOf("orb:telemetry", "orb:admin"),
      middleware: [asDevice] as const,
      request: { params: idParams },
      responses: {
        200: json(DeviceSchema, "The device."),
        ...problems({
          ...refusals,
          404: "No such device has reported.",
          503: "Not to be read now.",
        }),
      },
    }),
    async (c) => {
      const { id } = c.req.valid("param");
      mustActFor(c.get("caller"), id);
      const device = await inWords(devices.find(id));
      if (device === undefined) {
        throw new ProblemError(404, {
          title: "Unknown device",
          detail: `No device ${id} has reported yet.`,
        });
      }
      return c.json(device, 200);
    },
  );
}

function addCommands(api: OrbApi, devices: DeviceRegistry, asAdmin: Guard): void {
  api.openapi(
    createRoute({
      method: "post",
      path: "/v2/orbs/{id}/commands",
      summary: "Tell a device something, with its next report (operators)",
      tags: ["operators"],
      security: anyOf("orb:admin"),
      middleware: [asAdmin, limitedBody] as const,
      request: { params: idParams, body: body(CommandRequestSchema) },
      responses: {
        202: json(CommandSchema, "The command waits for the device's next report."),
        ...problems({
          ...refusals,
          404: "No such device has reported.",
          400: "The body is not JSON.",
          409: "It has too many commands that are open.",
          413: "The body is too large.",
          503: "It cannot be kept now.",
        }),
      },
    }),
    async (c) => {
      const { id } = c.req.valid("param");
      const command = await refused(() => devices.command(id, c.req.valid("json")));
      return c.json(command, 202);
    },
  );
}

function addForgetting(api: OrbApi, devices: DeviceRegistry, asAdmin: Guard): void {
  api.openapi(
    createRoute({
      method: "delete",
      path: "/v2/orbs/{id}",
      summary: "Forget a device that is no more; it is back with its next report (operators)",
      tags: ["operators"],
      security: anyOf("orb:admin"),
      middleware: [asAdmin] as const,
      request: { params: idParams },
      responses: {
        204: { description: "It is forgotten, if it was known." },
        ...problems({ ...refusals, 503: "It cannot be changed now." }),
      },
    }),
    async (c) => {
      await inWords(devices.forget(c.req.valid("param").id));
      return c.body(null, 204);
    },
  );
}

/** Reports are small: one that is not is refused before it is read. */
const limitedBody: MiddlewareHandler<OrbEnv> = async function limitBody(c, next) {
  const declared = c.req.header("content-length");
  if (declared === undefined || Number(declared) > maxStatusBytes) {
    throw new ProblemError(413, {
      title: "Body too large",
      detail: `Send a body of at most ${maxStatusBytes} bytes, with its length.`,
    });
  }
  await next();
};

function mustActFor(caller: OrbCaller, id: string): void {
  if (caller.mayActFor(id)) return;
  throw new ProblemError(403, {
    title: "Another device",
    detail: `The token is for ${caller.subject ?? "nobody"}, not for ${id}.`,
  });
}

const statusOf = { unknown: 404, full: 503, busy: 409 } as const;

/** What the registry refuses, as a problem. */
async function refused<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await inWords(work());
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    const headers = error.kind === "full" ? { "retry-after": "30" } : {};
    throw new ProblemError(
      statusOf[error.kind],
      { title: "Device refused", detail: error.message },
      headers,
    );
  }
}
