/**
 * For the observer's benchmarks: the observer and the stand-in image service as programs of their
 * own, as they run for people.
 *
 * @module
 */
import { startProgram, type TestProgram } from "../service/testing/program.ts";

/** An observer with the stores it watches. `await using` ends both. */
export interface ObserverBench extends AsyncDisposable {
  readonly observer: TestProgram;
  readonly url: string;
  /** Where the stand-in's two APIs are. */
  readonly addresses: Readonly<Record<"rkt" | "cri", string>>;
  /** The value of a sample of `/metrics`, by its whole text before the space; 0 where there is none. */
  sample(name: string): Promise<number>;
  /** The sample that counts a store's triggers of a kind with an outcome. */
  counted(kind: "rkt" | "cri", trigger: string, outcome: string): Promise<number>;
}

/** Options of {@linkcode startObserverBench}. */
export interface ObserverBenchOptions {
  /** Stores that are watched. */
  kinds: readonly ("rkt" | "cri")[];
  /** Images in the store. @default 18 */
  images?: number;
  /** Leaves `StreamImages` out, so that one answer has all. @default false */
  oneAnswer?: boolean;
}

/** Starts both on free ports; the store does not change. */
export async function startObserverBench(options: ObserverBenchOptions): Promise<ObserverBench> {
  const { kinds, images = 18, oneAnswer = false } = options;
  await using started = new AsyncDisposableStack();
  const service = started.use(
    await startProgram(new URL("../observer/image_service.ts", import.meta.url), [
      ...["--rkt-port", "0", "--cri-port", "0", "--change-interval-ms", "0"],
      ...["--images", String(images), ...(oneAnswer ? ["--no-streaming"] : [])],
    ]),
  );
  const [, rkt = "", cri = ""] = await service.line(/ready rkt=(\S+) cri=(\S+)/);
  const addresses = { rkt, cri };
  const observer = started.use(
    await startProgram(new URL("../observer/observer.ts", import.meta.url), [
      ...["--metrics-address", "127.0.0.1:0"],
      ...kinds.flatMap((kind) => ["--endpoint", `${kind}=${addresses[kind]}`]),
    ]),
  );
  const [, url = ""] = await observer.line(/ready page=(\S+)/);
  await observer.line(/^Running!/);
  const resources = started.move();

  async function sample(name: string): Promise<number> {
    const text = await (await fetch(`${url}/metrics`)).text();
    const at = text.indexOf(`\n${name} `);
    return at === -1 ? 0 : Number.parseFloat(text.slice(at + name.length + 2));
  }
  return {
    observer,
    url,
    addresses,
    sample,
    counted: (kind, trigger, outcome) =>
      sample(
        `observer_observations_total{runtime="${kind}",endpoint="${
          addresses[kind]
        }",trigger="${trigger}",outcome="${outcome}"}`,
      ),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** The value that a share of the values does not exceed. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}
