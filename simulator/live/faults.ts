/**
 * What can be made to go wrong in the live topology: the shape of `GET` and `PUT /api/faults`, of the
 * file behind `--faults`, and of the flag `--fault`.
 *
 * @module
 */
import { z } from "zod";
import { InvalidArgumentError, parseDuration } from "../../service/command_line.ts";
import { faultDirections, faultKinds, knobsOfKind } from "../simulation/options.ts";
import type { FaultPoint } from "../topology/ports.ts";
import { faultLimits } from "./live_settings.ts";

const { maxDurationMs, maxCapacity } = faultLimits;

const probability = z.number().min(0).max(1);
const durationMs = z.number().min(0).max(maxDurationMs);
/** A part such as `relay-1.0`, all instances of one, such as `relay-1`, or `*` for all. */
const part = z.string().regex(
  /^(\*|[a-z]+-[12](\.\d)?)$/,
  "Give a part such as relay-1.0 or relay-1, or *",
);

/** A fault of one of the eight points. */
const linkFault = z.strictObject({
  kind: z.enum(faultKinds),
  point: z.int().min(1).max(8),
  probability,
  /** Once it has hit, every call at this point is hit for so long; a crashed part is down for so long. */
  minDurationMs: durationMs.optional(),
  /** Of `delay`, `duplicate` and `reorder`: how late. */
  delayMs: durationMs.optional(),
  /** Of `time-out`, `delay` and `outage`: whether the way there, the way back or both are affected. */
  direction: z.enum(faultDirections).optional(),
});

/** Beyond the eight points. */
const otherFaults = [
  z.strictObject({
    kind: z.literal("crash"),
    part,
    probability: probability.describe("in each second"),
    minDurationMs: durationMs.optional(),
  }),
  z.strictObject({
    kind: z.literal("pause"),
    part,
    probability: probability.describe("in each second"),
    minDurationMs: durationMs.optional(),
  }),
  z.strictObject({
    kind: z.literal("clock-skew"),
    part,
    skewMs: z.number().min(-maxDurationMs).max(maxDurationMs),
  }),
  z.strictObject({ kind: z.literal("poison"), probability }),
  z.strictObject({
    kind: z.literal("slow-consumer"),
    probability,
    minDurationMs: durationMs.optional(),
  }),
  z.strictObject({
    kind: z.literal("full-queue"),
    topic: z.enum(["orders", "results"]),
    capacity: z.int().min(0).max(maxCapacity),
  }),
] as const;

const faultSchema = z.discriminatedUnion("kind", [linkFault, ...otherFaults]);

const faultsSchema = z.strictObject({ faults: z.array(faultSchema).max(256) });

/** One fault. */
export type Fault = z.infer<typeof faultSchema>;

/** A fault of one of the eight points. */
export type LinkFault = z.infer<typeof linkFault>;

/** Whether it is a fault of one of the eight points. */
export function isLinkFault(fault: Fault): fault is LinkFault {
  return "point" in fault;
}

/** Faults that are not as they should be: what, and where. */
export class FaultsError extends Error {
  override name = "FaultsError";
}

/**
 * Reads `{"faults": […]}`.
 *
 * @throws {FaultsError} it is something else: with the place of each mistake
 *
 * @example
 * ```ts
 * const faults = parseFaults('{"faults":[{"point":2,"kind":"refuse","probability":0.3}]}');
 * ```
 */
export function parseFaults(text: string): readonly Fault[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new FaultsError(`It is not JSON: ${(error as Error).message}`);
  }
  const result = faultsSchema.safeParse(json);
  if (!result.success) throw new FaultsError(mistakes(result.error));
  checkTogether(result.data.faults);
  return result.data.faults;
}

/**
 * Reads one fault as the flag `--fault` has it, such as
 * `point=2,kind=refuse,probability=0.3,min-duration=5s`.
 *
 * @throws {InvalidArgumentError} it is none
 */
