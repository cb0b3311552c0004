import assert from "node:assert/strict";
import { join } from "node:path";
import { testWith } from "../service/testing/permissions.ts";
import { prometheusConfig } from "./prometheus.ts";

const addresses = { programsAddress: "127.0.0.1:1111", collectorAddress: "127.0.0.1:2222" };

testWith(["read"], "prometheusConfig() puts this machine's addresses and times in", async () => {
  const template = await Deno.readTextFile(join(import.meta.dirname!, "prometheus.yaml"));
  const config = prometheusConfig(template, {
    ...addresses,
    scrapeIntervalMs: 1_000,
    rulesFolder: "/some/rules",
  });

  assert.match(config, /targets: \["127\.0\.0\.1:1111"\]/);
  assert.match(config, /targets: \["127\.0\.0\.1:2222"\]/);
  assert.match(config, /scrape_interval: 1000ms/);
  assert.match(config, /scrape_timeout: 800ms/);
  assert.match(config, /evaluation_interval: 1000ms/);
  assert.match(config, /- "\/some\/rules\/\*\.yaml"/);
  assert.doesNotMatch(config, /otel-collector:\d/);
});

testWith(["read"], "prometheusConfig() makes a relative rules folder absolute", async () => {
  const template = await Deno.readTextFile(join(import.meta.dirname!, "prometheus.yaml"));
  const config = prometheusConfig(template, { ...addresses, rulesFolder: "rules" });

  assert.ok(config.includes(`- "${join(Deno.cwd(), "rules", "*.yaml")}"`));
});

Deno.test("prometheusConfig() refuses a file that lacks what it has to replace", () => {
  assert.throws(
    () => prometheusConfig("scrape_configs: []", addresses),
    /^StackError: Cannot start prometheus: its prometheus\.yaml has no .*otel-collector:8889/,
  );
});

testWith(["read"], "prometheusConfig() sends alerts where it is told to", async () => {
  const template = await Deno.readTextFile(join(import.meta.dirname!, "prometheus.yaml"));
  const config = prometheusConfig(template, { ...addresses, alertmanagerAddress: "127.0.0.1:3" });

  assert.match(config, /alerting:\n +alertmanagers:[^]*targets: \["127\.0\.0\.1:3"\]/);
  assert.doesNotMatch(prometheusConfig(template, addresses), /alerting/);
});
