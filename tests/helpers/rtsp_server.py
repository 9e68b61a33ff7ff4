"""An RTSP server of pictures in a file, for /usr/bin/python3 with GStreamer; started by `rtsp`.

    /usr/bin/python3 -m tests.helpers.rtsp_server PORT FILE WIDTH HEIGHT FPS EPOCH NUMBERED

FILE holds RGB pictures one after the other. The clock says which of them is shown: picture number
`(now - EPOCH) * FPS`, again from the first after the last, so that a server that is killed and
started again goes on as a camera does. If NUMBERED is 1, the number also stands in the first eight
rows of the picture, as sixteen black or white squares.
"""

import sys
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402 (after the versions)

BITS, ROWS = 16, 8


def picture(pixels: bytes, width: int, number: int) -> bytes:
    """The picture with its number in it."""
    side = width // BITS
    row = b"".join((b"\xff" if number >> bit & 1 else b"\0") * 3 * side for bit in range(BITS))
    return row * ROWS + pixels[len(row) * ROWS :]


def main() -> None:
    """Serves until it is killed."""
    port, path, *numbers = sys.argv[1:]
    width, height, fps = map(int, numbers[:3])
    epoch, numbered, size = float(numbers[3]), numbers[4] == "1", width * height * 3
    with open(path, "rb") as file:
        content = file.read()
    count = len(content) // size
    Gst.init(None)
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=port)
    factory = GstRtspServer.RTSPMediaFactory(shared=True)
    factory.set_launch(
        "( appsrc name=source is-live=true format=time do-timestamp=true "
        f"caps=video/x-raw,format=RGB,width={width},height={height},framerate={fps}/1 "
        "! videoconvert ! video/x-raw,format=I420 "
        f"! x264enc tune=zerolatency speed-preset=ultrafast bitrate=4000 key-int-max={fps} "
        "! rtph264pay name=pay0 pt=96 config-interval=1 )"
    )

    def configure(factory, media):
        source = media.get_element().get_by_name_recurse_up("source")
        last = -1

        def push():
            nonlocal last
            number = int((time.time() - epoch) * fps)
            if number == last:
                return True
            last, start = number, number % count * size
            shown = content[start : start + size]
            if numbered:
                shown = picture(shown, width, number)
            return source.emit("push-buffer", Gst.Buffer.new_wrapped(shown)) == Gst.FlowReturn.OK

        GLib.timeout_add(500 // fps, push)

    factory.connect("media-configure", configure)
    server.get_mount_points().add_factory("/door", factory)
    server.attach(None)
    print("serving", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
