/**
 * Hands on the streams that a peer opens, once their headers say whose they are.
 *
 * @module
 */

/** Options of {@linkcode routedStreams}. */
export interface RoutedStreamsOptions {
  /** Streams that wait to be taken; beyond that no more are read. */
  maxWaiting: number;
  /** Ends the result when it settles. */
  closed: Promise<unknown>;
}

/**
 * Reads every stream's header in a task of its own, as one may never come (Chromium opens its
 * QPACK streams and stays silent), and hands on what `route` gives. Open streams are bounded by
 * QUIC's credit, those that wait to be taken by the queue.
 *
 * @param route reads the header; `undefined` for a stream that is not for the user
 */
export function routedStreams<Stream, Out>(
  streams: ReadableStream<Stream>,
  route: (stream: Stream) => Promise<Out | undefined>,
  { maxWaiting, closed }: RoutedStreamsOptions,
): ReadableStream<Out> {
  let room = Promise.withResolvers<void>();
  let open = true;

  async function handOn(stream: Stream, out: ReadableStreamDefaultController<Out>): Promise<void> {
    try {
      const routed = await route(stream);
      if (open && routed !== undefined) out.enqueue(routed);
    } catch {
      // A stream that broke off in its header; the connection's end is seen by `closed`.
    }
  }

  async function readAll(out: ReadableStreamDefaultController<Out>): Promise<void> {
    for await (const stream of streams) {
      handOn(stream, out);
      while (open && (out.desiredSize ?? 0) <= 0) await room.promise;
    }
  }

  return new ReadableStream<Out>({
    start(out) {
      readAll(out).catch(() => {
        // The connection has ended: `closed` settles, below.
      });
      closed.then(() => {
        if (open) out.close();
        open = false;
        room.resolve();
      });
    },
    pull() {
      room.resolve();
      room = Promise.withResolvers<void>();
    },
    cancel() {
      open = false;
      room.resolve();
    },
  }, { highWaterMark: maxWaiting });
}
