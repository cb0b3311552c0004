/**
 * A bus that refuses, loses, doubles and delays what is sent over it, loses acknowledgements, and is
 * out now and then: what a broker and the network before it may do.
 *
 * @module
 */
import { type Bus, BusError } from "../../service/bus/bus.ts";
import type { Chaos } from "./swarm.ts";

/** A bus with faults, and a switch. */
export interface UnreliableBus extends Bus {
  /** Nothing can be sent for so long, or what is sent is taken and nobody is told. */
  cut(durationMs: number, isOneWay: boolean): void;
}

/** Puts faults before a bus. */
export function unreliableBus(bus: Bus, chaos: Chaos, nowMs: () => number): UnreliableBus {
  let outUntilMs = 0;
  let isOneWay = false;
  const unavailable = (why: string) => new BusError("unavailable", why);
  return {
    ...bus,
    cut(durationMs, oneWay) {
      chaos.note("outage", `${durationMs.toFixed(0)} ms ${oneWay ? "one way" : "both ways"}`);
      outUntilMs = nowMs() + durationMs;
      isOneWay = oneWay;
    },
    async send(topic, record, timeoutMs) {
      await chaos.pause(5 * chaos.random());
      if (!chaos.isHealed && nowMs() < outUntilMs) {
        chaos.note("met-outage", topic);
        if (isOneWay) await bus.send(topic, record, timeoutMs);
        throw unavailable("the broker is out");
      }
      const fault = chaos.fault();
      if (fault !== undefined) chaos.note(fault, topic);
      switch (fault) {
        case "refuse":
        case "lose":
          // Which of the two a sender cannot tell; a refusal is quicker.
          if (fault === "lose") await chaos.pause(Math.min(timeoutMs ?? 1_000, 1_000));
          throw unavailable("the broker is away");
        case "lose-answer":
          await bus.send(topic, record, timeoutMs);
          throw unavailable("the acknowledgement is lost");
        case "delay":
          await chaos.pause(chaos.durationMs());
          break;
        case "duplicate":
          await bus.send(topic, record, timeoutMs);
          await chaos.pause(chaos.durationMs() / 10);
      }
      await bus.send(topic, record, timeoutMs);
    },
  };
}
