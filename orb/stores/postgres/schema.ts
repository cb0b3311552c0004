/**
 * The schema in PostgreSQL and how each version becomes the next, as `orb_schema` says.
 *
 * @module
 */

/**
 * What makes version n + 1 of version n. One that was released never changes. Servers of one
 * database start one after the other in this: a lock sees to it.
 */
export const migrations: readonly string[] = [
  `
  CREATE TABLE orb_tokens (sha256 bytea PRIMARY KEY CHECK (length(sha256) = 32));

  CREATE TABLE orb_signups (
    id text COLLATE "C" PRIMARY KEY CHECK (length(id) = 26),
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    image_bytes bigint NOT NULL,
    media_type text NOT NULL,
    token text NOT NULL,
    orb_id text,
    upload_id text,
    traceparent text,
    state text NOT NULL CHECK (
      state IN ('queued', 'processing', 'accepted', 'duplicate', 'rejected', 'dead_letter')
    ),
    attempts integer NOT NULL,
    fence bigint NOT NULL,
    due_ms bigint NOT NULL,
    worker text,
    reason text,
    duplicate_of text,
    distance double precision,
    created_ms bigint NOT NULL,
    updated_ms bigint NOT NULL,
    decided_ms bigint
  );
  CREATE INDEX orb_signups_due ON orb_signups (due_ms, id)
    WHERE state IN ('queued', 'processing');
  CREATE INDEX orb_signups_dead ON orb_signups (id) WHERE state = 'dead_letter';
  CREATE INDEX orb_signups_image ON orb_signups (sha256);
  CREATE INDEX orb_signups_orb ON orb_signups (orb_id, id) WHERE orb_id IS NOT NULL;

  CREATE TABLE orb_fingerprints (
    seq bigint PRIMARY KEY,
    signup_id text NOT NULL,
    bytes bytea NOT NULL
  );
  CREATE TABLE orb_counters (name text PRIMARY KEY, value bigint NOT NULL);
  INSERT INTO orb_counters (name, value) VALUES ('epoch', 1), ('fingerprints', 0);

  CREATE TABLE orb_documents (
    collection text NOT NULL,
    key text COLLATE "C" NOT NULL,
    value text NOT NULL,
    version bigint NOT NULL,
    updated_ms bigint NOT NULL,
    PRIMARY KEY (collection, key)
  );
  `,
];

/** The version that this program reads and writes. */
export const schemaVersion = migrations.length;
