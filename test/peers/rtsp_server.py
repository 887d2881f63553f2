#!/usr/bin/python3
"""A camera for tests: serves files over RTSP, each client from its beginning, at the file's own pace.

rtsp_server.py PORT FILE [PATH=FILE ...] [--user NAME:PASSWORD]; FILE is at /stream. H.264 or HEVC in MP4.
Prints {"event":"ready"} once it listens. Ends when its standard input does.
"""

import json
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)


def codec_of(path):
    with open(path, "rb") as file:
        return "h265" if b"hvc1" in (head := file.read()) or b"hev1" in head else "h264"


def factory_of(path):
    codec = codec_of(path)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        f'( filesrc location="{path}" ! qtdemux ! {codec}parse ! rtp{codec}pay name=pay0 pt=96 )'
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
