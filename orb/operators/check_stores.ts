/**
 * Looks whether records and images fit together: every signup has its image, whole; every accepted
 * image is known; every image has a signup.
 *
 * @module
 */
import { reasonOf } from "../../service/resilience.ts";
import type { ImageStore } from "../stores/image_store.ts";
import type { RecordArchive } from "../stores/record_archive.ts";

/** What was found. */
export interface CheckReport {
  signups: number;
  images: number;
  /** What is wrong, a line each; the first thousand. */
  faults: string[];
  /** Images without a signup: of signups that are being taken in, or left by a crash. A server removes them. */
  unusedImages: number;
}

const maxFaults = 1_000;

/**
 * Reads everything once.
 *
 * @example
 * ```ts
 * const { faults } = await checkStores({ records, images });
 * ```
 */
export async function checkStores(
  { records, images }: { records: RecordArchive; images: ImageStore },
): Promise<CheckReport> {
  const report: CheckReport = { signups: 0, images: 0, faults: [], unusedImages: 0 };
  const fault = (text: string) => {
    if (report.faults.length < maxFaults) report.faults.push(text);
  };
  for (const text of await records.faults()) fault(`database: ${text}`);
  const tokens = new Set<string>();
  const checked = new Set<string>();
  for await (const record of records.read()) {
    if (record.kind === "token") tokens.add(record.sha256);
    if (record.kind !== "signup") continue;
    const { id, sha256, imageBytes, state } = record.signup;
    report.signups++;
    // After a reset no image is known, and accepted signups stay.
    if (state === "accepted" && tokens.size > 0 && !tokens.has(sha256)) {
      fault(`signup ${id}: accepted, but its image is not known (was there a reset?)`);
    }
    if (checked.has(sha256)) continue;
    checked.add(sha256);
    try {
      const { length } = await images.get(sha256);
      if (length !== imageBytes) fault(`signup ${id}: its image has ${length} bytes`);
    } catch (error) {
      fault(`signup ${id}: ${reasonOf(error)}`);
    }
  }
  for await (const { sha256 } of images.list()) {
    report.images++;
    if (!checked.has(sha256)) report.unusedImages++;
  }
  return report;
}
