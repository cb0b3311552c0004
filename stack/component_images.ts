/**
 * The images of others that compose.yaml names, assembled from what `stack/` builds and Debian has:
 * under the names and tags that compose.yaml pins, with the paths, users and variables that the real
 * ones have as far as compose.yaml leans on them.
 *
 * The versions are those of `stack/README.md`: Prometheus, Alertmanager, PostgreSQL and the Java below
 * Kafka are Debian's, MinIO is newer than the last published image, and Jaeger's page is a placeholder.
 * Grafana is not among them: no package has it, neither Debian's nor npm's or PyPI's, and its Go module
 * holds no page.
 *
 * @module
 */
import { join } from "node:path";
import { buildOnce, type BuildOptions } from "./build_cache.ts";
import { compose } from "./compose_file.ts";
import {
  type AssembledImage,
  assembleImage,
  debianImage,
  whileNobodyBuilds,
} from "./container_images.ts";
import { JAEGER_RECIPE } from "./jaeger.ts";
import { KAFKA_RECIPE } from "./kafka.ts";
import { MINIO_RECIPE } from "./minio.ts";
import { OTEL_COLLECTOR_RECIPE } from "./otel_collector.ts";
import type { Podman } from "./podman.ts";

/** What an image is made of, all but its name. */
type Ingredients = Omit<AssembledImage, "names">;

/** Installs packages of Debian without what only their installation needs. */
const install = (packages: string) =>
  `RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends ${packages} && ` +
  "rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb";

/** How the image of each service that we do not build is assembled. */
const recipes: Readonly<
  Record<string, (debian: string, options: BuildOptions) => Promise<Ingredients>>
> = {
  "otel-collector": async (debian, options) => {
    const built = await buildOnce(OTEL_COLLECTOR_RECIPE, options);
    return {
      stamp: built,
      files: { "otelcol-contrib": join(built, "bin", "otelcol") },
      containerfile:
        `FROM ${debian}\nCOPY otelcol-contrib /otelcol-contrib\nUSER 10001:10001\nENTRYPOINT ["/otelcol-contrib"]\n`,
    };
  },
  "jaeger": async (debian, options) => {
    const built = await buildOnce(JAEGER_RECIPE, options);
    return {
      stamp: built,
      files: { jaeger: join(built, "bin", "jaeger") },
      containerfile:
        `FROM ${debian}\nRUN ln -s busybox /usr/bin/wget\nCOPY jaeger /cmd/jaeger/jaeger-linux\nUSER 10001:10001\nENTRYPOINT ["/cmd/jaeger/jaeger-linux"]\n`,
    };
  },
  "prometheus": (debian) =>
    Promise.resolve({
      stamp: "debian",
      containerfile: `FROM ${debian}
${install("prometheus")}
RUN mkdir -p /prometheus && chown 65534:65534 /prometheus
USER 65534:65534
VOLUME /prometheus
ENTRYPOINT ["/usr/bin/prometheus"]
`,
    }),
  "alertmanager": (debian) =>
    Promise.resolve({
      stamp: "debian",
      containerfile: `FROM ${debian}
${install("prometheus-alertmanager")}
RUN ln -s busybox /usr/bin/wget && mkdir -p /alertmanager && chown 65534:65534 /alertmanager
USER 65534:65534
VOLUME /alertmanager
ENTRYPOINT ["/usr/bin/prometheus-alertmanager"]
`,
    }),
  "kafka": async (debian, options) => {
    const built = await buildOnce(KAFKA_RECIPE, options);
    const run = join(import.meta.dirname!, "kafka_container.sh");
    return {
      stamp: built + await Deno.readTextFile(run),
      files: { libs: join(built, "lib"), run },
      containerfile: `FROM ${debian}
${install("default-jre-headless")}
RUN useradd --uid 1000 appuser && mkdir -p /var/lib/kafka/data && chown 1000 /var/lib/kafka/data
COPY libs /opt/kafka/libs
COPY run /etc/kafka/docker/run
USER 1000
VOLUME /var/lib/kafka/data
CMD ["bash", "/etc/kafka/docker/run"]
`,
    };
  },
  "postgresql": async (debian) => {
    const run = join(import.meta.dirname!, "postgresql_container.sh");
    return {
      stamp: await Deno.readTextFile(run),
      files: { run },
      containerfile: `FROM ${debian}
${install("postgresql")}
COPY run /usr/local/bin/docker-entrypoint.sh
RUN mkdir -p /var/lib/postgresql/data && chown postgres:postgres /var/lib/postgresql/data
USER postgres
VOLUME /var/lib/postgresql/data
ENTRYPOINT ["bash", "/usr/local/bin/docker-entrypoint.sh"]
`,
    };
  },
  "minio": async (debian, options) => {
    const built = await buildOnce(MINIO_RECIPE, options);
    return {
      stamp: built,
      files: { minio: join(built, "bin", "minio") },
      containerfile:
        `FROM ${debian}\nCOPY minio /usr/bin/minio\nVOLUME /data\nENTRYPOINT ["/usr/bin/minio"]\n`,
    };
  },
};

/** The services of compose.yaml whose images can be assembled. */
export const assembledServices: readonly string[] = Object.keys(recipes);

/**
 * Assembles the images of the named services of compose.yaml.
 *
 * @throws {StackError} one cannot be built
 */
export async function componentImages(
  podman: Podman,
  services: readonly string[],
  options: BuildOptions = {},
): Promise<void> {
  const file = await compose();
  await whileNobodyBuilds(podman, async () => {
    const debian = await debianImage(podman, options);
    for (const service of services) {
      const ingredients = await recipes[service]!(debian, options);
      const names = [`docker.io/${file.services[service]!.image}`];
      await assembleImage(podman, { ...ingredients, names }, options.signal);
    }
  });
}
