/**
 * Everything that is held as a file, and a file of before brought back.
 *
 * @module
 */
import { useRef, useState } from "preact/hooks";
import { announce } from "../../service/page/announce.ts";
import { withBase } from "../../service/page/base_path.ts";
import { formatCounted } from "../../service/page/format.ts";
import { postJson, RequestError } from "../../service/page/get_json.ts";
import { UnderWay, type UnderWayRequest } from "../../service/page/under_way.tsx";
import { apiPaths, type ImportAnswer } from "../page_api/api.ts";

const importTimeoutMs = 60_000;

/** Links and a button, for a view's head. */
export function TakeAlong() {
  const file = useRef<HTMLInputElement>(null);
  const [state, setState] = useState<
    { busy: UnderWayRequest } | { failed: string } | undefined
  >(undefined);
  const busy = state && "busy" in state ? state.busy : undefined;

  async function bring(chosen: File) {
    const cancel = new AbortController();
    setState({ busy: { sinceMs: Date.now(), timeoutMs: importTimeoutMs, cancel } });
    try {
      const answer = await postJson<ImportAnswer>(apiPaths.import, chosen, {
        signal: cancel.signal,
        timeoutMs: importTimeoutMs,
      });
      const refused = answer.refused === 0
        ? ""
        : `, ${formatCounted(answer.refused, "item")} refused: ${answer.reasons[0]}`;
      announce(`${formatCounted(answer.requests, "request")} imported${refused}`);
      setState(undefined);
    } catch (error) {
      if (cancel.signal.aborted) {
        setState({ failed: "Import cancelled: what had come whole may be held." });
      } else if (error instanceof RequestError) {
        setState({ failed: `${error.title}: ${error.message}` });
      } else throw error;
    }
  }

  return (
    <>
      <a
        class="button"
        href={withBase(`${apiPaths.export}?what=all`)}
        download="telemetry.otlp.jsonl"
      >
        Download all
      </a>
      <button
        type="button"
        class="button"
        disabled={busy !== undefined}
        onClick={() => file.current?.click()}
      >
        Import
      </button>
      {busy && <UnderWay what="Importing" cancelled="the import" request={busy} afterMs={500} />}
      <input
        ref={file}
        type="file"
        hidden
        aria-label="File of OTLP JSON"
        accept=".json,.jsonl,.ndjson,application/json"
        onChange={(event) => {
          const chosen = event.currentTarget.files?.[0];
          // The same file may be chosen again.
          event.currentTarget.value = "";
          if (chosen) bring(chosen);
        }}
      />
      {state && "failed" in state && <p class="error-text" role="alert">{state.failed}</p>}
    </>
  );
}
