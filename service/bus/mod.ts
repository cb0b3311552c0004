/**
 * The bus for others: {@linkcode memoryBus} inside one process and {@linkcode kafkaBus} over Apache
 * Kafka, behind one interface, {@linkcode Bus}, with the same promises.
 *
 * Our own programs choose between them by flags, with `open_bus.ts`.
 *
 * @example
 * ```ts
 * import { memoryBus } from "./mod.ts";
 *
 * const bus = memoryBus();
 * await bus.createTopic("orders", { partitions: 4 });
 * await bus.send("orders", { key: "k1", headers: [], value: new TextEncoder().encode("one") });
 * await bus.close();
 * ```
 *
 * @module
 */
export * from "./bus.ts";
export { kafkaBus, type KafkaBusOptions } from "./kafka_bus.ts";
export { type KafkaConnection, type SaslMechanism, saslMechanisms } from "./kafka_connection.ts";
export type { KafkaReaderOptions } from "./kafka_reader.ts";
export { memoryBus, type MemoryBusOptions } from "./memory_bus.ts";
