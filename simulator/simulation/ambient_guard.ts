/**
 * While a simulation runs, the platform's time, chance, timers and network throw: a run in which
 * they are used could not be repeated.
 *
 * @module
 */

const traps = [
  "setTimeout",
  "setInterval",
  "setImmediate",
  "queueMicrotask",
  "fetch",
  "crypto",
  "performance",
] as const;

let isTrapped = false;

/**
 * Runs `work`, which must not wait, without the platform's time and chance. Traps that are set and taken away cost
 * what the engine has compiled and what it knows of the globals: who runs many simulations does so once, around
 * all of them.
 *
 * @throws what `work` throws, and {@linkcode Error} where it uses them
 */
export function withoutAmbient<T>(work: () => T): T {
  if (isTrapped) return work();
  const undo = [trapDate(), trapMember(Math, "random"), ...traps.map(trapGlobal)];
  isTrapped = true;
  try {
    return work();
  } finally {
    isTrapped = false;
    for (const one of undo) one();
  }
}

function refuse(name: string): never {
  throw new Error(`A simulation must not use '${name}': ask the part's clock or chance`);
}

function trapGlobal(name: string): () => void {
  const before = Object.getOwnPropertyDescriptor(globalThis, name);
  if (!(name in globalThis) || before?.configurable === false) return () => {};
  Object.defineProperty(globalThis, name, { configurable: true, get: () => refuse(name) });
  // A browser has some of them on the scope's prototype.
  if (before === undefined) return () => void Reflect.deleteProperty(globalThis, name);
  return () => Object.defineProperty(globalThis, name, before);
}

function trapMember(holder: object, name: string): () => void {
  const before = Object.getOwnPropertyDescriptor(holder, name)!;
  Object.defineProperty(holder, name, { configurable: true, value: () => refuse(name) });
  return () => Object.defineProperty(holder, name, before);
}

/** The constructor too: `new Date()` slips past a trap on `Date.now`. */
function trapDate(): () => void {
  const RealDate = Date;
  const trapped = new Proxy(RealDate, {
    construct(target, args, newTarget) {
      if (args.length === 0) refuse("new Date()");
      return Reflect.construct(target, args, newTarget);
    },
    apply: () => refuse("Date()"),
    get: (target, name, receiver) =>
      name === "now" ? () => refuse("Date.now") : Reflect.get(target, name, receiver),
  });
  const before = Object.getOwnPropertyDescriptor(globalThis, "Date")!;
  Object.defineProperty(globalThis, "Date", { configurable: true, value: trapped });
  return () => Object.defineProperty(globalThis, "Date", before);
}
