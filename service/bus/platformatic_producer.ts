/**
 * The {@linkcode KafkaProducer} of `@platformatic/kafka`.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { Producer } from "@platformatic/kafka";
import type { BusHeader, BusRecord } from "./bus.ts";
import { brokerSaid, busError, clientOptions } from "./kafka_client.ts";
import type { KafkaConnection } from "./kafka_connection.ts";
import type { KafkaProducer } from "./kafka_sender.ts";

/** Every in-sync copy has the record when it is acknowledged. */
const acks = -1;
const maxInFlightRequests = 100;
const maxKnownNames = 1_000;

const names = new Map<string, Buffer>();

/** Makes a producer; it connects when it is used. */
export function platformaticProducer(connection: KafkaConnection): KafkaProducer {
  const producer = new Producer({
    ...clientOptions(connection),
    acks,
    maxInflights: maxInFlightRequests,
  });
  return {
    async send(topic, records, turn) {
      try {
        await producer.send({ acks, messages: records.map((one) => toMessage(topic, one, turn)) });
      } catch (error) {
        if (brokerSaid(error, "NOT_LEADER_OR_FOLLOWER")) producer.clearMetadata();
        throw busError(error, `send to ${topic}`, { topic: `WRITE topic ${topic}` });
      }
    },
    close: async () => await producer.close(),
  };
}

function toMessage(topic: string, { key, value, headers }: BusRecord, turn: number) {
  return {
    topic,
    // The library takes any number and divides it by the topic's partitions.
    ...(key === undefined ? { partition: turn } : { key: Buffer.from(key) }),
    // A null value, which a tombstone is, is `undefined` to the library; its type forgets that.
    value: (value === null ? undefined : asBuffer(value)) as Buffer,
    headers: toHeaders(headers),
  };
}

/** One object for each header even of the same name: the library takes a map, and keeps its order. */
function toHeaders(headers: readonly BusHeader[]): Map<Buffer, Buffer> {
  const map = new Map<Buffer, Buffer>();
  for (const [name, value] of headers) {
    const key = nameBytes(name);
    map.set(map.has(key) ? Buffer.from(key) : key, asBuffer(value));
  }
  return map;
}

/** Header names are few and repeat. */
function nameBytes(name: string): Buffer {
  let bytes = names.get(name);
  if (!bytes) {
    bytes = Buffer.from(name);
    if (names.size < maxKnownNames) names.set(name, bytes);
  }
  return bytes;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return bytes instanceof Buffer
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
