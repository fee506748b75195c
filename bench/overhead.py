"""
overhead.py DRIVER REPEATS

What counting takes from predictions: the time that backends run for a call or a
transaction of pgbench on the server that libpq's environment names, which has
modelopt preloaded, with nothing counted, with everything counted, and with
everything compared with a reference.  DRIVER is the library of test/driver.

Sessions stay as they are while the settings change under them every few
milliseconds, each time in another order; what is reported is the median of the
ratios within each such round, of which there are so many that it is steady on a
machine that others use too.
"""
import statistics
import subprocess
import sys
import tempfile

import harness

CLIENTS = (1, 2, 8)
SECONDS = 3             # of pgbench, for each of the repeats
ROUNDS = 100            # of calls, likewise
CALLS = 1000            # of a transaction that predicts often
SLICE = 20              # transactions of one way
FIRST = 8               # rounds of a session, which has not planned all yet

# How many inputs there are, and nodes of hidden layers: as little as a model can
# do, and about ten microseconds of arithmetic.
MODELS = {"tiny": (4,), "ten": (16, 288, 288)}
GOALS = {"tiny": 10, "ten": 2}          # percent, of counting

WAYS = {"off": ("none", "off"), "on": ("top", "off"), "on, with drift": ("top", "on")}


def make_model(session, name):
    """Commits a perceptron, with a reference of what it will be given."""
    widths = MODELS[name] + (1,)
    layers = []
    for i, (taken, given) in enumerate(zip(widths, widths[1:]), 1):
        layers.append("SELECT 'layer%d.weight' AS name, array_agg(row ORDER BY r) AS data FROM (SELECT r,"
                      " array_agg((((r * 7 + c * 5) %% 17 - 8) / 50.0)::real ORDER BY c) AS row"
                      " FROM generate_series(1, %d) r, generate_series(1, %d) c GROUP BY r) w"
                      % (i, given, taken))
    graph = " relu ".join("layer%d:linear" % i for i in range(1, len(widths)))
    inputs = "ARRAY[%s]::real[]" % ", ".join("sin(i * %d)" % (7919 + j) for j in range(widths[0]))
    session.run("SELECT modelopt.commit('%s', set_graph((SELECT model_agg(name, data ORDER BY name) FROM (%s) l), '%s'));"
                % (name, " UNION ALL ".join(layers), graph))
    session.run("SELECT modelopt.set_reference('{0}', 'SELECT {1} AS x FROM generate_series(1, 10000) i',"
                " $$SELECT predict('{0}', {1}) AS y FROM generate_series(1, 10000) i$$);".format(name, inputs))


def runtime_share(session, name):
    """Microseconds that the runtime takes of a prediction, and all of it."""
    session.run("SELECT modelopt.reset_stats();")
    session.run(script(name, 50000))
    return map(float, session.run("SELECT infer_time * 1000 / calls, mean_time * 1000 FROM modelopt.stat_summary"
                                  " WHERE model_name = '%s';" % name).split("|"))


def script(name, calls):
    values = ", ".join(["0.5"] * (MODELS[name][0] - 1))
    if calls == 1:
        return "\\set x random(1, 1000)\nSELECT predict('%s', ARRAY[%s, :x]::real[]);\n" % (name, values)
    return ("SELECT sum((predict('%s', ARRAY[%s, i]::real[]))[1]) FROM generate_series(1, %d) i;\n"
            % (name, values, calls))


def cpu(pid):
    """Seconds that a process has run for."""
    with open("/proc/%s/schedstat" % pid) as times:
        return int(times.read().split()[0]) / 1e9


