# Snapup. `make help` lists what there is.
#
#   build/release/   -O2, hardened        what runs and is measured
#   build/asan/      ASan + UBSan         what tests run
#   build/fuzz/      libFuzzer, clang

MODE ?= release
O := build/$(MODE)
CC := gcc
PKGS := libevent_core libevent_extra hiredis libmariadb openssl jansson libcurl libsystemd zlib
VERSION := 0.1.0
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 60
SIM_SECONDS := $(or $(SECONDS),10)

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wformat=2 -Wformat-security -Wvla -Wno-unused-parameter
HARDEN := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection \
	-fcf-protection=full -ftrivial-auto-var-init=zero -fPIE -fno-delete-null-pointer-checks \
	-fno-strict-overflow
HARDEN_LD := -pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,nodlopen
CFLAGS_release := -O2 -g $(HARDEN)
LDFLAGS_release := $(HARDEN_LD)
CFLAGS_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LDFLAGS_asan := -fsanitize=address,undefined
CPPFLAGS_asan := -DSNAPUP_CRASH_POINTS
CFLAGS_tsan := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
LDFLAGS_tsan := -fsanitize=thread
CFLAGS_fuzz := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
LDFLAGS_fuzz := -fsanitize=fuzzer,address,undefined
ifeq ($(MODE),fuzz)
CC := clang
endif

# Asked when first needed, not when this file is read: pkg-config itself may be among the packages that
# build/deps-run has to install.
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PKGS)))$(PKG_CFLAGS)
PKG_LIBS = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PKGS)))$(PKG_LIBS)
CPPFLAGS = -Iservice -D_GNU_SOURCE -DSNAPUP_VERSION='"$(VERSION)"' $(CPPFLAGS_$(MODE)) $(PKG_CFLAGS)
CFLAGS := -std=gnu17 $(WARN) $(CFLAGS_$(MODE)) -pthread
LDFLAGS := $(LDFLAGS_$(MODE)) -pthread
LIBS = $(PKG_LIBS) -linih -lm

