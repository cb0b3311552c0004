/**
 * Who follows signups.
 *
 * @module
 */
import type { SignupRecord } from "../signups/signup_record.ts";

type Listener = (record: SignupRecord) => void;

/** Listeners of one signup each, and listeners of all. */
export class SignupFollowers {
  readonly #find: (id: string) => Promise<SignupRecord | null>;
  readonly #ofAll = new Set<Listener>();
  readonly #byId = new Map<string, Set<Listener>>();
  /** Signups being read again, and whether they have changed since. */
  readonly #refreshing = new Map<string, { again: boolean }>();

  /** @param find reads the signup that another server has changed */
  constructor(find: (id: string) => Promise<SignupRecord | null>) {
    this.#find = find;
  }

  /** Adds a listener; what it gives back takes it away. */
  add(id: string | undefined, listener: Listener): () => void {
    if (id === undefined) {
      this.#ofAll.add(listener);
      return () => this.#ofAll.delete(listener);
    }
    let listeners = this.#byId.get(id);
    if (listeners === undefined) this.#byId.set(id, listeners = new Set());
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#byId.get(id) === listeners) this.#byId.delete(id);
    };
  }

  /** Tells of a change. */
  notify(record: SignupRecord): void {
    for (const listener of this.#ofAll) listener(record);
    for (const listener of this.#byId.get(record.id) ?? []) listener(record);
  }

  /** Another server has changed it: it is read again, if anybody follows it. */
  refresh(id: string): void {
    if (this.#ofAll.size === 0 && !this.#byId.has(id)) return;
    const underWay = this.#refreshing.get(id);
    if (underWay !== undefined) {
      underWay.again = true;
      return;
    }
    const refreshing = { again: false };
    this.#refreshing.set(id, refreshing);
    const done = () => {
      this.#refreshing.delete(id);
      if (refreshing.again) this.refresh(id);
    };
    this.#find(id).then((record) => {
      if (record !== null) this.notify(record);
      done();
    }, () => {
      // Who waits asks again by itself; the store's state says why it cannot be read.
      this.#refreshing.delete(id);
    });
  }
}
