# modelopt: machine-learning models as database values.
#
# A PGXS makefile: `make`, `make install`, `make installcheck`, `make clean`
# and builds in a folder of their own (make -f ../modelopt/Makefile) work as
# for any extension.  `make help` lists what else there is.

EXTENSION = modelopt
MODULE_big = modelopt
PGFILEDESC = "modelopt - machine-learning models as database values"

# Where this file lies, known before PGXS says it.
HERE := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(HERE)/modelopt.control)

SOURCES = $(patsubst $(HERE)/%,%,$(wildcard $(HERE)/src/*.c $(HERE)/src/*/*.c))
OBJS = $(SOURCES:.c=.o)

# The install script is joined from the parts that lie beside the code, ground
# floor first.
# Tables and functions of the repository; what is published comes after all
# functions, and the views that call it last.
REPO_SQL = access audit refs commit served models history lineage diff merge track load sign replica gc space verify
# A page on a model.
PAGE_SQL = text plots style history weights serving page
SQL_PARTS = src/model/model.sql src/model/inspect.sql src/format/format.sql \
	src/format/onnx.sql src/graph/graph.sql src/transform/prune.sql src/transform/cut.sql \
	src/transform/quantize.sql src/transform/compress.sql src/transform/report.sql \
	src/serve/predict.sql src/serve/evaluate.sql src/repo/tables.sql \
	src/monitor/tables.sql src/repo/kept.sql \
	$(REPO_SQL:%=src/repo/%.sql) src/monitor/stats.sql src/monitor/ports.sql \
	src/monitor/drift.sql src/monitor/thresholds.sql src/monitor/stat_drift.sql \
	$(PAGE_SQL:%=src/page/%.sql) \
	src/repo/publish.sql src/monitor/reference.sql src/repo/views.sql src/monitor/views.sql src/monitor/prom.sql \
	src/serve/cache.sql src/serve/calibrate.sql src/serve/optimize.sql
DATA_built = modelopt--$(EXTVERSION).sql
DATA = $(patsubst $(HERE)/%,%,$(wildcard $(HERE)/modelopt--*--*.sql))

REGRESS = model inspect tensor spill prune prune_structured prune_errors \
	quantize compress lossless report \
	pytorch_read pytorch_write safetensors onnx gguf npz formats \
	graph graph_crafted cut_nodes cut_layers cut_edges \
	hostile_zip hostile_pickle hostile_flat hostile_safetensors hostile_onnx \
	hostile_gguf hostile_npz \
	repo_audit repo_sign repo_track repo_load repo_commit repo_diff repo_blame repo_merge \
	repo_gc repo_verify repo_encodings repo_float8 serve_predict serve_json serve_classes serve_evaluate serve_calibrate serve_optimize repo_access
