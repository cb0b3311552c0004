/**
 * The last point of every series in Prometheus's text format 0.0.4, by the rules of
 * "Prometheus and OpenMetrics Compatibility" (opentelemetry.io/docs/specs/otel/compatibility):
 * names with unit suffixes, `_total` for counters, `job` and `instance` from the resource,
 * `target_info` for what else the resource says.
 *
 * @module
 */
import { type ExponentialBuckets, type HistogramValue, rescale } from "../stores/histogram.ts";
import type { Family, Point, Series, SummaryValue } from "../stores/metric_store.ts";
import { type Source } from "../intake/source.ts";
import { attribute, type StoredAttributes, valueText } from "../intake/values.ts";

/** How names with letters beyond ASCII are written: as they are, or escaped so that they stay distinct. */
export type NameEscaping = "underscores" | "allow-utf-8";

/** Media type of the text. */
export const prometheusContentTypes: Readonly<Record<NameEscaping, string>> = {
  underscores: "text/plain; version=0.0.4; charset=utf-8",
  "allow-utf-8": "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
};

/**
 * What a scraper's `Accept` asks for (prometheus.io, "Content negotiation").
 *
 * @example
 * ```ts
 * negotiatedEscaping("text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,*\/*;q=0.1"); // allow-utf-8
 * ```
 */
export function negotiatedEscaping(accept: string | undefined): NameEscaping {
  const takesUtf8 = (accept ?? "").split(",").some((one) =>
    /^\s*text\/plain\s*;/i.test(one) && /;\s*version\s*=\s*"?1\./i.test(one) &&
    /;\s*escaping\s*=\s*"?allow-utf-8"?\s*(;|$)/i.test(one)
  );
  return takesUtf8 ? "allow-utf-8" : "underscores";
}

/** A series that was silent for so long is left out, as in the collector's exporter. */
const staleAfterMs = 5 * 60_000;

/**
 * The text for all families.
 *
 * @example
 * ```ts
 * const escaping = negotiatedEscaping(c.req.header("accept"));
 * const text = prometheusText(store.metricFamilies(), world.nowMs(), escaping);
 * return new Response(text, { headers: { "content-type": prometheusContentTypes[escaping] } });
 * ```
 */
export function prometheusText(
  given: Iterable<Family>,
  nowMs: number,
  escaping: NameEscaping = "underscores",
): string {
  const families = [...given];
  const instances = instanceLabels(families, nowMs);
  const blocks = new Map<string, Block>();
  const sources = new Map<string, Source>();
  for (const family of families) {
    const type = prometheusType(family);
    const name = metricName(family, escaping);
    let block = blocks.get(name);
    // Two metrics that become one name must be of one type: the first one has it.
    if (block !== undefined && block.type !== type) continue;
    if (block === undefined) {
      const help = escapeHelp(family.description || `${family.name} received by OTLP`);
      const shown = quotedName(name);
      const lines = [`# HELP ${shown} ${help}`, `# TYPE ${shown} ${type}`];
      block = { type, lines, seen: new Set() };
    }
    const { seen } = block;
    const headLines = block.lines.length;
    // The newest first: of a sender that came back, what it says now.
    const newestFirst = [...family.series.values()].sort((a, b) => b.lastSeenMs - a.lastSeenMs);
    for (const series of newestFirst) {
      const point = series.points.at(-1);
      if (point === undefined || nowMs - series.lastSeenMs > staleAfterMs) continue;
      const labels = seriesLabels(series, instances);
      // Names and attributes that differ only in characters that Prometheus does not have would
      // appear twice, and it would refuse the whole scrape.
      const key = labelText(labels);
      if (seen.has(key)) continue;
      seen.add(key);
      sources.set(series.source.key, series.source);
      block.lines.push(...pointLines(name, labels, point));
    }
    if (block.lines.length > headLines) blocks.set(name, block);
  }
  const targets = targetInfo(sources.values(), instances);
  return [...[...blocks.values()].flatMap(({ lines }) => lines), ...targets, ""].join("\n");
}

/** A metric's lines. */
interface Block {
  readonly type: string;
  readonly lines: string[];
  /** Labels that have their line. */
  readonly seen: Set<string>;
}

