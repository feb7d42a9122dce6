"""The scripts of a page share one scope, so a name that two of them declare breaks the page."""

import re
from collections import defaultdict
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "web" / "static"
_DECLARED = re.compile(r"^(?:const|let|class|(?:async )?function\*?) (?:\{ ?)?(\w+)", re.MULTILINE)


def test_no_name_is_declared_by_two_scripts() -> None:
    declared: defaultdict[str, list[str]] = defaultdict(list)
    for script in sorted(SCRIPTS.glob("*.js")):
        for name in set(_DECLARED.findall(script.read_text(encoding="utf-8"))):
            declared[name].append(script.name)
    assert len(declared) > 40
    assert {name: scripts for name, scripts in declared.items() if len(scripts) > 1} == {}
