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
import { apiPaths, type ImportAnswer } from "../page_api/api.ts";

/** Links and a button, for a view's head. */
export function TakeAlong() {
  const file = useRef<HTMLInputElement>(null);
  const [state, setState] = useState<"busy" | { failed: string } | undefined>(undefined);

  async function bring(chosen: File) {
    setState("busy");
    try {
      const answer = await postJson<ImportAnswer>(apiPaths.import, chosen, { timeoutMs: 60_000 });
      const refused = answer.refused === 0
        ? ""
        : `, ${formatCounted(answer.refused, "item")} refused: ${answer.reasons[0]}`;
      announce(`${formatCounted(answer.requests, "request")} imported${refused}`);
      setState(undefined);
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      setState({ failed: `${error.title}: ${error.message}` });
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
        disabled={state === "busy"}
        onClick={() => file.current?.click()}
      >
        {state === "busy" ? "Importing …" : "Import"}
      </button>
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
      {typeof state === "object" && <p class="error-text" role="alert">{state.failed}</p>}
    </>
  );
}
