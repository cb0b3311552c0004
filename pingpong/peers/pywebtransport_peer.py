"""A peer for interop tests: ping-pong over pywebtransport, which speaks today's draft only.

    pywebtransport_peer.py server <cert.pem> <key.pem>                prints "listening <port>"
    pywebtransport_peer.py client <url> <sha256-hex> <mode> <pings> <streams: one|each>

Modes: bidi, uni, datagram. The client prints one line of JSON with what it saw. pywebtransport can
neither pin a hash nor show the certificate: the client takes any, and the hash is not looked at.
"""

import asyncio
import socket
import ssl
import sys
import time

from pywebtransport import ClientConfig, ServerConfig, WebTransportClient, WebTransportServer

from messages import Frames, decode, frame, ping, pong_to, report

PATIENCE_S = 30


async def messages_of(stream):
    """The messages of a stream, to its end."""
    frames = Frames()
    while chunk := await stream.read(max_size=65536):
        for message in frames.push(chunk):
            yield message


async def answer_bidi(stream):
    async for message in messages_of(stream):
        if answer := pong_to(message):
            await stream.write_all(data=frame(answer))
    await stream.write_all(data=b"", end_stream=True)


async def serve_session(session):
    await session.accept()
    async with asyncio.TaskGroup() as tasks:
        # One answering stream for all of the client's one-way streams.
        answers = asyncio.Lock()
        opened = []

        async def answer_uni(stream):
            async for message in messages_of(stream):
                if answer := pong_to(message):
                    await opened[0].write_all(data=frame(answer))

        async def bidi():
            async for stream in session.incoming_bidirectional_streams():
                tasks.create_task(answer_bidi(stream))

        async def uni():
            async for stream in session.incoming_unidirectional_streams():
                async with answers:
                    if not opened:
                        opened.append(await session.create_unidirectional_stream())
                tasks.create_task(answer_uni(stream))

        async def datagrams():
            while True:
                if answer := pong_to(await session.read_datagram()):
                    await session.send_datagram(data=answer)

        for one in (bidi(), uni(), datagrams()):
            tasks.create_task(one)


async def serve_connection(connection):
    async for session in connection.incoming_sessions():
        try:
            await serve_session(session)
        except* Exception:
            # The session has ended, and with it what waited for its streams.
            pass


async def run_server(cert, key):
    # It takes no port 0.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = ServerConfig(bind_host="127.0.0.1", bind_port=port, certfile=cert, keyfile=key)
    async with WebTransportServer(config=config) as server:
        await server.listen()
        print("listening", port, flush=True)
        async with asyncio.TaskGroup() as tasks:
            async for connection in server.incoming_connections():
                tasks.create_task(serve_connection(connection))


class Exchange:
    """Sends pings and takes the time until their pongs."""

    def __init__(self, session, mode, pings, each):
        self.session, self.mode, self.pings, self.each = session, mode, pings, each
        self.stream = None
        self.answers = None
        self.times, self.ends = [], 0

    async def run(self):
        for number in range(self.pings):
            ident, message = ping(number)
            began = time.perf_counter()
            last = self.each or number == self.pings - 1
            answer = await asyncio.wait_for(self.send(message, last), PATIENCE_S)
            if decode(answer)[2] != ident:
                raise SystemExit(f"ping {number} was answered by another's pong")
            self.times.append((time.perf_counter() - began) * 1e6)
            if self.mode == "bidi" and last:
                if await anext(self.answers, None) is None:
                    self.ends += 1
        report(self.times, self.ends)

    async def send(self, message, last):
        if self.mode == "datagram":
            await self.session.send_datagram(data=message)
            return await self.session.read_datagram()
        if self.mode == "bidi":
            if self.each or self.stream is None:
                self.stream = await self.session.create_bidirectional_stream()
                self.answers = messages_of(self.stream)
        elif self.each or self.stream is None:
            self.stream = await self.session.create_unidirectional_stream()
        await self.stream.write_all(data=frame(message), end_stream=last)
        if self.answers is None:
            incoming = await anext(self.session.incoming_unidirectional_streams())
            self.answers = messages_of(incoming)
        return await anext(self.answers)


async def run_client(url, mode, pings, each):
    async with WebTransportClient(config=ClientConfig(verify_mode=ssl.CERT_NONE)) as client:
        session = await client.connect(url=url)
        await Exchange(session, mode, pings, each).run()
        await session.close()


if __name__ == "__main__":
    if sys.argv[1] == "server":
        asyncio.run(run_server(*sys.argv[2:4]))
    else:
        url, _hash, mode, pings, streams = sys.argv[2:7]
        asyncio.run(run_client(url, mode, int(pings), streams == "each"))
