# SPDX-License-Identifier: Apache-2.0
"""What the demo prints: headings, tables, commands, a verdict."""


class Terminal:
    def __init__(self, colour):
        self.colour = colour

    def _paint(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def say(self, text=""):
        print(text, flush=True)

    def heading(self, text):
        self.say("\n" + self._paint("1", text))

    def command(self, argv):
        self.say("  " + self._paint("2", "$ " + " ".join(argv)))

    def good(self, text):
        return self._paint("32", text)

    def bad(self, text):
        return self._paint("31", text)

    def note(self, text):
        self.say("  " + self._paint("33", "note: ") + text)

    def block(self, text):
        for line in text.rstrip("\n").split("\n"):
            self.say("    " + line)

    def table(self, rows, indent="  "):
        """Rows of texts, columns as wide as their widest."""
        rows = [[str(cell) for cell in row] for row in rows]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths)]
            self.say(indent + "  ".join(cells).rstrip())


def count(number, what):
    """3 Pods, 1 Pod."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def spread(answers, most=8):
    """{"web-1": 30} as "web-1 30, web-2 30"."""
    parts = [f"{name} {n}" for name, n in sorted(answers.items())]
    return ", ".join(parts[:most]) + (f" and {len(parts) - most} more" if len(parts) > most else "")
