/**
 * A service as a person recognises it: its shape in its colour, and its name.
 *
 * @module
 */
import { serviceLook, type ServiceShape } from "./service_look.ts";

/** The marks as SVG paths in a square of 12 with their middle at 6, 6. */
export const shapePaths: Readonly<Record<ServiceShape, string>> = {
  circle: "M10 6a4 4 0 1 1-8 0a4 4 0 0 1 8 0z",
  square: "M2.500 2.500h7v7h-7z",
  diamond: "M6 1l5 5-5 5-5-5z",
  triangle: "M6 1.500L11 10.500H1z",
};

/** The mark alone; its name on hover. */
export function ServiceMark({ name }: { name: string }) {
  const { color, shape } = serviceLook(name);
  return (
    <svg
      class={`service-mark service-${color}`}
      viewBox="0 0 12 12"
      width="12"
      height="12"
      aria-hidden="true"
    >
      <path d={shapePaths[shape]} />
    </svg>
  );
}

/**
 * Mark and name.
 *
 * @example
 * ```tsx
 * <ServiceName name="orb-server" />
 * ```
 */
export function ServiceName({ name }: { name: string }) {
  return (
    <span class="service-name" title={name}>
      <ServiceMark name={name} />
      <span class="clip">{name}</span>
    </span>
  );
}

/** The marks of several services, read to a person without sight by their names. */
export function ServiceMarks({ names, max = 6 }: { names: readonly string[]; max?: number }) {
  return (
    <span class="service-marks" role="img" aria-label={names.join(", ")} title={names.join("\n")}>
      {names.slice(0, max).map((name) => <ServiceMark key={name} name={name} />)}
      {names.length > max && <span class="quiet">+{names.length - max}</span>}
    </span>
  );
}
