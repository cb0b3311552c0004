/**
 * The live topology over HTTP: what it is, what happens in it, what is to go wrong, and orders.
 *
 * @module
 */
import type { Context, Hono } from "hono";
import { z } from "zod";
import { EventStreamHub, lastEventIdOf } from "../../service/event_stream.ts";
import { serveStreamMux } from "../../service/event_stream_mux.ts";
import type { ServiceContext } from "../../service/life_cycle.ts";
import { ProblemError } from "../../service/problem.ts";
import { readText } from "../../service/request_body.ts";
import { FaultsError, parseFaults } from "./faults.ts";
import { graphqlEndpoint } from "./graphql_endpoint.ts";
import { liveRecord } from "./live_record.ts";
import type { LiveState, LiveSteps } from "./live_state.ts";
import { LiveError, type LiveWorld } from "./live_world.ts";

/** Of a request's body, in bytes. */
const maxBodyBytes = 65_536;

/** The live topology's routes. */
export class LiveApi {
  readonly #live: () => LiveWorld;
  readonly #context: ServiceContext;
  readonly #hub: EventStreamHub<undefined>;

  /** @param live the topology, once it runs */
  constructor(live: () => LiveWorld, context: ServiceContext) {
    this.#live = live;
    this.#context = context;
    const { stopping, world } = context;
    this.#hub = new EventStreamHub({ maxClients: 64, stopping, world });
  }

  /** Takes what has happened. */
  readonly onSteps = (steps: LiveSteps): void => {
    this.#hub.broadcast({ name: "steps", data: steps });
  };

  /** Takes what the state is now. */
  readonly onState = (state: LiveState): void => {
    this.#hub.broadcast({ name: "state", data: state }, { latest: true });
  };

  /** Adds the routes. */
  addTo(app: Hono): void {
    const { world, stopping } = this.#context;
    serveStreamMux(app, { paths: ["/api/live/stream"], stopping, world });
    app.post(
      "/graphql",
      graphqlEndpoint({
        placeOrder: (order, traceparent) => this.#live().placeOrder(order, traceparent),
        findOrder: (id) => this.#live().findOrder(id),
        newestOrders: (limit) => this.#live().newestOrders(limit),
        boxes: () => this.#live().state().boxes,
      }, { world }),
    );
    app.get("/api/live", (c) => c.json(this.#live().state()));
    app.get("/api/live/stream", (c) =>
      this.#hub.open({
        state: undefined,
        lastEventId: lastEventIdOf(c),
        greet: (client) => client.send({ name: "state", data: this.#live().state() }),
      }));
    app.get("/api/live/record", (c) => {
      const { recording, settings } = this.#live().recording();
      c.header("content-disposition", 'attachment; filename="live.json"');
      return c.json(liveRecord(this.#live().state(), settings, recording));
    });
    app.get("/api/faults", (c) => c.json({ faults: this.#live().faults }));
    app.put("/api/faults", async (c) => {
      try {
        this.#live().setFaults(parseFaults(await this.#text(c)));
      } catch (error) {
        if (error instanceof FaultsError) throw badRequest(error.message);
        throw error;
      }
      return c.json({ faults: this.#live().faults });
    });
    this.#addCommands(app);
  }

  #addCommands(app: Hono): void {
    app.post("/api/live/parts/:name/kill", (c) =>
      this.#command(c, () => {
        this.#live().kill(c.req.param("name"));
      }));
    app.post("/api/live/parts/:name/start", (c) =>
      this.#command(c, () => {
        this.#live().startPart(c.req.param("name"));
      }));
    app.post("/api/live/redrive", async (c) => c.json({ redriven: await this.#live().redrive() }));
    app.post("/api/live/orders", async (c) => {
      const { count, key } = this.#parse(ordersSchema, await this.#text(c));
      return this.#command(c, () => ({ ids: this.#live().submitOrders(count, key) }), 202);
    });
    app.put("/api/live/order-rate", async (c) => {
      const { ordersPerSecond } = this.#parse(rateSchema, await this.#text(c));
      this.#live().orderRate = ordersPerSecond;
      return c.json({ ordersPerSecond });
    });
  }

  #command(c: Context, run: () => object | void, status: 200 | 202 = 200): Response {
    try {
      const answer = run();
      return answer === undefined ? c.body(null, 204) : c.json(answer, status);
    } catch (error) {
      if (!(error instanceof LiveError)) throw error;
      const { kind, message } = error;
      if (kind === "unknown") {
        throw new ProblemError(404, { title: "No such part", detail: message });
      }
      if (kind === "busy") {
        throw new ProblemError(503, { title: "Too many orders", detail: message }, {
          "retry-after": "1",
        });
      }
      throw badRequest(message);
    }
  }

  #text(c: Context): Promise<string> {
    return readText(c.req.raw, { limitBytes: maxBodyBytes, world: this.#context.world });
  }

  #parse<T>(schema: z.ZodType<T>, text: string): T {
    let json: unknown;
    try {
      json = text === "" ? {} : JSON.parse(text);
    } catch (error) {
      throw badRequest(`It is not JSON: ${(error as Error).message}`);
    }
    const result = schema.safeParse(json);
    if (result.success) return result.data;
    throw badRequest(
      result.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; "),
    );
  }
}

const ordersSchema = z.strictObject({
  count: z.int().min(1).max(1_000).default(1),
  key: z.string().optional(),
});

const rateSchema = z.strictObject({ ordersPerSecond: z.number().min(0).max(10_000) });

function badRequest(detail: string): ProblemError {
  return new ProblemError(400, { title: "Bad request", detail });
}
