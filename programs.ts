/**
 * The one table of Orrery's programs. A new program is a folder with its routes, its entry file,
 * and one entry here: the demo, the bundles, the binaries and the container targets are made from
 * it, and tests hold `deno.json`'s tasks, the `Dockerfile`, `compose.yaml`, the Helm charts and the
 * README against it.
 *
 * What a program may do is not said here but in the first line of its entry file, its shebang,
 * because a bundle is started without a `deno.json`. What must be said twice is compared: V8's
 * flags stand here with the reason they were measured to be worth it.
 *
 * Every program may reach every network address: which ones it listens on, sends telemetry to and
 * calls are flags and variables. Who starts one for good can list them in `--allow-net=`.
 *
 * It imports nothing: programs are started as processes of their own.
 *
 * @module
 */
/** A program of Orrery. */
export interface Program {
  /** Its `service.name`, and the name of its bundle, its binary and its container target. */
  readonly name: string;
  /** Its entry file, from the project's root; its first folder is the service it belongs to. */
  readonly entry: string;
  /** Its task in `deno.json`. */
  readonly task: string;
  /** What every environment variable that mirrors one of its flags begins with. */
  readonly envPrefix: string;
  /**
   * The folder whose `page/` it serves, and `<name>_page/` if it has any.
   *
   * @default it serves none
   */
  readonly page?: string;
  /**
   * The ports it listens on, by their use.
   *
   * @default none: it is a client
   */
  readonly ports?: Readonly<Record<string, ProgramPort>>;
  /**
   * The use of the port that has `/livez` and `/readyz`.
   *
   * @default none: who listens is ready when its ports take connections, who does not when the
   * console has heard of it
   */
  readonly health?: string;
  /**
   * V8's flags of its shebang.
   *
   * @default none
   */
  readonly v8?: { readonly flags: readonly string[]; readonly reason: string };
  /**
   * Which files and folders it reads and writes, where flags name them, so that its shebang cannot:
   * it grants all, and who starts the program for good narrows it to these, as its image does.
   *
   * @default its shebang lists them
   */
  readonly files?: string;
  /**
   * Its part in the demo.
   *
   * @default it has none
   */
  readonly demo?: DemoPart;
  /**
   * It ends by itself after a while, so `compose.yaml` has no service for it.
   *
   * @default false
   */
  readonly ends?: true;
}

/** A port that a program listens on. */
export interface ProgramPort {
  /** The port it takes unless a flag says otherwise. */
  readonly usual: number;
  /** The flags that set it; more than one where TCP and UDP share the number. */
  readonly flags: readonly string[];
  /**
   * The flags take `host:port`.
   *
   * @default false
   */
  readonly withHost?: true;
  /**
   * The demo's flag that prefers another port, and what it says of it.
   *
   * @default the demo has no flag for it
   */
  readonly demoFlag?: readonly [flag: string, description: string];
}

/** What a program's entry can ask of the demo that starts it. */
export interface Place {
  /** What the demo's flags say. */
  readonly options: {
    /** Virtual orbs in the fleet. */
    readonly orbs: number;
    /** Time between two signups of an orb, in milliseconds. */
    readonly signupInterval: number;
    /** Another OTLP/HTTP endpoint that gets all telemetry too. */
    readonly forward?: string;
    /** The services that are started, beside the console; all where none is named. */
    readonly only?: readonly string[];
    /** Whether orbs need tokens, of an issuer that is started too. */
    readonly oauth?: true;
  };
  /** Whether this machine has a container runtime that the observer knows. */
  readonly hasContainerRuntime: boolean;
  /** The port that a program really gets, by its use. */
  port(program: string, use: string): number;
  /** The URL of a program's health port, with a path. */
  url(program: string, path?: string): string;
  /** A path in the folder that is removed when the demo ends. */
  path(name: string): string;
}

/** How the demo starts a program, beyond its ports. */
export interface DemoPart {
  /** What it is there for, in the list that the demo prints. */
  readonly what: string | ((place: Place) => string);
  /**
   * Where a person finds it: a path at its health port.
   *
   * @default "" if it has a health port, else its ports
   */
  readonly path?: string;
  /**
   * The program that has to be ready first.
   *
   * @default none: all start at once
   */
  readonly after?: string;
  /**
   * The service that is nothing without it: chosen by `--only`, it brings it along.
   *
   * @default none
   */
  readonly partOf?: string;
  /**
   * Whether it is needed.
   *
   * @default always
   */
  readonly when?: (place: Place) => boolean;
  /**
   * Its flags beside those of its ports.
   *
   * @default none
   */
  readonly args?: (place: Place) => readonly string[];
}

