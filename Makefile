# make            build sealfs, sealctl, sealtuner
# make check      install what the tests need (Debian, as root), build, run unit and mount tests
# make conformance  the long form of the tests by others' programs: fsx's million operations, fio, stress-ng, git, SQLite, tar, rsync (an hour)
# make check-nfs  tests between machines, over real NFS, in a guest that needs root but no KVM (tests/nfs/README)
# make check-exports  some of them with the export on ext4, xfs, btrfs and overlay (tests/exports/run); EXPORTS="-f xfs …": arguments
# make check-model  spin searches all states of the protocol (tests/model)
# make demo       two real PyTorch trials, child before parent
# make sim        what 10,000 machines whose trials wait cost the file server, simulated (tests/sim); SIM="--json …": arguments
# make fuzz       libFuzzer over all parsers, FUZZ_SECONDS each (clang)
# make bench      how fast the mount is, against the bare directory and other file systems of its kind; BENCH="--quick …": arguments
# make bench-nas  searches whose trials begin with the weights of earlier ones, against random search; NAS="--seeds 1,2,3"
# make bench-handoff   how soon a child has its parent's weights: it waits at its open, or is launched afterwards; HANDOFF="--rounds 9"
# make install    DESTDIR, PREFIX
# V=1 shows the commands; CC, CFLAGS, LDFLAGS, SANITIZE=address,undefined as usual

PREFIX ?= /usr/local
BUILD ?= build
CC ?= cc
CFLAGS ?= -O2 -g
V ?=
Q := $(if $(V),,@)
VERSION := 0.1.0

PKGS := fuse3 libcrypto jansson
ALL_CFLAGS := -std=gnu17 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DFUSE_USE_VERSION=314 -DSEALFS_VERSION='"$(VERSION)"' -Iinclude -pthread \
	-Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Wundef -Wno-unused-parameter \
	$(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer) $(CFLAGS)
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS))
PKG_LIBS = $(shell pkg-config --libs $(PKGS)) -lm
ALL_LDFLAGS := -pthread $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(LDFLAGS)

