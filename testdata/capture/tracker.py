#!/usr/bin/env python3
"""A BitTorrent tracker that knows one peer: tracker.py PEERPORT, run in a folder of its own.

Writes x.torrent and its magnet link, x.magnet, then answers every announcement with the peer 127.0.0.1:PEERPORT.
"""

import hashlib
import http.server
import pathlib
import sys


def string(s):
    return b"%d:%s" % (len(s), s)


class Tracker(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        peer = bytes([127, 0, 0, 1]) + int(sys.argv[1]).to_bytes(2, "big")
        body = b"d8:intervali60e5:peers" + string(peer) + b"e"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Tracker)
    announce = b"http://127.0.0.1:%d/announce" % server.server_address[1]
    info = b"d6:lengthi16384e4:name5:a.txt12:piece lengthi16384e6:pieces" + string(hashlib.sha1(bytes(16384)).digest()) + b"e"
    here = pathlib.Path(".")
    (here / "x.magnet").write_text(f"magnet:?xt=urn:btih:{hashlib.sha1(info).hexdigest()}&tr={announce.decode()}")
    (here / "x.torrent").write_bytes(b"d8:announce" + string(announce) + b"4:info" + info + b"e")
    server.serve_forever()


if __name__ == "__main__":
    main()
