/**
 * What options that come from outside may be: from a link, a file, a flag.
 *
 * @module
 */
import {
  drawOptions,
  faultDirections,
  type FaultKind,
  faultKinds,
  faultPoints,
  type FaultRates,
  knobsOfKind,
  type RunOptions,
} from "./options.ts";

/** The least and the most of each figure: more would keep a worker busy for minutes. */
const bounds: Readonly<Partial<Record<keyof RunOptions, readonly [number, number]>>> = {
  keys: [1, 64],
  apis: [1, 9],
  relays: [1, 9],
  lambdas: [1, 9],
  processors: [1, 9],
  shards: [1, 2],
  batch: [1, 1_000],
  burst: [1, 1_000],
  arrivalMs: [1, 600_000],
  leaseMs: [10, 600_000],
  busLeaseMs: [10, 600_000],
  pollMs: [5, 600_000],
  backoffBaseMs: [1, 600_000],
  backoffCapMs: [1, 600_000],
  maxAttempts: [1, 1_000],
  windowMs: [10, 600_000],
  timeoutMs: [1, 600_000],
  linkMs: [0.01, 600_000],
  statementMs: [0.01, 600_000],
  commitMs: [0.01, 600_000],
  workMs: [0.01, 600_000],
  capacity: [1, 1_000_000],
  faultMaxMs: [1, 600_000],
  crashes: [0, 1_000],
  pauses: [0, 1_000],
  skewMs: [0, 600_000],
  poison: [0, 1],
  slow: [0, 1],
  lambdaPoison: [0, 1],
  lambdaSlow: [0, 1],
  stalls: [0, 1],
};

/** Of what has none above. */
const otherBounds = [0, 1_000_000] as const;

const optionNames = new Set(Object.keys(drawOptions({ seed: 1 })));

const words: Readonly<Partial<Record<keyof RunOptions, readonly string[]>>> = {
  pattern: ["outbox", "dual-write", "fire-and-forget"],
  ordering: ["queue", "sequence"],
  profile: ["one-writer", "mvcc"],
};

/**
 * Options that came from outside, if they may be used.
 *
 * @param maxOrders orders at most, by default as many as do not keep a page's worker busy for minutes
 * @throws {TypeError} one of them may not, and which
 *
 * @example
 * ```ts
 * checkOptions({ orders: 12, faults: { 2: { refuse: 0.1 } } });
 * ```
 */
export function checkOptions(given: unknown, maxOrders = 1_000): Partial<RunOptions> {
  if (typeof given !== "object" || given === null) throw new TypeError("Its options are none");
  for (const [name, value] of Object.entries(given)) {
    if (name === "faults") {
      checkFaults(value as FaultRates);
      continue;
    }
    if (name === "faultKnobs") {
      checkFaultKnobs(value);
      continue;
    }
    const known = words[name as keyof RunOptions];
    if (known !== undefined) {
      if (known.includes(value as string)) continue;
      throw new TypeError(`'${name}' must be one of ${known.join(", ")}`);
    }
    if (name === "orderKeys") {
      if (areKeys(value)) continue;
      throw new TypeError("'orderKeys' must be keys such as k1, one for each order");
    }
    if (!optionNames.has(name)) throw new TypeError(`There is no option '${name}'`);
    const range = name === "orders"
      ? [1, maxOrders] as const
      : bounds[name as keyof RunOptions] ?? otherBounds;
    const isInside = typeof value === "number" && value >= range[0] && value <= range[1];
    if (!isInside) throw new TypeError(`'${name}' must be from ${range[0]} to ${range[1]}`);
  }
  return given;
}

function areKeys(value: unknown): boolean {
  return Array.isArray(value) && value.length <= 1_000 &&
    value.every((one: unknown) => typeof one === "string" && /^k\d{1,3}$/.test(one));
}

/** How long a fault may last, and how late a call may be, at most. */
const maxFaultMs = 600_000;

function checkFaultKnobs(knobs: unknown): void {
  if (typeof knobs !== "object" || knobs === null) throw new TypeError("Its fault knobs are none");
  for (const [point, ofKinds] of Object.entries(knobs)) {
    const isPoint = faultPoints.some((one) => String(one) === point);
    if (!isPoint || !areFaultKnobs(ofKinds)) {
      throw new TypeError(`The fault knobs at point ${point} cannot be read`);
    }
  }
}

/** Whether something that was read from outside is knobs of kinds of fault, of each only those that it has. */
export function areFaultKnobs(value: unknown): boolean {
  return typeof value === "object" && value !== null &&
    Object.entries(value).every(([kind, knobs]) =>
      (faultKinds as readonly string[]).includes(kind) && typeof knobs === "object" &&
      knobs !== null &&
      Object.entries(knobs).every(([name, value]) =>
        (knobsOfKind[kind as FaultKind] as readonly string[]).includes(name) &&
        (name === "direction"
          ? (faultDirections as readonly unknown[]).includes(value)
          : typeof value === "number" && value >= 0 && value <= maxFaultMs)
      )
    );
}

function checkFaults(faults: FaultRates): void {
  if (typeof faults !== "object" || faults === null) throw new TypeError("Its faults are none");
  for (const [point, rates] of Object.entries(faults)) {
    const isPoint = faultPoints.some((one) => String(one) === point);
    const areRates = typeof rates === "object" && rates !== null &&
      Object.entries(rates).every(([kind, rate]) =>
        (faultKinds as readonly string[]).includes(kind) && typeof rate === "number" &&
        rate >= 0 && rate <= 1
      );
    if (!isPoint || !areRates) throw new TypeError(`The faults at point ${point} cannot be read`);
  }
}
