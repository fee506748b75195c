"""
Dashboards against Grafana's published schema, which is types of TypeScript in
npm's package @grafana/schema: a dashboard that is none does not compile.
"""
import os
import shutil
import subprocess
import tempfile

from harness import check, skip

HERE = os.path.dirname(os.path.abspath(__file__))
GRAFANA = os.path.join(HERE, "..", "..", "monitoring", "grafana")
# JSON has strings where the types have enumerations of strings.
PROGRAM = """
import type {Dashboard} from './node_modules/@grafana/schema/dist/types/raw/dashboard/x/types.gen';
type Json<T> = T extends string ? `${T}` : T extends (infer U)[] ? Json<U>[]
    : T extends object ? {[K in keyof T]: Json<T[K]>} : T;
export const dashboard: Json<Dashboard> = %s;
"""
PACKAGES = ["@grafana/schema@13.2.3", "typescript@5.9.3"]


def run(folder, *command):
    return subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=300)


def compiles(folder, name, text):
    with open(os.path.join(folder, name + ".ts"), "w") as f:
        f.write(PROGRAM % text)
    return run(folder, os.path.join("node_modules", ".bin", "tsc"), "--noEmit",
               "--strict", "--skipLibCheck", "--module", "esnext",
               "--moduleResolution", "bundler", name + ".ts")


def dashboards():
    title = "dashboards are what Grafana's schema says"
    if not shutil.which("npm") or not shutil.which("node"):
        return skip(title, "there is no npm")
    with tempfile.TemporaryDirectory(prefix="modelopt.") as folder:
        with open(os.path.join(folder, "package.json"), "w") as f:
            f.write("{}")
        done = run(folder, "npm", "install", "--ignore-scripts", "--no-audit",
                   "--no-fund", "--silent", *PACKAGES)
        if done.returncode != 0:
            return skip(title, "npm has none: " + done.stdout.strip()[-200:])
        for name in ("modelopt-postgres", "modelopt-prometheus"):
            with open(os.path.join(GRAFANA, name + ".json")) as f:
                text = f.read()
            done = compiles(folder, name, text)
            check(done.returncode == 0, name + ": " + title, done.stdout)
        # What is none is found: a place that is text, an unknown kind of colour.
        for find, put in (('"w": 4', '"w": "4"'), ("palette-classic", "rainbow"),
                          ('"schemaVersion"', '"schemaNumber"')):
            done = compiles(folder, "broken", text.replace(find, put))
            check(find in text and "error TS" in done.stdout,
                  "with %s a dashboard is none" % put, done.stdout)


CHECKS = [("Grafana", dashboards)]
