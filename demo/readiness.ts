/**
 * When a program of the demo counts as ready.
 *
 * @module
 */
import type { Place, Program } from "../programs.ts";
import { acceptsTcp, answersOk } from "../service/ports.ts";

/** True as soon as a program does its work: by its health, its ports, or what the console saw. */
export async function isReady(
  { name, ports, health }: Program,
  place: Place,
  signal: AbortSignal,
): Promise<boolean> {
  if (health !== undefined) return await answersOk(place.url(name, "/readyz"), signal);
  if (ports === undefined) return await seenByConsole(name, place, signal);
  const open = Object.keys(ports).map((use) => acceptsTcp(place.port(name, use)));
  return (await Promise.all(open)).every((one) => one);
}

/** A program without a port of its own is ready when its telemetry is there. */
async function seenByConsole(name: string, place: Place, signal: AbortSignal): Promise<boolean> {
  if (!await answersOk(place.url("console", "/readyz"), signal)) return false;
  const response = await fetch(place.url("console", "/api/services"), { signal });
  const { data } = await response.json() as { data: string[] };
  return data.includes(name);
}
