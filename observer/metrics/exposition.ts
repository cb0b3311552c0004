/**
 * Metrics as text: Prometheus's format 0.0.4 and OpenMetrics 1.0, the latter with exemplars.
 * (npm `prom-client` cannot offer one metric in both: asked for OpenMetrics, it renames counters
 * for good.)
 *
 * @module
 */

/** A trace that made a value. */
export interface Exemplar {
  readonly traceId: string;
  readonly spanId: string;
  readonly value: number;
  /** Milliseconds since the epoch. */
  readonly atMs: number;
}

/** One value. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  readonly exemplar?: Exemplar | undefined;
}

/** A histogram's values under one set of labels. */
export interface HistogramSample {
  readonly labels: Readonly<Record<string, string>>;
  /** Counts of each bucket alone; the last one is for what is above all bounds. */
  readonly counts: readonly number[];
  readonly exemplars: readonly (Exemplar | undefined)[];
  readonly sum: number;
}

/** A metric with all its values. */
export type Family =
  & {
    /** The whole name, that of a counter with its `_total`. */
    readonly name: string;
    readonly help: string;
  }
  & (
    | { readonly type: "counter" | "gauge"; readonly samples: readonly Sample[] }
    | {
      readonly type: "histogram";
      /** Upper bounds, ascending, without infinity. */
      readonly bounds: readonly number[];
      readonly samples: readonly HistogramSample[];
    }
  );

/** The two formats, by their content type. */
export const contentTypes = {
  prometheus: "text/plain; version=0.0.4; charset=utf-8",
  openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
} as const;
/** A name in {@linkcode contentTypes}. */
export type ExpositionFormat = keyof typeof contentTypes;

/** The format that an `Accept` header asks for; the older one unless OpenMetrics is at least as welcome. */
export function negotiate(accept: string | undefined): ExpositionFormat {
  let openMetrics = 0;
  let text = 0;
  for (const range of accept?.split(",") ?? []) {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    const q = parameters.find((parameter) => parameter.startsWith("q="))?.slice(2);
    const quality = q === undefined ? 1 : Number(q) || 0;
    if (type === "application/openmetrics-text") openMetrics = Math.max(openMetrics, quality);
    if (type === "text/plain") text = Math.max(text, quality);
  }
  return openMetrics > 0 && openMetrics >= text ? "openMetrics" : "prometheus";
}

/** Writes the families in a format. */
export function expositionText(families: Iterable<Family>, format: ExpositionFormat): string {
  const open = format === "openMetrics";
  let text = "";
  for (const family of families) {
    const name = open && family.type === "counter"
      ? family.name.replace(/_total$/, "")
      : family.name;
    text += `# HELP ${name} ${escapeHelp(family.help, open)}\n# TYPE ${name} ${family.type}\n`;
    if (family.type === "histogram") {
      for (const sample of family.samples) {
        text += histogramLines(family.name, family.bounds, sample, open);
      }
    } else {
      for (const { labels, value, exemplar } of family.samples) {
        text += `${family.name}${labelText(labels)} ${numberText(value)}${
          open && family.type === "counter" ? exemplarText(exemplar) : ""
        }\n`;
      }
    }
  }
  return open ? `${text}# EOF\n` : text;
}

function histogramLines(
  name: string,
  bounds: readonly number[],
  { labels, counts, exemplars, sum }: HistogramSample,
  open: boolean,
): string {
  let text = "";
  let count = 0;
  for (const [index, own] of counts.entries()) {
    count += own;
    const le = numberText(bounds[index] ?? Infinity, open);
    text += `${name}_bucket${labelText({ ...labels, le })} ${count}${
      open ? exemplarText(exemplars[index]) : ""
    }\n`;
  }
  return `${text}${name}_sum${labelText(labels)} ${numberText(sum)}\n${name}_count${
    labelText(labels)
  } ${count}\n`;
}

function exemplarText(exemplar: Exemplar | undefined): string {
  if (!exemplar) return "";
  const { traceId, spanId, value, atMs } = exemplar;
  return ` # {trace_id="${traceId}",span_id="${spanId}"} ${numberText(value)} ${atMs / 1_000}`;
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}

/** OpenMetrics wants the bounds of buckets as floats: `1.0`. */
function numberText(value: number, float = false): string {
  if (value === Infinity) return "+Inf";
  if (value === -Infinity) return "-Inf";
  return float && Number.isInteger(value) ? value.toFixed(1) : String(value);
}

const escapes: Record<string, string> = { "\\": "\\\\", "\n": "\\n", '"': '\\"' };

function escapeLabel(text: string): string {
  return text.replace(/[\\\n"]/g, (character) => escapes[character]!);
}

/** Prometheus's own format leaves quotes in help as they are. */
function escapeHelp(text: string, open: boolean): string {
  return text.replace(open ? /[\\\n"]/g : /[\\\n]/g, (character) => escapes[character]!);
}
