"""Names of classes as people write them, which markup, formulas, pages and codes of emoji would take for their own."""

NAMES = [
    "walk [day]",
    "walk [night]",
    "[/walk]",
    "lift $5 to $10",
    r"$\frac",
    ":smile: 50 % up",
    "_idle",
    "#1",
    '<b>jump</b> & "run"',
    "open/close door",
    "\u8dd1\u6b65",
    "\U0001f3c3 \u00e9",
    "a name that goes on and on, through the corridor and down the stairs [day]",
    "a name that goes on and on, through the corridor and down the stairs [night]",
]
