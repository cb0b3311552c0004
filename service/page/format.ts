/**
 * How figures, times and ids are written on every page. Text only, so that it can be tested without a
 * browser; a narrow no-break space (U+202F) stands between a figure and its unit.
 *
 * @module
 */

const space = "\u202f";
const counts = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** A count with separators: `61,000`. */
export function formatCount(value: number): string {
  return counts.format(value);
}

/** A count and its noun: `1 span`, `2,000 spans`. */
export function formatCounted(value: number, noun: string, plural = `${noun}s`): string {
  return `${formatCount(value)} ${value === 1 ? noun : plural}`;
}

/** A share of one as a percentage: `<0.1 %`, `4.2 %`, `12 %`, `100 %`; all of it only when it is all. */
export function formatPercent(share: number): string {
  const percent = share * 100;
  if (percent > 0 && percent < 0.1) return `<0.1${space}%`;
  if (percent >= 99 && percent < 100) return `>99${space}%`;
  return `${percent < 10 ? Number(percent.toFixed(1)) : Math.round(percent)}${space}%`;
}

/** Any measured number, three significant digits, large ones with separators: `0.0124`, `1.24`, `61,234`. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "–" : value > 0 ? "∞" : "−∞";
  if (value < 0) return `−${formatNumber(-value)}`;
  if (value === 0) return "0";
  if (value >= 1e12) return value.toExponential(2).replace("e+", "e");
  if (value >= 100) return Number.isInteger(value) ? counts.format(value) : threeDigits(value);
  if (value < 0.001) return value.toExponential(1).replace("e-", "e−");
  return threeDigits(value);
}

/** Three significant digits, no trailing zeros; whole from a hundred up. */
function threeDigits(value: number): string {
  if (value >= 100) return counts.format(Math.round(value));
  return String(Number(value.toPrecision(3)));
}

/** A duration given in milliseconds: `480 ns`, `12.4 µs`, `1.24 ms`, `2.5 s`, `2 min 5 s`, `3 h 4 min`. */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) return "–";
  if (ms < 0) return `−${formatDuration(-ms)}`;
  if (ms === 0) return `0${space}ms`;
  // The unit is chosen after rounding, so that 0.9999 ms reads as 1 ms and not as 1,000 µs.
  if (ms < 0.0009995) return `${threeDigits(ms * 1e6)}${space}ns`;
  if (ms < 0.9995) return `${threeDigits(ms * 1e3)}${space}µs`;
  if (ms < 999.5) return `${threeDigits(ms)}${space}ms`;
  if (ms < 59_950) return `${threeDigits(ms / 1e3)}${space}s`;
  const seconds = Math.round(ms / 1e3);
  if (seconds < 3_600) {
    return pair(Math.floor(seconds / 60), "min", seconds % 60, "s");
  }
  const minutes = Math.round(seconds / 60);
  if (minutes < 1_440) return pair(Math.floor(minutes / 60), "h", minutes % 60, "min");
  const hours = Math.round(minutes / 60);
  return pair(Math.floor(hours / 24), "d", hours % 24, "h");
}

function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  const head = `${counts.format(large)}${space}${largeUnit}`;
  return small === 0 ? head : `${head} ${small}${space}${smallUnit}`;
}

const durationUnits: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  "µs": 1e-3,
  "μs": 1e-3,
  ms: 1,
  s: 1e3,
  m: 6e4,
  min: 6e4,
  h: 36e5,
};

/**
 * What a person types as a duration, in milliseconds: `250us`, `1.5 s`, `2min`; a bare figure is
 * milliseconds. `undefined` if it is none.
 *
 * @example
 * ```ts
 * parseDuration("1.5 s"); // 1500
 * parseDuration("soon"); // undefined
 * ```
 */
export function parseDuration(text: string): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-zµμ]*)\s*$/i.exec(text);
  const unit = match && (match[2] === "" ? 1 : durationUnits[match[2]!.toLowerCase()]);
  return match && unit ? Number(match[1]) * unit : undefined;
}

const byteUnits = ["B", "kB", "MB", "GB", "TB"] as const;

/** A number of bytes, decimal units: `512 B`, `1.24 kB`, `284 kB`, `12.3 MB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < byteUnits.length - 1) {
    value /= 1e3;
    unit++;
  }
  return `${threeDigits(value)}${space}${byteUnits[unit]}`;
}

/**
 * A value with its unit as OpenTelemetry names units (UCUM): seconds as durations, bytes as bytes,
 * `{request}` dropped.
 *
 * @example
 * ```ts
 * formatUnit(0.0124, "s"); // 12.4 ms
 * ```
 */
export function formatUnit(value: number, unit: string): string {
  if (!Number.isFinite(value)) return "–";
  // What grows has its unit a second.
  if (unit.endsWith("/s")) return `${formatUnit(value, unit.slice(0, -2))}/s`;
  switch (unit) {
    case "s":
      return formatDuration(value * 1e3);
    case "ms":
      return formatDuration(value);
    case "us":
      return formatDuration(value / 1e3);
    case "ns":
      return formatDuration(value / 1e6);
    case "By":
      return formatBytes(value);
    case "%":
      return `${formatNumber(value)}${space}%`;
    case "":
    case "1":
      return formatNumber(value);
    default: {
      const shown = unit.replace(/\{[^}]*\}/g, "");
      return shown === "" ? formatNumber(value) : `${formatNumber(value)}${space}${shown}`;
    }
  }
}

/** The local time of day with milliseconds: `14:03:22.123`. */
export function formatTime(epochMs: number): string {
  const date = new Date(epochMs);
  if (Number.isNaN(date.getTime())) return "–";
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${
    String(date.getMilliseconds()).padStart(3, "0")
  }`;
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/**
 * The local time of day, and before it the date unless that is today's: `14:03:22.123`,
 * `28 Nov 14:03:22.123`, `28 Nov 2024 14:03:22.123`.
 */
export function formatMoment(epochMs: number, nowMs: number): string {
  const [date, now] = [new Date(epochMs), new Date(nowMs)];
  if (date.toDateString() === now.toDateString() || Number.isNaN(date.getTime())) {
    return formatTime(epochMs);
  }
  const year = date.getFullYear() === now.getFullYear() ? "" : ` ${date.getFullYear()}`;
  return `${date.getDate()} ${months[date.getMonth()]}${year} ${formatTime(epochMs)}`;
}

/** The whole local time with its zone, for the hover: `2026-11-21 14:03:22.123 (Europe/Berlin, UTC+01:00)`. */
export function formatTimeWithZone(epochMs: number): string {
  const date = new Date(epochMs);
  if (Number.isNaN(date.getTime())) return "no valid time";
  const offset = -date.getTimezoneOffset();
  const sign = offset < 0 ? "−" : "+";
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${
    formatTime(epochMs)
  } (${zone}, UTC${sign}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)})`;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}

/** The head of a long id: `4bf92f35…`. Short ones stay whole. */
export function shortenId(id: string, keep = 8): string {
  return id.length <= keep + 1 ? id : `${id.slice(0, keep)}…`;
}
