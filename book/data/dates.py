"""Writes dates.jsonl: sentences with a date in them, and the date as YYYY-MM-DD.

    python3 book/data/dates.py > book/data/dates.jsonl

The same rows on every machine: Python promises that `Random(seed).random()` never changes.
"""

import datetime
import json
import random

ROWS = 200
SYSTEM = "Give the date as YYYY-MM-DD."
ORDINALS = """first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth
    fifteenth sixteenth seventeenth eighteenth nineteenth twentieth twenty-first twenty-second twenty-third twenty-fourth
    twenty-fifth twenty-sixth twenty-seventh twenty-eighth twenty-ninth thirtieth thirty-first""".split()
SENTENCES = [
    "The bridge was opened on {}.",
    "On {} the library moved to Mill Lane.",
    "Her letter is dated {}.",
    "Room 12 is booked for {}.",
    "The old mill burned down on {}.",
    "Please return the 3 books by {}.",
    "We met in Lisbon on {}.",
    "Flight 207 left on {}.",
    "The contract ends on {}.",
    "Since {} the shop has been closed.",
    "He planted 40 trees on {}.",
    "The concert on {} was sold out.",
]
FIRST, LAST = datetime.date(1900, 1, 1), datetime.date(2029, 12, 31)


def suffix(day):
    return "th" if 11 <= day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def written(date, style):
    """A date in one of the ways in which people write it."""
    day, month, year = date.day, date.strftime("%B"), date.year
    return [
        f"{day} {month} {year}",
        f"{month} {day}, {year}",
        f"{month} {day}{suffix(day)}, {year}",
        f"the {ORDINALS[day - 1]} of {month} {year}",
        f"{date.strftime('%A')}, {day} {month} {year}",
    ][style]


def main():
    draw = random.Random(0)
    below = lambda n: int(draw.random() * n)
    seen = set()
    while len(seen) < ROWS:
        date = FIRST + datetime.timedelta(days=below((LAST - FIRST).days + 1))
        text = SENTENCES[below(len(SENTENCES))].format(written(date, below(5)))
        if text in seen:
            continue
        seen.add(text)
        turns = [("system", SYSTEM), ("user", text), ("assistant", date.isoformat())]
        print(json.dumps({"messages": [{"role": role, "content": content} for role, content in turns]}))


main()
