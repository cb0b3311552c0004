"""Ping-pong's messages, by bincode's default form, for the peers in Python."""

import hashlib
import json
import struct

PING, PONG = 0, 1


def encode(tag, ident, request_id, text):
    parts = [struct.pack("<IQ", tag, len(ident)), ident]
    if tag == PONG:
        parts += [struct.pack("<Q", len(request_id)), request_id]
    data = text.encode()
    return b"".join(parts + [struct.pack("<IQ", tag, len(data)), data])


def frame(message):
    return struct.pack(">Q", len(message)) + message


def decode(message):
    """Tag, id and the id of the request (pongs only)."""
    tag, length = struct.unpack_from("<IQ", message)
    ident = message[12 : 12 + length]
    if tag == PING:
        return tag, ident, None
    (length,) = struct.unpack_from("<Q", message, 12 + length)
    at = 12 + len(ident) + 8
    return tag, ident, message[at : at + length]


def pong_to(message):
    tag, ident, _ = decode(message)
    return encode(PONG, hashlib.sha256(b"Pong!").digest(), ident, "Pong!") if tag == PING else None


class Frames:
    """Cuts a stream into messages."""

    def __init__(self):
        self.buffer = b""

    def push(self, data):
        self.buffer += data
        while len(self.buffer) >= 8:
            (length,) = struct.unpack_from(">Q", self.buffer)
            if len(self.buffer) < 8 + length:
                return
            yield self.buffer[8 : 8 + length]
            self.buffer = self.buffer[8 + length :]


def ping(number):
    """A ping of this number: its id, and the message."""
    ident = struct.pack(">Q", number) + hashlib.sha256(b"Ping!").digest()[8:]
    return ident, encode(PING, ident, None, "Ping!")


def report(times, ends, resets=0):
    """The line of JSON that a client prints; the times are in microseconds."""
    times = sorted(times)
    at = lambda part: round(times[min(int(len(times) * part), len(times) - 1)], 1) if times else 0
    print(json.dumps({"received": len(times), "ends": ends, "resets": resets, "p50Us": at(0.5), "p99Us": at(0.99)}))