SEAL_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard fs/seal/*.c))
GATE_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard fs/gate/*.c))
MOUNT_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard fs/mount/*.c))
SEALCTL_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tools/sealctl/*.c))
SEALCTL_LIB_OBJ := $(filter-out %/main.o,$(SEALCTL_OBJ))
SEALTUNER_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tools/sealtuner/*.c))
SEALTUNER_LIB_OBJ := $(filter-out %/main.o,$(SEALTUNER_OBJ))
UNIT_BIN := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))
FAULT_BIN := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fault/test_*.c))
FUZZ_BIN := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/fuzz_*.c))
SIM_BIN := $(BUILD)/tests/sim/sim $(BUILD)/tests/sim/count_requests
HELPER_BIN := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/mount/*.c tests/bench/*.c))

PROGRAMS := $(BUILD)/sealfs $(BUILD)/sealctl $(BUILD)/sealtuner

all: $(PROGRAMS)

$(BUILD)/sealfs: $(MOUNT_OBJ) $(BUILD)/libgate.a $(BUILD)/libseal.a
$(BUILD)/sealctl: $(BUILD)/tools/sealctl/main.o $(BUILD)/libsealctl.a $(BUILD)/libseal.a
$(BUILD)/sealtuner: $(BUILD)/tools/sealtuner/main.o $(BUILD)/libsealtuner.a $(BUILD)/libsealctl.a $(BUILD)/libseal.a
$(PROGRAMS):
	@echo "  LD   $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

$(BUILD)/libseal.a: $(SEAL_OBJ)
$(BUILD)/libgate.a: $(GATE_OBJ)
$(BUILD)/libsealctl.a: $(SEALCTL_LIB_OBJ)
$(BUILD)/libsealtuner.a: $(SEALTUNER_LIB_OBJ)
$(BUILD)/%.a:
	@echo "  AR   $@"
	$(Q)rm -f $@ && ar rcs $@ $^

$(UNIT_BIN) $(FAULT_BIN): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/libsealtuner.a $(BUILD)/libsealctl.a $(BUILD)/libgate.a $(BUILD)/libseal.a
	@echo "  LD   $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lcmocka
$(BUILD)/tests/fault/test_stale_caches: $(BUILD)/tests/sim/memory_store.o
$(HELPER_BIN): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/libseal.a
	@echo "  LD   $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

$(SIM_BIN): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/tests/sim/memory_store.o $(BUILD)/libgate.a $(BUILD)/libseal.a
	@echo "  LD   $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

# with libFuzzer its own main(), otherwise one that replays the corpus
FUZZ_MAIN := $(if $(findstring fuzzer,$(SANITIZE)),,$(BUILD)/tests/fuzz/replay.o)
$(FUZZ_BIN): $(BUILD)/%: $(BUILD)/%.o $(FUZZ_MAIN) $(BUILD)/libsealtuner.a $(BUILD)/libsealctl.a $(BUILD)/libseal.a
	@echo "  LD   $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

# objects are built anew when the flags change; what they need is asked for before the first
NEEDED := a C compiler (CC=$(CC)), pkg-config, libfuse 3.14 or newer, OpenSSL, jansson and uthash, with their headers
$(BUILD)/flags: FORCE
	@printf '#include <uthash.h>\n' | $(CC) $(CFLAGS) -E - >/dev/null && pkg-config --print-errors 'fuse3 >= 3.14' libcrypto jansson || \
		{ echo "make: needed are $(NEEDED); on Debian 'tests/install-deps build' installs them, as root" >&2; exit 1; }
	@mkdir -p $(BUILD); printf '%s\n' '$(CC) $(subst ','\'',$(ALL_CFLAGS))' | cmp -s - $@ || printf '%s\n' '$(CC) $(subst ','\'',$(ALL_CFLAGS))' >$@
$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo "  CC   $<"
	$(Q)$(CC) $(ALL_CFLAGS) $(PKG_CFLAGS) -MMD -MP -c -o $@ $<

test-programs: $(PROGRAMS) $(UNIT_BIN) $(FAULT_BIN) $(HELPER_BIN) $(SIM_BIN) $(FUZZ_BIN)

deps:
	$(Q)tests/install-deps build test
check:
	$(Q)tests/install-deps build test conformance
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD) test-programs
	$(Q)BUILD=$(BUILD) tests/run
conformance:
	$(Q)tests/install-deps build test conformance
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD) test-programs
	$(Q)SEALFS_CONFORMANCE=1 BUILD=$(BUILD) tests/run mount/test_fsx mount/test_conformance mount/test_posix mount/test_permissions
# 77: this machine can not do it, and that was said
check-nfs:
	$(Q)tests/install-deps build nfs
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD) all $(BUILD)/tests/sim/count_requests
	$(Q)BUILD=$(BUILD) tests/nfs/run $(NFS) || [ $$? = 77 ]
check-exports:
	$(Q)tests/install-deps build test exports
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD) test-programs
	$(Q)BUILD=$(BUILD) tests/exports/run $(EXPORTS) || [ $$? = 77 ]
check-model:
	$(Q)tests/install-deps model
	$(Q)tests/model/run
sim:
	$(Q)tests/install-deps build
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD) $(SIM_BIN)
	$(Q)$(BUILD)/tests/sim/sim $(SIM)
FUZZ_SECONDS ?= 60
fuzz:
	$(Q)tests/install-deps build ci
	$(Q)$(MAKE) --no-print-directory CC=clang SANITIZE=fuzzer,address,undefined CFLAGS='-O1 -g -fno-sanitize-recover=all' BUILD=$(BUILD)-fuzz fuzz-programs
	$(Q)BUILD=$(BUILD)-fuzz tests/fuzz/run $(FUZZ_SECONDS)
fuzz-programs: $(FUZZ_BIN)
bench:
	$(Q)tests/install-deps build
	$(Q)tests/install-deps bench || echo "bench: without those of its peers that are not here"
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD) all $(BUILD)/tests/bench/bench_io
	$(Q)BUILD=$(BUILD) tests/bench/bench $(BENCH)
bench-nas:
	$(Q)tests/install-deps build demo
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD) all
	$(Q)BUILD=$(BUILD) tests/bench/nas $(NAS)
bench-handoff:
	$(Q)tests/install-deps build demo
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD) all
	$(Q)BUILD=$(BUILD) tests/bench/handoff $(HANDOFF)
demo:
	$(Q)tests/install-deps build demo
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD) all
	$(Q)BUILD=$(BUILD) tests/demo/demo

install: all
	install -D -m 755 $(BUILD)/sealfs $(DESTDIR)$(PREFIX)/bin/sealfs
	install -D -m 755 $(BUILD)/sealctl $(DESTDIR)$(PREFIX)/bin/sealctl
	install -D -m 755 $(BUILD)/sealtuner $(DESTDIR)$(PREFIX)/bin/sealtuner
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/sealfs/nni tools/nni/*.py
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/sealfs/python tools/python/*.py
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/bash-completion/completions completion/*
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man8 man/*.8
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man1 man/*.1
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man5 man/*.5

clean:
	rm -rf $(BUILD)

FORCE:
.PHONY: all deps check conformance check-nfs check-exports check-model sim fuzz fuzz-programs bench bench-nas bench-handoff demo install clean test-programs FORCE
.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
