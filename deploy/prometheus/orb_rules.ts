#!/usr/bin/env -S deno run --allow-read --allow-write
/**
 * The orb's Prometheus rules: service level objectives with multi-window burn rates, as Google's
 * SRE workbook has them, and alerts on what goes wrong. Written twice, so that both are the same:
 * for earnest, a month's budget, into `rules/orb.yaml`; and sixty times as fast, so that an alert
 * can be seen firing in minutes, into `demo_rules/orb.yaml`.
 *
 * ```sh
 * deploy/prometheus/orb_rules.ts    # writes both
 * ```
 *
 * @module
 */
import { dump } from "js-yaml";

/** A rule as Prometheus reads it. */
type Rule = Record<string, unknown>;

/** A service level objective. */
interface Objective {
  /** Its name, the label `slo`. */
  name: string;
  /** What its alerts are called. */
  alert: string;
  /** Share of events that must be good. */
  objective: number;
  /** In words, after "too many". */
  what: string;
  /** Bad events a second over a window. */
  bad: (window: string) => string;
  /** All events a second over a window. */
  all: (window: string) => string;
}

/** Signups as the server answers them: an answer of the server's own fault is none. */
const signupRoutes =
  'job="orrery/orb-server", http_request_method=~"POST|PUT", http_route=~"/api/signup|/v2/signups/.id.?"';

const objectives: readonly Objective[] = [
  {
    name: "orb-signups-answered",
    alert: "OrbSignupsUnanswered",
    objective: .999,
    what: "signups are answered with a 5xx",
    bad: (window) =>
      `sum(rate(http_server_request_duration_seconds_count{${signupRoutes}, http_response_status_code=~"5.."}[${window}]))`,
    all: (window) =>
      `sum(rate(http_server_request_duration_seconds_count{${signupRoutes}}[${window}]))`,
  },
  {
    name: "orb-signups-decided",
    alert: "OrbSignupsUndecided",
    objective: .99,
    what: "signups of v2 are decided later than 2 s after their 202",
    bad: (window) =>
      `(sum(rate(orb_signup_decision_duration_seconds_count[${window}])) - sum(rate(orb_signup_decision_duration_seconds_bucket{le="2"}[${window}])))`,
    all: (window) => `sum(rate(orb_signup_decision_duration_seconds_count[${window}]))`,
  },
];

/** Which speed of spending the budget alerts whom, seen over a short and a long window. */
const burnRates = [
  { severity: "page", factor: 14.4, short: "5m", long: "1h" },
  { severity: "page", factor: 6, short: "30m", long: "6h" },
  { severity: "ticket", factor: 3, short: "2h", long: "1d" },
  { severity: "ticket", factor: 1, short: "6h", long: "3d" },
] as const;

const windows = ["5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d"] as const;

/** What is wrong without being an objective. */
const symptoms = [
  {
    alert: "OrbServerAbsent",
    expr: 'absent(orb_queue_depth{job="orrery/orb-server"})',
    for: "5m",
    severity: "page",
    summary: "No orb server reports",
    description:
      "No orb server has sent metrics for 5 minutes: none runs, or none reaches the collector.",
  },
  {
    alert: "OrbQueueStuck",
    expr: "max(orb_queue_age_seconds) > 60",
    for: "5m",
    severity: "page",
    summary: "The oldest signup waits for {{ $value | humanizeDuration }}",
    description:
      "Signups are taken, but not decided: workers are stuck, too few, or cannot reach a store.",
  },
  {
    alert: "OrbDeadLetters",
    expr: 'max(orb_queue_signups{state="dead_letter"}) > 0',
    for: "10m",
    severity: "ticket",
    summary: "{{ $value }} signups are dead letters",
    description: "Every attempt to decide them has failed. They wait for a person.",
  },
  {
    alert: "OrbStoreSlow",
    expr:
      "histogram_quantile(0.99, sum by (le) (rate(orb_store_commit_duration_seconds_bucket[5m]))) > 0.25",
    for: "10m",
    severity: "ticket",
    summary: "One commit in 100 takes more than 250 ms",
    description:
      "The store's disk or database is slow ({{ $value | humanizeDuration }}); every signup waits for it.",
  },
  {
    alert: "OrbCallsRefused",
    expr: "sum(rate(orb_calls_refused_total[5m])) > 1",
    for: "10m",
    severity: "ticket",
    summary: "{{ $value | humanize }} calls a second are refused",
    description:
      "Tokens are missing, over or not good enough: a fleet whose issuer changed, or somebody who tries.",
  },
  {
    alert: "OrbClientCircuitOpen",
    expr: 'max by (instance) (orb_client_breaker{state="open"}) == 1',
    for: "5m",
    severity: "ticket",
    summary: "The client {{ $labels.instance }} makes no calls",
    description: "Its circuit breaker is open: more than half of its calls fail.",
  },
  {
    alert: "OrbSpoolFilling",
    expr: "max by (instance) (orb_client_spool_age_seconds) > 900",
    for: "5m",
    severity: "ticket",
    summary:
      "Signups wait in the spool of {{ $labels.instance }} for {{ $value | humanizeDuration }}",
    description: "The client cannot hand in signups. A spool that is full takes no more of them.",
  },
] as const;