def turning(rounds):
    """The ways, as often as there are rounds, each time in another order."""
    ways = list(WAYS)
    return [ways[(i + i // 3) % 3] for i in range(3 * rounds)]


def by_round(order, measured):
    return [dict(zip(order[i:i + 3], measured[i:i + 3])) for i in range(0, len(order), 3)]


def round_script(name):
    """Some transactions of each way, beginning with any, and how long the backend
    runs for them."""
    lines = ["\\set round random(1, 1000000000)", "\\set first random(0, 2)"]
    for i in range(len(WAYS)):
        lines += ["\\set way (:first + %d) %% 3" % i,
                  "SELECT set_config('modelopt.track', CASE WHEN :way > 0 THEN 'top' ELSE 'none' END, false),"
                  " set_config('modelopt.drift', CASE WHEN :way > 1 THEN 'on' ELSE 'off' END, false);",
                  "SELECT driver.cpu() AS began \\gset"]
        lines += [script(name, 1)] * SLICE
        lines.append("INSERT INTO laps VALUES (:client_id, :round, :way, driver.cpu() - :began);")
    return "\n".join(lines)


def pgbench(session, name, clients, seconds):
    """For each round, the time that a backend runs for some transactions of each
    way."""
    session.run("SET client_min_messages = warning; DROP TABLE IF EXISTS laps;"
                " CREATE UNLOGGED TABLE laps (client integer, round integer, way integer, ns bigint, id bigserial);")
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(round_script(name))
        file.flush()
        subprocess.run(["pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", str(min(clients, 2)),
                        "-T", str(seconds), "-f", file.name], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    rows = session.run("SELECT string_agg(ns::text, ' ' ORDER BY way) FROM (SELECT *, row_number() OVER (PARTITION BY client ORDER BY id) AS lap"
                       " FROM laps) l WHERE lap > %d GROUP BY client, round HAVING count(*) = 3;" % (3 * FIRST)).splitlines()
    return [dict(zip(WAYS, map(int, row.split()))) for row in rows]


def more(taken, way):
    """How much longer something takes than with the first way, in percent; median
    and quartiles."""
    return statistics.quantiles([100 * (one[way] / one["off"] - 1) for one in taken], n=4)


def put(name, calls, clients, taken, microseconds):
    counting, drift = (more(taken, way) for way in list(WAYS)[1:])
    print("%-5s %5d %8d %7d %9.1f  %5.1f %% (%5.1f to %5.1f)  %5.1f %% (%5.1f to %5.1f)  < %2d %%  %s"
          % (name, calls, clients, len(taken), statistics.median(one["off"] for one in taken) * microseconds,
             counting[1], counting[0], counting[2], drift[1], drift[0], drift[2],
             GOALS[name], "met" if counting[1] < GOALS[name] else "MISSED"), flush=True)


def compare_transactions(session, name, clients, seconds):
    put(name, 1, clients, pgbench(session, name, clients, seconds), 1e-3 / SLICE)


def compare_calls(session, name, rounds):
    """Predictions of one statement, which turn every few milliseconds."""
    statement = script(name, CALLS)
    order = turning(rounds)
    measured = []
    session.run(statement)
    for way in order:
        session.run("SET modelopt.track = '%s'; SET modelopt.drift = '%s';" % WAYS[way])
        before = cpu(session.pid)
        session.run(statement)
        measured.append(cpu(session.pid) - before)
    session.run("RESET modelopt.track; RESET modelopt.drift;")
    put(name, CALLS, 1, by_round(order, measured), 1e6 / CALLS)


def main():
    driver, repeats = sys.argv[1], int(sys.argv[2])
    session = harness.Session()
    session.run("CREATE SCHEMA IF NOT EXISTS driver; CREATE OR REPLACE FUNCTION driver.cpu() RETURNS bigint LANGUAGE C AS '%s', 'driver_cpu';" % driver)
    session.run("ALTER SYSTEM SET modelopt.run_mode = 'inprocess'; SELECT pg_reload_conf();")
    session.run("SELECT pg_sleep(0.2);")
    for name in MODELS:
        make_model(session, name)
        infer, whole = runtime_share(session, name)
        print("%-5s %.1f us in the runtime, %.1f us a prediction as counted" % (name, infer, whole))
    print("model calls  clients  rounds   us each  longer: counting (quartiles)  and drift (quartiles)   goal")
    for name in MODELS:
        compare_calls(session, name, ROUNDS * repeats)
        for clients in CLIENTS:
            compare_transactions(session, name, clients, SECONDS * repeats)


main()
