/** As much of npm `multicast-dns` as discovery/ uses; types for the reason given in ws.d.ts. */
export interface Options {
  bind?: string;
  interface?: string;
  port?: number;
}

export interface DnsRecord {
  name: string;
  type: string;
  ttl?: number;
  data?: unknown;
}

export interface Packet {
  questions?: { name: string; type: string }[];
  answers?: DnsRecord[];
  authorities?: DnsRecord[];
  additionals?: DnsRecord[];
}

export interface MulticastDns {
  on(name: "query" | "response", listener: (packet: Packet) => void): this;
  on(name: "warning", listener: (error: Error) => void): this;
  off(name: "query" | "response", listener: (packet: Packet) => void): this;
  once(name: "ready", listener: () => void): this;
  once(name: "error", listener: (error: Error) => void): this;
  query(packet: Packet | Packet["questions"]): void;
  respond(packet: Packet, sent?: () => void): void;
  destroy(done: () => void): void;
}

export default function multicastDns(options?: Options): MulticastDns;
