"""Which tables a backup holds, which it does not, and why. Every table of the log and beside it stands in one of the two lists."""

from typing import Final

from infra.backup_folder import CHAIN, EVENTS, SEALS

IN_BACKUP: Final = {
    EVENTS: "notification_id",
    "public.assay_tracking": "application_name",
    CHAIN: "position",
    SEALS: "position",
    "app.feed": "only_row",
    "app.unusable_reports": "source, place",
    "app.drafts": "user_id, kind",
    "app.api_requests": "made_at, request_key",
    "app.token_uses": "token_id",
}
"""By name, with the order of the rows: the log with users, passwords and tokens in it; how far the reports of each partition of
Kafka were taken in, and how far the feed is, both of the very moment of the log; the chain with its seals; reports that nobody
could use; unfinished forms; which requests of machines came, and when tokens were used.
"""

LIBRARYS_OWN_ROW: Final = {"public.assay_tracking": "application_name = '__migration__'"}
"""Rows of those tables that are no part of a backup: the event-sourcing library notes there which tables it has made."""

LEFT_OUT: Final = {
    "app.sessions": "everybody signs in again: a backup must not open anybody's session",
    "app.dispatcher": "the dispatcher mirrors the log from its beginning",
    "app.work": "the dispatcher mirrors it from the log",
    "app.workers": "workers say so again within seconds",
    "app.machines": "every machine measures itself again within seconds",
    "app.machine_history": "how busy machines were last day says nothing of other machines",
    "app.line_history": "as above",
    "app.listening": "the relay notes it every second",
    "app.relay": "the relay notes what holds it up, when something does",
    "app.heartbeats": "workers beat again, or their jobs are given to others",
    "app.scans": "the scanner looks again",
    "app.kept_states": "histories are folded again, from their first fact on",
    "app.topics_seen": "the next start looks through the log again",
    "app.image_checks": "whoever wants to know has the images compared again, with those that are there now",
}
"""With the reason. The read tables are left out, too: they are made anew from the log."""
