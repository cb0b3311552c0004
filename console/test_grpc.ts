/**
 * For tests: unary calls of gRPC, by hand, as nothing in between may mend them.
 *
 * @module
 */
import http2 from "node:http2";

/** What a call was answered. */
export interface Answer {
  status: string | undefined;
  message: string;
  body: Uint8Array;
}

/** A message as gRPC frames it. */
export function framed(message: Uint8Array, compressed = 0): Uint8Array {
  const body = new Uint8Array(5 + message.length);
  body[0] = compressed;
  new DataView(body.buffer).setUint32(1, message.length);
  body.set(message, 5);
  return body;
}

/** Makes a call. */
export async function call(
  address: string,
  path: string,
  body: Uint8Array,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const session = http2.connect(`http://${address}`);
  session.on("error", () => {});
  try {
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc+proto",
      te: "trailers",
      "user-agent": "test-grpc/1",
      ...headers,
    });
    const found: Record<string, unknown> = {};
    stream.on("response", (head) => Object.assign(found, head));
    stream.on("trailers", (trailers) => Object.assign(found, trailers));
    const pieces: Uint8Array[] = [];
    stream.on("data", (piece: Uint8Array) => pieces.push(piece));
    stream.end(body);
    await new Promise<void>((resolve, reject) => {
      stream.on("close", resolve);
      stream.on("error", reject);
    });
    return {
      status: found["grpc-status"] as string | undefined,
      message: decodeURIComponent(String(found["grpc-message"] ?? "")),
      body: new Uint8Array(pieces.flatMap((piece) => [...piece])).subarray(5),
    };
  } finally {
    session.destroy();
  }
}