export function parseFaultFlag(text: string, previous: readonly Fault[] = []): readonly Fault[] {
  const fields: Record<string, unknown> = {};
  for (const pair of text.split(",")) {
    const [, name, value] = /^([a-z-]+)=(.*)$/.exec(pair.trim()) ?? [];
    if (name === undefined || value === undefined) {
      throw new InvalidArgumentError(`Give 'name=value' pairs between commas: '${pair}' is none.`);
    }
    const read = readers[name];
    if (read === undefined) {
      const known = Object.keys(readers).join(", ");
      throw new InvalidArgumentError(`There is no '${name}': there are ${known}.`);
    }
    fields[read.field] = read.parse(value);
  }
  const result = faultSchema.safeParse(fields);
  if (!result.success) throw new InvalidArgumentError(mistakes(result.error));
  try {
    checkTogether([...previous, result.data]);
  } catch (error) {
    if (error instanceof FaultsError) throw new InvalidArgumentError(error.message);
    throw error;
  }
  return [...previous, result.data];
}

const asText = (field: string) => ({ field, parse: (value: string): unknown => value });
const asNumber = (field: string) => ({ field, parse: (value: string): unknown => Number(value) });
const asDuration = (field: string) => ({
  field,
  parse: (value: string): unknown => {
    const sign = value.startsWith("-") ? -1 : 1;
    return sign * parseDuration({ unit: "ms" })(value.replace(/^-/, ""));
  },
});

/** The flag's names, and what they are in JSON. */
const readers: Readonly<Record<string, { field: string; parse(value: string): unknown }>> = {
  "point": asNumber("point"),
  "kind": asText("kind"),
  "probability": asNumber("probability"),
  "min-duration": asDuration("minDurationMs"),
  "delay": asDuration("delayMs"),
  "direction": asText("direction"),
  "part": asText("part"),
  "skew": asDuration("skewMs"),
  "topic": asText("topic"),
  "capacity": asNumber("capacity"),
};

/** `faults[1].probability: Too big: expected number to be <=1`, one after the other. */
function mistakes(error: z.ZodError): string {
  return error.issues.map(({ path, message }) => {
    const place = path.map((step, index) =>
      typeof step === "number" ? `[${step}]` : `${index === 0 ? "" : "."}${String(step)}`
    ).join("");
    return place === "" ? message : `${place}: ${message}`;
  }).join("; ");
}

/** Fields that only some kinds have. */
const ofSomeKinds = ["direction", "delayMs"] as const;

/**
 * Checks faults that each by itself are fine.
 *
 * @throws {FaultsError} together they are not
 */
export function checkTogether(faults: readonly Fault[]): void {
  const sums = new Map<number, number>();
  for (const [index, fault] of faults.entries()) {
    if (!isLinkFault(fault)) continue;
    const { kind, point } = fault;
    for (const field of ofSomeKinds) {
      if (fault[field] === undefined || knobsOfKind[kind].includes(field)) continue;
      const having = faultKinds.filter((one) => knobsOfKind[one].includes(field));
      throw new FaultsError(
        `faults[${index}].${field}: '${kind}' has none; ${having.join(", ")} have`,
      );
    }
    const sum = (sums.get(point) ?? 0) + fault.probability;
    sums.set(point, sum);
    if (sum > 1 + 1e-9) {
      throw new FaultsError(
        `faults[${index}].probability: those of point ${point} are ${sum} together, more than 1`,
      );
    }
  }
}

/** Whether a part's name fits the `part` of a fault. */
export function isPart(pattern: string, name: string): boolean {
  return pattern === "*" || pattern === name || name.startsWith(`${pattern}.`);
}

/** What happens at a point, for whoever reads a page or a log. */
export const pointNames: Readonly<Record<FaultPoint, string>> = {
  1: "place order",
  2: "publish orders",
  3: "receive orders",
  4: "write inbox 2",
  5: "process order",
  6: "publish results",
  7: "receive results",
  8: "write inbox 1",
};
