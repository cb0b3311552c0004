/**
 * Computes what images that were accepted before are compared by: those of a server that compared by
 * bytes only, or in another way.
 *
 * @module
 */
import type { ImageStore } from "../stores/image_store.ts";
import type { SignupRecord } from "../signups/signup_record.ts";
import { isFingerprint, type NearMode } from "../uniqueness/fingerprint.ts";
import { fingerprintOf } from "../uniqueness/make_fingerprint.ts";
import { ImageError } from "../uniqueness/image_header.ts";
import type { OperatorRecords } from "./operator_stores.ts";

/** What came of it. */
export interface FingerprintCounts {
  /** Accepted signups that had one already. */
  known: number;
  added: number;
  /** Images that this way cannot use, or that were forgotten by a reset: compared by their bytes only. */
  left: number;
}

/** Options of {@linkcode addFingerprints}. */
export interface AddFingerprintsOptions {
  records: OperatorRecords;
  images: Pick<ImageStore, "get">;
  mode: NearMode;
  /** Every accepted signup. */
  accepted: AsyncIterable<SignupRecord>;
  /** Notified of each image that cannot be used. */
  onRefused: (signup: SignupRecord, reason: string) => void;
}

/**
 * Computes and adds them, also while servers are at work: those compare with each from then on.
 *
 * @throws {ImageStoreError} an image is missing or broken
 */
export async function addFingerprints(
  { records, images, mode, accepted, onRefused }: AddFingerprintsOptions,
): Promise<FingerprintCounts> {
  const { epoch, ids } = await knownFingerprints(records, mode);
  const counts: FingerprintCounts = { known: 0, added: 0, left: 0 };
  for await (const signup of accepted) {
    const { id, sha256 } = signup;
    if (ids.has(id)) {
      counts.known++;
      continue;
    }
    // After a reset it is a signup of the past: the image may sign up again.
    const [isImageKnown] = await records.apply([{ type: "hasToken", sha256 }]);
    const bytes = isImageKnown ? describe(await images.get(sha256), signup) : undefined;
    const [isAdded] = bytes === undefined
      ? [false]
      : await records.apply([{ type: "addFingerprint", id, bytes, epoch }]);
    counts[isAdded ? "added" : "left"]++;
  }
  return counts;

  function describe(image: Uint8Array, signup: SignupRecord): Uint8Array | undefined {
    try {
      return fingerprintOf(image, mode);
    } catch (error) {
      if (!(error instanceof ImageError)) throw error;
      onRefused(signup, error.message);
      return undefined;
    }
  }
}

/** The signups that are compared this way already. */
async function knownFingerprints(
  records: OperatorRecords,
  mode: NearMode,
): Promise<{ epoch: number; ids: Set<string> }> {
  const ids = new Set<string>();
  for (let afterSeq = 0;;) {
    const [{ epoch, newestSeq, fingerprints }] = await records.apply([
      { type: "fingerprints", afterSeq },
    ]);
    for (const { signupId, bytes } of fingerprints) {
      if (isFingerprint(bytes, mode)) ids.add(signupId);
    }
    afterSeq = fingerprints.at(-1)?.seq ?? newestSeq;
    if (afterSeq >= newestSeq) return { epoch, ids };
  }
}
