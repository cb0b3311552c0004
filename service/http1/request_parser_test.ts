import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { hasToken, RequestError, type RequestHead, RequestParser } from "./request_parser.ts";

/** What is read of bytes, a piece at a time: a line each. */
function read(pieces: readonly string[]): { seen: string[]; rest: string; parser: RequestParser } {
  const seen: string[] = [];
  let body = "";
  const parser = new RequestParser({
    head: ({ method, target, version, hasBody, keepsAlive, asksForWebSocket }: RequestHead) => {
      const facts = [hasBody && "body", keepsAlive && "keeps", asksForWebSocket && "socket"];
      seen.push([method, target, version, ...facts.filter((one) => one !== false)].join(" "));
      body = "";
    },
    body: (piece) => {
      assert.notEqual(piece.length, 0);
      body += Buffer.from(piece).toString("latin1");
    },
    end: () => seen.push(`end ${body}`),
  });
  let rest = "";
  for (const piece of pieces) {
    rest = Buffer.from(parser.read(Buffer.from(piece, "latin1"))).toString("latin1");
  }
  return { seen, rest, parser };
}

const host = "host: a\r\n";
const get = `GET /a HTTP/1.1\r\n${host}\r\n`;
const post = `POST /b HTTP/1.1\r\n${host}content-length: 5\r\n\r\nhello`;
const chunked =
  `PUT /c HTTP/1.1\r\n${host}transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nt: u\r\n\r\n`;
const h2c = `POST /d HTTP/1.1\r\n${host}connection: upgrade\r\nupgrade: h2c\r\n`;
const all = [
  get,
  post,
  chunked,
  `${h2c}content-length: 2\r\n\r\nhi`,
  `${h2c}transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n`,
  `${h2c}\r\n`,
  get,
].join("");
const seenOfAll = [
  ...["GET /a 1.1 keeps", "end "],
  ...["POST /b 1.1 body keeps", "end hello"],
  ...["PUT /c 1.1 body keeps", "end hello"],
  ...["POST /d 1.1 body keeps", "end hi"],
  ...["POST /d 1.1 body keeps", "end hi"],
  ...["POST /d 1.1 keeps", "end "],
  ...["GET /a 1.1 keeps", "end "],
];

Deno.test("requests are the same however their bytes are cut into pieces", () => {
  for (let size = 1; size <= all.length; size++) {
    const pieces = Array.from(
      { length: Math.ceil(all.length / size) },
      (_, index) => all.slice(index * size, (index + 1) * size),
    );
    assert.deepEqual(read(pieces).seen, seenOfAll, `pieces of ${size}`);
  }
});

Deno.test("what comes behind the head of a WebSocket's request is given back, unread", () => {
  const upgrade = `GET /ws HTTP/1.1\r\n${host}connection: upgrade\r\nupgrade: WebSocket\r\n\r\n`;
  const { seen, rest } = read([`${upgrade}GET no http`]);
  assert.deepEqual(seen, ["GET /ws 1.1 keeps socket", "end "]);
  assert.equal(rest, "GET no http");
});

