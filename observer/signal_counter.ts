/**
 * Hears every SIGQUIT, also while the program is busy.
 *
 * The system merges signals that nobody has taken yet, and Deno those that its event loop has not
 * come to: while a large answer is decoded, a second's worth of signals could count as a few. A
 * worker that does nothing else takes each one as it comes.
 *
 * @module
 */

/** A worker of a few bytes, as a URL: so a bundled program needs no second file. */
const worker = `data:text/javascript,${
  encodeURIComponent(
    'Deno.addSignalListener("SIGQUIT", () => postMessage("signal")); postMessage("ready");',
  )
}`;

/** Listens until it is stopped. */
export interface SignalCounter {
  /** Resolves when signals are heard. */
  readonly ready: Promise<void>;
  stop(): void;
}

/** Calls `onSignal` once for each SIGQUIT. Windows has no such signal: there it never calls. */
export function countSignals(onSignal: () => void): SignalCounter {
  if (Deno.build.os === "windows") return { ready: Promise.resolve(), stop() {} };
  const listener = new Worker(worker, { type: "module", name: "signals" });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  listener.onmessage = ({ data }) => data === "ready" ? resolve() : onSignal();
  listener.onerror = (event) => {
    event.preventDefault();
    reject(new Error(`Cannot listen for SIGQUIT: ${event.message}`));
  };
  return { ready: promise, stop: () => listener.terminate() };
}
