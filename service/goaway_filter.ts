/**
 * Keeps GOAWAY frames away from Deno's HTTP/2, which a peer's GOAWAY can end the whole process of
 * (denoland/deno issue 36788: an assertion of nghttp2 fails once closed streams were collected).
 * Remove this file when that is mended in the oldest Deno we run on.
 *
 * @module
 */
import type { Socket } from "node:net";
import { Duplex } from "node:stream";

/** What a GOAWAY says (RFC 9113, section 6.8): the last stream that the peer has taken. */
export type OnGoaway = (lastStreamId: number) => void;

const frameHeaderBytes = 9;
const goawayType = 7;

/** The client's connection preface (RFC 9113, section 3.4), which is no frame. */
export const clientPrefaceBytes = 24;

/** Options of {@linkcode withoutGoaway}. */
export interface GoawayFilterOptions {
  /** Bytes at the begin that are no frames. @default 0 */
  skipBytes?: number;
  /** Called for each GOAWAY that was taken out. @default nothing is */
  onGoaway?: OnGoaway;
}

/** The socket as a stream in which the peer never says GOAWAY. */
export function withoutGoaway(socket: Socket, options: GoawayFilterOptions = {}): Duplex {
  const filter = frameFilter(options);
  // Frames are written one by one: none may wait for the acknowledgement of another.
  socket.setNoDelay(true);
  const stream = new Duplex({
    read() {
      socket.resume();
    },
    write(chunk, _encoding, done) {
      socket.write(chunk, done);
    },
    final(done) {
      socket.end(done);
    },
    destroy(error, done) {
      socket.destroy();
      done(error);
    },
  });
  socket.on("data", (chunk: Uint8Array) => {
    let wanted = true;
    for (const part of filter(chunk)) wanted = stream.push(part);
    if (!wanted) socket.pause();
  });
  socket.on("end", () => stream.push(null));
  socket.on("error", (error) => stream.destroy(error));
  socket.on("close", () => stream.destroy());
  return stream;
}

/** Makes a function that gets the bytes of a connection in order and gives those that are to pass. */
export function frameFilter(
  { skipBytes = 0, onGoaway = () => {} }: GoawayFilterOptions = {},
): (chunk: Uint8Array) => Uint8Array[] {
  let passing = skipBytes;
  let dropping = 0;
  let header = new Uint8Array(0);
  let goaway = new Uint8Array(0);

  return function filter(chunk: Uint8Array): Uint8Array[] {
    const passed: Uint8Array[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (passing > 0) {
        const end = Math.min(chunk.length, at + passing);
        passed.push(chunk.subarray(at, end));
        passing -= end - at;
        at = end;
      } else if (dropping > 0) {
        const end = Math.min(chunk.length, at + dropping);
        // The last stream is in the first four bytes; the rest is for people.
        if (goaway.length < 4) goaway = joined(goaway, chunk.subarray(at, end)).subarray(0, 4);
        dropping -= end - at;
        at = end;
        if (dropping === 0 && goaway.length === 4) {
          onGoaway(new DataView(goaway.buffer).getUint32(0) & 0x7fffffff);
          goaway = new Uint8Array(0);
        }
      } else {
        const end = Math.min(chunk.length, at + frameHeaderBytes - header.length);
        header = joined(header, chunk.subarray(at, end));
        at = end;
        if (header.length < frameHeaderBytes) break;
        const length = header[0]! << 16 | header[1]! << 8 | header[2]!;
        if (header[3] === goawayType) dropping = length;
        else {
          passed.push(header);
          passing = length;
        }
        header = new Uint8Array(0);
      }
    }
    return passed;
  };
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
