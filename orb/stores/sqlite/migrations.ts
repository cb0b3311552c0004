/**
 * The schema of the SQLite file and how each version becomes the next: `PRAGMA user_version`.
 *
 * @module
 */
import type { DatabaseSync } from "node:sqlite";

/**
 * What makes version n + 1 of version n. One that was released never changes; version 1 is the file
 * of tokens that v1 alone had.
 */
const migrations: readonly string[] = [
  `
  CREATE TABLE tokens (
    seq INTEGER PRIMARY KEY,
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32)
  ) STRICT;
  `,
  `
  CREATE TABLE signups (
    id TEXT PRIMARY KEY CHECK (length(id) = 26),
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    image_bytes INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    token TEXT NOT NULL,
    orb_id TEXT,
    upload_id TEXT,
    traceparent TEXT,
    state TEXT NOT NULL CHECK (
      state IN ('queued', 'processing', 'accepted', 'duplicate', 'rejected', 'dead_letter')
    ),
    attempts INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    worker TEXT,
    reason TEXT,
    duplicate_of TEXT,
    distance REAL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    decided_ms INTEGER
  ) STRICT;
  CREATE INDEX signups_due ON signups (due_ms, id) WHERE state IN ('queued', 'processing');
  CREATE INDEX signups_dead ON signups (id) WHERE state = 'dead_letter';
  CREATE INDEX signups_image ON signups (sha256);
  CREATE INDEX signups_orb ON signups (orb_id, id) WHERE orb_id IS NOT NULL;

  CREATE TABLE signup_counts (state TEXT PRIMARY KEY, signups INTEGER NOT NULL) STRICT;
  INSERT INTO signup_counts (state, signups) VALUES
    ('queued', 0), ('processing', 0), ('accepted', 0), ('duplicate', 0), ('rejected', 0),
    ('dead_letter', 0);

  CREATE TABLE fingerprints (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    signup_id TEXT NOT NULL,
    bytes BLOB NOT NULL
  ) STRICT;
  CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
  INSERT INTO counters (name, value) VALUES ('epoch', 1);

  CREATE TABLE documents (
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    version INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (collection, key)
  ) STRICT, WITHOUT ROWID;
  `,
];

/** The version that this program reads and writes. */
export const schemaVersion = migrations.length;

/**
 * Brings the schema up to date, in one transaction.
 *
 * @throws the reason of SQLite, or that the file was made by a later version.
 */
export function migrate(database: DatabaseSync, path: string): void {
  const version = Number(database.prepare("PRAGMA user_version").get()?.user_version);
  if (version > schemaVersion) {
    throw new Error(
      `${path} has schema version ${version} and this program knows up to ${schemaVersion}; run the newer one`,
    );
  }
  if (version === schemaVersion) return;
  database.exec("BEGIN IMMEDIATE");
  try {
    for (const migration of migrations.slice(version)) database.exec(migration);
    database.exec(`PRAGMA user_version = ${schemaVersion}; COMMIT`);
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK");
    throw error;
  }
}
