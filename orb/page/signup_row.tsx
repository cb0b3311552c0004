/**
 * A signup in a list: what came of it, when, why.
 *
 * @module
 */
import { formatDuration, formatTime, formatTimeWithZone } from "../../service/page/format.ts";
import type { SignupResource } from "../signups/signup_resource.ts";
import type { SignupState } from "../signups/signup_record.ts";

/** What each state is called. */
export const signupWords: Readonly<Record<SignupState, string>> = {
  queued: "queued",
  processing: "processing",
  accepted: "accepted",
  duplicate: "duplicate",
  rejected: "rejected",
  dead_letter: "dead letter",
};

/** The state in its colour and in words. */
export function SignupState({ state }: { state: SignupState }) {
  return <span class={`signup-state signup-${state}`}>{signupWords[state]}</span>;
}

/** Why a signup is where it is; empty when there is nothing to say. */
export function signupReason({ reason, duplicateOf, distance }: SignupResource): string {
  if (duplicateOf !== undefined) {
    return distance === undefined || distance === 0
      ? `the same image as ${duplicateOf}`
      : `like ${duplicateOf}, distance ${distance.toFixed(3)}`;
  }
  return reason ?? "";
}

/** When it was handed in, and how long the decision took. */
export function SignupTime({ signup }: { signup: SignupResource }) {
  const createdMs = Date.parse(signup.createdAt);
  const tookMs = signup.decidedAt === undefined
    ? undefined
    : Date.parse(signup.decidedAt) - createdMs;
  return (
    <span class="quiet signup-time">
      <time dateTime={signup.createdAt} title={formatTimeWithZone(createdMs)}>
        {formatTime(createdMs).slice(0, 8)}
      </time>
      {tookMs !== undefined && `, decided in ${formatDuration(tookMs)}`}
    </span>
  );
}
