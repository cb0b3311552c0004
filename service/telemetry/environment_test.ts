import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  TraceIdRatioBasedSampler,
} from "@opentelemetry/sdk-trace";
import assert from "node:assert/strict";
import { testWith } from "../testing/permissions.ts";
import {
  batchLimits,
  defaultEndpoint,
  endpointIsGiven,
  exporterOptions,
  numberVariable,
  otlpEndpoint,
  otlpProtocol,
  sampling,
} from "./environment.ts";
import { withVariables } from "./test_environment.ts";
import { TelemetryVariableError } from "./variable_error.ts";

const signals = ["traces", "metrics", "logs"] as const;

testWith(["env"], "a protocol is the signal's own, else that of all, else protobuf", async () => {
  const all = "OTEL_EXPORTER_OTLP_PROTOCOL";
  for (const signal of signals) {
    const own = `OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_PROTOCOL`;
    for (
      const [variables, protocol] of [
        [{}, "http/protobuf"],
        [{ [all]: "" }, "http/protobuf"],
        [{ [all]: "http/json" }, "http/json"],
        [{ [own]: "http/json" }, "http/json"],
        [{ [all]: "http/json", [own]: "http/protobuf" }, "http/protobuf"],
        [{ [all]: "http/json", [own]: "" }, "http/json"],
        [{ [all]: "grpc", [own]: "http/json" }, "http/json"],
      ] as const
    ) await withVariables(variables, () => assert.equal(otlpProtocol(signal), protocol));
    for (const [name, value] of [[all, "grpc"], [own, "http/JSON"]] as const) {
      await withVariables({ [name]: value }, () => {
        assert.throws(
          () => otlpProtocol(signal),
          new TelemetryVariableError(
            `Environment variable ${name} is '${value}', which is not supported: set it to 'http/protobuf' or 'http/json', or unset it for 'http/protobuf'.`,
          ),
        );
      });
    }
  }
});

testWith(
  ["env"],
  "an endpoint is the signal's own, else that of all, else on loopback",
  async () => {
    const all = "OTEL_EXPORTER_OTLP_ENDPOINT";
    assert.equal(defaultEndpoint, "http://127.0.0.1:4318");
    for (const signal of signals) {
      const own = `OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_ENDPOINT`;
      for (
        const [variables, endpoint] of [
          [{}, undefined],
          [{ [all]: "", [own]: "" }, undefined],
          [{ [all]: "http://a" }, "http://a"],
          [{ [own]: "http://b" }, "http://b"],
          [{ [all]: "http://a", [own]: "http://b" }, "http://b"],
        ] as const
      ) {
        await withVariables(variables, () => {
          assert.equal(otlpEndpoint(signal), endpoint ?? defaultEndpoint);
          assert.equal(endpointIsGiven(), endpoint !== undefined);
          // The exporters read the variables themselves.
          assert.deepEqual(
            exporterOptions(signal),
            endpoint ? {} : { url: `${defaultEndpoint}/v1/${signal}` },
          );
        });
      }
    }
  },
);

testWith(["env"], "a number is one above 0, or not set; anything else is refused", async () => {
  for (const [text, value] of [["1", 1], ["0.5", 0.5], ["", 7]] as const) {
    await withVariables({ OTEL_N: text }, () => assert.equal(numberVariable("OTEL_N", 7), value));
  }
  await withVariables({}, () => assert.equal(numberVariable("OTEL_N", 7), 7));
  for (const text of ["0", "-1", "5s", "Infinity", "NaN"]) {
    await withVariables({ OTEL_N: text }, () => {
      assert.throws(
        () => numberVariable("OTEL_N", 7),
        new TelemetryVariableError(
          `Environment variable OTEL_N is '${text}', which is no number above 0: set it to one, or unset it for '7'.`,
        ),
      );
    });
  }
});

testWith(["env"], "the limits of a batch are those of its own variables", async () => {
  const names = ["SCHEDULE_DELAY", "EXPORT_TIMEOUT", "MAX_QUEUE_SIZE", "MAX_EXPORT_BATCH_SIZE"];
  for (const [prefix, other] of [["OTEL_BSP", "OTEL_BLRP"], ["OTEL_BLRP", "OTEL_BSP"]] as const) {
    const set = names.map((name, index) => [`${prefix}_${name}`, String(index + 1)]);
    await withVariables(Object.fromEntries(set), () => {
      assert.deepEqual(batchLimits(prefix), {
        ...{ scheduledDelayMillis: 1, exportTimeoutMillis: 2 },
        ...{ maxQueueSize: 3, maxExportBatchSize: 4 },
      });
      assert.deepEqual(batchLimits(other), {
        ...{ scheduledDelayMillis: 1_000, exportTimeoutMillis: 10_000 },
        ...{ maxQueueSize: 8_192, maxExportBatchSize: 2_048 },
      });
    });
  }
});

testWith(["env"], "the sampler is the one that is named, a ratio from 0 to 1", async () => {
  const name = "OTEL_TRACES_SAMPLER";
  const arg = "OTEL_TRACES_SAMPLER_ARG";
  for (
    const [variables, Sampler, parentBased] of [
      [{}, AlwaysOnSampler, true],
      [{ [name]: "" }, AlwaysOnSampler, true],
      [{ [name]: "always_on" }, AlwaysOnSampler, false],
      [{ [name]: "always_off" }, AlwaysOffSampler, false],
      [{ [name]: "traceidratio" }, TraceIdRatioBasedSampler, false],
      [{ [name]: "parentbased_always_on", [arg]: "unread" }, AlwaysOnSampler, true],
      [{ [name]: "parentbased_always_off" }, AlwaysOffSampler, true],
      [{ [name]: "parentbased_traceidratio" }, TraceIdRatioBasedSampler, true],
    ] as const
  ) {
    await withVariables(variables, () => {
      const { sampler, parentBased: isParentBased } = sampling();
      assert.ok(sampler instanceof Sampler, JSON.stringify(variables));
      assert.equal(isParentBased, parentBased);
    });
  }
  for (const [text, ratio] of [["", "1"], ["0.25", "0.25"], ["0", "0"], ["1", "1"]] as const) {
    await withVariables({ [name]: "traceidratio", [arg]: text }, () => {
      assert.equal(String(sampling().sampler), `TraceIdRatioBased{${ratio}}`);
    });
  }
  for (const text of ["10%", "-0.1", "1.1", "NaN"]) {
    await withVariables({ [name]: "parentbased_traceidratio", [arg]: text }, () => {
      assert.throws(
        sampling,
        new TelemetryVariableError(
          `Environment variable OTEL_TRACES_SAMPLER_ARG is '${text}', which is no number from 0 to 1: set it to one, or unset it for '1'.`,
        ),
      );
    });
  }
  await withVariables({ [name]: "jaeger_remote" }, () => {
    assert.throws(
      sampling,
      new TelemetryVariableError(
        "Environment variable OTEL_TRACES_SAMPLER is 'jaeger_remote', which is not supported: set it to 'parentbased_always_on' or 'always_on' or 'parentbased_always_off' or 'always_off' or 'parentbased_traceidratio' or 'traceidratio', or unset it for 'parentbased_always_on'.",
      ),
    );
  });
});
