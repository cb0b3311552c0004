/**
 * What a view shows when it has nothing to show: not yet, nothing there, or not to be had.
 *
 * @module
 */
import type { ComponentChildren } from "preact";

/**
 * Nothing there: says why, and what to do next.
 *
 * @example
 * ```tsx
 * <Empty title="No logs yet">
 *   <p>Send some by OTLP.</p>
 * </Empty>
 * ```
 */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="state">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/**
 * Not there yet: the shape of what comes.
 *
 * @example
 * ```tsx
 * <Loading what="the traces" rows={4} />
 * ```
 */
export function Loading({ what, rows = 8 }: { what: string; rows?: number }) {
  return (
    <div class="state-loading" role="status" aria-label={`Loading ${what}`}>
      {Array.from(
        { length: rows },
        (_, i) => <div key={i} class={`skeleton skeleton-${i % 4}`} />,
      )}
    </div>
  );
}

/**
 * Not to be had: what failed, whether it is tried again, what a person can do.
 *
 * @example
 * ```tsx
 * if (error) return <Failure title={error.title} detail={error.message} onRetry={reload} />;
 * ```
 */
export function Failure(
  { title, detail, onRetry, children }: {
    title: string;
    detail: string;
    /** Tries again, where that may help. */
    onRetry?: () => void;
    children?: ComponentChildren;
  },
) {
  return (
    <div class="state" role="alert">
      <h2 class="error-text">{title}</h2>
      <p>{detail}</p>
      {children}
      {onRetry && <button type="button" class="button" onClick={onRetry}>Try again</button>}
    </div>
  );
}
