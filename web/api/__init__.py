"""The HTTP API for machines, `/api/v1`: the same commands, queries and permissions as the pages, in JSON. Source: K-5.

* A request carries `Authorization: Bearer assay_…`; cookies count for nothing, so no form token is needed. A token acts for one
  user: every query and command is asked in this user's name, so nothing here decides who may do what.
* A token whose scope is `read` may only GET. One whose scope is `mes` opens the areas of an MES, whoever owns what is
  there, and no others; each address says with `area=…` what it is about, and `domain.api_tokens` what that means.
* Management (users, one's own account, master data, supervision, the audit) is an area that only the scopes `audit` (GET) and
  `manage` open; whoever tries it with another leaves an audit record, as who tries it without the role does.
* A body may bring a password; no answer, no event, no log and no digest of a request holds one.
* A job is found at the address of its kind; all kinds answer alike (`web.api.jobs`).
* Lists are read by following `next` to its end; what is there throughout comes exactly once, however much changes meanwhile.
* What makes something needs an `Idempotency-Key`, so that it can be sent again after a lost answer.
* Errors are `application/problem+json` (`web.api.problems`).
* Left to the pages is what is for the eye (thumbnails, masks, previews of augmentation and learning rates, charts, zips), what
  remembers where a person was (sessions, languages, drafts of the wizards, notices, streams), and making and revoking tokens
  (`tests/web/api/test_commands.py` says why, and that no other command is left out).
* `GET /api/v1/openapi.json` describes all of it; it is made from the handlers (`web.api.document`).
"""
