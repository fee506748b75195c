"""
Graphs at random: what cut_dead_nodes leaves computes what it did before, and
whatever is cut of the others can be run, by ONNX Runtime.
"""
import os

from harness import check, quote, skip, sql
from random_graphs import Graph

SERVED = bool(os.environ.get("ONNXRUNTIME_LIBRARY"))

SEEDS = range(200)

# What may be said of a graph that has nothing to be cut.
NOTHING = "model has no nodes that may be cut"

FUNCTIONS = """
CREATE FUNCTION interop.outcome(query text, m model, x real[]) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    out model;
    y real[];
BEGIN
    EXECUTE 'SELECT ' || query INTO out USING m;
    y := predict(out, x);
    RETURN y::text;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLERRM;
END
$$;
"""

X = "{1,-2,3,0.5,-0.25,2,1.5,-3,0.75,1,-1,2.5}"

CUTS = ("cut_nodes($1, 0.4, method => 'random', seed => 1)", "cut_nodes($1, 0.3, scope => 'global')",
        "cut_nodes($1, 0.6, 'l1', round_to => 2)")


def numbers(outcome):
    """Of an array's text; None when it is an error."""
    return [float(n) for n in outcome[1:-1].split(",")] if outcome.startswith("{") else None


def close(a, b):
    return a is not None and b is not None and all(
        abs(x - y) <= 1e-3 * (1 + abs(x)) or x != x and y != y for x, y in zip(a, b))


def outcomes(query):
    """By seed what comes of all graphs."""
    return {int(seed): outcome for seed, outcome in sql(
        "SELECT seed, interop.outcome(%s, m, '%s') FROM interop.random ORDER BY 1;"
        % (quote(query), X))}


def check_cuts():
    if not SERVED:
        skip("graphs at random", "there is no ONNX Runtime to serve with")
        return
    sql(FUNCTIONS + "CREATE TABLE interop.random AS SELECT seed, model_read(decode(hex, 'hex'), 'onnx') AS m "
        "FROM (VALUES %s) v (seed, hex);"
        % ", ".join("(%d, '%s')" % (seed, Graph(seed).file().hex()) for seed in SEEDS))
    before, after = outcomes("$1"), outcomes("cut_dead_nodes($1)")
    wrong = [seed for seed in SEEDS if not close(numbers(before[seed]), numbers(after[seed]))]
    check(not wrong, "%d graphs at random compute the same without dead nodes" % len(SEEDS),
          [(seed, before[seed], after[seed]) for seed in wrong])
    (gone,), = sql("SELECT sum(d.cut) FROM interop.random, cut_dead_nodes_dry_run(m) d;")
    check(int(gone) > len(SEEDS), "%s of their nodes are dead" % gone)
    for query in CUTS:
        found = outcomes(query)
        wrong = [seed for seed in SEEDS
                 if numbers(found[seed]) is None and found[seed] != NOTHING]
        check(not wrong, "and run after %s" % query, [(seed, found[seed]) for seed in wrong])
        check(sum(numbers(o) is not None for o in found.values()) > len(SEEDS) / 2,
              "which cuts most of them")


CHECKS = [("graphs at random", check_cuts)]
