/**
 * For tests: what the flags of the two programs give when nobody sets any, on a free port.
 *
 * @module
 */
import type { RestApiOptions } from "./rest_api.ts";
import type { ServiceOptions } from "./service.ts";

const shared = {
  ...{ host: "127.0.0.1", port: 0, reqTopic: "signer.v1", algorithm: "ed25519" as const },
  ...{ kafkaStartTimeoutMs: 0, kafkaOutageLimitMs: 1_000, maxMessageBytes: 1_000_000 },
};

/** A REST API with its keys and audit log in this folder. */
export function restApiOptions(
  dataDir: string,
  options: Partial<RestApiOptions> = {},
): RestApiOptions {
  return {
    ...{ ...shared, dataDir, timeoutMs: 2_000, maxInFlight: 100 },
    ...{ maxSockets: 10, sweepIntervalMs: 600_000 },
    ...options,
  };
}

/** A signing service, likewise; on a bus inside the process unless brokers are given. */
export function serviceOptions(
  dataDir: string,
  options: Partial<ServiceOptions> = {},
): ServiceOptions {
  return { ...shared, dataDir, groupId: "g", ...options };
}
