import type { SupervisorOptions } from "../service/supervisor.ts";
import type { BuildOptions } from "./build_cache.ts";

/** Options that every `start…()` has: those of the build that may come first, and of its process. */
export interface StartOptions extends BuildOptions, SupervisorOptions {
  /**
   * Aborting it gives up building or waiting for readiness; what was begun is stopped first.
   *
   * @default nothing does
   */
  signal?: AbortSignal;
}
