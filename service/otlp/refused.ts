/**
 * A request that is not taken.
 *
 * @module
 */

/** Answered with a `google.rpc.Status`, or by gRPC with its code. */
export class Refused extends Error {
  override name = "Refused";
  constructor(
    /** The HTTP status. */
    readonly status: number,
    message: string,
    readonly headers: Record<string, string> = {},
  ) {
    super(message);
  }
}

/** gRPC's codes for the statuses that are sent here (google.rpc.Code). */
export const rpcCodes: Readonly<Record<number, number>> = {
  400: 3, // INVALID_ARGUMENT
  401: 16, // UNAUTHENTICATED
  403: 7, // PERMISSION_DENIED
  404: 5, // NOT_FOUND
  405: 12, // UNIMPLEMENTED
  408: 4, // DEADLINE_EXCEEDED
  413: 3,
  415: 3,
  500: 13, // INTERNAL
  503: 14, // UNAVAILABLE
};
