/**
 * For tests: a requester on a bus whose service is the test itself, in virtual time.
 *
 * @module
 */
import { type Meter, ROOT_CONTEXT, type Tracer } from "@opentelemetry/api";
import type { Bus, ReceivedRecord } from "../../service/bus/bus.ts";
import { memoryBus } from "../../service/bus/memory_bus.ts";
import { type TestContext, testContext } from "../../service/testing/context.ts";
import { eventually } from "../../service/testing/eventually.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { type Requester, type RequesterOptions, startRequester } from "./requester.ts";
import { decodeRequest, encodeAnswer, type SignAnswer, type SignRequest } from "./wire.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

/** What a test of a requester has. */
export interface Scene {
  bus: Bus;
  requester: Requester;
  context: TestContext;
  world: VirtualWorld;
  /** Requests as a service would get them. */
  requests: SignRequest[];
  answer(request: SignRequest, answer?: Partial<SignAnswer>): Promise<void>;
  ask(text: string): Promise<SignAnswer>;
}

/** Runs a test with a requester, which is closed at its end, as is the bus. */
export async function scene(
  options: Partial<RequesterOptions>,
  run: (scene: Scene) => Promise<void>,
  bus: Bus = memoryBus(),
  meter?: Meter,
  tracer?: Tracer,
): Promise<void> {
  const world = new VirtualWorld();
  const plain = testContext({ world, ...(meter && { meter }) });
  const telemetry = { ...plain.telemetry, ...(tracer && { tracer }) };
  const context: TestContext = { ...plain, telemetry };
  await bus.createTopic("signer.v1");
  const requests: SignRequest[] = [];
  await bus.follow({
    topic: "signer.v1",
    from: "end",
    handle: (record: ReceivedRecord) => requests.push(decodeRequest(record, []) as SignRequest),
  });
  const requester = await startRequester({ bus, requestTopic: "signer.v1", ...options }, context);
  await run({
    bus,
    requester,
    context,
    world,
    requests,
    answer: ({ msgId, respTopic }, answer = {}) =>
      bus.send(respTopic, encodeAnswer({ msgId, respId: "i", payload: "p", ...answer })),
    ask: (text) => requester.request({ message: bytes(text) }, ROOT_CONTEXT),
  });
  await requester.close(AbortSignal.abort());
  await bus.close();
}

/** Waits until the service has so many requests. */
export const asked = (requests: SignRequest[], count: number) =>
  eventually("the requests", () => requests.length >= count ? requests : undefined);
