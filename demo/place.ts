/**
 * What the demo decides before it starts anything: which programs, on which ports, in which folder.
 *
 * @module
 */
import { join } from "node:path";
import { type Place, type Program, programNamed, programs, runtimePlaces } from "../programs.ts";
import { acceptsTcp, freePortFrom } from "../service/ports.ts";

/** The address of a port on this machine. */
export function localUrl(port: number, path = ""): string {
  return `http://127.0.0.1:${port}${path}`;
}

/** The option that commander makes of a flag: `consolePort` of `--console-port`. */
export function optionOf(flag: string): string {
  return flag.replace(/^--/, "").replaceAll(/-(.)/g, (_, letter) => letter.toUpperCase());
}

/** Ports by program and use, as `console/page`. */
export type DemoPorts = ReadonlyMap<string, number>;

/** Options of {@linkcode choosePorts}. */
export interface ChoosePortsOptions {
  /**
   * Ports to prefer to the usual ones, by the option of the demo's flag.
   *
   * @default none
   */
  preferred?: Readonly<Record<string, unknown>>;
  /**
   * Takes free ports in place of the usual ones; a port that is preferred stays so.
   *
   * @default false
   */
  freePorts?: boolean;
  /** Called with each port that was wanted and is in use. */
  onTaken?: (what: string, wanted: number, instead: number) => void;
}

/** Takes the preferred ports where they are free, else the next free ones above. */
export function choosePorts(options: ChoosePortsOptions = {}): DemoPorts {
  const { preferred = {}, freePorts = false, onTaken } = options;
  const ports = new Map<string, number>();
  const taken = new Set<number>();
  for (const { name, ports: uses = {} } of programs.filter(({ demo }) => demo)) {
    for (const [use, { usual, demoFlag }] of Object.entries(uses)) {
      const named = demoFlag && preferred[optionOf(demoFlag[0])];
      const chosen = typeof named === "number" ? named : usual;
      const wanted = freePorts && chosen === usual ? 0 : chosen;
      const port = freePortFrom(wanted, taken);
      taken.add(port);
      ports.set(`${name}/${use}`, port);
      if (wanted !== 0 && port !== wanted) onTaken?.(`${name}'s ${use}`, wanted, port);
    }
  }
  return ports;
}

/** Whether a container runtime that the observer knows listens on this machine. */
export async function findContainerRuntime(): Promise<boolean> {
  if (await acceptsTcp(runtimePlaces.rktPort)) return true;
  const sockets = runtimePlaces.criSockets.map(async (path) => {
    try {
      return (await Deno.stat(path)).isSocket;
    } catch {
      // Not there, or not to be seen: either way it is none that can be observed.
      return false;
    }
  });
  return (await Promise.all(sockets)).includes(true);
}

/** Puts together what programs ask of the demo. */
export function makePlace(
  options: Place["options"],
  ports: DemoPorts,
  folder: string,
  hasContainerRuntime: boolean,
): Place {
  const port = (program: string, use: string) => {
    const found = ports.get(`${program}/${use}`);
    if (found === undefined) throw new RangeError(`The demo has no port '${use}' of '${program}'`);
    return found;
  };
  return {
    options,
    hasContainerRuntime,
    port,
    url: (program, path = "") => localUrl(port(program, programNamed(program).health!), path),
    path: (name) => join(folder, name),
  };
}

/** The arguments of a program in the demo: its ports, then what else it is given. */
export function demoArguments({ name, ports = {}, demo }: Program, place: Place): string[] {
  const portFlags = Object.entries(ports).flatMap(([use, { flags, withHost }]) => {
    const value = `${withHost ? "127.0.0.1:" : ""}${place.port(name, use)}`;
    return flags.flatMap((flag) => [flag, value]);
  });
  return [...portFlags, ...demo?.args?.(place) ?? []];
}

/** What the demo prints of a program: what it is there for, and where it is found. */
export function describe(program: Program, place: Place): [what: string, where: string] {
  const { name, ports = {}, health, demo } = program;
  const what = typeof demo!.what === "string" ? demo!.what : demo!.what(place);
  if (health !== undefined) return [what, place.url(name, demo!.path)];
  const addresses = Object.keys(ports).map((use) => `127.0.0.1:${place.port(name, use)} (${use})`);
  return [what, addresses.join(", ")];
}
