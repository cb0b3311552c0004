import assert from "node:assert/strict";
import {
  formatBytes,
  formatCount,
  formatCounted,
  formatDuration,
  formatMoment,
  formatNumber,
  formatPercent,
  formatTime,
  formatTimeWithZone,
  formatUnit,
  parseDuration,
  shortenId,
} from "./format.ts";

/** Figures are compared with plain spaces, which read better here. */
function plain(text: string): string {
  return text.replaceAll("\u202f", " ");
}

Deno.test("formatDuration() picks the unit a person would, after rounding", () => {
  const cases: [ms: number, text: string][] = [
    [0, "0 ms"],
    [0.000_48, "480 ns"],
    [0.000_999_9, "1 µs"],
    [0.0124, "12.4 µs"],
    [0.999_9, "1 ms"],
    [1.2399, "1.24 ms"],
    [12.44, "12.4 ms"],
    [124.4, "124 ms"],
    [999.7, "1 s"],
    [2_500, "2.5 s"],
    [59_960, "1 min"],
    [125_000, "2 min 5 s"],
    [3_599_700, "1 h"],
    [11_040_000, "3 h 4 min"],
    [180_000_000, "2 d 2 h"],
    [-1.5, "−1.5 ms"],
    [NaN, "–"],
  ];
  for (const [ms, text] of cases) assert.equal(plain(formatDuration(ms)), text, `${ms} ms`);
});

Deno.test("parseDuration() reads what a person types and refuses the rest", () => {
  const cases: [text: string, ms: number | undefined][] = [
    ["250", 250],
    [" 250 us ", 0.25],
    ["250µs", 0.25],
    ["1.5s", 1500],
    [".5 S", 500],
    ["2min", 120_000],
    ["", undefined],
    ["fast", undefined],
    ["5 parsecs", undefined],
    ["-3ms", undefined],
  ];
  for (const [text, ms] of cases) assert.equal(parseDuration(text), ms, `'${text}'`);
});

Deno.test("formatNumber() keeps three digits and separates thousands", () => {
  const cases: [value: number, text: string][] = [
    [0, "0"],
    [0.01239, "0.0124"],
    [0.000_012, "1.2e−5"],
    [1.2391, "1.24"],
    [124.6, "125"],
    [61_234, "61,234"],
    [-5, "−5"],
    [2.5e12, "2.50e12"],
    [Infinity, "∞"],
    [NaN, "–"],
  ];
  for (const [value, text] of cases) assert.equal(formatNumber(value), text, `${value}`);
});

Deno.test("formatCount() and formatCounted() separate thousands and know one from many", () => {
  assert.equal(formatCount(61_000), "61,000");
  assert.equal(formatCounted(1, "span"), "1 span");
  assert.equal(formatCounted(0, "span"), "0 spans");
  assert.equal(formatCounted(2_000, "query", "queries"), "2,000 queries");
});

Deno.test("formatBytes() and formatPercent() use decimal units", () => {
  assert.equal(plain(formatBytes(512)), "512 B");
  assert.equal(plain(formatBytes(1_240)), "1.24 kB");
  assert.equal(plain(formatBytes(999_999)), "1 MB");
  const shares: [share: number, text: string][] = [
    [0, "0 %"],
    [0.0004, "<0.1 %"],
    [0.0421, "4.2 %"],
    [0.125, "13 %"],
    [0.9999, ">99 %"],
    [1, "100 %"],
  ];
  for (const [share, text] of shares) assert.equal(plain(formatPercent(share)), text);
});

Deno.test("formatUnit() shows OpenTelemetry's units as a person reads them", () => {
  const cases: [value: number, unit: string, text: string][] = [
    [0.00124, "s", "1.24 ms"],
    [1.5, "ms", "1.5 ms"],
    [284_000, "By", "284 kB"],
    [3, "{request}", "3"],
    [0.5, "1", "0.5"],
    [7, "{request}/s", "7/s"],
    [NaN, "s", "–"],
  ];
  for (const [value, unit, text] of cases) assert.equal(plain(formatUnit(value, unit)), text);
});

Deno.test("formatTime() is the local time of day, formatTimeWithZone() says which zone", () => {
  const noon = new Date(2026, 10, 21, 14, 3, 22, 7);
  assert.equal(formatTime(noon.getTime()), "14:03:22.007");
  assert.match(
    formatTimeWithZone(noon.getTime()),
    /^2026-11-21 14:03:22\.007 \(.+, UTC[+−]\d\d:\d\d\)$/,
  );
  assert.equal(formatTime(NaN), "–");
});

Deno.test("shortenId() keeps the head of a long id and all of a short one", () => {
  assert.equal(shortenId("4bf92f3577b34da6a3ce929d0e0e4736"), "4bf92f35…");
  assert.equal(shortenId("00f067aa0"), "00f067aa0");
});

Deno.test("formatMoment() says the date when it is not today", () => {
  const at = (day: number, year = 2026) => new Date(year, 10, day, 14, 3, 22, 123).getTime();
  assert.equal(formatMoment(at(29), at(29)), "14:03:22.123");
  assert.equal(formatMoment(at(28), at(29)), "28 Nov 14:03:22.123");
  assert.equal(formatMoment(at(28, 2024), at(29)), "28 Nov 2024 14:03:22.123");
});
