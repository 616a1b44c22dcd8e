"""How the dispatcher talks to the manager: two letters and a text, in one of two forms."""

import asyncio
import threading


class Pipe:
    """Up to 2.7: two letters, the length in 14 digits, the text; in on descriptor 3, out on 4."""

    def __init__(self):
        self.incoming, self.outgoing = open(3, "rb"), open(4, "wb")
        self.lock = threading.Lock()

    def receive(self):
        header = self.incoming.read(16)
        if len(header) < 16:
            return None, None
        return header[:2].decode(), self.incoming.read(int(header[2:])).decode()

    def send(self, command, text):
        data = text.encode()
        with self.lock:
            self.outgoing.write(b"%b%014d%b" % (command.encode(), len(data), data))
            self.outgoing.flush()


class WebSocket:
    """From 2.8 on: a message is two letters and the text; the dispatcher connects to NNI_TUNER_COMMAND_CHANNEL."""

    def __init__(self, url):
        import websockets
        self.closed = websockets.ConnectionClosed
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

        async def connect():
            return await websockets.connect(url, max_size=None)
        self.socket = self.wait(connect())

    def wait(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def receive(self):
        try:
            message = self.wait(self.socket.recv())
        except self.closed:
            return None, None
        return message[:2], message[2:]

    def send(self, command, text):
        self.wait(self.socket.send(command + text))
