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
SECONDS = 2
VIEWS = ("stat_models", "stat_summary", "stat_latency", "stat_info", "stat_drift", "stat_drift_summary", "stat_drift_bins",
         "prom_predict", "prom_errors", "prom_phases", "prom_cache", "prom_drift", "prom_drift_summary", "prom_info", "prom_stat")
FUNCTIONS = """
CREATE SCHEMA driver;
CREATE FUNCTION driver.call(model_id bigint, version integer, rows bigint, ns bigint, sqlstate text, seconds double precision)
    RETURNS bigint LANGUAGE C AS '{0}', 'driver_call';
CREATE FUNCTION driver.calls(n bigint, models bigint) RETURNS bigint LANGUAGE C STRICT AS '{0}', 'driver_calls';
CREATE FUNCTION driver.cost(n bigint) RETURNS double precision LANGUAGE C STRICT AS '{0}', 'driver_cost';
CREATE FUNCTION driver.clock(n bigint) RETURNS double precision LANGUAGE C STRICT AS '{0}', 'driver_clock';
CREATE FUNCTION driver.cpu() RETURNS bigint LANGUAGE C AS '{0}', 'driver_cpu';
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
    print("where two looks at the kernel's clock would take  %7.1f ns" % (2 * clock))
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


def fill(session):
    """As many entries as there is room for, with 30 buckets each, and features in
    most of the memory that there is for them."""
    session.run("SELECT modelopt.reset_stats();")
    session.run("SELECT count(driver.call(1, v, 1, (1000 * 1.2 ^ k)::bigint, NULL, NULL)) FROM generate_series(1, 1000) v, generate_series(1, 30) k;")
    columns = ", ".join("random() AS f%d" % i for i in range(20))
    session.run("DO $$ BEGIN FOR v IN 1 .. 70 LOOP"
                " PERFORM modelopt.commit('full', (SELECT model_agg('w', ARRAY[v]::real[])));"
                " PERFORM modelopt.set_reference('full#' || v, 'SELECT %s FROM generate_series(1, 1000)');"
                " END LOOP; END $$;" % columns)
    session.run("SELECT bool_and(driver.observe(2, v, false, 20, x, NULL)) FROM generate_series(1, 70) v,"
                " (SELECT array_agg(random()) AS x FROM generate_series(1, 20000)) g;")


def looking(session, repeats):
    """Milliseconds that the backend runs for a look, after a first one."""
    fill(session)
    entries, features = session.run("SELECT entries, drift_features FROM modelopt.stat_info;").split("|")
    print("looking, with %s entries and %s features:" % (entries, features))
    for view in VIEWS:
        look = "SELECT count(*) FROM (SELECT * FROM modelopt.%s OFFSET 0) v;" % view
        rows = session.run(look)
        ms = median(3 * repeats, lambda: cpu_of(session, look)) / 1e6
        print("  modelopt.%-20s %6s rows %6.1f ms" % (view, rows, ms))
    print("shared memory: %s" % session.run("SELECT pg_size_pretty(shared_bytes) FROM modelopt.stat_info;"))


def cpu_of(session, text):
    before = int(session.run("SELECT driver.cpu();"))
    session.run(text)
    return int(session.run("SELECT driver.cpu();")) - before


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
