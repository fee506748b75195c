"""
A database reached through psql, by libpq's environment variables.
"""
import csv
import io
import os
import subprocess


class DatabaseError(Exception):
    """An error that the server reported: sqlstate and message."""

    def __init__(self, text):
        super().__init__(text)
        first = next((line for line in text.splitlines() if "ERROR:" in line),
                     text)
        self.sqlstate, _, self.message = (
            first.partition("ERROR:")[2].strip().partition(": "))


def sql(text):
    """Runs SQL and returns the rows of its last statement as lists."""
    done = subprocess.run(
        ["psql", "--no-psqlrc", "--quiet", "--csv", "--tuples-only",
         "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=verbose",
         "--pset=null=NULL"],
        input="SET client_min_messages = warning;\n" + text,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        universal_newlines=True, encoding="utf-8",
        env=dict(os.environ, PGCLIENTENCODING="UTF8"))
    if done.returncode != 0:
        raise DatabaseError(done.stderr)
    csv.field_size_limit(1 << 30)
    # a row of one empty string is an empty line
    return [row or [""] for row in csv.reader(io.StringIO(done.stdout))]


def scalar(text):
    return sql(text)[0][0]


def quote(text):
    return "'" + text.replace("'", "''") + "'"
