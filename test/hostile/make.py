#!/usr/bin/env python3
"""Makes the regression tests of hostile input, sql/hostile_*.sql.

    make.py             write the files (needs nothing but Python)
    make.py check       compare the files with what would be written, and
                        expected/hostile_*.out with what each case expects
    make.py files DIR   the bytes of each case as a file of their own, to see
                        what other programs make of them

The builders here know the formats from their specifications and share no
code with the extension."""

import os
import sys

import flats
import npzs
import onnxfiles
import ggufs
import pickles
import safetensorfiles
import sheet
import zips

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

OUTCOME = """\
-- What becomes of bytes: the error, or what was read.  A tensor that shares
-- its bytes with another one is shown as "name = other".
CREATE FUNCTION outcome(data bytea, format text DEFAULT 'auto', allow_modules boolean DEFAULT false,
                        check_crc boolean DEFAULT true) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
    m model;
    message text;
    detail text;
    hint text;
BEGIN
    BEGIN
        m := model_read(data, format => format, allow_modules => allow_modules, check_crc => check_crc);
    EXCEPTION WHEN others THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
        RETURN SQLSTATE || ': ' || message || coalesce('. ' || nullif(detail, ''), '') ||
            coalesce(' (' || nullif(hint, '') || ')', '');
    END;
    RETURN 'accepted: ' || coalesce((SELECT string_agg(
            name || CASE WHEN tied_to IS NOT NULL THEN ' = ' || tied_to
                         WHEN parameters > 64 THEN format(' %s %s', dtype, shape)
                         ELSE format(' %s %s', dtype, tensor(m, name)) END, ', ') FROM tensors(m)), 'no tensors') ||
        coalesce('; metadata ' || nullif(model_metadata(m)::text, '{}'), '');
END
$$;
-- A piece of bytes n times.
CREATE FUNCTION times(piece bytea, n int) RETURNS bytea LANGUAGE sql AS
$$ SELECT decode(repeat(encode(piece, 'hex'), n), 'hex') $$;
"""

SUITES = {'zip': zips, 'pickle': pickles, 'flat': flats, 'onnx': onnxfiles, 'gguf': ggufs,
          'npz': npzs, 'safetensors': safetensorfiles}


def sql_path(name):
    return os.path.join(REPO, 'sql', 'hostile_%s.sql' % name)


def sql_text(suite):
    return sheet.test_text(suite.header(OUTCOME), suite.SHEET, suite.cases(), suite.FOOTER)


def write_all():
    for name, suite in SUITES.items():
        with open(sql_path(name), 'wb') as out:
            out.write(sql_text(suite))


def check_all():
    good = bad = 0
    for name, suite in SUITES.items():
        with open(sql_path(name), 'rb') as source:
            if source.read() != sql_text(suite):
                print('%s is not what make.py makes' % sql_path(name))
                bad += 1
        path = os.path.join(REPO, 'expected', 'hostile_%s.out' % name)
        right, wrong = sheet.check_test(path, suite.SHEET, suite.cases())
        good += right
        bad += wrong
    print('%d passed, %d failed' % (good, bad))
    return bad == 0


def write_files(folder):
    os.makedirs(folder, exist_ok=True)
    for name, suite in SUITES.items():
        cases = [case for case in suite.cases() if not isinstance(case, str) and not case.sql]
        for number, case in enumerate(cases, 1):
            words = ''.join(c if c.isalnum() else '-' for c in case.comment.lower())[:40].strip('-')
            with open(os.path.join(folder, '%s-%03d-%s' % (name, number, words)), 'wb') as out:
                out.write(case.wrap(case.data))


def main():
    if len(sys.argv) == 1:
        write_all()
    elif sys.argv[1:] == ['check']:
        sys.exit(not check_all())
    elif sys.argv[1] == 'files' and len(sys.argv) == 3:
        write_files(sys.argv[2])
    else:
        sys.exit(__doc__)


main()
