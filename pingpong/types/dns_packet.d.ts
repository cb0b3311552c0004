/** As much of npm `dns-packet` as discovery_test.ts uses; types for the reason given in ws.d.ts. */
export interface StringAnswer {
  name: string;
  type: "A";
  data: string;
}

export interface SrvAnswer {
  name: string;
  type: "SRV";
  data: { target: string; port: number; priority: number; weight: number };
}

export interface Packet {
  type?: "query" | "response";
  id?: number;
  flags?: number;
  questions?: { name: string; type: string }[];
  answers?: (StringAnswer | SrvAnswer)[];
}

export function decode(bytes: Uint8Array): Packet;
export function encode(packet: Packet): Uint8Array;
