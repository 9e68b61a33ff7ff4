"""Interlaced frames, which show two moments in alternate lines → whole frames."""

import av


class Deinterlacer:
    """Frames → as many whole ones, by FFmpeg's bwdif; those that are not interlaced stay."""

    def __init__(self):
        self._graph, self._form = None, None

    def __call__(self, frame: av.VideoFrame | None) -> list[av.VideoFrame]:
        """What is done after the next frame; after the last, None brings the rest."""
        form = frame and (frame.width, frame.height, frame.format.name, frame.time_base)
        done = []
        if self._graph and form != self._form:
            self._graph.push(None)
            done, self._graph = self._pull(), None
        if frame is None:
            return done
        if self._graph is None:
            self._graph, self._form = _graph(*form), form
        self._graph.push(frame)
        return done + self._pull()

    def _pull(self) -> list[av.VideoFrame]:
        done = []
        while True:
            try:
                done.append(self._graph.pull())
            except (av.BlockingIOError, av.EOFError):
                return done


def _graph(width: int, height: int, form: str, time_base) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format=form, time_base=time_base)
    filtered = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
    source.link_to(filtered)
    filtered.link_to(graph.add("buffersink"))
    graph.configure()
    return graph
