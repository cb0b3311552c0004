/**
 * Starts a real MinIO, which speaks Amazon S3's API, without Docker.
 *
 * @module
 */

import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { AwsClient } from "aws4fetch";
import { buildOnce, type BuildRecipe, GO } from "./build_cache.ts";
import { answersOk, choosePorts } from "../service/ports.ts";
import { type RunningProcess, startProcess } from "../service/supervisor.ts";
import type { StartOptions } from "./start_options.ts";

/** MinIO's version, as Go modules name it: it tags releases by their day. */
export const MINIO_VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c";

/** MinIO is one Go program. */
export const MINIO_RECIPE: BuildRecipe = {
  name: "minio",
  version: MINIO_VERSION,
  tools: [GO],
  firstBuildTakes: "about 3 minutes on 2 cores",
  steps: [{
    run: ["go", "install", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"]
      .concat(`github.com/minio/minio@${MINIO_VERSION}`),
  }],
  keep: ["bin/minio"],
};

/** Options of {@link startMinio}. */
export interface MinioOptions extends StartOptions {
  /**
   * Where S3 is spoken.
   * @default a free port
   */
  port?: number;
  /**
   * The access key of its only user, at least 3 characters.
   * @default "orrery"
   */
  accessKeyId?: string;
  /**
   * The secret of that key, at least 8 characters.
   * @default a random one
   */
  secretAccessKey?: string;
}

/** A MinIO that is up, without a bucket. */
export interface RunningMinio extends RunningProcess {
  /** The S3 API: buckets are paths below it. */
  readonly url: string;
  /** The region that requests are signed for. */
  readonly region: string;
  /** The access key of its only user. */
  readonly accessKeyId: string;
  /** The secret of that key. */
  readonly secretAccessKey: string;
}

/**
 * Starts MinIO with its data in the run folder, building it first when the cache has none. In a run
 * folder that it was in before it goes on with what is there.
 *
 * @throws {ToolMissingError} when Go is not installed
 * @throws {StackError} when it cannot be had or started
 */
export async function startMinio(options: MinioOptions = {}): Promise<RunningMinio> {
  const folder = await buildOnce(MINIO_RECIPE, options);
  const [port] = choosePorts(options.port);
  const {
    accessKeyId = "orrery",
    secretAccessKey = randomBytes(18).toString("base64url"),
  } = options;
  const address = `127.0.0.1:${port}`;
  const region = "us-east-1";
  const aws = new AwsClient({ accessKeyId, secretAccessKey, region, service: "s3", retries: 0 });
  const component = await startProcess({
    name: "minio",
    command: join(folder, "bin", "minio"),
    args: (runFolder) => ["server", join(runFolder, "data"), "--address", address, "--quiet"],
    env: {
      MINIO_ROOT_USER: accessKeyId,
      MINIO_ROOT_PASSWORD: secretAccessKey,
      MINIO_BROWSER: "off",
      // Nothing of the user's own, and nobody is asked for a newer version.
      MINIO_CONFIG_ENV_FILE: "",
      MINIO_UPDATE: "off",
    },
    ports: { s3: port },
    // Its own `/minio/health/ready` says yes some time before it knows its users; until then all is 503.
    ready: async (signal) => answersOk(await aws.sign(`http://${address}/`), signal),
  }, options);
  return {
    ...component,
    url: `http://${address}`,
    region,
    accessKeyId,
    secretAccessKey,
  };
}