ROOMS := base net redis sql rules pay flow api
SERVICE := $(foreach room,$(ROOMS),$(wildcard service/$(room)/*.c))
SERVICE_O := $(SERVICE:%.c=$(O)/%.o)
MAIN := $(wildcard service/*.c)
SANDBOX := $(wildcard ops/sandbox/*.c)
CTL := $(wildcard ops/snapupctl/*.c)
BENCH := $(wildcard bench/*.c bench/report/*.c)
LIMITS := $(wildcard bench/limits/*.c)
UNIT := $(basename $(notdir $(wildcard tests/unit/*_test.c)))
SIM := $(wildcard tests/sim/*.c)
FUZZ := $(basename $(notdir $(wildcard tests/fuzz/*_fuzz.c)))
SHIPPED := $(SERVICE) $(MAIN) $(SANDBOX) $(CTL) $(BENCH) $(LIMITS)
ALL_C := $(SHIPPED) $(SIM) $(wildcard tests/unit/*.c tests/fuzz/*.c)
ALL_H := $(wildcard service/*.h service/*/*.h ops/*/*.h bench/*.h bench/*/*.h tests/unit/*.h tests/fuzz/*.h tests/sim/*.h)
SCRIPTS = $(shell grep --files-with-matches --recursive --max-count=1 '^\#!.*bash' ops tests/support tests/model .ci)

Q := $(if $(V),,@)
# One make per build; as many jobs as there are cores unless -j says otherwise.
BUILD = $(MAKE) --no-print-directory $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,--jobs=$(JOBS))
PYTEST := PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -m pytest

.DEFAULT_GOAL := help
.PHONY: help all run up down test unit model integration crash fault asan sim sim-mutants fuzz bench \
	bench-compare limits fmt check docs install clean deps programs units fuzzers tidy

help: ## this list
	@sed --quiet 's/^\([a-z-]*\):.* ## \(.*\)/  \1\t\2/p' Makefile | expand --tabs=16
	@echo 'V=1 shows the commands. SNAPUP_STATE (var/) and SNAPUP_LISTEN (127.0.0.1:8080) place run, up, down.'

# --- Run ----------------------------------------------------------------------------------------------

all: ## the programs, in build/release/
	+$(Q)$(BUILD) MODE=release programs

run: all ## a shop with demo data in the foreground; Ctrl-C ends all of it
	@ops/dev/shop run

up: all ## the same in the background; returns when it can sell
	@ops/dev/shop up

down: ## ends what `make up` started
	@ops/dev/shop down

deps: ## installs missing Debian packages, also those of test, fault, fuzz, check and bench-compare
	@ops/dev/deps run test fault check compare

# --- Test ---------------------------------------------------------------------------------------------

test: ## all tests; all but simulation and model under AddressSanitizer and UBSan
	+$(Q)$(MAKE) --no-print-directory unit
	+$(Q)$(MAKE) --no-print-directory sim
	+$(Q)$(MAKE) --no-print-directory model QUICK=1
	+$(Q)$(MAKE) --no-print-directory integration
	+$(Q)$(MAKE) --no-print-directory crash
	+$(Q)$(MAKE) --no-print-directory fault SHORT=1

asan: test ## the same: tests always run under the sanitizers

unit: build/deps-test ## unit tests (UNIT="a_test b_test" for some)
	+$(Q)$(BUILD) MODE=asan units
	@tests/support/with-servers ops/dev/unit $(UNIT:%=build/asan/unit/%)

integration: build/deps-test ## a whole shop tested from outside (ARGS="-k name" for pytest)
	+$(Q)$(BUILD) MODE=$(or $(SNAPUP_BUILD),asan) programs
	@cd tests/integration && $(PYTEST) --quiet $(ARGS)

crash: build/deps-test ## the daemon dies at every named point; nothing is lost (ARGS="-k name" for pytest)
	+$(Q)$(BUILD) MODE=asan programs
	@cd tests/fault && $(PYTEST) --quiet test_crash_points.py $(ARGS)

fault: build/deps-fault ## hurts a shop under load, for an hour (SEED=7 FAULTS=redis_kill,sql_kill TIMES=3)
	+$(Q)$(BUILD) MODE=$(or $(SNAPUP_BUILD),$(if $(SHORT),asan,release)) programs
	@/usr/bin/python3 tests/fault/suite.py $(if $(SHORT),--short) $(SEED:%=--seed %) $(FAULTS:%=--faults %) \
		$(TIMES:%=--times %)

sim: build/deps-test ## the flows over simulated stores for SECONDS (10); SEED=n replays one; ARGS for others
	+$(Q)$(BUILD) MODE=release build/release/snapup-sim
	@build/release/snapup-sim $(if $(SEED),--seed $(SEED),--seconds $(SIM_SECONDS)) $(MUTANT:%=--mutant %) $(ARGS)

sim-mutants: build/deps-test ## the simulation with one rule taken out each: every one must be noticed
	+$(Q)$(BUILD) MODE=release build/release/snapup-sim
	@ops/dev/sim-mutants $(MUTANT)

model: build/deps-test ## the protocol searched by Spin, whole and with each rule taken out: 4 min (QUICK=1: 20 s)
	@tests/model/run $(if $(QUICK),--quick) $(ARGS)

fuzz: build/deps-check ## each target of tests/fuzz for FUZZ_SECONDS (60); FUZZ="http_fuzz" for one
	+$(Q)$(BUILD) MODE=fuzz fuzzers
	@ops/dev/fuzz $(FUZZ_SECONDS) $(FUZZ:%=build/fuzz/fuzz/%)

bench: all ## 200,000 shoppers rush 50,000 units (ARGS for others: build/release/snapup-bench --help)
	@ops/dev/bench $(ARGS)

bench-compare: build/deps-compare build/baseline/.installed ## Snapup, a service in Node and the machine's limits under one load (ROUNDS=3 SECONDS=4)
	+$(Q)$(BUILD) MODE=release programs
	@ops/dev/bench-compare $(or $(ROUNDS),3) $(or $(SECONDS),4)

limits: build/deps-test ## what this machine can do at most, each measure for SECONDS (3)
	+$(Q)$(BUILD) MODE=release programs
	@ops/dev/limits $(or $(SECONDS),3)

# --- Keep in order ------------------------------------------------------------------------------------

fmt: build/deps-check ## formats all C
	$(Q)clang-format -i $(ALL_C) $(ALL_H)

check: build/deps-check all ## format, cppcheck, clang-tidy, shellcheck, the READMEs' tables
	@ops/dev/check format $(ALL_C) $(ALL_H)
	@ops/dev/check cppcheck $(ALL_C)
	@ops/dev/check shellcheck $(SCRIPTS)
	@ops/dev/check docs
	@ops/dev/check rules
	@echo 'check: clang-tidy'
	+$(Q)$(BUILD) MODE=release tidy
	@echo 'check: all good'

docs: all ## writes the READMEs' tables of settings and of rules from the code
	@ops/dev/check write-docs

SHARE := $(PREFIX)/share/snapup
install: all ## DESTDIR= PREFIX=/usr/local: programs, schema, functions, samples, systemd units
	$(Q)install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(SHARE)/schema $(DESTDIR)$(SHARE)/scenarios \
		$(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/lib/sysusers.d
	$(Q)install -m 755 build/release/snapup build/release/snapupctl build/release/snapup-bench \
		build/release/snapup-sandbox $(DESTDIR)$(PREFIX)/bin
	$(Q)install -m 644 schema/*.sql $(DESTDIR)$(SHARE)/schema
	$(Q)install -m 644 bench/scenarios/*.ini $(DESTDIR)$(SHARE)/scenarios
	$(Q)install -m 644 service/redis/functions.lua service/api/openapi.yaml bench/report.schema.json \
		bench/capacity.schema.json $(DESTDIR)$(SHARE)
	$(Q)sed 's|@PREFIX@|$(PREFIX)|g' ops/units/snapup.conf >$(DESTDIR)$(SHARE)/snapup.conf.sample
	$(Q)sed 's|@PREFIX@|$(PREFIX)|g' ops/units/snapup.service \
		>$(DESTDIR)$(PREFIX)/lib/systemd/system/snapup.service
	$(Q)install -m 644 ops/units/snapup.socket $(DESTDIR)$(PREFIX)/lib/systemd/system
	$(Q)install -m 644 ops/units/snapup.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/snapup.conf

clean: ## removes build/; var/ stays
	$(Q)rm -rf build

# --- Build (one MODE each) ----------------------------------------------------------------------------

programs: $(O)/snapup $(O)/snapupctl $(O)/snapup-sandbox $(O)/snapup-bench $(O)/snapup-limits
	@:
units: $(UNIT:%=$(O)/unit/%)
	@:
fuzzers: $(FUZZ:%=$(O)/fuzz/%)
	@:
tidy: $(SHIPPED:%.c=build/tidy/%.ok)
	@:

# Remembers that the packages were there; `make deps` asks again.
build/deps-%: ops/dev/deps
	$(Q)ops/dev/deps run $(filter-out run,$*)
	$(Q)mkdir -p build && touch $@

$(O)/%.o: %.c | build/deps-run
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

# One archive, so that a test links only what it uses.
$(O)/libsnapup.a: $(SERVICE_O)
	$(Q)rm -f $@ && ar rcs $@ $^

LINK = $(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(O)/snapup: $(MAIN:%.c=$(O)/%.o) $(O)/libsnapup.a
	$(LINK)

$(O)/snapupctl: $(CTL:%.c=$(O)/%.o) $(O)/libsnapup.a
	$(LINK)

$(O)/snapup-sandbox: $(SANDBOX:%.c=$(O)/%.o) $(O)/libsnapup.a
	$(LINK)

$(O)/snapup-bench: $(BENCH:%.c=$(O)/%.o) $(O)/libsnapup.a
	$(LINK)

$(O)/snapup-limits: $(LIMITS:%.c=$(O)/%.o) $(O)/libsnapup.a
	$(LINK)

# The baseline's packages, by name from npm, beside a copy of it.
BASELINE := $(wildcard bench/baseline/*)
build/baseline/.installed: $(BASELINE) | build/deps-compare
	@mkdir -p $(@D)
	$(Q)cp $(BASELINE) $(@D) && npm install --prefix $(@D) --no-package-lock --no-audit --no-fund --loglevel=error \
		--silent && touch $@

$(O)/unit/%: $(O)/tests/unit/%.o $(O)/libsnapup.a
	@mkdir -p $(@D)
	$(LINK) -lcmocka

# The simulation stands in for libevent, hiredis and MariaDB, and for these functions.
SIM_WRAPS := malloc calloc realloc free mmap munmap madvise clock_gettime clock_wall_ms clock_follow usleep \
	getrandom setpriority eventfd read write close \
	pthread_create pthread_join pthread_mutex_init pthread_mutex_destroy pthread_mutex_lock \
	pthread_mutex_unlock pthread_cond_init pthread_cond_destroy pthread_cond_wait \
	pthread_cond_timedwait pthread_cond_signal pthread_cond_broadcast
$(O)/tests/sim/%.o: CPPFLAGS += $(shell pkg-config --cflags lua5.1)
$(O)/snapup-sim: LIBS += $(shell pkg-config --libs lua5.1)
$(O)/snapup-sim: $(SIM:%.c=$(O)/%.o) $(O)/libsnapup.a
	$(LINK) $(SIM_WRAPS:%=-Wl,--wrap=%)

$(O)/fuzz/%: $(O)/tests/fuzz/%.o $(O)/libsnapup.a
	@mkdir -p $(@D)
	$(LINK)

# A file is looked at again when its object is, which is when it or a header of it changes.
build/tidy/%.ok: build/release/%.o .clang-tidy | build/deps-check
	@mkdir -p $(@D)
	$(Q)clang-tidy --quiet $*.c -- -std=gnu17 $(CPPFLAGS) 2>$@.err || { cat $@.err; false; }
	@rm -f $@.err && touch $@

# Objects are kept between runs, whatever chain of rules made them.
.SECONDARY:
.DELETE_ON_ERROR:
-include $(shell find build -name '*.d' 2>/dev/null)
