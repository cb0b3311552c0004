/**
 * How a program of the reader's own sends its telemetry here.
 *
 * @module
 */
import { CommandLine } from "../../service/page/copy.tsx";
import { hello } from "./store.ts";

/** The variables that any OpenTelemetry SDK reads, ready to copy. */
export function PointHere() {
  const endpoint = hello.value?.otlpEndpoint ?? "http://127.0.0.1:4318";
  const headers = hello.value?.otlpHeaders;
  return (
    <CommandLine
      what="the variables"
      text={[
        `export OTEL_EXPORTER_OTLP_ENDPOINT=${endpoint}`,
        "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
        ...(headers === undefined ? [] : [`export OTEL_EXPORTER_OTLP_HEADERS=${headers}`]),
        "export OTEL_SERVICE_NAME=my-service",
      ].join("\n")}
    />
  );
}