/** Where a person reads on. */
const runbookOf = (alert: string) => `docs/runbooks/${alert}.md`;

/** Options of {@linkcode orbRules}. */
export interface OrbRulesOptions {
  /** How much faster than in earnest everything goes: 60 makes minutes of hours. @default 1 */
  speed?: number;
}

/** Prometheus' rate needs a few scrapes: no window is shorter, in seconds. */
const shortestWindowS = 20;

/**
 * Makes the rules, as an object that is the YAML file.
 *
 * @example
 * ```ts
 * dump(orbRules({ speed: 60 }));
 * ```
 */
export function orbRules({ speed = 1 }: OrbRulesOptions = {}): { groups: object[] } {
  const scaled = (duration: string) => speed === 1 ? duration : scaledDuration(duration, speed);
  return {
    groups: [
      ...objectives.map((objective) => ({
        name: objective.name,
        rules: [...recordings(objective, scaled), ...burnAlerts(objective)],
      })),
      {
        name: "orb-symptoms",
        rules: symptoms.map((one) => ({
          alert: one.alert,
          expr: one.expr.replaceAll("[5m]", `[${scaled("5m")}]`),
          for: scaled(one.for),
          labels: { severity: one.severity },
          annotations: {
            summary: one.summary,
            description: one.description,
            runbook_url: runbookOf(one.alert),
          },
        })),
      },
    ],
  };
}

/** The error ratio over each window, the budget, how fast it is spent, and what is left. */
function recordings(objective: Objective, scaled: (duration: string) => string): Rule[] {
  const labels = { slo: objective.name };
  return [
    ...windows.map((window) => ({
      record: `slo:sli_error:ratio_rate${window}`,
      // Without signups nothing is bad.
      expr: `(${objective.bad(scaled(window))} or vector(0)) / (${
        objective.all(scaled(window))
      } > 0)`,
      labels: { ...labels, window },
    })),
    { record: "slo:objective:ratio", expr: `vector(${objective.objective})`, labels },
    {
      record: "slo:error_budget:ratio",
      expr: `vector(${round(1 - objective.objective)})`,
      labels,
    },
    {
      record: "slo:current_burn_rate:ratio",
      expr:
        `slo:sli_error:ratio_rate5m{slo="${objective.name}"} / on (slo) group_left () slo:error_budget:ratio{slo="${objective.name}"}`,
      labels,
    },
    {
      record: "slo:period_error_budget_remaining:ratio",
      expr:
        `1 - slo:sli_error:ratio_rate30d{slo="${objective.name}"} / on (slo) group_left () slo:error_budget:ratio{slo="${objective.name}"}`,
      labels,
    },
  ];
}

function burnAlerts({ name, alert, objective, what }: Objective): Rule[] {
  const ratio = (window: string, factor: number) =>
    `max(slo:sli_error:ratio_rate${window}{slo="${name}"}) > ${round(factor * (1 - objective))}`;
  return ["page", "ticket"].map((severity) => ({
    alert,
    expr: burnRates.filter((one) => one.severity === severity)
      .map(({ short, long, factor }) => `(${ratio(short, factor)} and ${ratio(long, factor)})`)
      .join("\nor\n"),
    labels: { severity, slo: name },
    annotations: {
      summary: severity === "page"
        ? `Too many ${what}: the month's budget ends in hours or a few days`
        : `Too many ${what}: the month's budget will not last`,
      description:
        `{{ $value | humanizePercentage }} of them in the shorter window; the objective allows ${
          round(100 * (1 - objective))
        } %.`,
      runbook_url: runbookOf(alert),
    },
  }));
}

const unitsS = { m: 60, h: 3_600, d: 86_400 };

function scaledDuration(duration: string, speed: number): string {
  const [, count, unit] = /^(\d+)([mhd])$/.exec(duration)!;
  const seconds = Number(count) * unitsS[unit as keyof typeof unitsS] / speed;
  return `${Math.max(shortestWindowS, Math.round(seconds))}s`;
}

/** Without the dust of binary fractions. */
function round(value: number): number {
  return Number(value.toPrecision(6));
}

/** The text of a rules file. */
export function rulesFile(options: OrbRulesOptions = {}): string {
  const head = options.speed === undefined
    ? "# Written by deploy/prometheus/orb_rules.ts: change it there."
    : `# Written by deploy/prometheus/orb_rules.ts: change it there. As rules/orb.yaml, ${options.speed} times as fast.`;
  return `${head}\n${dump(orbRules(options), { lineWidth: 100, noRefs: true })}`;
}

/** How much faster the demo's rules are. */
export const demoSpeed = 60;

async function main(): Promise<void> {
  const folder = import.meta.dirname!;
  await Deno.writeTextFile(`${folder}/rules/orb.yaml`, rulesFile());
  await Deno.writeTextFile(`${folder}/demo_rules/orb.yaml`, rulesFile({ speed: demoSpeed }));
}

if (import.meta.main) await main();