/** Where container runtimes are looked for, as the observer does by itself (a test compares). */
export const runtimePlaces = {
  /** The port of rkt's api-service. */
  rktPort: 15441,
  /** Sockets of the Container Runtime Interface. */
  criSockets: [
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/cri-dockerd.sock",
    "/run/k3s/containerd/containerd.sock",
  ],
} as const;

/** Every program, in the order in which the demo starts them. */
export const programs: readonly Program[] = [
  {
    name: "console",
    entry: "console/server.ts",
    task: "console",
    envPrefix: "CONSOLE",
    files: "reads the page and --programs, reads and writes --store and --token-file",
    page: "console",
    ports: {
      page: {
        usual: 8080,
        flags: ["--page-port"],
        demoFlag: ["--console-port", "port of the console's page"],
      },
      otlp: {
        usual: 4318,
        flags: ["--otlp-port"],
        demoFlag: ["--otlp-port", "port of the console's OTLP receiver"],
      },
      grpc: {
        usual: 4317,
        flags: ["--grpc-port"],
        demoFlag: ["--grpc-port", "port of the console's OTLP/gRPC receiver"],
      },
    },
    health: "page",
    demo: {
      what: "traces, metrics and logs",
      // The map of what runs comes first.
      path: "/map",
      args: ({ options: { forward, only }, url, path }) => {
        // The simulator shows every program whose telemetry it gets.
        const simulated = only === undefined || only.includes("simulator");
        const endpoints = [
          ...(forward === undefined ? [] : [forward]),
          ...(simulated ? [url("simulator")] : []),
        ];
        return [
          ...["--programs", path("programs.json")],
          ...(endpoints.length === 0 ? [] : ["--forward", endpoints.join(",")]),
        ];
      },
    },
  },
  {
    name: "issuer",
    entry: "issuer/server.ts",
    task: "issuer",
    envPrefix: "ISSUER",
    files: "reads and writes --data-dir; reads the file of --device-keys",
    ports: { http: { usual: 4280, flags: ["--port"] } },
    health: "http",
    demo: {
      what: "tokens for the orbs",
      path: "/.well-known/openid-configuration",
      partOf: "orb",
      when: ({ options: { oauth } }) => oauth === true,
      args: ({ path }) => [
        ...["--data-dir", path("issuer")],
        ...["--device-keys", path("devices/public.jwks.json")],
      ],
    },
  },
  {
    name: "orb-server",
    entry: "orb/server.ts",
    task: "orb:server",
    envPrefix: "ORB_SERVER",
    files:
      "reads and writes --data-dir and --attestation-key; reads the page, --device-keys, and the files of --kafka-sasl-password-file and --kafka-tls-ca",
    page: "orb",
    ports: {
      api: {
        usual: 4242,
        flags: ["--orb-api-port"],
        demoFlag: ["--orb-api-port", "port of the orb server"],
      },
    },
    health: "api",
    demo: {
      what: "device signup, and the fleet's page",
      after: "issuer",
      args: ({ path, url, options: { oauth } }) => [
        ...["--data-dir", path("orb-server")],
        ...(oauth ? ["--oauth-issuer", url("issuer")] : []),
      ],
    },
  },
  {
    name: "orb-client",
    entry: "orb/client.ts",
    task: "orb:client",
    envPrefix: "ORB_CLIENT",
    files:
      "reads and writes --spool-dir and --device-keys; reads --oauth-client-secret-file, the folder of --images, and the disk of the current folder for its use",
    v8: {
      flags: ["--max-semi-space-size=2", "--heap-growing-percent=20"],
      reason: "2,000 orbs with a spool: peak RSS 372 to 236 MB (bench/README.md)",
    },
    demo: {
      what: ({ options: { orbs } }) => `a fleet of ${orbs} orbs that sign up irises`,
      // An orb that signs up before there is a server begins with an error.
      after: "orb-server",
      args: ({ url, path, options: { orbs, signupInterval, oauth } }) => [
        ...["--orb-server", url("orb-server")],
        ...(oauth ? ["--oauth-issuer", url("issuer"), "--device-keys", path("devices")] : []),
        ...["--telemetry-url", url("orb-server", "/api/telemetry"), "--telemetry-interval", "0"],
        ...["--orbs", String(orbs), "--orb-signup-interval", `${signupInterval}ms`],
        ...["--images", "fresh", "--repeat-ratio", "0.2"],
        ...["--api", "v2", "--status-interval", "5"],
      ],
    },
  },
  {
    name: "orb-admin",
    entry: "orb/admin.ts",
    task: "orb:admin",
    envPrefix: "ORB_ADMIN",
    files: "reads and writes --data-dir, and the files of backup, restore and show --image",
    ends: true,
  },
  {
    name: "signer-api",
    entry: "signer/rest_api.ts",
    task: "signer:api",
    envPrefix: "SIGNER_REST_API",
    files:
      "reads and writes --data-dir; reads the page, and the file of --kafka-sasl-password-file",
    page: "signer",
    ports: {
      api: {
        usual: 8090,
        flags: ["--port"],
        demoFlag: ["--signer-port", "port of the signer's page and API"],
      },
    },
    health: "api",
    v8: {
      flags: ["--max-semi-space-size=16", "--heap-growing-percent=60"],
      reason: "keeps its peak under load below 200 MiB (198, bench/README.md)",
    },
    demo: {
      what: "signatures, by a service inside itself",
      path: "/sign",
      args: ({ path }) => ["--data-dir", path("signer")],
    },
  },
  {
    name: "signer-load",
    entry: "signer/load.ts",
    task: "signer:load",
    envPrefix: "SIGNER_LOAD",
    demo: {
      what: "a client that has messages signed",
      after: "signer-api",
      args: ({ url }) => ["--url", url("signer-api")],
    },
  },
  {
    name: "signer-service",
    entry: "signer/service.ts",
    task: "signer:service",
    envPrefix: "SIGNER_SERVICE",
    files: "reads and writes --data-dir; reads the file of --kafka-sasl-password-file",
    ports: { http: { usual: 8091, flags: ["--port"] } },
    health: "http",
    v8: {
      flags: ["--max-semi-space-size=8", "--heap-growing-percent=20"],
      reason: "keeps its peak under load below 200 MiB (190, bench/README.md)",
    },
    // It needs a Kafka: in the demo, the API signs by itself.
  },
  {
    name: "pingpong-server",
    entry: "pingpong/server.ts",
    task: "pingpong:server",
    envPrefix: "PINGPONG_SERVER",
    files:
      "reads and writes --certificate-path, --key-path and --mailbox; reads the page and --token-file",
    page: "pingpong",
    ports: {
      ping: {
        usual: 4433,
        flags: ["--port", "--https-port"],
        demoFlag: ["--pingpong-port", "UDP port of the ping-pong server"],
      },
      page: { usual: 4480, flags: ["--page-port"] },
    },
    health: "page",
    v8: {
      flags: ["--no-allocation-site-pretenuring"],
      reason:
        "1,000 clients at 10 pings/s: memory 458 to 288 MB, 83 to 73 µs a ping (bench/README.md)",
    },
    demo: {
      what: ({ port }) => `pings over WebTransport, on ${port("pingpong-server", "ping")}/udp`,
      args: ({ path }) => [
        "--generate-certificate",
        ...["--certificate-path", path("cert.pem"), "--key-path", path("key.pem")],
      ],
    },
  },
  {
    name: "pingpong-client",
    entry: "pingpong/client.ts",
    task: "pingpong:client",
    envPrefix: "PINGPONG_CLIENT",
    files: "reads the files of --pin, --ca and --token-file",
    demo: {
      what: "a ping a second",
      after: "pingpong-server",
      args: ({ port, path }) => [
        ...["--port", String(port("pingpong-server", "ping")), "--pin", path("cert.sha256")],
        ...["--ping-count", "0", "--interval", "1", "--quiet"],
      ],
    },
  },
  {
    name: "image-service",
    entry: "observer/image_service.ts",
    task: "observer:image-service",
    envPrefix: "IMAGE_SERVICE",
    ports: {
      rkt: { usual: 15441, flags: ["--rkt-port"] },
      cri: { usual: 15442, flags: ["--cri-port"] },
    },
    demo: {
      what: "a simulated image store, as no container runtime was found",
      when: ({ hasContainerRuntime }) => !hasContainerRuntime,
    },
  },
  {
    name: "observer",
    entry: "observer/observer.ts",
    task: "observer",
    envPrefix: "OBSERVER",
    page: "observer",
    ports: {
      page: {
        usual: 33333,
        flags: ["--metrics-address"],
        withHost: true,
        demoFlag: ["--observer-port", "port of the observer's page and metrics"],
      },
    },
    health: "page",
    v8: {
      flags: ["--max-semi-space-size=2", "--heap-growing-percent=20"],
      reason: "20,000 images in one answer leave much to be collected: RSS 367 to 170 MB",
    },
    demo: {
      what: "image stores and what they hold",
      // Without an endpoint it finds the runtimes by itself.
      args: ({ hasContainerRuntime, port }) => [
        ...["--interval", "5s"],
        ...(hasContainerRuntime ? [] : (["rkt", "cri"] as const).flatMap((kind) => [
          ...["--endpoint", `${kind}=127.0.0.1:${port("image-service", kind)}`],
        ])),
      ],
    },
  },
  {
    name: "simulator",
    entry: "simulator/server.ts",
    task: "simulator:server",
    envPrefix: "SIMULATOR",
    files: "reads the page and captures, writes captures",
    page: "simulator",
    ports: {
      tcp: { usual: 1234, flags: ["--port"] },
      web: {
        usual: 9292,
        flags: ["--web-port"],
        demoFlag: ["--simulator-port", "port of the simulator's page"],
      },
    },
    health: "web",
    v8: {
      flags: ["--max-semi-space-size=4", "--heap-growing-percent=20", "--optimize-for-size"],
      reason:
        "1,600,000 events from 100 connections: RSS 184 to 130 MB by the last of them, 4.4 to 7.2 µs an event (bench/README.md)",
    },
    demo: {
      what: "processes as sprites, live, and orders through two backends, to be broken",
      args: ({ url }) => [
        ...["--web-server", "--console-url", url("console")],
        // A trickle: nothing goes wrong until somebody says so, at /api/faults.
        ...["--live", "--order-rate", "0.5"],
      ],
    },
  },
  {
    name: "simulator-fleet",
    entry: "simulator/example_fleet.ts",
    task: "simulator:fleet",
    envPrefix: "SIMULATOR_FLEET",
    demo: {
      what: "a small fleet for the simulator's stage",
      after: "simulator",
      args: ({ port }) => [
        ...["--port", String(port("simulator", "tcp"))],
        ...["--processes", "24", "--rate", "6", "--churn", "0.05"],
      ],
    },
  },
  {
    name: "simulator-example",
    entry: "simulator/example_process.ts",
    task: "simulator:example",
    envPrefix: "SIMULATOR_EXAMPLE",
    ends: true,
  },
  {
    name: "simulate",
    entry: "simulator/simulate.ts",
    task: "simulate",
    envPrefix: "SIMULATE",
    files: "reads and writes records and what is made of them, where arguments name them",
    v8: {
      flags: [
        "--max-semi-space-size=16",
        "--single-threaded-gc",
        "--no-memory-pool",
        "--no-incremental-marking",
        "--heap-growing-percent=30",
        "--no-maglev-destroy-on-background",
      ],
      reason:
        "keeps a sweep on two cores below 400 MB: RSS 320 to 360 MB, of 2,500 seeds of 200 orders",
    },
    ends: true,
  },
];

/**
 * The program of that name.
 *
 * @throws {RangeError} there is none.
 */
export function programNamed(name: string): Program {
  const program = programs.find((one) => one.name === name);
  if (program === undefined) {
    throw new RangeError(
      `There is no program '${name}': there are ${programs.map(({ name }) => name).join(", ")}`,
    );
  }
  return program;
}

/** The service a program belongs to: its folder, and what `demo --only` chooses from. */
export function serviceOf({ entry }: Program): string {
  return entry.split("/", 1)[0]!;
}
