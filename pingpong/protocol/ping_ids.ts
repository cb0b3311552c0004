/**
 * Ids of pings: opaque to the peer, unique to us.
 *
 * @module
 */
import { realWorld, type World } from "../../service/world/world.ts";

/**
 * Ids of a client's run: unique, as long as the original's, ending in the ping's number.
 *
 * @example
 * ```ts
 * const ids = new PingIds();
 * ids.seq(ids.id(7)); // 7
 * ```
 */
export class PingIds {
  readonly #run: Uint8Array;

  constructor(world: Pick<World, "randomBytes"> = realWorld) {
    this.#run = world.randomBytes(24);
  }

  /** The id of a ping: 24 random bytes of this run and the number, big-endian. */
  id(seq: number): Uint8Array<ArrayBuffer> {
    const id = new Uint8Array(32);
    id.set(this.#run);
    const view = new DataView(id.buffer);
    view.setUint32(24, Math.floor(seq / 2 ** 32));
    view.setUint32(28, seq >>> 0);
    return id;
  }

  /** The number in an id of this run; `undefined` for any other id. */
  seq(id: Uint8Array): number | undefined {
    if (id.length !== 32) return undefined;
    for (let at = 0; at < 24; at++) if (id[at] !== this.#run[at]) return undefined;
    const view = new DataView(id.buffer, id.byteOffset);
    return view.getUint32(24) * 2 ** 32 + view.getUint32(28);
  }
}
