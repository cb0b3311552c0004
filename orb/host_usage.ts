/**
 * How busy this machine is, in fractions from 0 to 1: what an orb reports of itself.
 *
 * @module
 */
import { statfsSync } from "node:fs";
import { cpus } from "node:os";

/** A reading. */
export interface HostUsage {
  /** Share of all processors' time that was not idle since the last reading. */
  cpu: number;
  /** Share of the memory that is not available to a new program. */
  memory: number;
  /** Share of the disk that is used, of what an ordinary user may use. */
  disk: number;
}

/**
 * Makes a meter; each call of it is a reading.
 *
 * @param folder names the disk. @default the current folder
 */
export function createHostMeter(folder = "."): () => HostUsage {
  let last = processorTimes();
  let cpu = 0;
  return function readHost() {
    const now = processorTimes();
    const totalMs = now.totalMs - last.totalMs;
    // Two readings within one tick of the clock say nothing new.
    if (totalMs > 0) {
      cpu = fraction(1 - (now.idleMs - last.idleMs) / totalMs);
      last = now;
    }
    const memory = Deno.systemMemoryInfo();
    const disk = statfsSync(folder);
    const usedBlocks = disk.blocks - disk.bfree;
    return {
      cpu,
      memory: fraction(1 - memory.available / memory.total),
      disk: fraction(usedBlocks / (usedBlocks + disk.bavail)),
    };
  };
}

function processorTimes(): { totalMs: number; idleMs: number } {
  let totalMs = 0;
  let idleMs = 0;
  for (const { times } of cpus()) {
    totalMs += times.user + times.nice + times.sys + times.idle + times.irq;
    idleMs += times.idle;
  }
  return { totalMs, idleMs };
}

function fraction(value: number): number {
  return Math.min(1, Math.max(0, value));
}