REGRESS_OPTS = --load-extension=modelopt
ISOLATION = $(patsubst $(HERE)/test/isolation/specs/%.spec,%,$(wildcard $(HERE)/test/isolation/specs/*.spec))
ISOLATION_OPTS = --inputdir=$(HERE)/test/isolation --load-extension=modelopt

# -ffp-contract=off: a fused multiply-add rounds once where the plain code
# rounds twice, and results are to have the same bits on every machine.
# -MMD: PostgreSQL is often built without dependency tracking; ours is always
# on, so that a changed header rebuilds what includes it.
# The -Wno- are what the server's own headers need under -Wextra.
PG_CPPFLAGS = -I$(HERE)/src
PG_CFLAGS = -ffp-contract=off -MMD -MP -Wall -Wextra -Wvla -Wshadow \
	-Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers
# The default -O2 of gcc 12 vectorizes too timidly for numeric loops, and nobody
# looks at floating-point exceptions, whose sake keeps comparisons of floats
# from becoming vector code; results have the same bits either way.
KERNEL_CFLAGS = -O3 -fno-trapping-math
SHLIB_LINK = -lcrypto -ldeflate -lz -lzstd -ldl -lpthread

EXTRA_CLEAN = $(OBJS:.o=.d) output_iso output_page modelopt_runner runner

# The weights' loops gain nothing from the server's JIT inliner, and without
# it the build needs no clang.
override with_llvm = no
# PGXS's own dependency files clash for files of one name in two folders.
override autodepend = no

PG_CONFIG ?= pg_config
PGXS := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))

ifneq ($(PGXS),)
include $(PGXS)

# A server built by gcc hands its flags to clang too, which knows most of them,
# and attributes in its headers.
ifneq (,$(findstring clang,$(CC)))
override CFLAGS += -Wno-unknown-warning-option \
	-Wno-ignored-optimization-argument -Wno-ignored-attributes
endif

src/kernel/%.o: override CFLAGS += $(KERNEL_CFLAGS)

# In a folder of its own the build makes the folders that it fills.
OBJ_DIRS = $(sort $(patsubst %/,%,$(dir $(OBJS))))
$(OBJS): | $(OBJ_DIRS)
$(OBJS): $(HERE)/Makefile
$(OBJ_DIRS):
	$(MKDIR_P) $@

# The program that models run in, beside the library that starts it.
RUNNER_SOURCES = src/serve/runner/runner.c src/serve/runner/prison.c $(addprefix src/serve/, \
	ort.c ort_ports.c ort_values.c ports.c value.c)
RUNNER_OBJS = $(patsubst src/%.c,runner/%.o,$(RUNNER_SOURCES))
RUNNER_COPT = $(COPT)
RUNNER_CFLAGS = -std=gnu11 -O2 -g -fstack-protector-strong -Wall -Wextra -Wshadow \
	-Wno-unused-parameter -Wno-missing-field-initializers -MMD -MP

all: modelopt_runner
modelopt_runner: $(RUNNER_OBJS)
	$(CC) $(RUNNER_CFLAGS) $(RUNNER_COPT) -o $@ $^ -ldl -lpthread -lseccomp
runner/%.o: src/%.c $(HERE)/Makefile
	@$(MKDIR_P) $(@D)
	$(CC) $(RUNNER_CFLAGS) $(RUNNER_COPT) -I$(HERE)/src -c -o $@ $<

install: install-runner
install-runner: modelopt_runner installdirs
	$(INSTALL_PROGRAM) modelopt_runner '$(DESTDIR)$(pkglibdir)/modelopt_runner'
uninstall: uninstall-runner
uninstall-runner:
	rm -f '$(DESTDIR)$(pkglibdir)/modelopt_runner'

-include $(OBJS:.o=.d) $(RUNNER_OBJS:.o=.d)

modelopt--$(EXTVERSION).sql: $(SQL_PARTS) modelopt.control $(HERE)/Makefile
	{ printf '%s\n' '\echo Use "CREATE EXTENSION modelopt" to load this file. \quit'; \
	  for part in $(filter %.sql,$^); do echo; cat $$part || exit; done; } > $@.tmp
	mv $@.tmp $@

# The tests read their checkpoints from test/data of the folder that they are
# started in.
ifneq ($(HERE),.)
installcheck: test/data
test/data: | $(HERE)/test/data
	$(MKDIR_P) test
	ln -s $(abspath $(HERE))/test/data $@
endif

else
all install installcheck clean:
	@echo 'There is no PGXS here: "$(PG_CONFIG) --pgxs" names no file.' >&2
	@echo 'Install the development files of the server ("make setup" does it on' >&2
	@echo 'Debian and Ubuntu), or say which server: make PG_CONFIG=/path/to/pg_config' >&2
	@exit 1
.DEFAULT_GOAL := all
endif

# ---------- beyond PGXS ----------
#
# Each of these is a script; those that need a server start a private one in a
# folder of its own and leave no trace.

export PG_CONFIG

# Set-up may install pg_config itself, so the scripts start make afresh.
demo:
	@$(HERE)/scripts/setup demo
	@$(HERE)/scripts/demo

stop:
	@$(HERE)/scripts/demo stop

setup:
	@$(HERE)/scripts/setup test

test:
	@$(HERE)/scripts/setup test
	@$(HERE)/test/run

regress:
	@$(HERE)/test/run_regress $(REGRESS)

list-regress:
	@echo $(REGRESS)

asan: sanitizers

sanitizers fuzz isolation tap kernel conformance hostile warnings:
	@$(HERE)/test/run $@

interop:
	@$(HERE)/test/run interop modern

bench:
	@$(HERE)/scripts/setup test
	@$(HERE)/bench/run

help:
	@sed -n 's/^#: \?//p' $(abspath $(lastword $(filter %Makefile,$(MAKEFILE_LIST))))

.PHONY: demo stop setup test regress sanitizers interop fuzz isolation tap kernel conformance hostile warnings bench help

#: Build
#:   make                    the shared library and the install script
#:   make install            into the server that pg_config names (PG_CONFIG=... for another)
#:   make installcheck       regression tests against a running server it is installed in
#:   make clean              remove what was built
#: Try
#:   make demo               install what is missing, build, show the story on a private server
#:   make stop               stop the demo's server and remove its folder
#: Test, each on private servers that are gone afterwards
#:   make test               install what is missing, run every suite
#:   make regress            pg_regress; REGRESS="prune model" picks tests
#:   make isolation tap kernel hostile fuzz asan warnings      one suite each
#:   make conformance        the ONNX project's test set through predict_json, beside plain ONNX Runtime
#:   make interop            against PyTorch and the formats' libraries: those installed, and recent ones from PyPI
#:   make bench              speed against the tools one would use instead
#: Other
#:   make setup              install the packages that tests and benchmarks need
#: Variables: PG_CONFIG, CC (gcc or clang), COPT (more compiler flags), TMPDIR
