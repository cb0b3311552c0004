"""A peer for interop tests: ping-pong over aioquic's WebTransport.

    aioquic_peer.py server <cert.pem> <key.pem>                prints "listening <port>"
    aioquic_peer.py client <url> <sha256-hex> <mode> <pings> <streams: one|each>

Modes: bidi, uni, datagram; the client also "reset", which breaks off so many streams, half of them by
RESET_STREAM and half by STOP_SENDING, and pings behind them. It prints one line of JSON with what it saw. aioquic cannot
pin a hash, so the client compares the certificate's after the handshake, before the session.
"""

import asyncio
import hashlib
import ssl
import sys
import time
from collections import defaultdict
from urllib.parse import urlsplit

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.h3.connection import FrameType, H3Connection
from aioquic.h3.events import DatagramReceived, HeadersReceived, WebTransportStreamDataReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated, StreamReset
from cryptography.hazmat.primitives.serialization import Encoding

from messages import PING, Frames, decode, encode, frame, ping, pong_to, report


class Peer(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = None
        self.session = None
        self.frames = defaultdict(Frames)
        self.uni_answers = None
        self.accepted = asyncio.get_event_loop().create_future()
        self.arrived = asyncio.Queue()
        self.ended = set()
        self.was_reset = {}

    def quic_event_received(self, event):
        if isinstance(event, StreamReset):
            self.was_reset[event.stream_id] = event.error_code
        if isinstance(event, ProtocolNegotiated):
            self.http = H3Connection(self._quic, enable_webtransport=True)
        if self.http is not None:
            for http_event in self.http.handle_event(event):
                self.http_event_received(http_event)
        self.transmit()

    def http_event_received(self, event):
        if isinstance(event, HeadersReceived):
            self.headers_received(event)
        elif isinstance(event, WebTransportStreamDataReceived):
            for message in self.frames[event.stream_id].push(event.data):
                self.message_received(event.stream_id, message)
            if event.stream_ended:
                self.stream_ended(event.stream_id)
        elif isinstance(event, DatagramReceived):
            self.message_received(None, event.data)


class ServerPeer(Peer):
    def headers_received(self, event):
        headers = dict(event.headers)
        is_session = headers.get(b":method") == b"CONNECT" and headers.get(b":protocol") == b"webtransport"
        if is_session:
            self.session = event.stream_id
        status = b"200" if is_session else b"404"
        self.http.send_headers(event.stream_id, [(b":status", status)], end_stream=not is_session)

    def message_received(self, stream_id, message):
        answer = pong_to(message)
        if answer is None:
            return
        if stream_id is None:
            self.http.send_datagram(self.session, answer)
        elif stream_id & 2 == 0:
            self._quic.send_stream_data(stream_id, frame(answer))
        else:
            self._quic.send_stream_data(self.answers_stream(), frame(answer))

    def http_event_received(self, event):
        # The client of one-way streams waits for ours before it writes.
        if isinstance(event, WebTransportStreamDataReceived) and event.stream_id & 2:
            self.answers_stream()
        super().http_event_received(event)

    def quic_event_received(self, event):
        super().quic_event_received(event)
        # aioquic tells of a stream with data only; the header alone must be answered, too.
        if self.http is not None and self.session is not None and self.uni_answers is None:
            streams = self.http._stream.values()
            if any(stream.stream_type == 0x54 for stream in streams):
                self.answers_stream()
                self.transmit()

    def answers_stream(self):
        if self.uni_answers is None:
            self.uni_answers = self.http.create_webtransport_stream(self.session, is_unidirectional=True)
        return self.uni_answers

    def stream_ended(self, stream_id):
        if stream_id & 2 == 0:
            self._quic.send_stream_data(stream_id, b"", end_stream=True)


class ClientPeer(Peer):
    async def establish(self, authority, path):
        while self.http is None:
            await asyncio.sleep(0)
        self.session = self._quic.get_next_available_stream_id()
        self.http.send_headers(
            self.session,
            [
                (b":method", b"CONNECT"),
                (b":scheme", b"https"),
                (b":authority", authority.encode()),
                (b":path", path.encode()),
                (b":protocol", b"webtransport"),
            ],
        )
        self.transmit()
        status = await asyncio.wait_for(self.accepted, 5)
        if status != b"200":
            raise SystemExit(f"status {status.decode()}")

    def headers_received(self, event):
        self.accepted.set_result(dict(event.headers)[b":status"])

    def message_received(self, stream_id, message):
        self.arrived.put_nowait(message)

    def stream_ended(self, stream_id):
        self.ended.add(stream_id)
        self.arrived.put_nowait(None)

    def open_stream(self, unidirectional):
        stream_id = self.http.create_webtransport_stream(self.session, is_unidirectional=unidirectional)
        if not unidirectional:
            # Without this aioquic takes the answers on a stream of its own for HTTP/3 frames.
            with self.http._get_or_create_stream(stream_id) as stream:
                stream.frame_type = FrameType.WEBTRANSPORT_STREAM
                stream.session_id = self.session
        return stream_id

    async def exchange(self, send, number):
        ident, message = ping(number)
        began = time.perf_counter()
        send(message)
        self.transmit()
        while True:
            message = await asyncio.wait_for(self.arrived.get(), 5)
            if message is not None and decode(message)[2] == ident:
                return (time.perf_counter() - began) * 1e6


async def break_off(peer, count):
    """Breaks off streams, each within a ping; gives how many of our STOP_SENDING were answered by a reset."""
    stopped = []
    for number in range(count):
        sid = peer.open_stream(False)
        peer._quic.send_stream_data(sid, frame(encode(PING, b"x", None, "Ping!"))[:20])
        peer.transmit()
        await asyncio.sleep(0.002)
        if number % 2 == 0:
            peer._quic.reset_stream(sid, 0x52E4A40FA8DB)
        else:
            peer._quic.stop_stream(sid, 0x52E4A40FA8DB)
            # The rest of the ping: its answer finds the stream stopped.
            peer._quic.send_stream_data(sid, frame(encode(PING, b"x", None, "Ping!"))[20:])
            stopped.append(sid)
        peer.transmit()
    for _ in range(1000):
        if all(sid in peer.was_reset for sid in stopped):
            break
        await asyncio.sleep(0.005)
    return sum(sid in peer.was_reset for sid in stopped)


async def run_client(url, wanted, mode, pings, each):
    parts = urlsplit(url)
    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=["h3"], max_datagram_frame_size=65536, verify_mode=ssl.CERT_NONE
    )
    times, ends = [], 0
    async with connect(
        parts.hostname, parts.port, configuration=configuration, create_protocol=ClientPeer
    ) as peer:
        der = peer._quic.tls._peer_certificate.public_bytes(Encoding.DER)
        if hashlib.sha256(der).hexdigest() != wanted:
            raise SystemExit("the certificate is not the pinned one")
        await peer.establish(parts.netloc, parts.path or "/")
        stream_id = None
        resets = 0
        if mode == "reset":
            resets = await break_off(peer, pings)
            mode = "bidi"
        for number in range(pings):
            if mode == "datagram":
                times.append(await peer.exchange(lambda m: peer.http.send_datagram(peer.session, m), number))
                continue
            if each or stream_id is None:
                stream_id = peer.open_stream(mode == "uni")
            sid, last = stream_id, each or number == pings - 1
            times.append(
                await peer.exchange(lambda m: peer._quic.send_stream_data(sid, frame(m), end_stream=last), number)
            )
            if mode == "bidi" and last:
                while sid not in peer.ended:
                    await asyncio.wait_for(peer.arrived.get(), 5)
                ends += 1
    report(times, ends, resets)


async def run_server(cert, key):
    configuration = QuicConfiguration(
        is_client=False, alpn_protocols=["h3"], max_datagram_frame_size=65536, idle_timeout=10
    )
    configuration.load_cert_chain(cert, key)
    server = await serve("127.0.0.1", 0, configuration=configuration, create_protocol=ServerPeer)
    print("listening", server._transport.get_extra_info("sockname")[1], flush=True)
    await asyncio.Future()


if __name__ == "__main__":
    if sys.argv[1] == "server":
        asyncio.run(run_server(*sys.argv[2:4]))
    else:
        url, wanted, mode, pings, streams = sys.argv[2:7]
        asyncio.run(run_client(url, wanted, mode, int(pings), streams == "each"))
