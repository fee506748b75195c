"""Cases as SQL: how bytes become expressions that a reader can follow, and how
a list of cases becomes a test file.

A case says what it expects before it is run: each row of its result must match
one regular expression.  `make.py check` compares the expected results in the
repository with these, so that a changed result cannot slip in unread."""

import re
from difflib import SequenceMatcher

WIDTH = 110
LITERAL = 90
# A unit of up to 64 bytes that comes many times in a row.
RUNS = re.compile(rb'(.{1,64}?)\1{31,}', re.DOTALL)
MIN_SLICE = 20
MAX_COMPARED = 4096


class Case:
    """One statement: bytes that go through a function, or SQL as it is."""

    def __init__(self, comment, data, *expect, call='outcome(%s)', sql=False, wrap=bytes):
        self.comment = comment
        self.data = data
        self.expect = expect
        self.call = call
        self.sql = sql
        self.wrap = wrap        # what the functions in call do to data


class Sheet:
    """The names under which a test file knows bytes that come often."""

    def __init__(self, macros=(), base=None, base_name='good', readable=0.5):
        # longest first, so that a part does not hide the whole
        self.macros = sorted(macros, key=lambda macro: -len(macro[0]))
        self.base = base
        self.base_name = base_name
        self.readable = readable  # share of letters that makes bytes text

    def expression(self, data):
        return self.join(merge(self.replace_macros(data, 0)) or [b''])

    def replace_macros(self, data, first):
        for i in range(first, len(self.macros)):
            known, name = self.macros[i]
            at = data.find(known)
            if at >= 0:
                return (self.replace_macros(data[:at], i + 1) + [name] +
                        self.replace_macros(data[at + len(known):], i))
        if self.base and len(data) <= MAX_COMPARED:
            return self.replace_slices(data)
        return self.replace_runs(data)

    def replace_runs(self, data):
        terms = []
        for piece, count in split_runs(data):
            if count > 1:
                terms.append("times(%s, %d)" % (self.literal(piece), count))
            elif len(piece) < len(data) and self.base and len(piece) <= MAX_COMPARED:
                terms += self.replace_slices(piece)
            else:
                terms.append(piece)
        return terms

    def replace_slices(self, data):
        """Terms for data that was made by changing self.base here and there."""
        terms = []
        done = 0
        matcher = SequenceMatcher(None, self.base, data, autojunk=False)
        for base_at, at, size in matcher.get_matching_blocks():
            if size < MIN_SLICE:
                continue
            terms += self.replace_runs(data[done:at])
            terms.append(self.slice(base_at, base_at + size))
            done = at + size
        return terms + self.replace_runs(data[done:])

    def slice(self, first, last):
        if last == len(self.base):
            return '%s(%s)' % (self.base_name, first or '')
        return '%s(%d, %d)' % (self.base_name, first, last)

    def join(self, terms):
        """Terms joined by ||, on lines that are not too long."""
        out = ''
        column = 0
        for term in terms:
            text = self.literal(term) if isinstance(term, bytes) else term
            if out:
                out += ' ||'
                column += 3
                if column + len(text.split('\n')[0]) > WIDTH:
                    out += '\n    '
                    column = 4
                else:
                    out += ' '
                    column += 1
            out += text
            column = len(out) - out.rfind('\n')
        return out

    def literal(self, data):
        """A bytea literal: as text where it mostly is text, else as digits."""
        readable = sum(0x20 <= byte < 0x7f for byte in data)
        if readable > len(data) * self.readable:
            digits = [escaped(byte) for byte in data]
            prefix = ''
        else:
            digits = ['%02x' % byte for byte in data]
            prefix = '\\x'
        lines = []
        line = prefix
        for digit in digits:
            if len(line) + len(digit) > LITERAL:
                lines.append(line)
                line = ''
            line += digit
        # Literals on neighbouring lines are one literal.
        return '\n    '.join("'%s'" % line for line in lines + [line])


def split_runs(data):
    done = 0
    for run in RUNS.finditer(data):
        if run.start() > done:
            yield data[done:run.start()], 1
        yield run.group(1), (run.end() - run.start()) // len(run.group(1))
        done = run.end()
    if done < len(data):
        yield data[done:], 1


def merge(terms):
    """Joins neighbouring bytes and drops empty ones."""
    merged = []
    for term in terms:
        if isinstance(term, bytes) and merged and isinstance(merged[-1], bytes):
            merged[-1] += term
        elif term != b'':
            merged.append(term)
    return merged


def escaped(byte):
    if byte == 0x27:
        return "''"
    if byte == 0x5c:
        return '\\\\'
    return chr(byte) if 0x20 <= byte < 0x7f else '\\%03o' % byte


def wrap_comment(text):
    lines = ['--']
    for word in text.split():
        if len(lines[-1]) + 1 + len(word) > 79:
            lines.append('--')
        lines[-1] += ' ' + word
    return '\n'.join(lines)


def statement(sheet, case):
    if case.sql:
        return case.data
    return 'SELECT %s;' % (case.call % sheet.expression(case.data))


def test_text(header, sheet, cases, footer):
    """The test file, which is ASCII."""
    out = header
    for case in cases:
        if isinstance(case, str):
            out += '\n-- ---------- %s ----------\n\n' % case
        else:
            out += wrap_comment(case.comment) + '\n' + statement(sheet, case) + '\n'
    return (out + footer).encode('ascii')


def check_test(path, sheet, cases):
    """Compares a file of results with what the cases expect; returns how many
    rows were right and how many wrong."""
    with open(path, encoding='utf-8') as source:
        text = source.read()
    good = bad = at = 0
    for case in cases:
        if isinstance(case, str):
            continue
        echo = statement(sheet, case) + '\n'
        found = text.find(echo, at)
        if found < 0:
            print('%s: not there: %s' % (path, case.comment))
            bad += max(1, len(case.expect))
            continue
        at = found + len(echo)
        rows = text[at:].split('\n')
        for i, expect in enumerate(case.expect):
            if i < len(rows) and re.match(expect, rows[i]):
                good += 1
            else:
                bad += 1
                print('%s: %s\n  expected %s\n  got      %s' %
                      (path, case.comment, expect, rows[i] if i < len(rows) else ''))
        rest = rows[len(case.expect)]
        if rest and not rest.startswith(('--', 'RESET', '\\')):
            bad += 1
            print('%s: %s\n  nothing more expected\n  got      %s' %
                  (path, case.comment, rest))
    return good, bad
