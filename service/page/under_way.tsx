/**
 * A request under way: how long it has taken, how long it may take, and a way to stop waiting.
 *
 * @module
 */
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";

/** A request that has not been answered. */
export interface UnderWayRequest {
  /** When it was sent, milliseconds since the epoch. */
  readonly sinceMs: number;
  /** The longest wait for its answer, in milliseconds; undefined if it is not known. */
  readonly timeoutMs: number | undefined;
  /** Stops waiting. */
  readonly cancel: AbortController;
}

/** Options of {@linkcode UnderWay}. */
export interface UnderWayProps {
  /** What is waited for, as a sentence begins: `Importing`. */
  what: string;
  /** What is cancelled, read to a person who does not see what is beside the button. */
  cancelled: string;
  request: UnderWayRequest;
  /** What is answered sooner is not worth the flicker, in milliseconds. @default 0 */
  afterMs?: number;
}

/**
 * See the module.
 *
 * @example
 * ```tsx
 * {request && <UnderWay what="Importing" cancelled="the import" request={request} />}
 * ```
 */
export function UnderWay({ what, cancelled, request, afterMs = 0 }: UnderWayProps) {
  const { sinceMs, timeoutMs, cancel } = request;
  const nowMs = useSignal(Date.now());
  useEffect(() => {
    const timer = setInterval(() => nowMs.value = Date.now(), 100);
    return () => clearInterval(timer);
  }, []);
  const elapsedMs = Math.max(0, nowMs.value - sinceMs);
  if (elapsedMs < afterMs) return null;
  return (
    <span class="under-way">
      <span class="quiet">
        {what}: {(elapsedMs / 1e3).toFixed(1)} s
        {timeoutMs !== undefined && ` of at most ${timeoutMs / 1e3} s`}
      </span>
      <button
        type="button"
        class="button"
        aria-label={`Cancel: ${cancelled}`}
        onClick={() => cancel.abort()}
      >
        Cancel
      </button>
    </span>
  );
}
