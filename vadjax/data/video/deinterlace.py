"""Interlaced frames, which show two moments in alternate lines → whole frames."""

import av


class Deinterlacer:
    """Makes whole frames of interlaced ones by FFmpeg's bwdif; their number stays.

    Frames that are not interlaced stay as they are.
    """

    def __init__(self):
        self._graph, self._form = None, None

    def __call__(self, frame: av.VideoFrame | None) -> list[av.VideoFrame]:
        """The frames that are finished after this one; None, after the last, gives the rest."""
        # A filter has a fixed size and format; if they change, it is emptied and replaced.
        form = frame and (frame.width, frame.height, frame.format.name, frame.time_base)
        frames = []
        if self._graph and form != self._form:
            self._graph.push(None)
            frames, self._graph = self._pull(), None
        if frame is None:
            return frames
        if self._graph is None:
            self._graph, self._form = _graph(*form), form
        self._graph.push(frame)
        return frames + self._pull()

    def _pull(self) -> list[av.VideoFrame]:
        """The frames that the filter has finished."""
        frames = []
        while True:
            try:
                frames.append(self._graph.pull())
            # The filter waits for its next frame, or has given its last one.
            except (av.BlockingIOError, av.EOFError):
                return frames


def _graph(width: int, height: int, form: str, time_base) -> av.filter.Graph:
    """A filter that gives one frame for each frame, and changes only interlaced ones."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format=form, time_base=time_base)
    filtered = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
    source.link_to(filtered)
    filtered.link_to(graph.add("buffersink"))
    graph.configure()
    return graph
