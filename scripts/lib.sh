# lib.sh
#	What the scripts share: messages, where things are, building, and the
#	private server from a script's point of view.  Sourced, never run.
#
# The sourcing script has set -euo pipefail.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PG_CONFIG=${PG_CONFIG:-pg_config}

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# Runs make in the folder given first.  The jobserver of a calling make does
# not reach through a script, so its flags go; the user's variables stay.
run_make() {
	local folder=$1 flags
	shift
	flags=$(sed -E 's/-j[0-9]*( |$)//; s/--jobserver-[a-z]+=[^ ]*//' <<<"${MAKEFLAGS:-}")
	MAKEFLAGS=$flags MAKELEVEL= make --no-print-directory -s -j"$(nproc)" -C "$folder" PG_CONFIG="$PG_CONFIG" "$@"
}

# Copies what a build needs into a folder, without what an earlier build left:
# VPATH would pick up the objects of a built tree.
copy_sources() {
	local to=$1
	mkdir -p "$to"
	(cd "$REPO" && tar -cf - --exclude='*.o' --exclude='*.d' --exclude='*.so' \
		Makefile modelopt.control src sql expected test) | tar -xf - -C "$to"
}

# A fresh folder whose path leaves room for a socket's name (a Unix socket's
# path has at most 107 bytes).  The caller removes it.
make_scratch() {
	local base=${TMPDIR:-/tmp}
	[ "${#base}" -le 70 ] || base=/tmp
	mktemp -d "$base/modelopt.XXXXXX"
}

# Starts a private server in the folder $1 from the build in $2 (the repo when
# not given) and points psql, pg_dump and libpq at it.
use_server() {
	"$REPO/scripts/server" start "$@" || die 'the private server did not start'
	PGHOST=$1 PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
	PATH=$("$PG_CONFIG" --bindir):$PATH:$PROMETHEUS_CACHE
	export PGHOST PGPORT PGUSER PGDATABASE PATH PGCLIENTENCODING=UTF8
	unset PGSERVICE PGSERVICEFILE PGOPTIONS PGHOSTADDR PGPASSFILE
	# Empty where there is none: what models compute is not tested there.
	ONNXRUNTIME_LIBRARY=$(onnxruntime_library || true)
	export ONNXRUNTIME_LIBRARY
}

# Where scripts/fetch_prometheus keeps programs that are not installed, for all
# clones.
PROMETHEUS_CACHE=${XDG_CACHE_HOME:-~/.cache}/modelopt/prometheus
PROMETHEUS_PROGRAMS=(prometheus promtool prometheus-postgres-exporter prometheus-sql-exporter)

# What scripts/fetch_onnxruntime keeps outside of the repository, for all clones.
ONNXRUNTIME_CACHE=${XDG_CACHE_HOME:-~/.cache}/modelopt
ONNXRUNTIME_PYPI=1.32.0
ONNXRUNTIME_NPM=1.30.0
# The oldest that has what is called.
ONNXRUNTIME_OLDEST=1.17

# Prints the path of ONNX Runtime's library: the one that the environment names,
# the one that is installed in the system, or the one in the cache.
onnxruntime_library() {
	local path version
	if [ -n "${ONNXRUNTIME_LIBRARY:-}" ]; then
		realpath -e "$ONNXRUNTIME_LIBRARY"
		return
	fi
	path=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null |
		sed -n 's/.*libonnxruntime\.so\.1 .*=> //p' | head -n 1)
	# The link's target has the whole version in its name.
	version=$(realpath "${path:-/}" | sed -n 's/.*\.so\.//p')
	if [ -n "$version" ] && printf '%s\n' "$ONNXRUNTIME_OLDEST" "$version" | sort -C -V; then
		echo "$path"
		return
	fi
	for version in "$ONNXRUNTIME_PYPI" "$ONNXRUNTIME_NPM"; do
		path=$ONNXRUNTIME_CACHE/onnxruntime-$version/libonnxruntime.so.1
		[ ! -f "$path" ] || { echo "$path"; return; }
	done
	return 1
}

# Creates a database with the extension on the server in use.
make_database() {
	psql -X -q -v ON_ERROR_STOP=1 -c "CREATE DATABASE $1" || return
	psql -X -q -v ON_ERROR_STOP=1 -d "$1" -c 'CREATE EXTENSION modelopt'
}

# Counts the results of pg_regress in the file $1, $2 tests and status $3, into
# "N passed, N failed", the last line of every suite.  Before 16 a result reads
# "test model ... ok", since then "ok 1 - model".
count_regress() {
	local good bad
	good=$(grep -cE '^(test .* \.\.\. ok|ok [0-9]+ )' "$1" || true)
	bad=$(($2 - good))
	if [ "$3" != 0 ] && [ "$bad" = 0 ]; then
		bad=1
	fi
	say "$good passed, $bad failed"
	[ "$bad" = 0 ]
}

# Counts the results of TAP in the file $1, of a program with status $2, likewise.
# What a test skips with a reason counts as neither.
count_tap() {
	local good bad
	good=$(grep -E '^ok ([0-9]+ )?- ' "$1" | grep -civ '# skip' || true)
	# A file that died half-way has no plan; its results so far count too.
	bad=$(grep -cE '^(not ok |  Parse errors: )' "$1" || true)
	if [ "$2" != 0 ] && [ "$bad" = 0 ]; then
		bad=1
	fi
	say "$good passed, $bad failed"
	[ "$bad" = 0 ]
}

# Ends a suite that has nothing to run on, and says why.
skip_suite() {
	say "skipped: $1"
	exit 0
}

# The Python that has torch: the system's, or the one that set-up made where
# the system's packages have none.
python() {
	if [ -x "$REPO/.venv/bin/python" ]; then
		echo "$REPO/.venv/bin/python"
	else
		echo /usr/bin/python3
	fi
}
