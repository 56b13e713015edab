"""A function's process that can be killed: `python mortal.py <port> <log>`.

It appends `<method> <id>` to the log before it answers, so that what it got outlives it.
"""

from __future__ import annotations

import asyncio
import os
import sys


async def main(port: int, log: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
                await reader.readexactly(int(fields.get("content-length", "0")))
                os.write(log, f"{head.split(' ', 1)[0]} {fields['x-id']}\n".encode())
                await asyncio.sleep(0.005)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
        except (OSError, EOFError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=1024)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND)))