/** Attributes that tell replicas apart, the most telling first; whatever else differs comes after them. */
const tellingKeys = ["k8s.pod.name", "container.id", "host.name", "host.id", "process.pid"];

/**
 * `instance` for senders of one job that have no `service.instance.id`: what they differ in. Two of
 * them without it would be one series that jumps between two values.
 */
function instanceLabels(families: readonly Family[], nowMs: number): ReadonlyMap<string, string> {
  const jobs = new Map<string, Map<string, Source>>();
  for (const family of families) {
    for (const { source, lastSeenMs } of family.series.values()) {
      if (source.instance !== undefined || nowMs - lastSeenMs > staleAfterMs) continue;
      const job = jobOf(source);
      let sources = jobs.get(job);
      if (sources === undefined) jobs.set(job, sources = new Map());
      sources.set(source.key, source);
    }
  }
  const labels = new Map<string, string>();
  for (const sources of jobs.values()) {
    if (sources.size < 2) continue;
    const keys = distinguishingKeys([...sources.values()]);
    for (const source of sources.values()) {
      const values = keys.map((key) => valueText(attribute(source.attributes, key) ?? ""));
      labels.set(source.key, values.join(";"));
    }
  }
  return labels;
}

/** As few keys as tell all apart, in the order above. */
function distinguishingKeys(sources: readonly Source[]): string[] {
  const all = new Set<string>(tellingKeys);
  for (const { attributes } of sources) {
    for (let i = 0; i < attributes.length; i += 2) all.add(attributes[i] as string);
  }
  const valueOf = (source: Source, key: string) =>
    valueText(attribute(source.attributes, key) ?? "");
  const keys: string[] = [];
  let groups = 1;
  for (const key of all) {
    const distinct = new Set(
      sources.map((source) => [...keys, key].map((one) => valueOf(source, one)).join("\0")),
    ).size;
    if (distinct === groups) continue;
    keys.push(key);
    groups = distinct;
    if (groups === sources.length) break;
  }
  return keys;
}

function prometheusType(family: Family): string {
  switch (family.type) {
    case "gauge":
      return "gauge";
    case "sum":
      return family.monotonic ? "counter" : "gauge";
    case "summary":
      return "summary";
    case "histogram":
    case "exponentialHistogram":
      return "histogram";
  }
}

// Names

const unitWords: Record<string, string> = {
  d: "days",
  h: "hours",
  min: "minutes",
  s: "seconds",
  ms: "milliseconds",
  us: "microseconds",
  ns: "nanoseconds",
  By: "bytes",
  KiBy: "kibibytes",
  MiBy: "mebibytes",
  GiBy: "gibibytes",
  TiBy: "tibibytes",
  KBy: "kilobytes",
  MBy: "megabytes",
  GBy: "gigabytes",
  TBy: "terabytes",
  m: "meters",
  V: "volts",
  A: "amperes",
  J: "joules",
  W: "watts",
  g: "grams",
  Cel: "celsius",
  Hz: "hertz",
  "%": "percent",
};
const perWords: Record<string, string> = {
  s: "second",
  m: "minute",
  min: "minute",
  h: "hour",
  d: "day",
  w: "week",
  mo: "month",
  y: "year",
};

