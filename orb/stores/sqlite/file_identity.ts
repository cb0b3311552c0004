/**
 * Whose a database file is, and whether its name still stands for it.
 *
 * SQLite writes happily to a file that was deleted or replaced under its name: it holds the file, not
 * the name. What is written then is gone with the process.
 *
 * @module
 */

/** The files whose loss would lose what was acknowledged. */
const suffixes = ["", "-wal"];
const lockAttempts = 40;
const lockPauseMs = 50;

/** The names of a database, and the lock that says whose it is. */
export class FileIdentity {
  readonly #path: string;
  readonly #lock: Deno.FsFile | undefined;
  #identities: (string | undefined)[] = [];

  /** @throws {Error} it is another server's, or the lock cannot be made. */
  constructor(path: string, exclusive: boolean) {
    this.#path = path;
    if (!exclusive) return;
    // A lock on the database itself would be SQLite's own.
    this.#lock = Deno.openSync(`${path}.lock`, { create: true, write: true });
    // A predecessor may just be going.
    for (let attempt = 0; attempt < lockAttempts; attempt++) {
      if (this.#lock.tryLockSync(true)) return;
      sleep(lockPauseMs);
    }
    this.#lock.close();
    throw new Error("database is locked: another server uses it");
  }

  /** From now on the names must stand for the files that they stand for now. */
  remember(): void {
    this.#identities = suffixes.map((suffix) => identityOf(this.#path + suffix));
  }

  /** @throws {Error} a name stands for another file now, or for none. */
  verify(): void {
    suffixes.forEach((suffix, index) => {
      const now = identityOf(this.#path + suffix);
      if (now === this.#identities[index]) return;
      const what = now === undefined ? "was deleted" : "was replaced";
      throw new Error(
        `${this.#path}${suffix} ${what} while it is in use: what is written would be lost`,
      );
    });
  }

  /** Gives the lock back. */
  close(): void {
    this.#lock?.close();
  }
}

/** This thread waits for the disk all day; it may wait for a predecessor. */
function sleep(durationMs: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, durationMs);
}

function identityOf(path: string): string | undefined {
  try {
    const { dev, ino } = Deno.statSync(path);
    // Where the system numbers no files, that it is there has to do.
    return `${dev}:${ino ?? ""}`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
