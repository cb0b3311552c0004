/**
 * A view's answer from the API: loading, there, or failed, with what was there before kept while
 * the next one comes.
 *
 * @module
 */
import { useEffect, useState } from "preact/hooks";
import { getJson, RequestError } from "./get_json.ts";

/** Where an answer is. */
export interface AnswerState<Answer> {
  /** The last answer to this very path; `undefined` until there is one. */
  readonly answer: Answer | undefined;
  /** Why the last try failed. */
  readonly error: RequestError | undefined;
  /** Asks again. */
  readonly reload: () => void;
}

/** Options of {@linkcode useAnswer}. */
export interface UseAnswerOptions {
  /** How long after an answer the next one is asked for, in milliseconds. @default it is not */
  refreshMs?: number | undefined;
}

/**
 * Asks a path, again when it changes and every `refreshMs`. `undefined` asks nothing.
 *
 * @example
 * ```ts
 * const { answer, error, reload } = useAnswer<MetricsAnswer>("/api/metrics", { refreshMs: 5_000 });
 * ```
 */
export function useAnswer<Answer>(
  path: string | undefined,
  { refreshMs }: UseAnswerOptions = {},
): AnswerState<Answer> {
  const [state, setState] = useState<
    { path: string | undefined; answer?: Answer; error?: RequestError }
  >({ path });
  const [round, setRound] = useState(0);

  useEffect(() => {
    if (path === undefined) return;
    const gone = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    async function ask() {
      try {
        const answer = await getJson<Answer>(path!, { signal: gone.signal });
        setState({ path, answer });
      } catch (error) {
        if (gone.signal.aborted) return;
        if (!(error instanceof RequestError)) throw error;
        setState((before) =>
          before.path === path && before.answer !== undefined
            ? { path, answer: before.answer, error }
            : { path, error }
        );
      }
      if (refreshMs !== undefined && !gone.signal.aborted) timer = setTimeout(ask, refreshMs);
    }
    ask();
    return () => {
      gone.abort();
      clearTimeout(timer);
    };
  }, [path, refreshMs, round]);

  const current = state.path === path;
  return {
    answer: current ? state.answer : undefined,
    error: current ? state.error : undefined,
    reload: () => setRound((before) => before + 1),
  };
}