/** A metric's name in Prometheus, such as `http_server_request_duration_seconds`. */
export function metricName(
  metric: Pick<Family, "name" | "unit" | "type" | "monotonic">,
  escaping: NameEscaping = "underscores",
): string {
  // Punctuation becomes an underscore, as everywhere; letters of other scripts are letters.
  let name = metric.name.replace(/[^\p{L}\p{N}\p{M}\p{S}:]+|[$+<=>^`|~]+/gu, "_")
    .replace(/^_+|_+$/g, "");
  if (name === "") name = "unnamed";
  const counter = metric.type === "sum" && metric.monotonic;
  // Suffixes come in one order, whatever the sender has put into the name already.
  if (counter) name = name.replace(/_total$/, "");
  for (const word of unitSuffixes(metric.unit)) {
    if (!name.split("_").includes(word)) name += `_${word}`;
  }
  if (metric.type === "gauge" && metric.unit === "1" && !/_ratio$/.test(name)) name += "_ratio";
  if (counter) name += "_total";
  if (/^\d/.test(name)) name = `_${name}`;
  return escaping === "allow-utf-8" || isClassicName(name) ? name : escapedName(name);
}

function isClassicName(name: string): boolean {
  return /^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(name);
}

/** Prometheus's own escape ("values"), by which such a name stays distinct and can be read back. */
function escapedName(name: string): string {
  const escaped = [...name].map((char) => {
    if (char === "_") return "__";
    return /[a-zA-Z0-9:]/.test(char) ? char : `_${char.codePointAt(0)!.toString(16)}_`;
  });
  return `U__${escaped.join("")}`;
}

/** A name as it stands in a comment line. */
function quotedName(name: string): string {
  return isClassicName(name) ? name : `"${escapeLabel(name)}"`;
}

/** A sample's name and labels; a name beyond ASCII stands among the labels, in quotes. */
function sample(name: string, labels: string): string {
  if (isClassicName(name)) return name + labels;
  return labels === "" ? `{${quotedName(name)}}` : `{${quotedName(name)},${labels.slice(1)}`;
}

function unitSuffixes(unit: string): string[] {
  // What stands in braces is an annotation, no unit.
  const [main = "", per] = unit.replace(/\{[^}]*\}/g, "").split("/", 2);
  const words: string[] = [];
  if (main.trim() !== "" && main.trim() !== "1") words.push(word(unitWords[main.trim()] ?? main));
  if (per !== undefined && per.trim() !== "") {
    words.push("per", word(perWords[per.trim()] ?? per));
  }
  return words.filter((one) => one !== "");
}

function word(text: string): string {
  return text.replace(/[^a-zA-Z0-9]+/g, "_").replace(/^_+|_+$/g, "");
}

// Labels

type Labels = Map<string, string>;

function seriesLabels(series: Series, instances: ReadonlyMap<string, string>): Labels {
  const labels = sourceLabels(series.source, instances);
  if (series.scope.name !== "") labels.set("otel_scope_name", series.scope.name);
  if (series.scope.version !== "") labels.set("otel_scope_version", series.scope.version);
  const { attributes = [] } = series.scope;
  for (let i = 0; i < attributes.length; i += 2) {
    labels.set(`otel_scope_${labelName(attributes[i] as string)}`, valueText(attributes[i + 1]!));
  }
  addAttributes(labels, series.attributes);
  return labels;
}

function jobOf(source: Source): string {
  const namespace = attribute(source.attributes, "service.namespace");
  return typeof namespace === "string" && namespace !== ""
    ? `${namespace}/${source.service}`
    : source.service;
}

/** `job` is `namespace/name`, `instance` the instance's id, or what tells it from others. */
function sourceLabels(source: Source, instances: ReadonlyMap<string, string>): Labels {
  const labels: Labels = new Map([["job", jobOf(source)]]);
  const instance = source.instance ?? instances.get(source.key);
  if (instance !== undefined) labels.set("instance", instance);
  return labels;
}

/** Keys that become one label are joined by `;`, as the specification says. */
function addAttributes(labels: Labels, attributes: StoredAttributes): void {
  const own = new Map<string, string[]>();
  for (let i = 0; i < attributes.length; i += 2) {
    const name = labelName(attributes[i] as string);
    const values = own.get(name) ?? [];
    values.push(valueText(attributes[i + 1]!));
    own.set(name, values);
  }
  for (const [name, values] of own) {
    // `job` and `instance` say who sent it; `le` and `quantile` are the format's own.
    const taken = labels.has(name) || name === "le" || name === "quantile";
    labels.set(taken ? `exported_${name}` : name, values.join(";"));
  }
}

function labelName(key: string): string {
  const name = key.replace(/[^a-zA-Z0-9_]/g, "_");
  if (name === "" || /^\d/.test(name)) return `key_${name}`;
  // Two underscores in front are Prometheus's own.
  return name.startsWith("__") ? `key${name}` : name;
}

function labelText(labels: Labels): string {
  const pairs = [...labels].map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function withLabel(labels: Labels, name: string, value: string): string {
  return labelText(new Map([...labels, [name, value]]));
}

function escapeLabel(text: string): string {
  return text.replace(/[\\"\n]/g, (one) => one === "\n" ? "\\n" : `\\${one}`);
}

function escapeHelp(text: string): string {
  return text.replace(/[\\\n]/g, (one) => one === "\n" ? "\\n" : `\\${one}`);
}

// Points

function pointLines(name: string, labels: Labels, { value }: Point): string[] {
  if (typeof value === "number") return [`${sample(name, labelText(labels))} ${number(value)}`];
  return "buckets" in value
    ? histogramLines(name, labels, value)
    : summaryLines(name, labels, value);
}

function histogramLines(name: string, labels: Labels, value: HistogramValue): string[] {
  const { buckets, count, sum } = value;
  const cumulative = buckets.kind === "explicit"
    ? runningTotals(buckets.bounds, buckets.counts)
    : exponentialTotals(buckets);
  return [
    ...cumulative.map(([bound, total]) =>
      `${sample(`${name}_bucket`, withLabel(labels, "le", number(bound)))} ${total}`
    ),
    `${sample(`${name}_bucket`, withLabel(labels, "le", "+Inf"))} ${count}`,
    `${sample(`${name}_sum`, labelText(labels))} ${number(sum)}`,
    `${sample(`${name}_count`, labelText(labels))} ${count}`,
  ];
}

function runningTotals(bounds: readonly number[], counts: readonly number[]): [number, number][] {
  let total = 0;
  return bounds.map((bound, i) => [bound, total += counts[i] ?? 0]);
}

/**
 * The text format has no exponential buckets: bounds are powers of two (or coarser, if there are
 * many), the same ones however the sender changes its scale.
 */
function exponentialTotals(buckets: ExponentialBuckets): [number, number][] {
  let coarse = rescale(buckets, Math.min(buckets.scale, 0));
  while (coarse.positive.counts.length + coarse.negative.counts.length > 64) {
    coarse = rescale(coarse, coarse.scale - 1);
  }
  const bound = (index: number) => 2 ** (index * 2 ** -coarse.scale);
  const { positive, negative } = coarse;
  const totals: [number, number][] = [];
  let total = 0;
  for (let i = negative.counts.length - 1; i >= 0; i--) {
    totals.push([-bound(negative.offset + i), total += negative.counts[i]!]);
  }
  total += buckets.zeroCount;
  totals.push([buckets.zeroThreshold, total]);
  positive.counts.forEach((count, i) => {
    totals.push([bound(positive.offset + i + 1), total += count]);
  });
  return totals.filter(([upper]) => Number.isFinite(upper));
}

function summaryLines(name: string, labels: Labels, value: SummaryValue): string[] {
  return [
    ...value.quantiles.map(([quantile, at]) =>
      `${sample(name, withLabel(labels, "quantile", number(quantile)))} ${number(at)}`
    ),
    `${sample(`${name}_sum`, labelText(labels))} ${number(value.sum)}`,
    `${sample(`${name}_count`, labelText(labels))} ${value.count}`,
  ];
}

function number(value: number): string {
  if (value === Infinity) return "+Inf";
  return value === -Infinity ? "-Inf" : String(value);
}

function targetInfo(
  sources: Iterable<Source>,
  instances: ReadonlyMap<string, string>,
): string[] {
  const lines = new Map<string, string>();
  for (const source of sources) {
    const labels = sourceLabels(source, instances);
    const identity = labelText(labels);
    const others = [];
    for (let i = 0; i < source.attributes.length; i += 2) {
      const key = source.attributes[i] as string;
      if (key === "service.namespace" || key === "service.instance.id") continue;
      others.push(key, source.attributes[i + 1]!);
    }
    if (others.length === 0) continue;
    addAttributes(labels, others);
    lines.set(identity, `target_info${labelText(labels)} 1`);
  }
  if (lines.size === 0) return [];
  return ["# HELP target_info Target metadata", "# TYPE target_info gauge", ...lines.values()];
}
