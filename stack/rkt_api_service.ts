/**
 * Starts a stand-in for rkt's api-service, written in Go with Google's gRPC: rkt itself can no
 * longer be built. What it answers is read anew from a file for each call.
 *
 * @module
 */

import { join } from "node:path";
import { buildOnce, type BuildRecipe, GO } from "./build_cache.ts";
import { acceptsTcp, choosePorts } from "../service/ports.ts";
import { type RunningProcess, startProcess } from "../service/supervisor.ts";
import type { StartOptions } from "./start_options.ts";

/** An image that the stand-in answers with. */
export interface RktImage {
  /** `sha512-…`. */
  id: string;
  name: string;
  version: string;
  /** Bytes. */
  size?: number;
  /** Seconds since the epoch. */
  importTimestamp?: number;
}

/** Options of {@link startRktApiService}. */
export interface RktApiServiceOptions extends StartOptions {
  /**
   * gRPC over HTTP/2 in clear text.
   * @default a free port
   */
  port?: number;
}

/** A stand-in that is up. */
export interface RunningRktApiService extends RunningProcess {
  /** `host:port`. */
  readonly address: string;
  /** From now on it answers with these; without any, with none. */
  setImages(images: readonly RktImage[]): Promise<void>;
}

const GRPC_VERSION = "v1.85.0";

/** A subset of rkt's API, in words of our own; apart from the observer's, so that neither vouches for itself. */
const PROTO = `syntax = "proto3";
package v1alpha;
enum ImageType { IMAGE_TYPE_UNDEFINED = 0; IMAGE_TYPE_APPC = 1; }
message ImageFormat { ImageType type = 1; string version = 2; }
message Image {
  ImageFormat base_format = 1;
  string id = 2;
  string name = 3;
  string version = 4;
  int64 import_timestamp = 5;
  int64 size = 7;
}
message Info { string rkt_version = 1; string appc_version = 2; string api_version = 3; }
message GetInfoRequest {}
message GetInfoResponse { Info info = 1; }
message ListImagesRequest { bool detail = 2; }
message ListImagesResponse { repeated Image images = 1; }
`;

/** Messages are made from the text of the proto file at the start, so no protoc is needed. */
const MAIN_GO = `package main

import (
	"context"
	_ "embed"
	"flag"
	"log"
	"net"
	"os"

	"github.com/bufbuild/protocompile"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

//go:embed rkt.proto
var protoText string

func main() {
	listen := flag.String("listen", "127.0.0.1:15441", "address")
	answers := flag.String("images", "", "file with a ListImagesResponse as JSON")
	flag.Parse()

	compiler := protocompile.Compiler{Resolver: &protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"rkt.proto": protoText}),
	}}
	files, err := compiler.Compile(context.Background(), "rkt.proto")
	if err != nil {
		log.Fatal(err)
	}
	message := func(name protoreflect.Name) *dynamicpb.Message {
		return dynamicpb.NewMessage(files[0].Messages().ByName(name))
	}
	method := func(name string, answer func(out proto.Message) error) grpc.MethodDesc {
		return grpc.MethodDesc{MethodName: name, Handler: func(
			_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor,
		) (any, error) {
			in := message(protoreflect.Name(name + "Request"))
			if err := decode(in); err != nil {
				return nil, err
			}
			out := message(protoreflect.Name(name + "Response"))
			return out, answer(out)
		}}
	}
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "v1alpha.PublicAPI",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			method("GetInfo", func(out proto.Message) error {
				return protojson.Unmarshal([]byte(
					\`{"info":{"rktVersion":"1.30.0 (simulated)","appcVersion":"0.8.11","apiVersion":"1.0.0-alpha"}}\`), out)
			}),
			method("ListImages", func(out proto.Message) error {
				text, err := os.ReadFile(*answers)
				if err != nil {
					return err
				}
				return protojson.Unmarshal(text, out)
			}),
		},
	}, struct{}{})
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(server.Serve(listener))
}
`;

/** How it is built. */
export const RKT_API_SERVICE_RECIPE: BuildRecipe = {
  name: "rkt-api-service",
  version: GRPC_VERSION,
  tools: [GO],
  firstBuildTakes: "about 20 seconds on 2 cores",
  steps: [
    { write: "rkt.proto", text: PROTO },
    { write: "main.go", text: MAIN_GO },
    {
      write: "go.mod",
      text: `module orrery.invalid/stack/rktapi

go 1.25.0

require (
	github.com/bufbuild/protocompile v0.14.1
	google.golang.org/grpc ${GRPC_VERSION}
	google.golang.org/protobuf v1.36.12
)
`,
    },
    {
      run: ["go", "build", "-mod=mod", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"]
        .concat(["-o", "bin/rkt-api-service", "."]),
    },
  ],
  keep: ["bin/rkt-api-service"],
};

/**
 * Starts the stand-in without images, building it first when the cache has none.
 *
 * @throws {StackError} when it cannot be built or started
 */
export async function startRktApiService(
  options: RktApiServiceOptions = {},
): Promise<RunningRktApiService> {
  const built = await buildOnce(RKT_API_SERVICE_RECIPE, options);
  const [port] = choosePorts(options.port);
  let answers = "";
  const component = await startProcess({
    name: "rkt-api-service",
    command: join(built, "bin", "rkt-api-service"),
    args: (runFolder) => [`-listen=127.0.0.1:${port}`, `-images=${join(runFolder, "images.json")}`],
    prepare: async (runFolder) => {
      answers = join(runFolder, "images.json");
      await writeImages(answers, []);
    },
    ports: { gRPC: port },
    ready: () => acceptsTcp(port),
  }, options);
  return {
    ...component,
    address: `127.0.0.1:${port}`,
    setImages: (images) => writeImages(answers, images),
  };
}

/** In one step, so that no call reads half of it. */
async function writeImages(file: string, images: readonly RktImage[]): Promise<void> {
  await Deno.writeTextFile(`${file}.new`, JSON.stringify({ images }));
  await Deno.rename(`${file}.new`, file);
}