Deno.test("behind the last request of a connection nothing is read", () => {
  for (
    const last of [
      `GET / HTTP/1.1\r\n${host}connection: close\r\n\r\n`,
      `POST / HTTP/1.1\r\n${host}connection: close\r\ncontent-length: 2\r\n\r\nhi`,
      `POST / HTTP/1.1\r\n${host}connection: close\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
      "GET / HTTP/1.0\r\n\r\n",
    ]
  ) {
    for (const pieces of [[last + get], [last, get, get]]) {
      assert.equal(read(pieces).seen.filter((line) => !line.startsWith("end")).length, 1, last);
    }
  }
});

Deno.test("a head of many fields comes whole, and its Host is found", () => {
  const fields = Array.from({ length: 100 }, (_, index) => `x${index}: ${index}\r\n`).join("");
  let head: RequestHead | undefined;
  const parser = new RequestParser({ head: (one) => head = one, body() {}, end() {} });
  parser.read(Buffer.from(`GET /many?a=b HTTP/1.1\r\n${fields}Host: a.example\r\n\r\n`));
  assert.equal(head?.fields.length, 202);
  assert.equal(head?.target, "/many?a=b");
  assert.equal(head?.host, "a.example");
  parser.read(Buffer.from(get));
  assert.deepEqual(head?.fields, ["host", "a"]);
});

Deno.test("isInHead tells a head that has begun", () => {
  assert.equal(read([]).parser.isInHead, false);
  assert.equal(read([get]).parser.isInHead, false);
  assert.equal(read([get.slice(0, 3)]).parser.isInHead, true);
  assert.equal(read([post.slice(0, -1)]).parser.isInHead, false);
  assert.equal(read([`${post}GE`]).parser.isInHead, true);
});

Deno.test("what smuggles, or is none, is refused", () => {
  for (
    const [sent, code] of [
      [
        `POST / HTTP/1.1\r\n${host}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n`,
        "HPE_INVALID_TRANSFER_ENCODING",
      ],
      [
        `POST / HTTP/1.1\r\n${host}transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n`,
        "HPE_INVALID_CONTENT_LENGTH",
      ],
      [
        `POST / HTTP/1.1\r\n${host}content-length: 5\r\ncontent-length: 6\r\n\r\n`,
        "HPE_UNEXPECTED_CONTENT_LENGTH",
      ],
      [`POST / HTTP/1.1\r\n${host}content-length: +5\r\n\r\n`, "HPE_INVALID_CONTENT_LENGTH"],
      [
        `POST / HTTP/1.1\r\n${host}transfer-encoding: gzip\r\n\r\n`,
        "HPE_INVALID_TRANSFER_ENCODING",
      ],
      [`GET / HTTP/1.1\r\nhost : a\r\n\r\n`, "HPE_INVALID_HEADER_TOKEN"],
      [`GET / HTTP/1.1\r\nx: ${"y".repeat(20_000)}\r\n\r\n`, "HPE_HEADER_OVERFLOW"],
      ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HPE_PAUSED_H2_UPGRADE"],
      ["not http\r\n\r\n", "HPE_INVALID_METHOD"],
    ] as const
  ) {
    assert.throws(
      () => read([sent]),
      (error) => {
        assert.ok(error instanceof RequestError);
        assert.equal(error.code, code);
        assert.equal(error.name, "RequestError");
        assert.notEqual(error.message, "");
        return true;
      },
      sent.slice(0, 80),
    );
  }
});

/** The heads of some requests, whole. */
function heads(sent: string): RequestHead[] {
  const seen: RequestHead[] = [];
  const parser = new RequestParser({ head: (one) => void seen.push(one), body() {}, end() {} });
  parser.read(Buffer.from(sent));
  return seen;
}

const plain: RequestHead = {
  ...{ method: "GET", target: "/", fields: ["host", "a"], host: "a", hosts: 1, version: "1.1" },
  ...{ expect: undefined, keepsAlive: true, hasBody: false, asksForWebSocket: false },
};

Deno.test("a head says what the server has to know of it", () => {
  const socket = `${host}connection: upgrade\r\nupgrade: h2c, WebSocket\r\n`;
  for (
    const [sent, facts] of [
      [`GET / HTTP/1.1\r\n${host}`, {}],
      [`GET / HTTP/1.1\r\nHOST: a\r\n`, {}],
      [`GET / HTTP/1.1\r\nx: y\r\n`, { host: undefined, hosts: 0 }],
      [`GET / HTTP/1.1\r\n${host}hOST: b\r\n`, { hosts: 2 }],
      [`GET / HTTP/1.1\r\n${host}Expect: 100-Continue\r\n`, { expect: "100-continue" }],
      [`GET / HTTP/1.1\r\n${host}connection: close\r\n`, { keepsAlive: false }],
      [`GET / HTTP/1.0\r\n${host}`, { version: "1.0", keepsAlive: false }],
      [`POST / HTTP/1.1\r\n${host}Content-Length: 2\r\n`, { method: "POST", hasBody: true }],
      [`POST / HTTP/1.1\r\n${host}content-length: 0\r\n`, { method: "POST" }],
      [
        `PATCH / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n`,
        { method: "PATCH", hasBody: true },
      ],
      [`GET / HTTP/1.1\r\n${socket}`, { asksForWebSocket: true }],
      [`GET / HTTP/1.1\r\n${socket}upgrade: h2c\r\n`, { asksForWebSocket: true }],
      [`GET / HTTP/1.1\r\n${host}connection: upgrade\r\nupgrade: websockets\r\n`, {}],
      [`GET / HTTP/1.1\r\n${host}upgrade: websocket\r\n`, {}],
      [`POST / HTTP/1.1\r\n${socket}`, { method: "POST" }],
      // As long as the names of those that count.
      [
        `GET / HTTP/1.1\r\n${host}date: b\r\ncookie: c\r\nreferer: websocket\r\n` +
        `connection: upgrade\r\nupgrade: h2c\r\naccept-charset: 5\r\nif-modified-since: e\r\n`,
        {},
      ],
    ] as const
  ) {
    const [{ fields, ...head } = plain, ...more] = heads(`${sent}\r\n`);
    const { fields: _, ...wanted } = { ...plain, ...facts };
    assert.deepEqual(head, wanted, sent);
    const lines = sent.split("\r\n").slice(1, -1);
    assert.deepEqual(fields, lines.flatMap((line) => line.split(": ")), sent);
    assert.deepEqual(more, []);
  }
});

Deno.test("a trailer is nobody's, however long, and no field of the next request", () => {
  const many = Array.from({ length: 100 }, (_, index) => `x${index}: ${index}\r\n`).join("");
  const start = `PUT /c HTTP/1.1\r\n${host}transfer-encoding: chunked\r\n\r\n1\r\nx\r\n`;
  const [first, second] = heads(`${start}0\r\n${many}\r\nGET /d HTTP/1.1\r\n${host}${many}\r\n`);
  assert.equal(first?.fields.length, 4);
  assert.deepEqual([second?.target, second?.fields.length], ["/d", 202]);
  assert.equal(read([start]).parser.isInHead, false, "a body is no head");
  assert.equal(read([start, "1\r\n"]).parser.isInHead, false, "nor is what comes of it");
  assert.equal(read([start, "0\r\nt: "]).parser.isInHead, false, "a trailer is none");
  const long = `GET /long HTTP/1.1\r\n${host}${many}\r\n`;
  for (const one of heads(long + long)) {
    assert.deepEqual([one.target, one.fields.length], ["/long", 202]);
  }
});

Deno.test("hasToken() finds a whole token of a list, in any case", () => {
  for (const field of ["close", "Close", "x, CLOSE", " close ,x"]) {
    assert.equal(hasToken(field, "close"), true, field);
  }
  for (const field of [undefined, null, "", "closed", "x close", "x"]) {
    assert.equal(hasToken(field, "close"), false, String(field));
  }
});
