/**
 * One colour and one shape a service, the same on every page and in every session: they follow
 * from the name, and only of services that would look alike the later one gives way. Colours are Okabe and Ito's colour-blind-safe palette without vermillion,
 * which would be taken for an error; the shape distinguishes what the colour cannot.
 *
 * @module
 */
import { signal } from "@preact/signals";

/** How many `--service-N` colours the stylesheet has, counted from 0. */
export const serviceColors = 7;

/** The marks, drawn by `ServiceMark`. */
export const serviceShapes = ["circle", "square", "diamond", "triangle"] as const;

/** A shape of {@linkcode serviceShapes}. */
export type ServiceShape = typeof serviceShapes[number];

/** How a service is drawn. */
export interface ServiceLook {
  /** Index of the stylesheet's `--service-N`. */
  readonly color: number;
  /** Shape of its mark. */
  readonly shape: ServiceShape;
}

/** Orrery's own programs, placed by hand so that those seen together differ most. */
const placed: Readonly<Record<string, ServiceLook>> = {
  "orb-client": { color: 1, shape: "circle" },
  "orb-server": { color: 0, shape: "square" },
  "signer-api": { color: 3, shape: "circle" },
  "signer-service": { color: 2, shape: "square" },
  "signer-load": { color: 2, shape: "triangle" },
  "observer": { color: 5, shape: "diamond" },
  "image-service": { color: 4, shape: "diamond" },
  "issuer": { color: 0, shape: "diamond" },
  "pingpong-client": { color: 4, shape: "circle" },
  "pingpong-server": { color: 3, shape: "square" },
  "simulator": { color: 1, shape: "triangle" },
  "simulator-fleet": { color: 6, shape: "circle" },
  "console": { color: 6, shape: "diamond" },
};

/** Looks of the services that are known, where one had to give way to another. */
const assigned = signal<ReadonlyMap<string, ServiceLook>>(new Map());

/**
 * Tells which services there are, so that none looks like another one: while they are few no two
 * have one colour, while they are not very many no two have one mark.
 *
 * @param names in an order that stays, as by who came first: the later one gives way
 */
export function knowServices(names: readonly string[]): void {
  const next = assignLooks(names);
  const now = assigned.peek();
  const same = [...next].every(([name, look]) => sameLook(now.get(name), look));
  if (!same || next.size !== now.size) assigned.value = next;
}

/**
 * How each of some services is drawn: as its name says, unless another one has that already.
 *
 * @example
 * ```ts
 * assignLooks(["cart", "bank"]).get("bank"); // { color: 2, shape: "circle" }
 * ```
 */
export function assignLooks(names: readonly string[]): Map<string, ServiceLook> {
  const looks = new Map<string, ServiceLook>();
  for (const name of names) {
    const own = lookOfName(name);
    const taken = [...looks.values()];
    const free = (look: ServiceLook) => taken.every((other) => !sameLook(other, look));
    const freeColor = (look: ServiceLook) => taken.every(({ color }) => color !== look.color);
    const placedByHand = Object.hasOwn(placed, name);
    const others = looksFrom(own);
    const found = placedByHand && free(own)
      ? own
      : others.find(freeColor) ?? others.find(free) ?? own;
    looks.set(name, found);
  }
  return looks;
}

/** All looks, those nearest to one first: another colour before another shape. */
function looksFrom({ color, shape }: ServiceLook): ServiceLook[] {
  const from = serviceShapes.indexOf(shape);
  return serviceShapes.flatMap((_, s) =>
    Array.from({ length: serviceColors }, (_, c): ServiceLook => ({
      color: (color + c) % serviceColors,
      shape: serviceShapes[(from + s) % serviceShapes.length]!,
    }))
  );
}

function sameLook(a: ServiceLook | undefined, b: ServiceLook): boolean {
  return a?.color === b.color && a.shape === b.shape;
}

/** How a service is drawn: from its name alone, but for those that would look like another one. */
export function serviceLook(name: string): ServiceLook {
  return assigned.value.get(name) ?? lookOfName(name);
}

function lookOfName(name: string): ServiceLook {
  if (Object.hasOwn(placed, name)) return placed[name]!;
  const hash = fnv1a(name);
  return {
    color: hash % serviceColors,
    shape: serviceShapes[Math.floor(hash / serviceColors) % serviceShapes.length]!,
  };
}

/** The stylesheet's colour of a service, for a `style` or a canvas. */
export function serviceColor(name: string): string {
  return `var(--service-${serviceLook(name).color})`;
}

/** 32-bit FNV-1a over UTF-16 units, with a last mix so that short names spread. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return (hash ^ (hash >>> 13)) >>> 0;
}
