/**
 * For tests of what is built on the record store's documents: the part of it that keeps them, in
 * memory, and changes of signups as a test tells them.
 *
 * @module
 */
import type { SignupRecord } from "../signups/signup_record.ts";
import type { StoredDocument } from "../stores/record_commands.ts";
import type { RecordStore } from "../stores/record_store.ts";

/** Documents in memory. */
export class TestRecordDocuments implements Pick<RecordStore, "run" | "follow" | "system"> {
  readonly system: RecordStore["system"];
  readonly #documents = new Map<string, StoredDocument>();
  readonly #listeners = new Set<(record: SignupRecord) => void>();

  constructor(system: RecordStore["system"] = "sqlite") {
    this.system = system;
  }

  run: RecordStore["run"] = (command) => Promise.resolve(this.#apply(command) as never);

  follow(_id: string | undefined, listener: (record: SignupRecord) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Tells those who follow of a changed signup. */
  tell(record: Partial<SignupRecord>): void {
    for (const listener of this.#listeners) listener(record as SignupRecord);
  }

  #apply(command: Parameters<RecordStore["run"]>[0]): unknown {
    switch (command.type) {
      case "getDocument":
        return this.#documents.get(`${command.collection} ${command.key}`) ?? null;
      case "putDocument": {
        const { collection, key, value, ifVersion } = command;
        const version = this.#documents.get(`${collection} ${key}`)?.version ?? 0;
        if (ifVersion !== undefined && ifVersion !== version) return null;
        const stored = { key, value: structuredClone(value), version: version + 1, updatedMs: 0 };
        this.#documents.set(`${collection} ${key}`, stored);
        return stored;
      }
      case "listDocuments":
        return [...this.#documents]
          .filter(([at]) => at.startsWith(`${command.collection} `))
          .map(([, document]) => document)
          .sort((a, b) => a.key < b.key ? -1 : 1)
          .filter(({ key }) => command.after === undefined || key > command.after)
          .slice(0, command.limit);
      case "deleteDocument":
        return this.#documents.delete(`${command.collection} ${command.key}`);
      default:
        throw new Error(`Documents only, not ${command.type}`);
    }
  }
}
