"""
monitor.py DRIVER REPEATS

What counting costs, on the server that libpq's environment names, which has
modelopt preloaded: of an invocation that does nothing (DRIVER is the library of
test/driver), of a value that is compared with a reference, of sessions that are
in one another's way, and of looking.
"""
import os
import statistics
import subprocess
import sys

import harness

CALLS = 5000000
CLIENTS = (1, 2, 8)
SECONDS = 4
FUNCTIONS = """
CREATE SCHEMA driver;
CREATE FUNCTION driver.call(model_id bigint, version integer, rows bigint, ns bigint, sqlstate text, seconds double precision)
    RETURNS bigint LANGUAGE C AS '{0}', 'driver_call';
CREATE FUNCTION driver.calls(n bigint, models bigint) RETURNS bigint LANGUAGE C STRICT AS '{0}', 'driver_calls';
CREATE FUNCTION driver.cost(n bigint) RETURNS double precision LANGUAGE C STRICT AS '{0}', 'driver_cost';
CREATE FUNCTION driver.clock(n bigint) RETURNS double precision LANGUAGE C STRICT AS '{0}', 'driver_clock';
CREATE FUNCTION driver.observe(model_id bigint, version integer, outputs boolean, columns integer, observed double precision[],
    nulls boolean[]) RETURNS boolean LANGUAGE C AS '{0}', 'driver_observe';
"""


def median(repeats, measure):
    return statistics.median(measure() for _ in range(repeats))


def add_path(session, repeats):
    """Nanoseconds of an invocation, and what is left when nothing is counted."""
    cost = {}
    for name, setting in (("none", "modelopt.track = none"),
                          ("top, without times", "modelopt.track_timing = off"),
                          ("top", "modelopt.track = top")):
        session.run("RESET modelopt.track; RESET modelopt.track_timing; SET %s;" % setting)
        cost[name] = median(repeats, lambda: float(session.run("SELECT driver.cost(%d);" % CALLS)))
        print("an invocation with track = %-20s %7.1f ns" % (name, cost[name]))
    session.run("RESET modelopt.track; RESET modelopt.track_timing;")
    clock = median(repeats, lambda: float(session.run("SELECT driver.clock(%d);" % CALLS)))
    print("of which two looks at the clock take              %7.1f ns" % (2 * clock))
    print("goal: at most 100 ns: %s" % ("met" if cost["top"] <= 100 else "missed"))


def observing(session, repeats):
    session.run("SELECT modelopt.commit('bench', model_agg('w', '{1}'));")
    session.run("SELECT modelopt.set_reference('bench', 'SELECT random() AS a, random() AS b, random() AS c, random() AS d"
                " FROM generate_series(1, 10000)');")
    session.run("CREATE TABLE observed AS SELECT array_agg(random()) AS x FROM generate_series(1, 1000000);")
    with_reference = "SELECT driver.observe(1, 1, false, 4, x, NULL) FROM observed;"
    without = with_reference.replace("(1, 1,", "(1, 2,")
    session.run(with_reference)
    ns = median(repeats, lambda: session.seconds(with_reference) - session.seconds(without)) * 1e9 / 1e6
    print("a value that is compared with a reference    %7.1f ns" % ns)


def eviction(session, repeats):
    few = median(repeats, lambda: session.seconds("SELECT driver.calls(200000, 10);"))
    many = median(repeats, lambda: session.seconds("SELECT driver.calls(200000, 2000);"))
    print("an invocation of one of 10 versions          %7.1f ns" % (few * 1e9 / 200000))
    print("an invocation of one of 2000, with room for 1000 %3.1f µs" % (many * 1e6 / 200000))


def transactions(clients, setting):
    script = "SELECT driver.call(1, 1, 1, 0, NULL, NULL);\n"
    result = subprocess.run(
        ["pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", str(min(clients, 2)), "-T", str(SECONDS), "-f", "-"],
        input=script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
        env=dict(os.environ, PGOPTIONS="-c " + setting))
    if result.returncode:
        raise SystemExit(result.stderr)
    return next(float(line.split()[2]) for line in result.stdout.splitlines() if line.startswith("tps"))


def contention(repeats):
    """Transactions of one invocation each of the same version, by pairs."""
    for clients in CLIENTS:
        ratios = []
        for _ in range(repeats):
            off = transactions(clients, "modelopt.track=none")
            ratios.append(transactions(clients, "modelopt.track=top") / off)
        print("transactions of one invocation, %d clients: %.3f of those without counting (%.3f to %.3f)"
              % (clients, statistics.median(ratios), min(ratios), max(ratios)))


def looking(session, repeats):
    session.run("SELECT driver.calls(1000, 1000);")
    for view in ("stat_models", "stat_summary", "stat_latency", "prom_predict", "stat_info", "stat_drift"):
        ms = median(repeats, lambda: session.seconds("SELECT count(*) FROM (SELECT * FROM modelopt.%s OFFSET 0) v;" % view)) * 1e3
        print("looking at modelopt.%-16s with 1000 entries %6.1f ms" % (view, ms))
    print("shared memory: %s" % session.run("SELECT pg_size_pretty(shared_bytes) FROM modelopt.stat_info;"))


def main():
    driver, repeats = sys.argv[1], int(sys.argv[2])
    session = harness.Session()
    session.run(FUNCTIONS.format(driver))
    add_path(session, repeats)
    observing(session, repeats)
    eviction(session, repeats)
    looking(session, repeats)
    contention(repeats)


main()
