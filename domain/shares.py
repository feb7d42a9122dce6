"""Shares as people read them, the same on pages, in sentences and on the command line."""


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 0..1 as `97.5 %`; None is “—”, never 0.

    Nothing is rounded to all or to nothing: of ten thousand images with three misjudged, an accuracy of `100.0 %` would be untrue,
    so it is `> 99.9 %`, and a share that is no more than a trace `< 0.1 %`.
    """
    if share is None:
        return "—"
    written = f"{share * 100:.{digits}f}"
    step = 10.0**-digits
    if share < 1 and written == f"{100:.{digits}f}":
        return f"> {100 - step:.{digits}f} %"
    if share > 0 and written == f"{0:.{digits}f}":
        return f"< {step:.{digits}f} %"
    return f"{written} %"
