/**
 * The topic of requests, as a flag says it, for both programs.
 *
 * @module
 */
import { isTopicName } from "../../service/bus/bus.ts";
import type { NeededTopic } from "../../service/bus/open_bus.ts";
import { flag } from "../../service/command_line.ts";
import { StartError } from "../../service/life_cycle.ts";
import { defaultRequestTopic, keysTopic, requestPartitions } from "./wire.ts";

/** What {@linkcode requestTopicFlag} gives. */
export interface RequestTopicFlagValues {
  /** The topic's name, as Kafka takes it. */
  reqTopic: string;
}

/** The flag that names the topic of requests. */
export const requestTopicFlag = () =>
  flag("--req-topic <name>", "the topic of requests").default(defaultRequestTopic);

/**
 * The topic of requests, for `openBus()` to make if it is absent.
 *
 * @throws {StartError} the name cannot be that of a topic
 */
export function requestTopicOf({ reqTopic }: RequestTopicFlagValues): NeededTopic {
  if (!isTopicName(reqTopic)) {
    throw new StartError(
      `'${reqTopic}' cannot name a topic: use letters, digits, '.', '_' and '-' (--req-topic).`,
    );
  }
  return { name: reqTopic, partitions: requestPartitions };
}

/** All that the programs share: requests, and the public keys. */
export function neededTopicsOf(options: RequestTopicFlagValues): NeededTopic[] {
  return [requestTopicOf(options), { name: keysTopic(options.reqTopic), compacted: true }];
}
