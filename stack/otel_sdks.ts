/**
 * OpenTelemetry's own SDKs of Python and Java, each with a small program that sends a trace, a log
 * record and metrics, as programs of anybody do.
 *
 * @module
 */
import { join } from "node:path";
import { buildOnce, type BuildOptions, type BuildRecipe } from "./build_cache.ts";
import { mavenDependency } from "./kafka.ts";

/** The version on PyPI. */
export const OTEL_PYTHON_VERSION = "1.45.2";
/** The version in Maven Central; of this one there is the sender that uses Java's own HTTP client. */
export const OTEL_JAVA_VERSION = "1.45.0";

/** A program to be started. */
export interface SdkProgram {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

const pythonProgram = `
import sys, logging
from opentelemetry import trace, metrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

url = sys.argv[1]
resource = Resource.create({"service.name": "python-program"})
tracing = TracerProvider(resource=resource)
tracing.add_span_processor(BatchSpanProcessor(
    OTLPSpanExporter(endpoint=url + "/v1/traces", compression=Compression.Gzip)))
measuring = MeterProvider(resource=resource, metric_readers=[
    PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=url + "/v1/metrics"))])
recording = LoggerProvider(resource=resource)
recording.add_log_record_processor(BatchLogRecordProcessor(
    OTLPLogExporter(endpoint=url + "/v1/logs", compression=Compression.Gzip)))
log = logging.getLogger("program")
log.addHandler(LoggingHandler(logger_provider=recording))
tracer = tracing.get_tracer("program", "1.0")
meter = measuring.get_meter("program")
with tracer.start_as_current_span("work", attributes={"size": 3}) as span:
    span.add_event("begun", {"by": "hand"})
    try:
        with tracer.start_as_current_span("part"):
            log.error("no luck with %s", "part", extra={"attempt": 2})
            raise ValueError("no such thing")
    except ValueError:
        pass
meter.create_counter("jobs", unit="{job}").add(3, {"kind": "a"})
meter.create_histogram("job.duration", unit="s").record(0.25)
tracing.shutdown()
measuring.shutdown()
recording.shutdown()
`;

/** SDK and exporter, in a folder for `PYTHONPATH`, which may be moved. */
export const OTEL_PYTHON_RECIPE: BuildRecipe = {
  name: "otel-python",
  version: OTEL_PYTHON_VERSION,
  tools: [{ command: "python3", install: "install Python 3.11 or newer, with pip" }],
  firstBuildTakes: "about 15 s",
  steps: [
    { write: "program.py", text: pythonProgram },
    {
      run: ["python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        .concat("--no-warn-script-location", "--target=site")
        .concat(`opentelemetry-sdk==${OTEL_PYTHON_VERSION}`)
        .concat(`opentelemetry-exporter-otlp-proto-http==${OTEL_PYTHON_VERSION}`),
    },
  ],
  keep: ["site", "program.py"],
};

const javaProgram = `
import io.opentelemetry.api.common.*;
import io.opentelemetry.api.logs.Severity;
import io.opentelemetry.api.trace.*;
import io.opentelemetry.context.Context;
import io.opentelemetry.exporter.otlp.http.logs.OtlpHttpLogRecordExporter;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.http.metrics.OtlpHttpMetricExporter;
import io.opentelemetry.sdk.logs.SdkLoggerProvider;
import io.opentelemetry.sdk.logs.export.BatchLogRecordProcessor;
import io.opentelemetry.sdk.metrics.SdkMeterProvider;
import io.opentelemetry.sdk.metrics.export.PeriodicMetricReader;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import java.util.concurrent.TimeUnit;

public class Program {
  public static void main(String[] args) {
    Resource resource = Resource.getDefault().merge(Resource.create(
        Attributes.of(AttributeKey.stringKey("service.name"), "java-program")));
    SdkTracerProvider tracing = SdkTracerProvider.builder().setResource(resource)
        .addSpanProcessor(BatchSpanProcessor.builder(
            OtlpHttpSpanExporter.builder().setEndpoint(args[0] + "/v1/traces").build()).build())
        .build();
    SdkMeterProvider measuring = SdkMeterProvider.builder().setResource(resource)
        .registerMetricReader(PeriodicMetricReader.builder(
            OtlpHttpMetricExporter.builder().setEndpoint(args[0] + "/v1/metrics").build()).build())
        .build();
    SdkLoggerProvider recording = SdkLoggerProvider.builder().setResource(resource)
        .addLogRecordProcessor(BatchLogRecordProcessor.builder(
            OtlpHttpLogRecordExporter.builder().setEndpoint(args[0] + "/v1/logs").build()).build())
        .build();
    Tracer tracer = tracing.tracerBuilder("program").setInstrumentationVersion("1.0").build();
    Span span = tracer.spanBuilder("work").setAttribute("size", 3).startSpan();
    span.addEvent("begun", Attributes.of(AttributeKey.stringKey("by"), "hand"));
    Span part = tracer.spanBuilder("part")
        .setParent(Context.root().with(span)).startSpan();
    recording.get("program").logRecordBuilder().setContext(Context.root().with(part))
        .setSeverity(Severity.ERROR).setBody("no luck with part")
        .setAttribute(AttributeKey.longKey("attempt"), 2L).emit();
    part.recordException(new IllegalStateException("no such thing"));
    part.setStatus(StatusCode.ERROR, "no such thing");
    part.end();
    span.end();
    measuring.meterBuilder("program").build().counterBuilder("jobs").setUnit("{job}").build()
        .add(3, Attributes.of(AttributeKey.stringKey("kind"), "a"));
    measuring.meterBuilder("program").build().histogramBuilder("job.duration").setUnit("s").build()
        .record(0.25);
    tracing.shutdown().join(20, TimeUnit.SECONDS);
    measuring.shutdown().join(20, TimeUnit.SECONDS);
    recording.shutdown().join(20, TimeUnit.SECONDS);
  }
}
`;

/** SDK, exporter and the program, compiled. */
export const OTEL_JAVA_RECIPE: BuildRecipe = {
  name: "otel-java",
  version: OTEL_JAVA_VERSION,
  tools: [
    { command: "javac", install: "apt-get install default-jdk-headless (17 or newer)" },
    { command: "mvn", install: "apt-get install maven" },
  ],
  firstBuildTakes: "about 15 s, downloads 6 MB",
  steps: [
    {
      write: "pom.xml",
      text: `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>orrery.stack</groupId>
  <artifactId>otel-java</artifactId>
  <version>1</version>
  <dependencies>
    ${mavenDependency("io.opentelemetry", "opentelemetry-sdk", OTEL_JAVA_VERSION)}
    ${mavenDependency("io.opentelemetry", "opentelemetry-exporter-otlp", OTEL_JAVA_VERSION)}
    ${mavenDependency("io.opentelemetry", "opentelemetry-exporter-sender-jdk", OTEL_JAVA_VERSION)}
  </dependencies>
</project>
`,
    },
    { write: "Program.java", text: javaProgram },
    { run: ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib"] },
    { run: ["javac", "-cp", "lib/*", "-d", "classes", "Program.java"] },
  ],
  keep: ["lib", "classes"],
};

/** Python's program, which sends by gzip; its argument is where to. */
export async function pythonSdkProgram(options: BuildOptions = {}): Promise<SdkProgram> {
  const built = await buildOnce(OTEL_PYTHON_RECIPE, options);
  return {
    command: "python3",
    args: [join(built, "program.py")],
    env: { PYTHONPATH: join(built, "site") },
  };
}

/** Java's program, which sends by the client of Java itself and so asks for an upgrade to HTTP/2. */
export async function javaSdkProgram(options: BuildOptions = {}): Promise<SdkProgram> {
  const built = await buildOnce(OTEL_JAVA_RECIPE, options);
  const sender = "io.opentelemetry.exporter.sender.jdk.internal.JdkHttpSenderProvider";
  return {
    command: "java",
    args: [
      ...["-cp", `${join(built, "classes")}:${join(built, "lib")}/*`],
      ...[`-Dio.opentelemetry.exporter.internal.http.HttpSenderProvider=${sender}`, "Program"],
    ],
    env: {},
  };
}
