#!/usr/bin/python3
"""A camera for tests: serves files over RTSP, each client from its beginning, at the file's own pace.

rtsp_server.py PORT FILE [PATH=FILE ...] [--user NAME:PASSWORD]; FILE is at /stream. H.264 or HEVC in MP4, and AAC
where the file has it. Prints {"event":"ready"} once it listens. Ends when its standard input does.
"""

import json
import struct
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)


def moov_of(path):
    """What the file says of its tracks, without their media: that may have any bytes."""
    with open(path, "rb") as file:
        while len(head := file.read(8)) == 8:
            size, kind = struct.unpack(">I4s", head)
            if size == 1:
                size = struct.unpack(">Q", file.read(8))[0] - 8
            if kind == b"moov":
                return file.read(size - 8)
            if size < 8:
                break
            file.seek(size - 8, 1)
    sys.exit(f"{path} has no moov box")


def factory_of(path):
    moov = moov_of(path)
    codec = "h265" if b"hvc1" in moov or b"hev1" in moov else "h264"
    sound = "demuxer.audio_0 ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97" if b"mp4a" in moov else ""
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        f'( filesrc location="{path}" ! qtdemux name=demuxer '
        f"demuxer.video_0 ! queue ! {codec}parse ! rtp{codec}pay name=pay0 pt=96 {sound} )"
    )
    return factory


def main():
    arguments = sys.argv[1:]
    user = None
    if "--user" in arguments:
        index = arguments.index("--user")
        user = arguments[index + 1].split(":")
        del arguments[index:index + 2]
    port, *files = arguments
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    if user:
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "viewer")
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(*user), token)
        server.set_auth(auth)
    for file in files:
        path, _, name = file.rpartition("=")
        factory = factory_of(name)
        if user:
            permissions = GstRtspServer.RTSPPermissions()
            permissions.add_role("viewer")
            for right in ("media.factory.access", "media.factory.construct"):
                permissions.add_permission_for_role("viewer", right, True)
            factory.set_permissions(permissions)
        server.get_mount_points().add_factory(f"/{path or 'stream'}", factory)
    loop = GLib.MainLoop()
    if server.attach(None) == 0:
        sys.exit(f"port {port} is taken")
    GLib.unix_fd_add_full(GLib.PRIORITY_DEFAULT, 0, GLib.IOCondition.HUP, lambda *_: loop.quit())
    print(json.dumps({"event": "ready", "port": server.get_bound_port()}), flush=True)
    loop.run()


main()
