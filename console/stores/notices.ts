/**
 * What was refused, cut or mended, by who sent it and why: senders are told by `partial_success`,
 * which most SDKs swallow, so the operator must hear it, too.
 *
 * @module
 */
import type { Signal } from "../page_api/stream_events.ts";
import type { NoticeRow } from "../page_api/api.ts";

/** What happened to some items. */
export interface Notice {
  /** What they were part of. */
  signal: Signal;
  /** `service.name`; of a request that could not be read, its `User-Agent`. */
  sender: string;
  /** A word for it, such as `invalid_trace_id` or `http_415`. */
  reason: string;
  /** The same in a sentence. */
  detail: string;
  /** How many items. */
  count: number;
  /** One of them, by its name; empty where there is none. */
  example: string;
}

/** Rows kept; the one that was silent for longest makes room. */
const maxRows = 200;
/** How long a kind of notice stays unsaid once it was said. */
const sayAgainAfterMs = 60_000;

/**
 * See the module.
 *
 * @example
 * ```ts
 * const notices = new NoticeTable();
 * notices.say = ({ sender, reason, count }) => log.warn("Refused", { sender, reason, count });
 * ```
 */
export class NoticeTable {
  // In order of last sight.
  #rows = new Map<string, NoticeRow & { saidMs: number; unsaid: number }>();
  /** Tells the operator: the first notice of its kind, then once a minute; `count` is what came since. @default nobody */
  say: (notice: Notice) => void = () => {};

  /** Counts a notice. */
  add(notice: Notice, nowMs: number): void {
    const { signal, reason, detail, count } = notice;
    const sender = notice.sender.slice(0, 200);
    const key = `${signal}\0${reason}\0${sender}`;
    const before = this.#rows.get(key);
    const row = before ?? {
      signal,
      sender,
      reason,
      detail,
      count: 0,
      firstMs: nowMs,
      lastMs: nowMs,
      example: "",
      saidMs: -Infinity,
      unsaid: 0,
    };
    row.count += count;
    row.unsaid += count;
    row.lastMs = nowMs;
    row.detail = detail;
    if (notice.example !== "") row.example = notice.example.slice(0, 200);
    if (before !== undefined) this.#rows.delete(key);
    else if (this.#rows.size >= maxRows) this.#rows.delete(this.#rows.keys().next().value!);
    this.#rows.set(key, row);
    if (nowMs - row.saidMs < sayAgainAfterMs) return;
    this.say({ signal, sender, reason, detail, count: row.unsaid, example: row.example });
    row.saidMs = nowMs;
    row.unsaid = 0;
  }

  /** All rows, the latest first. */
  rows(): NoticeRow[] {
    return [...this.#rows.values()].map(({ saidMs: _, unsaid: _2, ...row }) => row).reverse();
  }

  /** Forgets all. */
  clear(): void {
    this.#rows.clear();
  }
}
