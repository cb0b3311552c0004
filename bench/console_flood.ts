/**
 * For benchmarks beside other programs: the same batches to whatever takes OTLP, by gRPC and by HTTP.
 *
 * @module
 */
import http2 from "node:http2";
import { framed } from "../console/test_grpc.ts";
import { makeBatch, spansPerBatch, spansPerTrace } from "./console_load.ts";

/** Where it is sent. */
export interface FloodTarget {
  /** OTLP/gRPC, `host:port`. */
  readonly grpc: string;
  /** The base URL of OTLP/HTTP; undefined if it is not served. */
  readonly http: string | undefined;
}

const path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const senders = 3;
let counter = 0;

/**
 * Sends batches, three at once, every trace new.
 *
 * @throws {Error} one was not taken
 */
export async function flood(
  target: FloodTarget,
  { by, batches }: { by: "grpc" | "http"; batches: number },
): Promise<void> {
  const session = by === "grpc" ? http2.connect(`http://${target.grpc}`) : undefined;
  let left = batches;
  async function send(): Promise<void> {
    const { bytes, traceIds, spanIds } = makeBatch();
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    while (left-- > 0) {
      for (let i = 0; i < spansPerBatch; i++) {
        counter++;
        view.setUint32(traceIds[i]!, Math.floor(counter / spansPerTrace));
        view.setUint32(spanIds[i]!, counter);
      }
      if (session) await exportByGrpc(session, bytes);
      else await exportByHttp(target.http!, bytes);
    }
  }
  await Promise.all(Array.from({ length: senders }, send));
  session?.destroy();
}

async function exportByGrpc(session: http2.ClientHttp2Session, bytes: Uint8Array): Promise<void> {
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
  });
  let status: unknown;
  const note = (headers: Record<string, unknown>) => status = headers["grpc-status"] ?? status;
  stream.on("response", note);
  stream.on("trailers", note);
  stream.resume();
  stream.end(framed(bytes));
  await new Promise((resolve, reject) => {
    stream.on("close", resolve);
    stream.on("error", reject);
  });
  if (status !== "0") throw new Error(`A batch by gRPC was answered ${status}`);
}

async function exportByHttp(url: string, body: Uint8Array<ArrayBuffer>): Promise<void> {
  const response = await fetch(`${url}/v1/traces`, {
    method: "POST",
    headers: { "content-type": "application/x-protobuf" },
    body,
  });
  await response.body?.cancel();
  if (response.status !== 200) throw new Error(`A batch by HTTP was answered ${response.status}`);
}
