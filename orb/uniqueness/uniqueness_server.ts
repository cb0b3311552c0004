/**
 * What a thread of the uniqueness check does: answers, with an index or without.
 *
 * @module
 */
import { checkImageData } from "../signups/image_check.ts";
import type { NearImage } from "../signups/uniqueness.ts";
import { isFingerprint, type NearMode } from "./fingerprint.ts";
import { type FingerprintIndex, fingerprintIndex } from "./fingerprint_index.ts";
import { checkImage } from "./image_header.ts";
import { fingerprintOf } from "./make_fingerprint.ts";
import type { WorkerAnswer, WorkerQuestion } from "./uniqueness_worker.ts";

/** Answers one question after the other. */
export class UniquenessServer {
  #mode: NearMode = "perceptual";
  #index: FingerprintIndex | undefined;
  /** The signup at each place of the index. */
  readonly #ids: string[] = [];

  answer(question: WorkerQuestion): WorkerAnswer {
    switch (question.type) {
      case "describe":
        return { fingerprint: fingerprintOf(question.image, question.mode, question.limits) };
      case "examine":
        checkImageData(checkImage(question.image, question.limits));
        return {};
      case "open":
        this.#mode = question.mode;
        this.#index = fingerprintIndex(question.mode);
        return {};
      case "nearest":
        return { nearest: this.#nearest(question.fingerprint, question.threshold) };
      case "add":
        return { skipped: this.#add(question.images) };
      case "clear":
        this.#opened().clear();
        this.#ids.length = 0;
        return {};
    }
  }

  #opened(): FingerprintIndex {
    if (this.#index === undefined) throw new Error("A question came before 'open'");
    return this.#index;
  }

  #nearest(fingerprint: Uint8Array, threshold: number): NearImage | undefined {
    const found = this.#opened().nearest(fingerprint, threshold);
    return found && { signupId: this.#ids[found.place]!, distance: found.distance };
  }

  #add(images: readonly { signupId: string; bytes: Uint8Array }[]): number {
    let skipped = 0;
    for (const { signupId, bytes } of images) {
      if (!isFingerprint(bytes, this.#mode)) skipped++;
      else this.#ids[this.#opened().add(bytes)] = signupId;
    }
    return skipped;
  }
}
